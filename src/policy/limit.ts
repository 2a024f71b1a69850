/**
 * Concurrency by AIMD (additive increase, multiplicative decrease), driven by the provider's own complaints (429, 529) and
 * not by latency, which for language models says how long the answer is.
 */

const DECREASE_FACTOR = 0.7;

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

/** Three tenths fewer slots, at least one. */
export function shrinkLimit(current: ConcurrencyLimit): ConcurrencyLimit {
  return { limit: Math.max(1, Math.floor(current.limit * DECREASE_FACTOR)), successesInRow: 0 };
}
