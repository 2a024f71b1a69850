/**
 * Pacing towards a provider: GCRA, the token bucket kept as one number (ITU-T I.371; the form of redis-cell). The provider
 * is the judge of its own limits, so a tenth is left as headroom and what a call did not use is given back.
 */

const HEADROOM = 0.9;
const MINUTE_MS = 60_000;

/** Theoretical arrival time: the moment at which the bucket is full again. Monotonic ms. */
export interface Pace {
  readonly fullAtMs: number;
}

export interface PaceLimit {
  readonly perMinute: number;
}

export type PaceVerdict =
  | { readonly isAllowed: true; readonly pace: Pace }
  | { readonly isAllowed: false; readonly waitMs: number };

/** Takes `quantity` at `nowMs`, or says how long to wait. More than a whole bucket passes when the bucket is full. */
export function takePace(pace: Pace, limit: PaceLimit, quantity: number, nowMs: number): PaceVerdict {
  const { intervalMs, burst } = shape(limit);
  const fullAtMs = Math.max(nowMs, pace.fullAtMs);
  const needed = Math.min(quantity, burst) * intervalMs;
  const waitMs = fullAtMs + needed - burst * intervalMs - nowMs;
  // A thousandth of a millisecond is rounding, not debt.
  if (waitMs > 0.001) return { isAllowed: false, waitMs };
  return { isAllowed: true, pace: { fullAtMs: fullAtMs + quantity * intervalMs } };
}

/**
 * Gives back (or charges, when negative) the difference between what was taken and what was used. A provider that reports
 * nonsense is charged a minute's worth at most.
 */
export function correctPace(pace: Pace, limit: PaceLimit, reported: number): Pace {
  const unused = Number.isNaN(reported) ? 0 : Math.max(reported, -limit.perMinute);
  return { fullAtMs: pace.fullAtMs - unused * shape(limit).intervalMs };
}

/** The same debt under another limit: so many requests or tokens, not so many seconds. */
export function carryPace(pace: Pace, before: PaceLimit, after: PaceLimit, nowMs: number): Pace {
  const owed = Math.max(0, pace.fullAtMs - nowMs) / shape(before).intervalMs;
  return { fullAtMs: nowMs + owed * shape(after).intervalMs };
}

/** The burst is what flows in six seconds, at least one: with the headroom, no minute holds more than the limit. */
function shape(limit: PaceLimit): { intervalMs: number; burst: number } {
  const perMinute = Math.max(1, limit.perMinute * HEADROOM);
  return { intervalMs: MINUTE_MS / perMinute, burst: Math.max(1, perMinute / 10) };
}
