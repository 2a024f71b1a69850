/** The public API of a running service, as one interface: what the library gives and what the HTTP edge calls. */
import type { Batch, BatchDesk, BatchId, BatchOptions } from './batches.ts';
import type { SwitchgearError } from './errors.ts';
import type { EventName, Events, Unsubscribe } from './events.ts';
import type { LedgerQuery } from './records.ts';
import type { CompletionRequest, EmbeddingRequest, Priority, RequestOptions } from './request.ts';
import type { CompletionResponse, CompletionStream, EmbeddingResponse, RequestId, ResultStream } from './response.ts';
import type {
  ChildState,
  CostSummary,
  ExplainedCandidate,
  ModelListing,
  ProviderHealth,
  ProviderState,
} from './state.ts';
import type { ProviderConfig } from './config.ts';

/** What became of a submitted request. Reading never deletes. */
export type RequestResult =
  | { readonly requestId: RequestId; readonly status: 'queued' | 'running' }
  | { readonly requestId: RequestId; readonly status: 'succeeded'; readonly response: CompletionResponse }
  | { readonly requestId: RequestId; readonly status: 'failed' | 'cancelled'; readonly error: SwitchgearError };

/** One request that is not settled yet. */
export interface OpenRequest {
  readonly requestId: RequestId;
  readonly mode: 'sync' | 'async' | 'stream';
  readonly status: 'queued' | 'running';
  readonly priority: Priority;
  readonly model: string;
  readonly tenant: string;
  readonly ageMs: number;
  readonly attempts: number;
}

export interface SupervisorView {
  children(): readonly ChildState[];
  /** Stops an actor from working until `resume`; what it is told meanwhile waits. */
  suspend(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  /** Starts a new incarnation of one actor, also of one that gave up. */
  restart(id: string): Promise<void>;
}

/** What `updateProvider` may change while running. */
export type ProviderPatch = Partial<
  Pick<
    ProviderConfig,
    'priority' | 'concurrency' | 'rateLimit' | 'retry' | 'timeouts' | 'breaker' | 'headers' | 'health' | 'maxTokens'
  >
> & { readonly apiKey?: string; readonly apiKeys?: readonly string[]; readonly models?: readonly string[] };

export interface Service extends AsyncDisposable {
  completion(request: CompletionRequest, options?: RequestOptions): Promise<CompletionResponse>;
  completionStream(request: CompletionRequest, options?: RequestOptions): CompletionStream;
  /** Resolves after the record is stored. */
  completionAsync(request: CompletionRequest, options?: RequestOptions): Promise<RequestId>;
  /** @throws {SwitchgearError} `request-not-found`, `request-expired` */
  getResult(requestId: RequestId, options?: { waitMs?: number; signal?: AbortSignal }): Promise<RequestResult>;
  /**
   * Reads a submitted request: the parts so far, then live. `signal` ends the reading, never the request.
   * @throws {SwitchgearError} in the loop and in `response`: what the request ended with, `request-not-found`, `request-expired`
   */
  resultStream(requestId: RequestId, options?: { signal?: AbortSignal }): ResultStream;
  /** True when it was not settled yet. */
  cancel(requestId: RequestId): Promise<boolean>;
  /** Many at once; resolves after all of them are stored. */
  completionBatch(requests: readonly CompletionRequest[], options?: BatchOptions): Promise<Batch>;
  /** A batch again, also one of an earlier process. @throws {SwitchgearError} `request-not-found`, `request-expired` */
  getBatch(batchId: BatchId): Promise<Batch>;
  /** Files and batches as the HTTP edge serves them. */
  readonly batches: BatchDesk;
  embedding(request: EmbeddingRequest, options?: RequestOptions): Promise<EmbeddingResponse>;
  listModels(filter?: { provider?: string; feature?: string }): Promise<readonly ModelListing[]>;
  healthStatus(): Promise<Readonly<Record<string, ProviderHealth>>>;
  providerStates(): Readonly<Record<string, ProviderState>>;
  costSummary(query?: LedgerQuery): Promise<CostSummary>;
  /** Sends nothing. */
  explain(
    request: CompletionRequest | EmbeddingRequest,
    options?: RequestOptions,
  ): { candidates: readonly ExplainedCandidate[] };
  /** One cheap real call. */
  testConnection(provider: string): Promise<{ ok: boolean; latencyMs: number; error?: SwitchgearError }>;
  /** Changes one provider until the next `reload`; validated like the config. */
  updateProvider(name: string, patch: ProviderPatch): Promise<void>;
  /** Reads the config again; breakers, queue and requests in flight are kept, what `updateProvider` changed is not. */
  reload(): Promise<void>;
  /** Lanes overlap: a request that several providers may take waits in the lane of each. */
  queueStatus(): {
    readonly lanes: readonly { provider: string; waiting: number; running: number; limit: number; paused: boolean }[];
    /** Requests that are not settled, each counted once: waiting and running together. */
    readonly open: number;
    readonly waiting: number;
    readonly running: number;
    /** Requests that wait in a durable store, beyond what memory holds. */
    readonly parked: number;
  };
  /** Oldest first. */
  openRequests(): readonly OpenRequest[];
  readonly supervisor: SupervisorView;
  on<Name extends EventName>(event: Name, listener: (payload: Events[Name]) => void): Unsubscribe;
  /** A further call with `graceMs: 0` ends the grace of an earlier one: what is open ends with `shutting-down`. */
  stop(options?: { graceMs?: number }): Promise<void>;
  readonly state: 'running' | 'draining' | 'stopped' | 'failed';
}
