/**
 * The configuration as people write it: the shape of the YAML file and of the object given to `startService`. Everything
 * is optional but `providers` and each provider's `adapter`; strings may hold `${NAME}` and `${NAME:-default}`. Durations
 * are milliseconds, token counts are tokens, prices are USD per million tokens.
 */
import type { Delivery, Recovery } from '../contract/request.ts';

/** The lenient form of a config. `resolveConfig` validates it and fills in the defaults named here. */
export interface SwitchgearConfig {
  readonly service?: ServiceInput;
  readonly defaults?: DefaultsInput;
  readonly log?: LogInput;
  readonly store?: StoreInput;
  readonly http?: HttpInput;
  /** At least one has to be active. Names are letters, digits, `.`, `_` and `-`. */
  readonly providers: Readonly<Record<string, ProviderInput>>;
  /** Aliases: an ordered list of candidates, each `provider/model`. */
  readonly models?: Readonly<Record<string, readonly string[]>>;
  readonly ledger?: LedgerInput;
  /** Default: off. */
  readonly webhooks?: WebhooksInput;
}

export interface ServiceInput {
  /** Deadline of a sync or streamed request over queueing, retries and fallback. Default 600000. */
  readonly timeoutMs?: number;
  /** Deadline of an async request. Default 86400000. */
  readonly asyncTimeoutMs?: number;
  /**
   * How many requests may wait in memory (those being answered do not count). More that are submitted wait in a store that is
   * durable; any others are refused with `queue-full`. Default 10000.
   */
  readonly queueDepthMax?: number;
  /** What happens to a stream that breaks after content. Default `live`. */
  readonly delivery?: Delivery;
  /** What becomes of a submitted request that was running when its process ended. Default `atLeastOnce`: it is run again. */
  readonly recovery?: Recovery;
}

export interface DefaultsInput {
  /** Used when a request names none: an alias, `provider/model` or a model id. Default: none, a request has to name one. */
  readonly model?: string;
  /** Sent when the request has no limit and the wire demands one. Default 4096. */
  readonly maxTokens?: number;
}

export interface LogInput {
  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. Default `info`. */
  readonly level?: string;
}

export interface StoreInput {
  /** `sqlite` keeps everything in a file, `memory` for as long as the process lives. Default: `memory`, the daemon's `sqlite`. */
  readonly kind?: 'memory' | 'sqlite';
  /** The file of kind `sqlite`, relative to the folder of the config file. Default `./switchgear.db`. */
  readonly path?: string;
  /** How long results can be read. Default 86400000. */
  readonly resultTtlMs?: number;
}

export interface HttpInput {
  /** Address to listen on. Default `127.0.0.1`. */
  readonly host?: string;
  /** Default 4141; 0 takes any free port. */
  readonly port?: number;
  /** Largest request body. Default 4194304. */
  readonly bodyLimitBytes?: number;
}

export interface LedgerInput {
  /** Older entries fold into daily totals; the sums stay. Default 30. */
  readonly retainDays?: number;
}

export interface WebhooksInput {
  /** Where the end of each submitted request is told: http or https, without credentials. */
  readonly url: string;
  /** Signs what is sent: `whsec_` and 24 to 64 random bytes in base64. Several while receivers change to another one. */
  readonly secret: string | readonly string[];
  /** How long one try may take. Default 10000. */
  readonly timeoutMs?: number;
  /** Whether `url` may lead to a private or loopback address. Default false. */
  readonly allowPrivate?: boolean;
}

export interface ProviderInput {
  /** `whenKeyed`: left out, with one notice, while its key is empty. Default true. */
  readonly enabled?: boolean | 'whenKeyed';
  /** `openai`, `anthropic`, `mock`, or a name given to `startService` in `adapters`. */
  readonly adapter: string;
  /** The key, or `none` for an upstream without keys. */
  readonly apiKey?: string | undefined;
  /** Several keys instead of one; the next is used while one is held. */
  readonly apiKeys?: readonly string[];
  /** http or https. Default: the adapter's vendor. */
  readonly baseURL?: string | undefined;
  /**
   * The models this provider serves, as a list or as a map with facts. Empty: at the vendor's own API every model known of
   * OpenAI or Anthropic; elsewhere any model that is asked for as `provider/model`.
   */
  readonly models?: readonly string[] | Readonly<Record<string, ModelInput | null>>;
  /** Lower is tried first. Default 1. */
  readonly priority?: number;
  /** Overrides `defaults.maxTokens`. */
  readonly maxTokens?: number;
  /** Default: no limit. */
  readonly rateLimit?: { readonly requestsPerMinute?: number; readonly tokensPerMinute?: number };
  /** How many calls may run at once. Default 32. */
  readonly concurrency?: number;
  /** Default 2 retries, after 500 ms, then 1000 ms, never more than 8000 ms. */
  readonly retry?: {
    readonly maxRetries?: number;
    readonly baseMs?: number;
    readonly factor?: number;
    readonly capMs?: number;
  };
  /** Default connect 5000, first token 12000, stall between tokens 15000, whole unstreamed call 60000. */
  readonly timeouts?: {
    readonly connectMs?: number;
    readonly firstTokenMs?: number;
    readonly stallMs?: number;
    readonly unstreamedMs?: number;
  };
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Query parameters of every call. */
  readonly query?: Readonly<Record<string, string>>;
  /** http or https URL of a forward proxy; credentials may be part of it. */
  readonly proxy?: string | undefined;
  readonly breaker?: BreakerInput;
  /** How often a provider without traffic is checked. Default 30000. */
  readonly health?: { readonly intervalMs?: number };
  /** Whether the host name in `baseURL` may resolve to a private or loopback address. Default false. */
  readonly allowPrivate?: boolean;
  /** Handed to the adapter as it is. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface ModelInput {
  /** Input and output tokens together. */
  readonly contextWindow?: number;
  readonly maxOutputTokens?: number;
  /** What happens when a stream of this model breaks after content reached the caller. Default: `service.delivery`. */
  readonly delivery?: Delivery;
  /** Wins over the bundled price list. Cached rates default to the input rate. */
  readonly price?: {
    readonly inputUsdPerMillionTokens: number;
    /** Left out for models that write nothing, such as embeddings. */
    readonly outputUsdPerMillionTokens?: number;
    readonly cachedInputUsdPerMillionTokens?: number;
    readonly cacheWriteUsdPerMillionTokens?: number;
  };
}

export interface BreakerInput {
  /** Length of the window that calls are judged in. Default 60000. */
  readonly windowMs?: number;
  /** Share of failed calls that opens it, over 0 up to 1. Default 0.5. */
  readonly failureRate?: number;
  /** Calls in the window before the rate counts. Default 10. */
  readonly minimumCalls?: number;
  /** Failures in a row that open it whatever the rate. Default 10. */
  readonly consecutiveFailures?: number;
  /** How long it stays open the first time. Default 15000. */
  readonly openMs?: number;
  /** How long it stays open at most, after repeated failures. Default 300000. */
  readonly openMaxMs?: number;
  /** Probes that have to succeed before it closes. Default 2. */
  readonly halfOpenSuccesses?: number;
}

/** What `startService` takes: a config, or the file that holds it. */
export type ConfigSource = SwitchgearConfig | { readonly configFile: string };
