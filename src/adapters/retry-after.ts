/**
 * Reads when a provider wants to be asked again. Three forms are in use: `retry-after-ms`, and `retry-after` as seconds or as
 * an HTTP date. Whatever is none of them is unknown rather than zero, since zero would mean "at once". Anthropic names the
 * end of a spend limit in words only.
 */

export interface HeaderReader {
  get(name: string): string | null;
}

const SECOND_MS = 1_000;
const NUMBER = /^\d{1,12}(\.\d{1,9})?$/;
/** IMF-fixdate and the RFC 850 form; both name GMT. */
const HTTP_DATE = /^(mon|tue|wed|thu|fri|sat|sun)[a-z]*, .* gmt$/i;

/** Ms until the provider may be asked again; a date is compared with `wallMs`, and one that has passed means now. */
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

const REGAINED = /regain access on (\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}) UTC)?/;

/** Ms until a spent limit is reset, where the words of the refusal name the day. */
export function parseRegainedAt(words: string, wallMs: number): number | undefined {
  const [, day, time = '00:00'] = REGAINED.exec(words) ?? [];
  const at = day === undefined ? Number.NaN : Date.parse(`${day}T${time}:00Z`);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs);
}
