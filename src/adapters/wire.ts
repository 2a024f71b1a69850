/**
 * Reading what providers return and writing what they are sent. Providers are trusted with nothing: each field is read by
 * its shape and is `undefined` when it has another, so that one odd field never costs a whole answer. Writing merges the
 * extra fields of a caller into a body without letting them choose what decides the call itself.
 */
import type { FeatureHeaders, WireFields } from '../contract/request.ts';
import { AttemptError } from './attempt-error.ts';

export type WireObject = Readonly<Record<string, unknown>>;

export const asObject = (value: unknown): WireObject | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? // A non-null object that is no array can be read by any string key.
      (value as WireObject)
    : undefined;

export const asText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

export const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** A token count or an index. */
export const asCount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;

/** The entries whose value is known, so that an absent field stays absent. */
export function definedOnly<Fields extends object>(
  fields: Fields,
): { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  // Only entries of `fields` that are not undefined are left.
  return Object.fromEntries(entries) as { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> };
}

/** The fields of a request, message, part or tool that belong to this wire. */
export const ownFields = (wireFields: WireFields | undefined, wire: string): WireObject =>
  wireFields?.wire === wire ? definedOnly(wireFields.fields) : {};

/** The feature headers of a request that this vendor knows. Nothing else that a caller says becomes a header. */
export function ownFeatures(headers: FeatureHeaders | undefined, known: readonly string[]): FeatureHeaders {
  return Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => known.includes(name)));
}

/** What decides the call itself; the runtime has priced, routed and counted on it. */
const PROTECTED_FIELDS = new Set(['model', 'stream']);

/** Merges extra fields into a body, later ones winning; objects on both sides are merged one level deep. */
export function mergeFields(body: WireObject, ...extras: readonly (WireObject | undefined)[]): WireObject {
  const merged: Record<string, unknown> = { ...body };
  for (const extra of extras) {
    for (const [name, value] of Object.entries(extra ?? {})) {
      if (value === undefined || PROTECTED_FIELDS.has(name)) continue;
      const [before, after] = [asObject(merged[name]), asObject(value)];
      merged[name] = before !== undefined && after !== undefined ? { ...before, ...after } : value;
    }
  }
  return merged;
}

/** Says that a request holds something this wire has no form for. */
export const unsendable = (what: string, wire: string): AttemptError =>
  new AttemptError({
    kind: 'invalid-request',
    message: `expected the request to be sendable in the ${wire} format, got: ${what}`,
  });

/** Says that a 2xx answer is none. */
export const falseSuccess = (message: string): AttemptError =>
  new AttemptError({ kind: 'false-success', message, isMaybeBilled: true });

/** Says that a stream was answered with a document: such a server knows no streams. */
export const unstreamed = (message: string): AttemptError =>
  new AttemptError({ kind: 'false-success', message, isMaybeBilled: true, isStreamRefused: true });

/** Says that an answer broke on its way. */
export const broken = (message: string, origin?: unknown): AttemptError =>
  new AttemptError({ kind: 'broken', message, isMaybeBilled: true }, origin);
