/** What a provider's breaker has to begin with, told from what the last process saved, by the words of decision 24. */

export interface SavedBreaker {
  readonly state: 'closed' | 'open' | 'halfOpen';
  readonly openings: number;
  readonly openForMs: number;
  readonly isForcedUsed: boolean;
}

/** Of a provider of which nothing is known. */
export const UNTOUCHED_BREAKER: SavedBreaker = { state: 'closed', openings: 0, openForMs: 0, isForcedUsed: false };

interface SavedState {
  readonly savedAt: number;
  readonly breaker?: {
    readonly state: string;
    readonly openUntil: number;
    readonly openingsInRow: number;
    readonly isForcedProbeUsed: boolean;
  };
}

/** Reads a saved state at a moment of the steady wall clock. */
export function readBreaker(text: string | undefined, steadyMs: number): SavedBreaker {
  if (text === undefined) return UNTOUCHED_BREAKER;
  // It is what the runtime wrote.
  const { savedAt, breaker } = JSON.parse(text) as SavedState;
  if (breaker === undefined) return UNTOUCHED_BREAKER;
  // A clock that was set back makes no wait longer than it was.
  const leftMs = breaker.state === 'open' ? breaker.openUntil - Math.max(steadyMs, savedAt) : 0;
  return {
    state: leftMs > 0 ? 'open' : 'halfOpen',
    openings: breaker.openingsInRow,
    openForMs: Math.max(0, leftMs),
    isForcedUsed: breaker.isForcedProbeUsed,
  };
}
