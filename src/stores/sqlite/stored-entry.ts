/**
 * A ledger entry as it lies in the file: flat columns for what is counted, JSON for names and tags, because it keeps any
 * character. Encoding and decoding happen at the caller's.
 */
import type { LedgerEntry } from '../../contract/records.ts';
import { canonicalTags, type LedgerNames } from '../ledger-query.ts';
import { countable, isBillable } from '../ledger-totals.ts';

/** One row. */
export interface StoredEntry {
  readonly requestId: string;
  readonly attempt: number;
  readonly at: number;
  /** JSON: provider, model, tenant. */
  readonly names: string;
  /** JSON: names and values in order; null when there are none. */
  readonly tags: string | null;
  readonly outcome: string;
  readonly isBillable: number;
  readonly isEstimate: number;
  readonly costNanos: number | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly cacheWriteTokens: number | null;
  readonly cacheWrite1hTokens: number | null;
  readonly reasoningTokens: number | null;
}

/** Makes a row of an entry. */
export function encodeEntry(given: LedgerEntry): StoredEntry {
  const entry = countable(given);
  const { provider, model, tenant, tags, usage } = entry;
  return {
    requestId: entry.requestId,
    attempt: entry.attempt,
    at: entry.at,
    names: JSON.stringify([provider, model, tenant]),
    tags: Object.keys(tags).length === 0 ? null : canonicalTags(tags),
    outcome: entry.outcome,
    isBillable: Number(isBillable(entry)),
    isEstimate: Number(entry.isEstimate),
    costNanos: entry.costNanos ?? null,
    inputTokens: usage.inputTokens ?? null,
    outputTokens: usage.outputTokens ?? null,
    cachedInputTokens: usage.cachedInputTokens ?? null,
    cacheWriteTokens: usage.cacheWriteTokens ?? null,
    cacheWrite1hTokens: usage.cacheWrite1hTokens ?? null,
    reasoningTokens: usage.reasoningTokens ?? null,
  };
}

/** What `encodeEntry` was given, without counts that were none. */
export function decodeEntry(stored: StoredEntry): LedgerEntry {
  const { inputTokens, outputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens, reasoningTokens } =
    stored;
  return {
    requestId: stored.requestId,
    attempt: stored.attempt,
    at: stored.at,
    ...decodeNames(stored.names),
    tags: stored.tags === null ? {} : decodeTags(stored.tags),
    // It was written from an entry of this type.
    outcome: stored.outcome as LedgerEntry['outcome'],
    usage: {
      ...(inputTokens !== null && { inputTokens }),
      ...(outputTokens !== null && { outputTokens }),
      ...(cachedInputTokens !== null && { cachedInputTokens }),
      ...(cacheWriteTokens !== null && { cacheWriteTokens }),
      ...(cacheWrite1hTokens !== null && { cacheWrite1hTokens }),
      ...(reasoningTokens !== null && { reasoningTokens }),
    },
    costNanos: stored.costNanos ?? undefined,
    isEstimate: stored.isEstimate === 1,
  };
}

/** Reads what `encodeEntry` wrote as names. */
export function decodeNames(names: string): LedgerNames {
  // Written by `encodeEntry`.
  const [provider, model, tenant] = JSON.parse(names) as [string, string, string];
  return { provider, model, tenant };
}

/** Reads what `encodeEntry` wrote as tags, when there were any. */
export function decodeTags(tags: string): LedgerEntry['tags'] {
  // Written by `canonicalTags`.
  return Object.fromEntries(JSON.parse(tags) as [string, string][]);
}
