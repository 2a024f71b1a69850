/** Ids: `req_` and the like, and 21 characters of a URL-safe alphabet, from the clock's randomness. */
import { customRandom, urlAlphabet } from 'nanoid';
import type { Clock } from '../contract/clock.ts';

const SIZE = 21;
// Without `_` and `-`: an id is then one word for a double click and never looks like an option.
const ALPHABET = urlAlphabet.replaceAll(/[_-]/g, '');

export function createIdSource(clock: Clock, prefix = 'req_'): () => string {
  const nextId = customRandom(ALPHABET, SIZE, (size) => clock.randomBytes(size));
  return () => `${prefix}${nextId()}`;
}
