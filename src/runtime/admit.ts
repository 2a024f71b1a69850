/**
 * The door: parses what a caller asks for, resolves its model, refuses what cannot be served or remembered, and gives the
 * rest a requestId and a place in the table of open requests. Nothing is sent from here.
 */
import { createHash } from 'node:crypto';
import { SwitchgearError } from '../contract/errors.ts';
import type { InsertResult, RequestRecord } from '../contract/records.ts';
import type { Delivery, ParsedRequest, RequestOptions } from '../contract/request.ts';
import type { RequestId } from '../contract/response.ts';
import { type QueueKey, queueKey } from '../policy/order.ts';
import { type Candidate, resolveCandidates } from '../policy/resolve.ts';
import { askStore } from './ask-store.ts';
import { estimateInputTokens } from './estimate.ts';
import { OpenRequest, type OpenRequestInit } from './open-request.ts';
import { PartSink } from './part-sink.ts';
import type { Runtime } from './runtime.ts';
import { QUEUE_FULL_RETRY_MS } from './settle.ts';

const TENANT_DEFAULT = 'default';
const SUGGESTIONS_MAX = 8;

export type Mode = 'sync' | 'async' | 'stream';

export interface AdmitRequest {
  readonly mode: Mode;
  readonly request: ParsedRequest;
  readonly options: RequestOptions;
}

/** A new request, or one that an idempotency key already stands for. */
export type Admitted =
  | { readonly kind: 'new'; readonly open: OpenRequest }
  | { readonly kind: 'known'; readonly requestId: RequestId };

/** What is known of a request; the rest follows from it. */
type OpenParts = Omit<OpenRequestInit, 'inputTokens' | 'sink'>;

export class Door {
  readonly #runtime: Runtime;
  readonly #nextId: () => string;
  #sequence = 0;
  /** Prepared, and waiting for their record to be stored: they have a place in the queue already. */
  readonly #entering = new Map<RequestId, Promise<void>>();

  constructor(runtime: Runtime, nextId: () => string) {
    this.#runtime = runtime;
    this.#nextId = nextId;
  }

  /** @throws {SwitchgearError} `shutting-down`, `queue-full`, `unknown-model`, `idempotency-conflict`, `store-unavailable` */
  async admit(request: AdmitRequest): Promise<Admitted> {
    const open = this.prepare(request);
    if (!open.init.isStored) return { kind: 'new', open: this.enter(open) };
    const inserted = await this.#store(open, request.options);
    switch (inserted.kind) {
      case 'inserted':
        return { kind: 'new', open };
      case 'known':
        return this.#join(inserted.requestId, open);
      case 'conflict':
        throw new SwitchgearError(
          'idempotency-conflict',
          'the idempotency key was used for another request; use a new key, or send the same request',
          {
            requestId: inserted.requestId,
          },
        );
      case 'full':
        throw queueFull('the request store is full');
    }
  }

  /** Everything up to the record, synchronously. @throws {SwitchgearError} as `admit` */
  prepare({ mode, request, options }: AdmitRequest): OpenRequest {
    if (this.#runtime.service.isDraining)
      throw new SwitchgearError(
        'shutting-down',
        'the service is shutting down; send the request to another instance, or again later',
      );
    const candidates = this.resolve(request.model, options.fallbacks);
    const config = this.#runtime.config().service;
    const priority = options.priority ?? 'normal';
    const key = queueKey(priority, this.#runtime.clock.nowMs(), this.#sequence++);
    this.#makeRoom(config.queueDepthMax, key);
    return this.#open({
      requestId: this.#nextId(),
      mode,
      request,
      candidates,
      priority,
      key,
      tenant: options.tenant ?? TENANT_DEFAULT,
      tags: options.tags ?? {},
      delivery: options.delivery ?? this.#deliveryOf(candidates[0]) ?? config.delivery,
      timeoutMs: options.timeoutMs ?? (mode === 'async' ? config.asyncTimeoutMs : config.timeoutMs),
      isStored: mode === 'async' || options.idempotencyKey !== undefined,
    });
  }

  /** What the model that is asked first was configured with: a stream keeps one delivery, whoever answers it. */
  #deliveryOf(candidate: Candidate | undefined): Delivery | undefined {
    const provider = this.#runtime.config().providers.find(({ name }) => name === candidate?.provider);
    return provider?.models.find(({ id }) => id === candidate?.model)?.delivery;
  }

  /** Puts a prepared request into the table. */
  enter(open: OpenRequest): OpenRequest {
    this.#runtime.open.add(open);
    const { mode, priority, request } = open.init;
    this.#runtime.announce('request.admitted', { requestId: open.requestId, model: request.model, priority, mode });
    return open;
  }

  /** @throws {SwitchgearError} `unknown-model` with names that would have worked */
  resolve(model: string, fallbacks: RequestOptions['fallbacks']): readonly Candidate[] {
    const catalogue = this.#runtime.catalogue();
    const resolution = resolveCandidates(this.#runtime.config(), catalogue, model, fallbacks);
    if (resolution.kind === 'candidates') return resolution.candidates;
    const known = resolution.known.slice(0, SUGGESTIONS_MAX).join(', ');
    throw new SwitchgearError(
      'unknown-model',
      `expected ${resolution.model === model ? 'model' : 'each fallback'} to be an alias, provider/model or a configured model id, got: ${resolution.model}; known are ${known}`,
      {
        param: resolution.model === model ? 'model' : 'fallbacks',
      },
    );
  }

  #open(parts: OpenParts): OpenRequest {
    const { clock } = this.#runtime;
    const { request, mode } = parts;
    const init = {
      ...parts,
      inputTokens: estimateInputTokens(request),
      sink: mode === 'stream' ? new PartSink() : undefined,
    };
    return new OpenRequest(init, clock);
  }

  /** When the queue is full, whoever would be served last gives way, unless somebody waits for it. */
  #makeRoom(depthMax: number, key: QueueKey): void {
    const { open: table } = this.#runtime;
    const held = table.waiting + table.unwritten + this.#entering.size;
    if (held < depthMax) return;
    // Those given up stay in memory until the store has written it, so their number is bounded too.
    const evicted = table.unwritten < depthMax ? table.evict(key) : undefined;
    if (evicted === undefined) throw queueFull(`${held} requests are waiting already`);
    evicted.stop('evicted');
  }

  /** Resolves when every insertion that is under way has ended. Never rejects. */
  async whenEntered(): Promise<void> {
    await Promise.all(this.#entering.values());
  }

  /** Stores a request and enters it; one that is not new is forgotten. */
  async #store(open: OpenRequest, options: RequestOptions): Promise<InsertResult> {
    const entering = Promise.withResolvers<void>();
    this.#entering.set(open.requestId, entering.promise);
    try {
      const inserted = await this.#insert(recordOf(open, options));
      if (inserted.kind === 'inserted') this.#enterStored(open);
      else open.discard();
      return inserted;
    } catch (error) {
      open.discard();
      throw error;
    } finally {
      this.#entering.delete(open.requestId);
      entering.resolve();
    }
  }

  /** An insertion that failed may have had its effect all the same; then the request is ours. */
  async #insert(record: RequestRecord): Promise<InsertResult> {
    const { store, clock } = this.#runtime;
    try {
      return await askStore(clock, store.insert(record));
    } catch (error) {
      const loaded = await askStore(clock, store.load(record.requestId)).catch(() => undefined);
      if (loaded?.kind === 'found') return { kind: 'inserted' };
      throw error;
    }
  }

  /** The service may have begun to drain while the record was written; the record then has to be settled all the same. */
  #enterStored(open: OpenRequest): void {
    this.enter(open);
    if (this.#runtime.service.isDraining) open.stop('shutdown');
  }

  /** The request that an idempotency key stands for. */
  async #join(requestId: RequestId, newcomer: OpenRequest): Promise<Admitted> {
    const { store, open: table } = this.#runtime;
    // Whether it is stored for good is not known before its insertion has ended.
    await this.#entering.get(requestId);
    if (table.find(requestId) !== undefined) return { kind: 'known', requestId };
    const loaded = await store.load(requestId);
    const isOrphan = loaded.kind === 'found' && loaded.record.settlement === undefined;
    if (!isOrphan || table.find(requestId) !== undefined) return { kind: 'known', requestId };
    return { kind: 'new', open: this.#adopt(loaded.record, newcomer) };
  }

  /** A record whose insertion took effect without anybody hearing of it: whoever asks again is the first to be promised it. */
  #adopt({ requestId, attempts }: RequestRecord, { init }: OpenRequest): OpenRequest {
    const open = this.#open({ ...init, requestId, mode: 'async' });
    // What was spent on it before keeps its place in the ledger.
    open.attempts.push(...attempts);
    this.#enterStored(open);
    return open;
  }
}

function recordOf({ requestId, createdAt, init }: OpenRequest, options: RequestOptions): RequestRecord {
  return {
    requestId,
    tenant: init.tenant,
    idempotencyKey: options.idempotencyKey,
    requestHash: hashRequest(init.request, options.fallbacks),
    request: init.request,
    fallbacks: options.fallbacks,
    priority: init.priority,
    tags: init.tags,
    createdAt,
    timeoutMs: init.timeoutMs,
    status: 'queued',
    attempts: [],
  };
}

function queueFull(reason: string): SwitchgearError {
  return new SwitchgearError('queue-full', `${reason}; try again in a second, or raise service.queueDepthMax`, {
    retryAfterMs: QUEUE_FULL_RETRY_MS,
  });
}

/** SHA-256 over the request with its keys in order, so that equal requests hash alike. */
function hashRequest(request: ParsedRequest, fallbacks: RequestOptions['fallbacks']): string {
  return createHash('sha256')
    .update(canonical({ request, fallbacks: fallbacks ?? null }))
    .digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}
