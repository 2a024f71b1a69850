/**
 * What is known about the models of the configured providers. Three sources, in this order: what the operator wrote into
 * the config, the hand-kept limits, the bundled price list; the last two only for a provider whose vendor is certain.
 *
 * A provider that lists its models serves exactly these. One without a list serves, as the vendor's own API, every model
 * known of that vendor (OpenAI or Anthropic); any other has to be asked for by `provider/model`, and then takes any id.
 */
import type { Catalogue, ModelFacts, Rate, ResolvedPrice } from '../contract/catalogue.ts';
import type { ModelConfig, ModelPrice, ProviderConfig } from '../contract/config.ts';
import { nanosPerMillionTokens } from '../policy/price.ts';
import { bundledModel, PRICES_VERSION, type BundledModel } from './bundled-prices.ts';
import { currentModels, modelLimits } from './model-limits.ts';
import { isFirstParty, vendorOf } from './vendor.ts';

/** Pinned model ids come from callers, so what is remembered of them is bounded. */
const bundledModelsMax = 1000;

/** Creates the catalogue of a set of providers. After a reload, create another. */
export function createCatalogue(providers: readonly ProviderConfig[]): Catalogue {
  const shelves = new Map(providers.map((provider) => [provider.name, createShelf(provider)]));
  return {
    facts: (provider, model) => shelves.get(provider)?.facts(model) ?? {},
    price: (provider, model, atMs) => shelves.get(provider)?.price(model, atMs),
    serves: (provider, model) => shelves.get(provider)?.serves(model) ?? false,
    accepts: (provider, model) => shelves.get(provider)?.accepts(model) ?? false,
    models: (provider) => shelves.get(provider)?.models ?? [],
    version: PRICES_VERSION,
  };
}

/** Whether a vendor's own API is known to offer a model. */
export function isKnownModel(vendor: string, model: string): boolean {
  // Which models a vendor has does not depend on the date, only their prices do.
  return modelLimits(vendor, model) !== undefined || bundledModel(vendor, model, 0) !== undefined;
}

/** The part of the catalogue about one provider. */
interface Shelf {
  facts(model: string): ModelFacts;
  price(model: string, atMs: number): ResolvedPrice | undefined;
  serves(model: string): boolean;
  accepts(model: string): boolean;
  readonly models: readonly string[];
}

function createShelf(provider: ProviderConfig): Shelf {
  const listed = new Map(provider.models.map((model) => [model.id, model]));
  const vendor = vendorOf(provider);
  const isOwnApi = isFirstParty(provider);
  const lookUp = vendor === undefined ? () => undefined : rememberingBundledModel(vendor);

  return {
    facts: (model) => {
      const published = {
        ...contextWindowOf(lookUp(model, 0)),
        ...(vendor !== undefined && modelLimits(vendor, model)),
      };
      return correctedFacts(published, listed.get(model));
    },
    price: (model, atMs) => {
      const price = listed.get(model)?.price;
      return price === undefined ? lookUp(model, atMs)?.price : operatorsPrice(price);
    },
    serves: (model) =>
      listed.size > 0 ? listed.has(model) : isOwnApi && vendor !== undefined && isKnownModel(vendor, model),
    accepts: (model) => listed.size === 0 || listed.has(model),
    models: listed.size > 0 ? [...listed.keys()] : isOwnApi && vendor !== undefined ? currentModels(vendor) : [],
  };
}

/** Remembers what does not change with time: matching an id against a vendor's patterns is slow next to a request's path. */
function rememberingBundledModel(vendor: string): (model: string, atMs: number) => BundledModel | undefined {
  const remembered = new Map<string, BundledModel | undefined>();
  return (model, atMs) => {
    if (remembered.has(model)) return remembered.get(model);
    const found = bundledModel(vendor, model, atMs);
    if (found?.isTimeDependent) return found;
    if (remembered.size >= bundledModelsMax) remembered.clear();
    remembered.set(model, found);
    return found;
  };
}

function contextWindowOf(found: BundledModel | undefined): ModelFacts {
  return found?.contextWindow === undefined ? {} : { contextWindow: found.contextWindow };
}

/** The operator's numbers win. A narrowed window narrows the input, too; a widened one makes the published input limit void. */
function correctedFacts(published: ModelFacts, model: ModelConfig | undefined): ModelFacts {
  const { maxInputTokens, ...rest } = published;
  const contextWindow = model?.contextWindow ?? published.contextWindow;
  const isWidened = contextWindow !== undefined && contextWindow > (published.contextWindow ?? contextWindow);
  return {
    ...rest,
    ...(contextWindow !== undefined && { contextWindow }),
    ...(maxInputTokens !== undefined &&
      !isWidened && { maxInputTokens: Math.min(maxInputTokens, contextWindow ?? maxInputTokens) }),
    ...(model?.maxOutputTokens !== undefined && { maxOutputTokens: model.maxOutputTokens }),
  };
}

function operatorsPrice(price: ModelPrice): ResolvedPrice {
  const rate = (usd: number): Rate => ({ nanosPerMillionTokens: nanosPerMillionTokens(usd), tiers: [] });
  const optionalRate = (usd: number | undefined): Rate | undefined => (usd === undefined ? undefined : rate(usd));
  return {
    input: rate(price.inputUsdPerMillionTokens),
    output: optionalRate(price.outputUsdPerMillionTokens),
    cachedInput: optionalRate(price.cachedInputUsdPerMillionTokens),
    cacheWrite: optionalRate(price.cacheWriteUsdPerMillionTokens),
    cacheWrite1h: undefined,
    reasoning: undefined,
    requestNanos: 0,
    version: 'config',
  };
}
