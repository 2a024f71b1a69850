/**
 * The bundled price list: @pydantic/genai-prices, resolved for one vendor, model and moment, and turned into exact integer
 * rates. Its patterns match by prefix, so that a successor (`claude-sonnet-5-5`) would inherit the price of the model it
 * replaces (`claude-sonnet-5`); such a match is refused, because a price that nobody published is unknown.
 */
import { calcPrice, type MatchLogic, type ModelInfo, type ModelPrice } from '@pydantic/genai-prices';

import type { Rate, ResolvedPrice } from '../contract/catalogue.ts';
import { nanosPerMillionTokens } from '../policy/price.ts';

/** The price list in use; a test compares it with the installed package. */
export const PRICES_VERSION = 'genai-prices@0.1.8';

/** Fees that every request pays and that no token count tells. */
const UNCOUNTABLE_KEYS = ['output_citation_mtok'];

/** A model as the price list knows it. */
export interface BundledModel {
  readonly contextWindow: number | undefined;
  /** Undefined when it is not priced by tokens alone. */
  readonly price: ResolvedPrice | undefined;
  /** Whether the price depends on the date or the time of day. */
  readonly isTimeDependent: boolean;
}

/** Looks a model up in a vendor's price list; undefined when it is not in it. */
export function bundledModel(vendor: string, model: string, atMs: number): BundledModel | undefined {
  const found = calcPrice({}, model, { providerId: vendor, timestamp: new Date(atMs) });
  if (found === null || !isSameModel(found.model, model)) return undefined;
  return {
    contextWindow: found.model.context_window,
    price: resolvePrice(found.model_price),
    isTimeDependent: Array.isArray(found.model.prices),
  };
}

function resolvePrice(prices: ModelPrice): ResolvedPrice | undefined {
  const input = rateOf(prices['input_mtok']);
  if (input === undefined || UNCOUNTABLE_KEYS.some((key) => prices[key] !== undefined)) return undefined;
  const perThousandRequests = rateOf(prices['requests_kcount']);
  return {
    input,
    output: rateOf(prices['output_mtok']),
    cachedInput: rateOf(prices['cache_read_mtok']),
    cacheWrite: rateOf(prices['cache_write_mtok']),
    cacheWrite1h: rateOf(prices['cache_write_1h_mtok']),
    reasoning: rateOf(prices['output_reasoning_mtok']),
    requestNanos: Math.round((perThousandRequests?.nanosPerMillionTokens ?? 0) / 1000),
    version: PRICES_VERSION,
  };
}

function rateOf(price: ModelPrice[string]): Rate | undefined {
  if (price === undefined) return undefined;
  if (typeof price === 'number') return { nanosPerMillionTokens: nanosPerMillionTokens(price), tiers: [] };
  const tiers = price.tiers
    .map((tier) => ({ aboveInputTokens: tier.start, nanosPerMillionTokens: nanosPerMillionTokens(tier.price) }))
    .toSorted((left, right) => left.aboveInputTokens - right.aboveInputTokens);
  return { nanosPerMillionTokens: nanosPerMillionTokens(price.base), tiers };
}

/** False when the only match is a prefix that the id continues with a further version number. */
function isSameModel(found: ModelInfo, model: string): boolean {
  const id = model.toLowerCase().trim();
  // The list is searched with compact dates written out, too: 20250929 is 2025-09-29.
  const idWithDashes = id.replace(/-(20\d{2})(\d{2})(\d{2})(?=[-:]|$)/g, '-$1-$2-$3');
  return isMatch(found.match, id) || isMatch(found.match, idWithDashes);
}

const VERSION_CONTINUES = /^[-.]\d{1,3}(?!\d)/;

function isMatch(match: MatchLogic, id: string): boolean {
  if ('or' in match) return match.or.some((part) => isMatch(part, id));
  if ('and' in match) return match.and.every((part) => isMatch(part, id));
  if ('equals' in match) return id === match.equals.toLowerCase();
  if ('contains' in match) return id.includes(match.contains.toLowerCase());
  if ('ends_with' in match) return id.endsWith(match.ends_with.toLowerCase());
  if ('regex' in match) return new RegExp(match.regex).test(id);
  const prefix = match.starts_with.toLowerCase();
  return id.startsWith(prefix) && !VERSION_CONTINUES.test(id.slice(prefix.length));
}
