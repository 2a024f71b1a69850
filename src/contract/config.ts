/**
 * The resolved configuration: what `config/load.ts` makes of a file or an object, every default filled in, frozen.
 * `SwitchgearConfig` is the lenient input shape; `ResolvedConfig` is what the runtime trusts. All durations are ms.
 */
import type { Delivery, Recovery } from './request.ts';

/** One secret. `id` names it in states and logs (`openai#1`); `apiKey` is undefined for upstreams without keys. */
export interface Credential {
  readonly id: string;
  readonly apiKey: string | undefined;
}

/** A price set by the operator, in USD per million tokens. Cached rates default to the input rate. */
export interface ModelPrice {
  readonly inputUsdPerMillionTokens: number;
  /** Left out for models that write nothing, such as embeddings. */
  readonly outputUsdPerMillionTokens?: number;
  readonly cachedInputUsdPerMillionTokens?: number;
  readonly cacheWriteUsdPerMillionTokens?: number;
}

export interface ModelConfig {
  readonly id: string;
  readonly contextWindow?: number;
  readonly maxOutputTokens?: number;
  readonly delivery?: Delivery;
  readonly price?: ModelPrice;
}

export interface RateLimitConfig {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
}

export interface RetryConfig {
  readonly maxRetries: number;
  readonly baseMs: number;
  readonly factor: number;
  readonly capMs: number;
}

export interface TimeoutsConfig {
  readonly connectMs: number;
  readonly firstTokenMs: number;
  readonly stallMs: number;
  readonly unstreamedMs: number;
}

export interface BreakerConfig {
  readonly windowMs: number;
  readonly failureRate: number;
  readonly minimumCalls: number;
  readonly consecutiveFailures: number;
  readonly openMs: number;
  readonly openMaxMs: number;
  readonly halfOpenSuccesses: number;
}

export interface ProviderConfig {
  readonly name: string;
  readonly adapter: string;
  readonly credentials: readonly Credential[];
  /** Undefined: the adapter's own default. */
  readonly baseURL: string | undefined;
  readonly models: readonly ModelConfig[];
  /** Lower is tried first. */
  readonly priority: number;
  readonly maxTokens: number | undefined;
  readonly rateLimit: RateLimitConfig;
  readonly concurrency: number;
  readonly retry: RetryConfig;
  readonly timeouts: TimeoutsConfig;
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly proxy: string | undefined;
  readonly breaker: BreakerConfig;
  readonly health: { readonly intervalMs: number };
  readonly allowPrivate: boolean;
  /** What only this adapter understands, for example the script of `mock`; validated by the adapter itself. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface AliasCandidate {
  readonly provider: string;
  readonly model: string;
}

export type StoreConfig =
  | { readonly kind: 'memory'; readonly resultTtlMs: number }
  | { readonly kind: 'sqlite'; readonly path: string; readonly resultTtlMs: number };

/** Where settlements of submitted requests are told. */
export interface WebhooksConfig {
  readonly url: string;
  /** As Standard Webhooks writes them: `whsec_` and base64. Every notice is signed with each of them. */
  readonly secrets: readonly string[];
  /** How long one try may take. */
  readonly timeoutMs: number;
  readonly allowPrivate: boolean;
}

export interface ResolvedConfig {
  readonly service: {
    readonly timeoutMs: number;
    readonly asyncTimeoutMs: number;
    readonly queueDepthMax: number;
    readonly delivery: Delivery;
    readonly recovery: Recovery;
  };
  readonly defaults: { readonly model: string | undefined; readonly maxTokens: number };
  readonly log: { readonly level: string };
  readonly store: StoreConfig;
  readonly http: { readonly host: string; readonly port: number; readonly bodyLimitBytes: number };
  /** Active providers in config order. */
  readonly providers: readonly ProviderConfig[];
  /** Configured but left out: `enabled: false`, or `whenKeyed` without a key. */
  readonly inactiveProviders: readonly {
    readonly name: string;
    readonly reason: string;
    readonly models: readonly ModelConfig[];
  }[];
  readonly models: Readonly<Record<string, readonly AliasCandidate[]>>;
  readonly ledger: { readonly retainDays: number };
  /** Undefined: off. */
  readonly webhooks: WebhooksConfig | undefined;
}

/** One mistake in a config, named by its path. */
export interface ConfigProblem {
  /** For example `providers.openai.timeouts.connectMs`. */
  readonly path: string;
  /** What was expected and what to do. */
  readonly message: string;
}
