/** What can be read of a running service: provider state, health, the tree, summaries. Plain JSON, never a secret. */
import type { BreakerName } from './events.ts';
import type { Money } from './response.ts';

export interface CredentialState {
  readonly id: string;
  readonly state: 'usable' | 'held' | 'disabled' | 'exhausted';
  /** Ms until the gate clears, while held. */
  readonly heldForMs?: number;
}

/** The state of one provider as its actor knows it. */
export interface ProviderState {
  readonly breaker: {
    readonly state: BreakerName;
    readonly failureCount: number;
    readonly successCount: number;
    readonly lastFailureAt: number | undefined;
    readonly lastError: string | undefined;
    readonly openedAt: number | undefined;
    readonly nextProbeAt: number | undefined;
  };
  readonly gate: 'clear' | 'held';
  readonly credentials: readonly CredentialState[];
  readonly concurrency: { readonly limit: number; readonly inFlight: number };
  readonly quarantinedModels: readonly string[];
  readonly isDown: boolean;
  /** Suspended by an operator: it takes nothing until it is resumed. */
  readonly isSuspended: boolean;
}

export type HealthLabel = 'unknown' | 'healthy' | 'degraded' | 'unhealthy';

/** What keeps a provider from being healthy. `rate-limited`: now, or lately and it has not recovered yet. */
export type HealthReason =
  | 'down'
  | 'suspended'
  | 'breaker-open'
  | 'no-usable-key'
  | 'breaker-half-open'
  | 'rate-limited'
  | 'failing'
  | 'check-failed';

export interface ProviderHealth {
  readonly status: HealthLabel;
  /** Absent while `healthy` or `unknown`. */
  readonly reason?: HealthReason;
  readonly breaker: ProviderState['breaker'];
  /** Over the last 24 h, time-weighted; undefined while nothing was seen. */
  readonly uptimePercent: number | undefined;
  readonly latency: {
    readonly averageMs: number | undefined;
    readonly p50Ms: number | undefined;
    readonly p95Ms: number | undefined;
  };
  /** When it was last judged, by traffic or by a free check that ended; epoch ms. */
  readonly lastCheckAt: number | undefined;
  readonly recentErrors: readonly { readonly at: number; readonly code: string; readonly message: string }[];
}

export interface ChildState {
  readonly id: string;
  readonly state: 'starting' | 'running' | 'restarting' | 'suspended' | 'stopped' | 'down';
  readonly restarts: number;
  readonly incarnation: number;
  readonly children?: readonly ChildState[];
}

export interface CostSummary {
  readonly totalCost: Money;
  readonly costByProvider: Readonly<Record<string, Money>>;
  readonly costByModel: Readonly<Record<string, Money>>;
  readonly costByTenant: Readonly<Record<string, Money>>;
  /** Over priced records only; undefined when there are none. */
  readonly averageCostPerRequest: Money | undefined;
  readonly recordCount: number;
  readonly unpricedCount: number;
  readonly tokenUsage: {
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly totalTokens: number;
    readonly cachedInputTokens: number;
    readonly cacheWriteTokens: number;
    readonly reasoningTokens: number;
  };
  /** Epoch ms of the first and last record counted; undefined when there are none. */
  readonly timeRange: { readonly start: number | undefined; readonly end: number | undefined };
}

export interface ExplainedCandidate {
  readonly provider: string;
  readonly model: string;
  readonly usable: boolean;
  /** Why it would, or would not, be used now. */
  readonly reasons: readonly string[];
}

export interface ModelListing {
  readonly model: string;
  readonly provider: string;
  readonly availability: 'available' | 'degraded' | 'unavailable';
  readonly contextWindow: number | undefined;
  readonly features: readonly string[];
  /** USD per million tokens; undefined when unknown. */
  readonly price: { readonly inputUsdPerMillionTokens: number; readonly outputUsdPerMillionTokens: number } | undefined;
}
