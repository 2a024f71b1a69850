/** A scripted `Service` for tests of the HTTP edge: each method answers as told, and everything it was asked is kept. */
import type { Batch, BatchDesk } from '../../src/contract/batches.ts';
import type { SwitchgearError } from '../../src/contract/errors.ts';
import type { LedgerQuery } from '../../src/contract/records.ts';
import type { CompletionRequest, EmbeddingRequest, RequestOptions } from '../../src/contract/request.ts';
import type {
  CompletionResponse,
  CompletionStream,
  EmbeddingResponse,
  ResultStream,
  StreamPart,
} from '../../src/contract/response.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import type { ModelListing, ProviderState } from '../../src/contract/state.ts';

type Answer = (request: CompletionRequest, options: RequestOptions) => Promise<CompletionResponse>;
type Parts = (request: CompletionRequest, options: RequestOptions) => AsyncIterable<StreamPart>;

export class ScriptedService implements Service {
  state: Service['state'] = 'running';
  answer: Answer = async () => createResponse();
  parts: Parts = () =>
    yieldAll([
      { type: 'text', text: 'Hello' },
      { type: 'finish', response: createResponse() },
    ]);
  target: CompletionStream['target'] = { provider: 'first', model: 'model-1' };
  embed: (request: EmbeddingRequest) => Promise<EmbeddingResponse> = async () => createEmbedding([[0.5, -1.25]]);
  results = new Map<string, RequestResult | SwitchgearError>();
  submit: (request: CompletionRequest, options: RequestOptions) => Promise<string> = async () => 'req_async';
  wait: (requestId: string, options: { waitMs?: number; signal?: AbortSignal }) => Promise<void> = async () => {};
  states: Record<string, ProviderState> = { first: createProviderState() };
  listings: readonly ModelListing[] = [
    listing('model-1', 'first'),
    listing('vendor/model-2', 'first'),
    listing('model-1', 'second'),
  ];

  readonly requests: (CompletionRequest | EmbeddingRequest)[] = [];
  readonly options: RequestOptions[] = [];
  readonly verbs: string[] = [];
  readonly costQueries: unknown[] = [];
  cancellations = 0;

  async completion(request: CompletionRequest, options: RequestOptions = {}): Promise<CompletionResponse> {
    this.#keep(request, options);
    return this.answer(request, options);
  }

  completionStream(request: CompletionRequest, options: RequestOptions = {}): CompletionStream {
    this.#keep(request, options);
    const parts = this.parts(request, options);
    return {
      requestId: 'req_stream',
      target: this.target,
      response: new Promise(() => {}),
      cancel: () => {
        this.cancellations += 1;
      },
      [Symbol.asyncIterator]: () => parts[Symbol.asyncIterator](),
    };
  }

  async completionAsync(request: CompletionRequest, options: RequestOptions = {}): Promise<string> {
    this.#keep(request, options);
    return this.submit(request, options);
  }

  async getResult(requestId: string, options: { waitMs?: number; signal?: AbortSignal } = {}): Promise<RequestResult> {
    await this.wait(requestId, options);
    const result = this.results.get(requestId);
    if (result === undefined) throw new Error(`no result was scripted for ${requestId}`);
    if (result instanceof Error) throw result;
    return result;
  }

  /** What a reader of a request is given. */
  reading: (requestId: string, options: { signal?: AbortSignal }) => AsyncIterable<StreamPart> = () =>
    this.parts({ messages: [] }, {});
  resultStream(requestId: string, options: { signal?: AbortSignal } = {}): ResultStream {
    const parts = this.reading(requestId, options);
    return {
      requestId,
      target: this.target,
      response: new Promise(() => {}),
      [Symbol.asyncIterator]: () => parts[Symbol.asyncIterator](),
    };
  }

  async cancel(requestId: string): Promise<boolean> {
    const result = this.results.get(requestId);
    if (result === undefined || result instanceof Error || (result.status !== 'queued' && result.status !== 'running'))
      return false;
    this.cancellations += 1;
    return true;
  }

  completionBatch = unscripted<Batch>;
  getBatch = unscripted<Batch>;
  readonly batches: BatchDesk = {
    createFile: unscripted,
    loadFile: unscripted,
    readFile: () => yieldAll([]),
    listFiles: unscripted,
    removeFile: unscripted,
    submit: unscripted,
    loadState: unscripted,
    findByKey: unscripted,
    listStates: unscripted,
    cancel: unscripted,
    endedRows: () => yieldAll([]),
  };

  async embedding(request: EmbeddingRequest, options: RequestOptions = {}): Promise<EmbeddingResponse> {
    this.#keep(request, options);
    return this.embed(request);
  }

  async listModels(): Promise<readonly ModelListing[]> {
    return this.listings;
  }

  async healthStatus() {
    const { breaker } = createProviderState();
    const latency = { averageMs: 12, p50Ms: 11, p95Ms: 20 };
    return {
      first: { status: 'healthy', breaker, uptimePercent: 99.5, latency, lastCheckAt: 5, recentErrors: [] },
    } as const;
  }

  providerStates(): Readonly<Record<string, ProviderState>> {
    return this.states;
  }

  /** How many ledger entries match a query. */
  recordCount: (query: LedgerQuery) => number = () => 1;
  async costSummary(query: LedgerQuery = {}) {
    this.costQueries.push(query);
    const none = { usd: 0, usdNanos: 0 };
    const tokenUsage = {
      inputTokens: 1,
      outputTokens: 2,
      totalTokens: 3,
      cachedInputTokens: 0,
      cacheWriteTokens: 0,
      reasoningTokens: 0,
    };
    return {
      totalCost: none,
      costByProvider: {},
      costByModel: {},
      costByTenant: {},
      averageCostPerRequest: undefined,
      recordCount: this.recordCount(query),
      unpricedCount: 1,
      tokenUsage,
      timeRange: { start: 1, end: 2 },
    };
  }

  explain(request: CompletionRequest | EmbeddingRequest, options: RequestOptions = {}) {
    this.#keep(request, options);
    return {
      candidates: [{ provider: 'first', model: request.model ?? 'default', usable: true, reasons: ['healthy'] }],
    };
  }

  testFailure: SwitchgearError | undefined;
  async testConnection() {
    return this.testFailure === undefined
      ? { ok: true, latencyMs: 7 }
      : { ok: false, latencyMs: 7, error: this.testFailure };
  }

  async updateProvider(): Promise<void> {}
  async reload(): Promise<void> {}

  queueStatus() {
    return {
      lanes: [{ provider: 'first', waiting: 3, running: 2, limit: 4, paused: false }],
      open: 5,
      waiting: 3,
      running: 2,
      parked: 7,
    };
  }

  openRequests() {
    return Array.from(
      { length: 150 },
      (_, index) =>
        ({
          requestId: `req_${index}`,
          mode: 'sync',
          status: 'queued',
          priority: 'normal',
          model: 'model-1',
          tenant: 'default',
          ageMs: 1,
          attempts: 0,
        }) as const,
    );
  }

  readonly supervisor = {
    children: () => [
      {
        id: 'providers',
        state: 'running',
        restarts: 0,
        incarnation: 1,
        children: [{ id: 'first', state: 'running', restarts: 2, incarnation: 3 }],
      } as const,
    ],
    suspend: async (id: string) => void this.verbs.push(`suspend ${id}`),
    resume: async (id: string) => void this.verbs.push(`resume ${id}`),
    restart: async (id: string) => void this.verbs.push(`restart ${id}`),
  };

  on() {
    return () => {};
  }

  async stop(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}

  get lastRequest(): CompletionRequest {
    const request = this.requests.at(-1);
    if (request === undefined || !('messages' in request))
      throw new Error('the service was not asked for a completion');
    return request;
  }

  get lastOptions(): RequestOptions {
    return this.options.at(-1) ?? {};
  }

  #keep(request: CompletionRequest | EmbeddingRequest, options: RequestOptions): void {
    this.requests.push(request);
    this.options.push(options);
  }
}

export function createResponse(overrides: Partial<CompletionResponse> = {}): CompletionResponse {
  const text = overrides.text ?? 'Hello';
  return {
    kind: 'completion',
    requestId: 'req_1',
    provider: 'first',
    model: 'model-1',
    text,
    message: { role: 'assistant', content: text === '' ? null : text },
    toolCalls: [],
    finishReason: 'stop',
    usage: { inputTokens: 10, outputTokens: 5, cachedInputTokens: 4 },
    cost: { usd: 0.000_012_3, usdNanos: 12_300, priceVersion: 'config' },
    latency: { queuedMs: 0, totalMs: 3 },
    attempts: [{ provider: 'first', model: 'model-1', outcome: 'answered', durationMs: 3 }],
    createdAt: 1_767_225_600_000,
    ...overrides,
  };
}

export function createEmbedding(vectors: readonly (readonly number[])[]): EmbeddingResponse {
  return {
    kind: 'embedding',
    requestId: 'req_e',
    provider: 'first',
    model: 'embed-1',
    vectors,
    usage: { inputTokens: 6 },
    latency: { queuedMs: 0, totalMs: 1 },
    attempts: [],
    createdAt: 1_767_225_600_000,
  };
}

export function createProviderState(overrides: Partial<ProviderState> = {}): ProviderState {
  return {
    breaker: {
      state: 'closed',
      failureCount: 0,
      successCount: 1,
      lastFailureAt: undefined,
      lastError: undefined,
      openedAt: undefined,
      nextProbeAt: undefined,
    },
    gate: 'clear',
    credentials: [{ id: 'first#1', state: 'usable' }],
    concurrency: { limit: 4, inFlight: 0 },
    quarantinedModels: [],
    isDown: false,
    isSuspended: false,
    ...overrides,
  };
}

/** Batches are tested with a whole service behind the edge. */
async function unscripted<Value>(): Promise<Value> {
  throw new Error('no batch was scripted');
}

export async function* yieldAll<Part>(parts: readonly Part[], failure?: Error): AsyncGenerator<Part, undefined> {
  yield* parts;
  if (failure !== undefined) throw failure;
}

function listing(model: string, provider: string): ModelListing {
  return { model, provider, availability: 'available', contextWindow: 128_000, features: [], price: undefined };
}
