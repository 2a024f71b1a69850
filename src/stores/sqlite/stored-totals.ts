/**
 * Sums of ledger entries as they travel and as they lie in the file. They may be larger than a number counts exactly: they
 * travel as bigints and are stored as text.
 */
import { groupFrom, type DailyGroup, type TotalLabels } from '../daily-group.ts';
import type { LedgerNames } from '../ledger-query.ts';
import { LedgerTotal, TOKEN_KINDS, type TokenKind, type TotalSums } from '../ledger-totals.ts';

/** What a part of the entries comes to: by provider, model and tenant, and how many requests were priced. */
export interface LedgerPart {
  readonly totals: readonly (readonly [LedgerNames, TotalSums])[];
  readonly pricedRequests: number;
}

type StoredSums = readonly [
  recordCount: number,
  unpricedCount: number,
  firstAt: number,
  lastAt: number,
  nanos: string,
  tokens: readonly string[],
];

/** The totals of a group as JSON. */
export function encodeTotals({ totals }: DailyGroup): string {
  return JSON.stringify([...totals.values()].map(({ labels, total }) => [labels, encodeSums(total.sums())]));
}

/** The group whose totals `encodeTotals` wrote. */
export function decodeGroup(totals: string, requestCount: number): DailyGroup {
  // Written by `encodeTotals`.
  const parts = JSON.parse(totals) as (readonly [TotalLabels, StoredSums])[];
  return groupFrom(
    parts.map(([labels, stored]) => {
      const total = new LedgerTotal();
      total.addSums(decodeSums(stored));
      return { labels, total };
    }),
    requestCount,
  );
}

function encodeSums(sums: TotalSums): StoredSums {
  const { recordCount, unpricedCount, firstAt, lastAt, nanos, tokens } = sums;
  return [recordCount, unpricedCount, firstAt, lastAt, String(nanos), TOKEN_KINDS.map((kind) => String(tokens[kind]))];
}

function decodeSums([recordCount, unpricedCount, firstAt, lastAt, nanos, tokens]: StoredSums): TotalSums {
  const tokensOf = (kind: TokenKind) => BigInt(tokens[TOKEN_KINDS.indexOf(kind)] ?? 0);
  return {
    recordCount,
    unpricedCount,
    firstAt,
    lastAt,
    nanos: BigInt(nanos),
    tokens: {
      inputTokens: tokensOf('inputTokens'),
      outputTokens: tokensOf('outputTokens'),
      cachedInputTokens: tokensOf('cachedInputTokens'),
      cacheWriteTokens: tokensOf('cacheWriteTokens'),
      reasoningTokens: tokensOf('reasoningTokens'),
    },
  };
}
