/** How a provider is judged, and what share of the last day it was up. */
import type { HealthLabel, HealthReason, ProviderState } from '../contract/state.ts';

const DEGRADED_FAILURE_RATE = 0.1;
/** How long a 429 is believed when nobody was answered since. */
const THROTTLE_MEMORY_MS = 3_600_000;
const DAY_MS = 86_400_000;
const SEGMENTS_MAX = 2_000;

/** What was learned of a provider besides its state. */
export interface HealthEvidence {
  /** Whether any traffic or conclusive check was ever seen. */
  readonly hasEvidence: boolean;
  /** Whether the last free check passed; undefined when there was none, or it proved nothing. */
  readonly lastCheckPassed: boolean | undefined;
  /** Whether it was throttled lately: see `isThrottled`. */
  readonly isThrottled: boolean;
}

/** A label, and what keeps it from being better. */
export interface HealthJudgement {
  readonly label: HealthLabel;
  readonly reason?: HealthReason;
}

/** How a provider stands, and why not better. */
export function judgeHealth(state: ProviderState, evidence: HealthEvidence): HealthJudgement {
  const outage = findOutage(state);
  if (outage !== undefined) return { label: 'unhealthy', reason: outage };
  const trouble = findTrouble(state, evidence);
  if (trouble !== undefined) return { label: 'degraded', reason: trouble };
  const { failureCount, successCount } = state.breaker;
  return { label: failureCount + successCount > 0 || evidence.hasEvidence ? 'healthy' : 'unknown' };
}

function findOutage({ isDown, isSuspended, breaker, credentials }: ProviderState): HealthReason | undefined {
  if (isDown) return 'down';
  if (isSuspended) return 'suspended';
  if (breaker.state === 'open') return 'breaker-open';
  const hasCredential = credentials.some(({ state }) => state === 'usable' || state === 'held');
  return hasCredential ? undefined : 'no-usable-key';
}

function findTrouble({ breaker, gate }: ProviderState, evidence: HealthEvidence): HealthReason | undefined {
  if (breaker.state === 'halfOpen') return 'breaker-half-open';
  if (gate === 'held' || evidence.isThrottled) return 'rate-limited';
  const { failureCount, successCount } = breaker;
  const completed = failureCount + successCount;
  if (completed > 0) return failureCount / completed >= DEGRADED_FAILURE_RATE ? 'failing' : undefined;
  return evidence.lastCheckPassed === false ? 'check-failed' : undefined;
}

/** What is left of a 429: when its gate clears or cleared, monotonic ms, and whether a call was answered since. */
export interface Throttle {
  readonly clearMs: number;
  readonly hasAnswered: boolean;
}

/**
 * Whether a gate that has cleared still says something. A lasting 429 holds and clears it in turn, which is one state to an
 * operator: it is over when a call was answered and one interval has passed without another.
 */
export function isThrottled(throttle: Throttle | undefined, nowMs: number, intervalMs: number): boolean {
  if (throttle === undefined) return false;
  return nowMs - throttle.clearMs < (throttle.hasAnswered ? intervalMs : THROTTLE_MEMORY_MS);
}

/** A stretch of time with one label; the last one lasts until now. Monotonic ms. */
export interface HealthSegment {
  readonly fromMs: number;
  readonly label: HealthLabel;
}

/** Adds a label from `nowMs` on and forgets what is older than a day. */
export function appendSegment(
  segments: readonly HealthSegment[],
  label: HealthLabel,
  nowMs: number,
): readonly HealthSegment[] {
  if (segments.at(-1)?.label === label) return segments;
  const kept = [...segments, { fromMs: nowMs, label }];
  const firstLive = kept.findLastIndex((segment) => segment.fromMs <= nowMs - DAY_MS);
  return kept.slice(Math.max(0, firstLive, kept.length - SEGMENTS_MAX));
}

/** Percent of the known time of the last 24 h in which the provider was not unhealthy; undefined when nothing is known. */
export function uptimePercent(segments: readonly HealthSegment[], nowMs: number): number | undefined {
  let upMs = 0;
  let knownMs = 0;
  for (const [index, segment] of segments.entries()) {
    const fromMs = Math.max(segment.fromMs, nowMs - DAY_MS);
    const untilMs = segments[index + 1]?.fromMs ?? nowMs;
    const lengthMs = Math.max(0, untilMs - fromMs);
    if (segment.label === 'unknown') continue;
    knownMs += lengthMs;
    if (segment.label !== 'unhealthy') upMs += lengthMs;
  }
  if (knownMs > 0) return (upMs / knownMs) * 100;
  const label = segments.at(-1)?.label;
  if (label === undefined || label === 'unknown') return undefined;
  return label === 'unhealthy' ? 0 : 100;
}

/** The value below which a share `rank` (0 to 1) of the samples lies; nearest rank. */
export function percentile(samples: readonly number[], rank: number): number | undefined {
  const sorted = samples.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(rank * sorted.length) - 1)];
}
