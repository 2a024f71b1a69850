/**
 * Reads when a server wants to be asked again. Three forms are in use: `retry-after-ms`, and `retry-after` as seconds or as an
 * HTTP date. Whatever is none of them is unknown rather than zero, since zero would mean "at once".
 */

export interface HeaderReader {
  get(name: string): string | null;
}

const SECOND_MS = 1_000;
const NUMBER = /^\d{1,12}(\.\d{1,9})?$/;
/** IMF-fixdate and the RFC 850 form; both name GMT. */
const HTTP_DATE = /^(mon|tue|wed|thu|fri|sat|sun)[a-z]*, .* gmt$/i;

/** Ms until the server may be asked again; a date is compared with `wallMs`, and one that has passed means now. */
export function parseRetryAfter(headers: HeaderReader | undefined, wallMs: number): number | undefined {
  const exact = headers?.get('retry-after-ms')?.trim();
  if (exact !== undefined && NUMBER.test(exact)) return Math.ceil(Number(exact));
  const value = headers?.get('retry-after')?.trim();
  if (value === undefined) return undefined;
  if (NUMBER.test(value)) return Math.ceil(Number(value) * SECOND_MS);
  if (!HTTP_DATE.test(value)) return undefined;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs);
}
