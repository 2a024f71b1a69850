/** What a ledger has to answer, summed from a plain list of entries: no totals, no folding, and integers of any size. */
import type { LedgerEntry } from '../../src/contract/records.ts';
import type { Money } from '../../src/contract/response.ts';
import type { CostSummary } from '../../src/contract/state.ts';

/** A query in plain values; `sinceMs` is inclusive, `untilMs` exclusive. */
export interface ModelQuery {
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly provider?: string;
  readonly model?: string;
  readonly tenant?: string;
  readonly tag?: { readonly name: string; readonly value?: string };
}

export class LedgerModel {
  readonly #entries = new Map<string, LedgerEntry>();

  /** Entries in the order in which they were told first. */
  get entries(): readonly LedgerEntry[] {
    return [...this.#entries.values()];
  }

  /** Whatever is told again under the same request and attempt is the same entry, the first one. */
  record(entry: LedgerEntry): void {
    const key = JSON.stringify([entry.requestId, entry.attempt]);
    if (!this.#entries.has(key)) this.#entries.set(key, entry);
  }

  summary(query: ModelQuery): CostSummary {
    const entries = this.entries.filter((entry) => isCharged(entry) && isAskedFor(entry, query));
    const priced = entries.filter(({ costNanos }) => costNanos !== undefined);
    const cost = sum(priced.map(({ costNanos }) => costNanos));
    const tokens = (kind: keyof LedgerEntry['usage']) => sum(entries.map(({ usage }) => usage[kind]));
    const moments = entries.map(({ at }) => at).toSorted((left, right) => left - right);
    return {
      totalCost: money(cost),
      costByProvider: costBy(priced, ({ provider }) => provider),
      costByModel: costBy(priced, ({ model }) => model),
      costByTenant: costBy(priced, ({ tenant }) => tenant),
      averageCostPerRequest: averageOf(cost, new Set(priced.map(({ requestId }) => requestId)).size),
      recordCount: entries.length,
      unpricedCount: entries.length - priced.length,
      tokenUsage: {
        inputTokens: Number(tokens('inputTokens')),
        outputTokens: Number(tokens('outputTokens')),
        totalTokens: Number(tokens('inputTokens') + tokens('outputTokens')),
        cachedInputTokens: Number(tokens('cachedInputTokens')),
        cacheWriteTokens: Number(tokens('cacheWriteTokens')),
        reasoningTokens: Number(tokens('reasoningTokens')),
      },
      timeRange: { start: moments[0], end: moments.at(-1) },
    };
  }
}

/** Answered, or it used something, or it cost something. */
function isCharged({ outcome, usage, costNanos = 0 }: LedgerEntry): boolean {
  return outcome === 'answered' || costNanos > 0 || sum([usage.inputTokens, usage.outputTokens]) > 0n;
}

function isAskedFor(entry: LedgerEntry, query: ModelQuery): boolean {
  const { sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY, tag } = query;
  const found = tag === undefined ? undefined : Object.entries(entry.tags).find(([name]) => name === tag.name);
  return (
    entry.at >= sinceMs &&
    entry.at < untilMs &&
    [undefined, entry.provider].includes(query.provider) &&
    [undefined, entry.model].includes(query.model) &&
    [undefined, entry.tenant].includes(query.tenant) &&
    (tag === undefined || (found !== undefined && [undefined, found[1]].includes(tag.value)))
  );
}

function sum(amounts: readonly (number | undefined)[]): bigint {
  return amounts.reduce((total, amount = 0) => total + BigInt(amount), 0n);
}

function money(nanos: bigint): Money {
  return { usd: Number(nanos) / 1e9, usdNanos: Number(nanos) };
}

function costBy(entries: readonly LedgerEntry[], nameOf: (entry: LedgerEntry) => string): Record<string, Money> {
  const groups = Map.groupBy(entries, nameOf);
  return Object.fromEntries(
    [...groups].map(([name, group]) => [name, money(sum(group.map(({ costNanos }) => costNanos)))]),
  );
}

/** Half up, as people round. */
function averageOf(nanos: bigint, count: number): Money | undefined {
  if (count === 0) return undefined;
  const [whole, rest] = [nanos / BigInt(count), nanos % BigInt(count)];
  return money(rest * 2n >= BigInt(count) ? whole + 1n : whole);
}
