/**
 * Sums of ledger entries, exact whatever their size, and the cost summary made of them. Nano-dollars are added as numbers
 * and carried into a bigint before they could lose a digit.
 */
import type { LedgerEntry } from '../contract/records.ts';
import type { Money, Usage } from '../contract/response.ts';
import type { CostSummary } from '../contract/state.ts';
import { moneyOf } from '../policy/price.ts';
import type { LedgerNames } from './ledger-query.ts';

/** Whether an attempt was, or may have been, charged: it was answered, or used tokens, or cost something. */
export function isBillable({ outcome, usage, costNanos }: LedgerEntry): boolean {
  if (outcome === 'answered' || (costNanos ?? 0) > 0) return true;
  return (usage.inputTokens ?? 0) > 0 || (usage.outputTokens ?? 0) > 0;
}

/** What a ledger keeps of an entry: token counts are what a provider claims, and one that is no count is not known. */
export function countable(entry: LedgerEntry): LedgerEntry {
  const { usage, costNanos } = entry;
  const counts = Object.entries(usage).filter(([, tokens]) => Number.isSafeInteger(tokens) && tokens >= 0);
  return {
    ...entry,
    usage: Object.fromEntries(counts),
    costNanos: Number.isSafeInteger(costNanos) ? costNanos : undefined,
  };
}

/** The counts of a usage that are summed up. */
export const TOKEN_KINDS = [
  'inputTokens',
  'outputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'reasoningTokens',
] as const;
/** One of them. */
export type TokenKind = (typeof TOKEN_KINDS)[number];

/** An integer that grows past 2^53 without losing a digit. */
export class ExactSum {
  #low = 0;
  #high = 0n;

  add(amount: number | bigint): void {
    if (typeof amount === 'bigint' || !Number.isSafeInteger(this.#low + amount)) {
      this.#high += BigInt(this.#low) + BigInt(amount);
      this.#low = 0;
    } else {
      this.#low += amount;
    }
  }

  get value(): bigint {
    return this.#high + BigInt(this.#low);
  }
}

/** A total as plain values, as it travels and is stored. */
export interface TotalSums {
  readonly recordCount: number;
  readonly unpricedCount: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly nanos: bigint;
  readonly tokens: Readonly<Record<TokenKind, bigint>>;
}

/** What a total looks at in an entry. */
export type CountedEntry = Pick<LedgerEntry, 'at' | 'costNanos'> & { readonly usage: Pick<Usage, TokenKind> };

/** What a number of billable entries comes to. */
export class LedgerTotal {
  recordCount = 0;
  unpricedCount = 0;
  firstAt = Number.POSITIVE_INFINITY;
  lastAt = Number.NEGATIVE_INFINITY;
  readonly nanos = new ExactSum();
  readonly tokens: Readonly<Record<TokenKind, ExactSum>> = {
    inputTokens: new ExactSum(),
    outputTokens: new ExactSum(),
    cachedInputTokens: new ExactSum(),
    cacheWriteTokens: new ExactSum(),
    reasoningTokens: new ExactSum(),
  };

  addEntry({ at, usage, costNanos }: CountedEntry): void {
    this.recordCount += 1;
    this.unpricedCount += costNanos === undefined ? 1 : 0;
    this.firstAt = Math.min(this.firstAt, at);
    this.lastAt = Math.max(this.lastAt, at);
    this.nanos.add(costNanos ?? 0);
    for (const kind of TOKEN_KINDS) this.tokens[kind].add(usage[kind] ?? 0);
  }

  addSums(other: TotalSums): void {
    this.recordCount += other.recordCount;
    this.unpricedCount += other.unpricedCount;
    this.firstAt = Math.min(this.firstAt, other.firstAt);
    this.lastAt = Math.max(this.lastAt, other.lastAt);
    this.nanos.add(other.nanos);
    for (const kind of TOKEN_KINDS) this.tokens[kind].add(other.tokens[kind]);
  }

  sums(): TotalSums {
    const { recordCount, unpricedCount, firstAt, lastAt, tokens } = this;
    return {
      recordCount,
      unpricedCount,
      firstAt,
      lastAt,
      nanos: this.nanos.value,
      tokens: {
        inputTokens: tokens.inputTokens.value,
        outputTokens: tokens.outputTokens.value,
        cachedInputTokens: tokens.cachedInputTokens.value,
        cacheWriteTokens: tokens.cacheWriteTokens.value,
        reasoningTokens: tokens.reasoningTokens.value,
      },
    };
  }
}

/** Collects what a query matched and sums it up. */
export class SummaryBuilder {
  readonly #total = new LedgerTotal();
  readonly #byProvider = new Map<string, ExactSum>();
  readonly #byModel = new Map<string, ExactSum>();
  readonly #byTenant = new Map<string, ExactSum>();
  #pricedRequestCount = 0;

  addEntry(entry: LedgerNames & CountedEntry): void {
    this.#total.addEntry(entry);
    this.#addCost(entry, entry.costNanos);
  }

  addTotal(names: LedgerNames, sums: TotalSums): void {
    this.#total.addSums(sums);
    this.#addCost(names, sums.recordCount > sums.unpricedCount ? sums.nanos : undefined);
  }

  /** Counts distinct requests of which something was priced: what the average is taken over. */
  countPricedRequests(count: number): void {
    this.#pricedRequestCount += count;
  }

  build(): CostSummary {
    const total = this.#total;
    const tokens = (kind: TokenKind) => Number(total.tokens[kind].value);
    const isEmpty = total.recordCount === 0;
    return {
      totalCost: moneyOf(total.nanos.value),
      costByProvider: moneyByName(this.#byProvider),
      costByModel: moneyByName(this.#byModel),
      costByTenant: moneyByName(this.#byTenant),
      averageCostPerRequest: average(total.nanos.value, this.#pricedRequestCount),
      recordCount: total.recordCount,
      unpricedCount: total.unpricedCount,
      tokenUsage: {
        inputTokens: tokens('inputTokens'),
        outputTokens: tokens('outputTokens'),
        totalTokens: Number(total.tokens.inputTokens.value + total.tokens.outputTokens.value),
        cachedInputTokens: tokens('cachedInputTokens'),
        cacheWriteTokens: tokens('cacheWriteTokens'),
        reasoningTokens: tokens('reasoningTokens'),
      },
      timeRange: { start: isEmpty ? undefined : total.firstAt, end: isEmpty ? undefined : total.lastAt },
    };
  }

  /** A name appears once something of it is priced; what is unpriced is not zero. */
  #addCost({ provider, model, tenant }: LedgerNames, nanos: number | bigint | undefined): void {
    if (nanos === undefined) return;
    addTo(this.#byProvider, provider, nanos);
    addTo(this.#byModel, model, nanos);
    addTo(this.#byTenant, tenant, nanos);
  }
}

function addTo(sums: Map<string, ExactSum>, name: string, nanos: number | bigint): void {
  let sum = sums.get(name);
  if (sum === undefined) sums.set(name, (sum = new ExactSum()));
  sum.add(nanos);
}

function moneyByName(sums: ReadonlyMap<string, ExactSum>): Readonly<Record<string, Money>> {
  return Object.fromEntries([...sums].map(([name, sum]) => [name, moneyOf(sum.value)]));
}

/** Rounded half up to the nano-dollar. */
function average(nanos: bigint, count: number): Money | undefined {
  if (count === 0) return undefined;
  return moneyOf((nanos * 2n + BigInt(count)) / (2n * BigInt(count)));
}
