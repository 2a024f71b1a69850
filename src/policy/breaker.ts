/**
 * When a breaker opens, for how long, and how long a probe may take. Rule B, chosen by simulation over Poisson arrivals: it
 * sees a total outage within ten calls (five at low rates) and does not open once a day at 20 % random failures.
 */
import type { BreakerConfig } from '../contract/config.ts';
import { type CallWindow, countWindow } from './window.ts';

/** Failures in a row that open a breaker while the window holds fewer than `minimumCalls`. */
const SPARSE_FAILURES_IN_ROW = 5;
/** Openings in a row that last `openMs` before the time is doubled. */
const STEADY_OPENINGS = 4;
const OPEN_JITTER = 0.2;
const PROBE_GRACE_MS = 5_000;
const PROBE_LEASE_MAX_MS = 60_000;

/** Why the breaker has to open now, or undefined. */
export function tripReason(window: CallWindow, config: BreakerConfig): string | undefined {
  const { failures, completed } = countWindow(window);
  if (completed >= config.minimumCalls && failures / completed >= config.failureRate) {
    return `${failures} of ${completed} calls failed within ${config.windowMs} ms`;
  }
  if (window.failuresInRow >= config.consecutiveFailures) return `${window.failuresInRow} calls in a row failed`;
  const sparse = Math.min(SPARSE_FAILURES_IN_ROW, config.consecutiveFailures);
  if (completed < config.minimumCalls && window.failuresInRow >= sparse)
    return `${window.failuresInRow} calls in a row failed`;
  return undefined;
}

/** How long opening number `openingsInRow` (from 1) lasts: ±20 % around `openMs`, doubled from the fifth on, capped. */
export function openDurationMs(openingsInRow: number, config: BreakerConfig, random: number): number {
  const doublings = Math.max(0, openingsInRow - STEADY_OPENINGS);
  const nominalMs = Math.min(config.openMaxMs, config.openMs * 2 ** Math.min(doublings, 30));
  return nominalMs * (1 - OPEN_JITTER + 2 * OPEN_JITTER * random);
}

/** Longer than this no opening lasts, whichever its number. */
export function openDurationMaxMs(config: BreakerConfig): number {
  return config.openMaxMs * (1 + OPEN_JITTER);
}

/** After this long a probe counts as failed, whatever became of it (R5). */
export function probeLeaseMs(attemptLimitMs: number): number {
  return Math.min(attemptLimitMs + PROBE_GRACE_MS, PROBE_LEASE_MAX_MS);
}
