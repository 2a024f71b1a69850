/** The running service as callers see it: every public call, each a few lines over the verbs of the path. */
import type { Batch, BatchDesk, BatchId, BatchOptions } from '../contract/batches.ts';
import { type ErrorCode, SwitchgearError } from '../contract/errors.ts';
import type { EventName, Events, Unsubscribe } from '../contract/events.ts';
import type { LedgerQuery, Settlement } from '../contract/records.ts';
import type { CompletionRequest, EmbeddingRequest, RequestOptions } from '../contract/request.ts';
import type {
  AnyResponse,
  CompletionResponse,
  CompletionStream,
  EmbeddingResponse,
  RequestId,
  ResultStream,
} from '../contract/response.ts';
import type {
  OpenRequest as OpenRequestView,
  ProviderPatch,
  RequestResult,
  Service,
  SupervisorView,
} from '../contract/service.ts';
import type { CostSummary, ModelListing, ProviderHealth, ProviderState } from '../contract/state.ts';
import type { AdmitRequest, Door } from './admit.ts';
import { failedStream, LiveStream } from './completion-stream.ts';
import { explainCandidates, listModels, testConnection } from './diagnose.ts';
import type { OpenRequest } from './open-request.ts';
import { PartSink } from './part-sink.ts';
import {
  checkLedgerQuery,
  checkPatch,
  checkRequestId,
  checkStop,
  checkSubscription,
  parseModelFilter,
  parseWait,
} from './parse-arguments.ts';
import { parseCompletion, parseEmbedding, parseOptions } from './parse-request.ts';
import { runRequest } from './path.ts';
import { LiveResult } from './result-stream.ts';
import { awaitEnding, cancelRequest, readResult } from './results.ts';
import type { Runtime } from './runtime.ts';
import { settledWithin } from './sleep.ts';

const STOP_GRACE_MS = 25_000;
const ENTERING_WAIT_MS = 5_000;

/** What the composition root does for the service. */
export interface ServiceOwner {
  readonly supervisor: SupervisorView;
  readonly nextId: () => string;
  readonly batches: BatchDesk & Pick<Service, 'completionBatch' | 'getBatch'>;
  on<Name extends EventName>(event: Name, listener: (payload: Events[Name]) => void): Unsubscribe;
  updateProvider(name: string, patch: ProviderPatch): Promise<void>;
  reload(): Promise<void>;
  /** The grace is over: whoever waits for the store is let go. */
  end(): void;
  /** Stops actors, adapters and stores; called once. */
  close(): Promise<void>;
}

export class LiveService implements Service {
  readonly #runtime: Runtime;
  readonly #door: Door;
  readonly #owner: ServiceOwner;
  #state: Service['state'] = 'running';
  #isClosing = false;
  #stopping: Promise<void> | undefined;

  constructor(runtime: Runtime, door: Door, owner: ServiceOwner) {
    this.#runtime = runtime;
    this.#door = door;
    this.#owner = owner;
  }

  get state(): Service['state'] {
    return this.#state;
  }

  get supervisor(): SupervisorView {
    return this.#owner.supervisor;
  }

  async completion(request: CompletionRequest, options: RequestOptions = {}): Promise<CompletionResponse> {
    const response = await this.#ask({ mode: 'sync', request: this.#parse(request), options: parseOptions(options) });
    if (response.kind !== 'completion') throw new TypeError('expected a completion, got: an embedding');
    return response;
  }

  async embedding(request: EmbeddingRequest, options: RequestOptions = {}): Promise<EmbeddingResponse> {
    const response = await this.#ask({
      mode: 'sync',
      request: parseEmbedding(request),
      options: parseOptions(options),
    });
    if (response.kind !== 'embedding') throw new TypeError('expected an embedding, got: a completion');
    return response;
  }

  async completionAsync(request: CompletionRequest, options: RequestOptions = {}): Promise<RequestId> {
    const admitted = await this.#door.admit({
      mode: 'async',
      request: this.#parse(request),
      options: parseOptions(options),
    });
    if (admitted.kind !== 'new') return admitted.requestId;
    // R8: an async request does not follow its caller. `runRequest` never rejects.
    void runRequest(this.#runtime, admitted.open);
    return admitted.open.requestId;
  }

  completionStream(request: CompletionRequest, options: RequestOptions = {}): CompletionStream {
    try {
      const parsed = parseOptions(options);
      if (parsed.idempotencyKey !== undefined) throw streamKeyError();
      const open = this.#door.enter({ mode: 'stream', request: this.#parse(request), options: parsed });
      const sink = open.init.sink ?? new PartSink();
      if (parsed.signal !== undefined) open.followCaller(parsed.signal);
      void runRequest(this.#runtime, open);
      const response = outcomeOf(open).then(onlyCompletion);
      return new LiveStream({
        requestId: open.requestId,
        sink,
        response,
        asked: () => open.asked,
        leave: () => {
          open.stop('caller-left');
        },
      });
    } catch (error) {
      return failedStream(this.#owner.nextId(), new PartSink(), asSwitchgearError(error));
    }
  }

  completionBatch(requests: readonly CompletionRequest[], options: BatchOptions = {}): Promise<Batch> {
    return this.#owner.batches.completionBatch(requests, options);
  }

  getBatch(batchId: BatchId): Promise<Batch> {
    return this.#owner.batches.getBatch(batchId);
  }

  get batches(): BatchDesk {
    return this.#owner.batches;
  }

  async getResult(
    requestId: RequestId,
    options: { waitMs?: number; signal?: AbortSignal } = {},
  ): Promise<RequestResult> {
    checkRequestId(requestId);
    return readResult(this.#runtime, requestId, parseWait(options));
  }

  resultStream(requestId: RequestId, options: { signal?: AbortSignal } = {}): ResultStream {
    return new LiveResult(this.#runtime, requestId, options);
  }

  async cancel(requestId: RequestId): Promise<boolean> {
    checkRequestId(requestId);
    return cancelRequest(this.#runtime, requestId);
  }

  async listModels(filter: { provider?: string; feature?: string } = {}): Promise<readonly ModelListing[]> {
    return listModels(this.#runtime, parseModelFilter(filter));
  }

  async healthStatus(): Promise<Readonly<Record<string, ProviderHealth>>> {
    return this.#runtime.health.status();
  }

  providerStates(): Readonly<Record<string, ProviderState>> {
    return Object.fromEntries([...this.#runtime.providers].map(([name, { control }]) => [name, control.state()]));
  }

  async costSummary(query: LedgerQuery = {}): Promise<CostSummary> {
    checkLedgerQuery(query);
    if (this.#state === 'failed' || this.#state === 'stopped') throw goneError();
    return this.#runtime.costs.summary(query);
  }

  explain(request: CompletionRequest | EmbeddingRequest, options: RequestOptions = {}): ReturnType<Service['explain']> {
    const parsed = isEmbedding(request) ? parseEmbedding(request) : this.#parse(request);
    const candidates = this.#door.resolve(parsed.model, parseOptions(options).fallbacks);
    return { candidates: explainCandidates(this.#runtime, { request: parsed, mode: 'sync', candidates }) };
  }

  testConnection(provider: string): ReturnType<Service['testConnection']> {
    return testConnection(this.#runtime, provider, this.#owner.nextId());
  }

  async updateProvider(name: string, patch: ProviderPatch): Promise<void> {
    checkPatch(name, patch);
    return this.#owner.updateProvider(name, patch);
  }

  reload(): Promise<void> {
    return this.#owner.reload();
  }

  queueStatus(): ReturnType<Service['queueStatus']> {
    const { size: open, waiting } = this.#runtime.open;
    return {
      lanes: this.#runtime.queue.status(),
      open,
      waiting,
      running: open - waiting,
      parked: this.#runtime.store.parked,
    };
  }

  openRequests(): readonly OpenRequestView[] {
    const nowMs = this.#runtime.clock.nowMs();
    return this.#runtime.open.list().map((open) => ({
      requestId: open.requestId,
      mode: open.init.mode,
      status: open.status,
      priority: open.init.priority,
      model: open.init.request.model,
      tenant: open.init.tenant,
      ageMs: Math.round(nowMs - open.admittedAtMs),
      attempts: open.attempts.length,
    }));
  }

  on<Name extends EventName>(event: Name, listener: (payload: Events[Name]) => void): Unsubscribe {
    checkSubscription(event, listener);
    return this.#owner.on(event, listener);
  }

  /** Refuses new requests, lets the open ones finish for `graceMs`, ends the rest, then stops everything. Idempotent. */
  stop(options: { graceMs?: number } = {}): Promise<void> {
    try {
      checkStop(options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#stopping ??= this.#drainAndClose(options.graceMs ?? STOP_GRACE_MS);
    if (options.graceMs === 0) this.#endAll();
    return this.#stopping;
  }

  /** The root supervisor gave up: nobody can be answered any more. */
  fail(reason: string): void {
    // A tree that is being stopped has not failed.
    if (this.#isClosing || (this.#state !== 'running' && this.#state !== 'draining')) return;
    this.#state = 'failed';
    this.#runtime.service.drain();
    this.#endAll();
    this.#runtime.announce('service.failed', { reason });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #drainAndClose(graceMs: number): Promise<void> {
    const { clock, open, service, announce } = this.#runtime;
    if (this.#state === 'running') {
      this.#state = 'draining';
      service.drain();
      announce('service.draining', { graceMs, open: open.size });
      this.#releaseWaiting();
      await settledWithin(clock, open.whenEmpty(), graceMs);
    }
    this.#endAll();
    // What is being stored just then was promised to nobody yet, and may be at any moment.
    await settledWithin(clock, this.#door.whenEntered(), ENTERING_WAIT_MS);
    await open.whenEmpty();
    this.#isClosing = true;
    await this.#owner.close();
    this.#state = 'stopped';
  }

  /** What waits goes on after the next start: only what is running is worth waiting for. */
  #releaseWaiting(): void {
    const { store, open: table } = this.#runtime;
    if (!store.isDurable) return;
    for (const open of table.list()) if (open.init.mode === 'async' && open.status === 'queued') open.stop('shutdown');
  }

  #endAll(): void {
    this.#owner.end();
    for (const open of this.#runtime.open.list()) open.stop('shutdown');
  }

  #parse(request: CompletionRequest) {
    return parseCompletion(request, this.#runtime.config().defaults.model);
  }

  /** The sync call: admit, run, wait. */
  async #ask(request: AdmitRequest): Promise<AnyResponse> {
    const admitted = await this.#door.admit(request);
    if (admitted.kind !== 'new') return this.#join(admitted.requestId, request.options);
    const { open } = admitted;
    const { signal, idempotencyKey } = request.options;
    // What carries a key was acknowledged: whoever comes back with the key gets the answer, not the leaving of another.
    if (signal !== undefined && idempotencyKey === undefined) open.followCaller(signal);
    // It never rejects.
    void runRequest(this.#runtime, open);
    return idempotencyKey === undefined ? outcomeOf(open) : this.#join(open.requestId, request.options);
  }

  /** Another request with the same idempotency key has the answer, or will have. */
  async #join(
    requestId: RequestId,
    { signal, timeoutMs = this.#runtime.config().service.timeoutMs }: RequestOptions,
  ): Promise<AnyResponse> {
    const seen = await awaitEnding(this.#runtime, requestId, timeoutMs, signal);
    if (seen.kind === 'ended') return unwrap(seen.settlement, seen.error);
    if (seen.error !== undefined) throw seen.error;
    if (signal?.aborted === true)
      throw new SwitchgearError('cancelled', 'the request was cancelled because its caller left', { requestId });
    throw new SwitchgearError(
      'timeout',
      `request ${requestId} with the same idempotency key is not settled yet; ask getResult for it`,
      { requestId },
    );
  }
}

async function outcomeOf(open: OpenRequest): Promise<AnyResponse> {
  return unwrap(await open.settled, open.error);
}

function unwrap(settlement: Settlement, error: SwitchgearError | undefined): AnyResponse {
  if (settlement.status === 'succeeded') return settlement.response;
  throw error ?? SwitchgearError.fromReport(settlement.error);
}

function isEmbedding(request: CompletionRequest | EmbeddingRequest): request is EmbeddingRequest {
  return typeof request === 'object' && request !== null && 'input' in request;
}

function onlyCompletion(response: AnyResponse): CompletionResponse {
  if (response.kind !== 'completion') throw new TypeError('expected a completion, got: an embedding');
  return response;
}

function asSwitchgearError(error: unknown): SwitchgearError {
  if (error instanceof SwitchgearError) return error;
  const code: ErrorCode = 'invalid-request';
  return new SwitchgearError(code, error instanceof Error ? error.message : String(error), { cause: error });
}

function goneError(): SwitchgearError {
  return new SwitchgearError('shutting-down', 'the service has ended, and its cost tracker with it; start a new one');
}

function streamKeyError(): SwitchgearError {
  return new SwitchgearError(
    'invalid-request',
    'expected no idempotencyKey on a stream, got: one; submit the request to have it answered once',
    { param: 'idempotencyKey' },
  );
}
