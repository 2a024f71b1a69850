/**
 * A ledger query, parsed once: times in any of the accepted forms become epoch ms, a tag becomes name and value. Every
 * ledger asks the same questions of an entry, so that they answer alike.
 */
import { SwitchgearError } from '../contract/errors.ts';
import type { LedgerEntry, LedgerQuery } from '../contract/records.ts';

/** A query that can be trusted. Times are epoch ms; `untilMs` is exclusive. */
export interface ParsedLedgerQuery {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly provider: string | undefined;
  readonly model: string | undefined;
  readonly tenant: string | undefined;
  readonly tag: { readonly name: string; readonly value: string | undefined } | undefined;
}

/** What costs are told apart by. */
export type LedgerNames = Pick<LedgerEntry, 'provider' | 'model' | 'tenant'>;

/** What a query looks at in an entry or in a daily total, besides time. */
export type LedgerLabels = LedgerNames & Pick<LedgerEntry, 'tags'>;

/**
 * Parses a query.
 * @throws {SwitchgearError} `invalid-request`
 */
export function parseLedgerQuery(query: LedgerQuery): ParsedLedgerQuery {
  const sinceMs = query.since === undefined ? Number.NEGATIVE_INFINITY : parseTime('since', query.since);
  const untilMs = query.until === undefined ? Number.POSITIVE_INFINITY : parseTime('until', query.until);
  if (sinceMs > untilMs) {
    const found = `${new Date(sinceMs).toISOString()} and ${new Date(untilMs).toISOString()}`;
    throw new SwitchgearError('invalid-request', `expected since to be before until, got: ${found}`, {
      param: 'since',
    });
  }
  const { provider, model, tenant } = query;
  return { sinceMs, untilMs, provider, model, tenant, tag: parseTag(query.tag) };
}

/** Whether a moment lies in the queried range. */
export function isInRange(atMs: number, { sinceMs, untilMs }: ParsedLedgerQuery): boolean {
  return atMs >= sinceMs && atMs < untilMs;
}

/** Whether provider, model, tenant and tags are what is asked for. */
export function hasLabels(labels: LedgerLabels, query: ParsedLedgerQuery): boolean {
  return hasNames(labels, query) && hasTag(labels.tags, query);
}

/** Whether provider, model and tenant are what is asked for. */
export function hasNames(names: LedgerNames, query: ParsedLedgerQuery): boolean {
  if (query.provider !== undefined && names.provider !== query.provider) return false;
  if (query.model !== undefined && names.model !== query.model) return false;
  return query.tenant === undefined || names.tenant === query.tenant;
}

/** Whether the tags are what is asked for. */
export function hasTag(tags: LedgerEntry['tags'], query: ParsedLedgerQuery): boolean {
  if (query.tag === undefined) return true;
  const { name, value } = query.tag;
  return Object.hasOwn(tags, name) && (value === undefined || tags[name] === value);
}

/** When the newest of some entries was: what is old is judged by it while nobody asks. */
export function newestOf(entries: readonly LedgerEntry[]): number {
  return entries.reduce((newestAt, { at }) => Math.max(newestAt, at), Number.NEGATIVE_INFINITY);
}

/** Tags as one text, the same for the same tags in any order. */
export function canonicalTags(tags: LedgerEntry['tags']): string {
  return JSON.stringify(Object.entries(tags).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

/** The largest time a `Date` can hold. */
const epochMsMax = 8.64e15;
const ISO_8601 = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?$/;

function parseTime(param: 'since' | 'until', value: number | Date | string): number {
  const epochMs = value instanceof Date ? value.getTime() : typeof value === 'string' ? parseIsoTime(value) : value;
  if (typeof epochMs === 'number' && Math.abs(epochMs) <= epochMsMax) return epochMs;
  const found =
    value instanceof Date ? 'an invalid Date' : typeof value === 'object' ? 'an object' : String(value).slice(0, 60);
  const message = `expected ${param} to be epoch ms, a Date or an ISO 8601 string, got: ${found}`;
  throw new SwitchgearError('invalid-request', message, { param });
}

/** A time without a zone is UTC: a summary must not depend on where the process runs. */
function parseIsoTime(text: string): number {
  const match = ISO_8601.exec(text);
  if (match === null) return Number.NaN;
  const [, year, month, day, time = '00:00', zone = 'Z'] = match;
  // A day that the month does not have would quietly become one of the next month.
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (date.getUTCMonth() !== Number(month) - 1) return Number.NaN;
  return Date.parse(`${year}-${month}-${day}T${time}${zone}`);
}

function parseTag(tag: string | undefined): ParsedLedgerQuery['tag'] {
  if (tag === undefined) return undefined;
  const separator = tag.indexOf('=');
  const name = separator < 0 ? tag : tag.slice(0, separator);
  if (name === '')
    throw new SwitchgearError('invalid-request', 'expected tag to be name or name=value, got: no name', {
      param: 'tag',
    });
  return { name, value: separator < 0 ? undefined : tag.slice(separator + 1) };
}
