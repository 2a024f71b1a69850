/**
 * The port to what is known about models: prices and limits. A price is what one attempt costs at one moment, already
 * resolved for its date; a limit that nobody has published is undefined, never a guess.
 */

/** What a million tokens of one kind cost, in integer nano-dollars. */
export interface Rate {
  readonly nanosPerMillionTokens: number;
  /** Ascending. The last tier that the request's input tokens exceed prices all its tokens of this kind. */
  readonly tiers: readonly { readonly aboveInputTokens: number; readonly nanosPerMillionTokens: number }[];
}

/** The price of one model at one moment. A kind without a rate of its own is charged as the kind it is part of. */
export interface ResolvedPrice {
  readonly input: Rate;
  /** Undefined for models that answer without tokens, such as embeddings. */
  readonly output: Rate | undefined;
  readonly cachedInput: Rate | undefined;
  readonly cacheWrite: Rate | undefined;
  readonly cacheWrite1h: Rate | undefined;
  readonly reasoning: Rate | undefined;
  /** A fee for every request, in nano-dollars. */
  readonly requestNanos: number;
  /** Where it came from: `genai-prices@…` or `config`. */
  readonly version: string;
}

/** Limits of one model in tokens. The window is input and output together; the input alone may be limited further. */
export interface ModelFacts {
  readonly contextWindow?: number;
  readonly maxInputTokens?: number;
  readonly maxOutputTokens?: number;
  /** Only where the kind of model rules everything else out, for example `['embedding']`. */
  readonly features?: readonly string[];
}

export interface Catalogue {
  /** Empty for a model nothing is known of. The operator's own numbers win. */
  facts(provider: string, model: string): ModelFacts;
  /** Undefined when the price is unknown. The operator's own price wins. `atMs` is epoch ms. */
  price(provider: string, model: string, atMs: number): ResolvedPrice | undefined;
  /** Whether a request for a bare model id may go to this provider: it lists the model, or lists none and is its vendor. */
  serves(provider: string, model: string): boolean;
  /** Whether `provider/model` may be asked: the provider lists the model, or lists none. */
  accepts(provider: string, model: string): boolean;
  /** The models to show for a provider: its list, else the vendor's current ones. */
  models(provider: string): readonly string[];
  readonly version: string;
}
