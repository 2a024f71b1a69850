/**
 * Embeddings without a model: a text's hash is expanded into a vector of length 1. Equal texts give equal vectors and
 * different texts nearly orthogonal ones, in every process and on every machine.
 */
import { createHash } from 'node:crypto';

/** Longest vector that may be asked for. */
export const dimensionsMax = 4_096;

/** Gives the unit vector of a text. */
export function embedText(text: string, dimensions: number): readonly number[] {
  const vector: number[] = [];
  for (let block = 0; vector.length < dimensions; block += 1) {
    const digest = createHash('sha256').update(`${block}\n${text}`).digest();
    for (let offset = 0; offset < digest.length && vector.length < dimensions; offset += 4) {
      vector.push(digest.readInt32LE(offset) / 2 ** 31);
    }
  }
  const length = Math.hypot(...vector);
  return length === 0 ? vector.map((_value, index) => (index === 0 ? 1 : 0)) : vector.map((value) => value / length);
}
