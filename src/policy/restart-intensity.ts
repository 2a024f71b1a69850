/** How often a child may be restarted before its supervisor gives up, and how long to wait before each restart. */

export interface RestartIntensity {
  readonly restartsMax: number;
  readonly periodMs: number;
}

export interface RestartBackoff {
  readonly baseMs: number;
  readonly capMs: number;
  /** After running this long a child's backoff starts over. */
  readonly healthyMs: number;
}

/** Counts one restart at `nowMs`. With intensity I, the (I+1)th within the period exceeds it. Times are monotonic. */
export function countRestart(
  restartsAtMs: readonly number[],
  intensity: RestartIntensity,
  nowMs: number,
): { readonly restartsAtMs: readonly number[]; readonly isExceeded: boolean } {
  const recent = [...restartsAtMs.filter((atMs) => nowMs - atMs <= intensity.periodMs), nowMs];
  return { restartsAtMs: recent, isExceeded: recent.length > intensity.restartsMax };
}

/** Exponential with equal jitter; `attempt` counts from 0. */
export function restartDelayMs(attempt: number, backoff: RestartBackoff, random: number): number {
  const ceilingMs = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 30));
  return ceilingMs / 2 + (random * ceilingMs) / 2;
}
