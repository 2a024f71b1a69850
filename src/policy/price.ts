/**
 * What an attempt costs. Token counts are split into disjoint buckets (fresh input, cached input, cache writes, reasoning,
 * other output), each bucket is multiplied by its rate in exact integers, and the sum is rounded once, half up, to the
 * nano-dollar. What is not known is not priced: a missing or self-contradicting count makes the cost undefined.
 */
import type { Rate, ResolvedPrice } from '../contract/catalogue.ts';
import type { Cost, Money, Usage } from '../contract/response.ts';

const MILLION = 1_000_000n;

export type CostBucketName = 'input' | 'cachedInput' | 'cacheWrite' | 'cacheWrite1h' | 'reasoning' | 'output';

/** Some tokens of one request that share one rate. */
export interface CostBucket {
  readonly name: CostBucketName;
  readonly tokens: number;
  readonly nanosPerMillionTokens: number;
}

/** Prices a usage in integer nano-dollars; undefined when a count it needs is unknown, or the counts contradict each other. */
export function costNanos(usage: Usage, price: ResolvedPrice): number | undefined {
  const buckets = costBuckets(usage, price);
  if (buckets === undefined) return undefined;
  const product = buckets.reduce(
    (sum, bucket) => sum + BigInt(bucket.tokens) * BigInt(bucket.nanosPerMillionTokens),
    0n,
  );
  const nanos = Number((product + MILLION / 2n) / MILLION) + price.requestNanos;
  return Number.isSafeInteger(nanos) ? nanos : undefined;
}

/** Prices a usage as what callers see; undefined like `costNanos`. */
export function costOf(usage: Usage, price: ResolvedPrice | undefined): Cost | undefined {
  if (price === undefined) return undefined;
  const nanos = costNanos(usage, price);
  return nanos === undefined ? undefined : { ...moneyOf(nanos), priceVersion: price.version };
}

/** Splits a usage into disjoint buckets whose tokens add up to input and output. Details nobody reported count as none. */
export function costBuckets(usage: Usage, price: ResolvedPrice): readonly CostBucket[] | undefined {
  // What was not counted is not a number, and not priced below.
  const { inputTokens = Number.NaN, cachedInputTokens = 0, cacheWriteTokens = 0, cacheWrite1hTokens = 0 } = usage;
  // Without an output rate nothing may have been written; embeddings report no output at all.
  const output = usage.outputTokens ?? (price.output === undefined ? 0 : Number.NaN);
  const reasoning = price.reasoning === undefined ? 0 : (usage.reasoningTokens ?? 0);
  const fresh = inputTokens - cachedInputTokens - cacheWriteTokens;
  const shortWrites = cacheWriteTokens - cacheWrite1hTokens;
  const written = output - reasoning;
  const counts = [fresh, cachedInputTokens, shortWrites, cacheWrite1hTokens, reasoning, written];
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) return undefined;
  if (price.output === undefined && output > 0) return undefined;

  const bucket = (name: CostBucketName, tokens: number, rate: Rate): CostBucket => ({
    name,
    tokens,
    nanosPerMillionTokens: rateAt(rate, inputTokens),
  });
  const writeRate = price.cacheWrite ?? price.input;
  // No output rate means no output tokens (checked above), so any rate prices them right.
  const outputRate = price.output ?? price.input;
  return [
    bucket('input', fresh, price.input),
    bucket('cachedInput', cachedInputTokens, price.cachedInput ?? price.input),
    bucket('cacheWrite', shortWrites, writeRate),
    bucket('cacheWrite1h', cacheWrite1hTokens, price.cacheWrite1h ?? writeRate),
    bucket('reasoning', reasoning, price.reasoning ?? outputRate),
    bucket('output', written, outputRate),
  ];
}

/** The rate that applies to a request with this many input tokens, in nano-dollars per million tokens. */
export function rateAt(rate: Rate, inputTokens: number): number {
  const tier = rate.tiers.findLast(({ aboveInputTokens }) => inputTokens > aboveInputTokens);
  return tier?.nanosPerMillionTokens ?? rate.nanosPerMillionTokens;
}

/** Converts USD per million tokens to integer nano-dollars, exact for up to nine decimals and a million USD. */
export function nanosPerMillionTokens(usdPerMillionTokens: number): number {
  return Math.round(usdPerMillionTokens * 1_000_000_000);
}

/** An amount in nano-dollars as money. Beyond 2^53 nano-dollars (9 million USD) `usdNanos` is the nearest double. */
export function moneyOf(nanos: number | bigint): Money {
  const usdNanos = Number(nanos);
  return { usd: usdNanos / 1_000_000_000, usdNanos };
}

/** The base rates of a price in USD per million tokens, for model lists. */
export function listedPrice(price: ResolvedPrice): {
  readonly inputUsdPerMillionTokens: number;
  readonly outputUsdPerMillionTokens: number;
} {
  return {
    inputUsdPerMillionTokens: price.input.nanosPerMillionTokens / 1_000_000_000,
    outputUsdPerMillionTokens: (price.output?.nanosPerMillionTokens ?? 0) / 1_000_000_000,
  };
}
