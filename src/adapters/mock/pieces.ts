/**
 * The token of the mock and of the simulator: a word with the white space before it, long words in pieces. It is no
 * tokenizer's rule, but it is exact, so that a test can say how many tokens an answer had, where it was cut and what it
 * cost, without a vocabulary.
 */

const PIECE_PATTERN = /\s*\S{1,24}|\s+$/gu;

/** Splits a text into pieces that, joined, are the text again. */
export function splitPieces(text: string): readonly string[] {
  return text.match(PIECE_PATTERN) ?? [];
}

/** Counts the pieces of a text without keeping them. */
export function countPieces(text: string): number {
  let count = 0;
  for (const _piece of text.matchAll(PIECE_PATTERN)) count += 1;
  return count;
}
