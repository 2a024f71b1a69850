/** Reads query strings: known names, each at most once. */
import { SwitchgearError } from '../contract/errors.ts';
import { refuse, shorten } from './check.ts';

/** @throws {SwitchgearError} `invalid-request` for an unknown or repeated name */
export function readQuery(query: unknown, names: readonly string[]): Readonly<Record<string, string | undefined>> {
  const entries: [string, unknown][] = typeof query === 'object' && query !== null ? Object.entries(query) : [];
  for (const [name, value] of entries) {
    if (!names.includes(name)) throw unknownParameter(name, names);
    if (typeof value !== 'string') throw refuse(name, 'given once', value);
  }
  // Every value was checked to be a string just above.
  return Object.fromEntries(entries) as Record<string, string>;
}

function unknownParameter(name: string, names: readonly string[]): SwitchgearError {
  const message = `expected the query to have known parameters only (${names.join(', ')}), got: ${shorten(name)}`;
  return new SwitchgearError('invalid-request', message, { param: shorten(name) });
}
