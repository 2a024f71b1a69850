/**
 * How many lines of a batch wait as requests at once. A request that has waited for ten minutes goes before interactive ones
 * that come then (order.ts), so a batch must not put more in line than is run in a few minutes: its lines would grow old
 * together and shut everybody else out. Nor less than keeps every provider busy.
 */

/** What is run lately is counted over this long. */
export const LATELY_MS = 60_000;
/** Lines shall wait about this long, well below the ageing of a `low`. */
const WAIT_MS = 300_000;
const AHEAD_MIN = 100;
const AHEAD_MAX = 2_000;

/** How many lines may be entered and not settled, when so many were settled in the last `LATELY_MS`. */
export function linesAheadMax(settledLately: number): number {
  return Math.min(AHEAD_MAX, Math.max(AHEAD_MIN, Math.floor((settledLately * WAIT_MS) / LATELY_MS)));
}
