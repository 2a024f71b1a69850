/**
 * Concurrency by AIMD (additive increase, multiplicative decrease), driven by the provider's own complaints (429, 529) and
 * not by latency, which for language models says how long the answer is.
 */

/** In integers: as a float 0.7 · 90 is less than 63. */
const KEPT_TENTHS = 7;

export interface ConcurrencyLimit {
  readonly limit: number;
  readonly successesInRow: number;
}

/** One more slot after `limit` successes in a row, up to `max`. */
export function growLimit(current: ConcurrencyLimit, max: number): ConcurrencyLimit {
  const successesInRow = current.successesInRow + 1;
  if (successesInRow < current.limit) return { ...current, successesInRow };
  return { limit: Math.min(max, current.limit + 1), successesInRow: 0 };
}

/** A failure in between: the row of successes begins again. */
export function interruptGrowth(current: ConcurrencyLimit): ConcurrencyLimit {
  return { ...current, successesInRow: 0 };
}

/** Three tenths fewer slots, rounded down, at least one. */
export function shrinkLimit(current: ConcurrencyLimit): ConcurrencyLimit {
  return { limit: Math.max(1, Math.floor((current.limit * KEPT_TENTHS) / 10)), successesInRow: 0 };
}
