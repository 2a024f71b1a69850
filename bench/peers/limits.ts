/**
 * The limits that a peer is given where its documentation has a setting for them: the same as our defaults, so that nobody
 * wins by waiting less.
 */

/** Until the first piece of a stream. */
export const FIRST_PIECE_MS = 12_000;
/** Between two pieces of a stream. */
export const STALL_MS = 15_000;
/** Of an unstreamed answer; of a whole stream where nothing else ends one that never begins. */
export const UNSTREAMED_MS = 60_000;
/** Retries at the same provider. */
export const RETRIES = 2;
