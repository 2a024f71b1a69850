/** Reads query strings: known names, each at most once. */
import { refuse } from './check.ts';

/** @throws {SwitchgearError} `invalid-request` for an unknown or repeated name */
export function readQuery(query: unknown, names: readonly string[]): Readonly<Record<string, string | undefined>> {
  const entries: [string, unknown][] = typeof query === 'object' && query !== null ? Object.entries(query) : [];
  for (const [name, value] of entries) {
    if (!names.includes(name))
      throw refuse(name.slice(0, 40), `one of ${names.join(', ')}`, 'an unknown query parameter');
    if (typeof value !== 'string') throw refuse(name, 'given once', value);
  }
  // Every value was checked to be a string just above.
  return Object.fromEntries(entries) as Record<string, string>;
}
