/**
 * The door: parses what a caller asks for, resolves its model, refuses what cannot be served or remembered, and gives the
 * rest a requestId and a place: in the table of open requests, or, when that is full, in a durable store alone. Records that
 * wait there come in through here too. Nothing is sent from here.
 */
import { SwitchgearError } from '../contract/errors.ts';
import { type BatchLine, FIRST_FENCE, type InsertResult, type RequestRecord } from '../contract/records.ts';
import type { Delivery, ParsedRequest, RequestOptions } from '../contract/request.ts';
import type { RequestId } from '../contract/response.ts';
import { queueKey } from '../policy/order.ts';
import { type Candidate, resolveCandidates } from '../policy/resolve.ts';
import { askStore } from './ask-store.ts';
import { endUnreadable } from './end-parked.ts';
import { insist } from './insist.ts';
import { OpenRequest, type OpenRequestInit } from './open-request.ts';
import { PartSink } from './part-sink.ts';
import { queueRetryMs } from './queue-retry.ts';
import { recordOf } from './record.ts';
import type { Runtime } from './runtime.ts';

const TENANT_DEFAULT = 'default';
const SUGGESTIONS_MAX = 8;
/** Of the queue's depth at most so much is kept for records that wait in the store. */
const RESERVE_MAX = 500;

export type Mode = 'sync' | 'async' | 'stream';

export interface AdmitRequest {
  readonly mode: Mode;
  readonly request: ParsedRequest;
  readonly options: RequestOptions;
  readonly batch?: BatchLine;
}

/** A new request that is in memory or parked, or one that an idempotency key already stands for. */
export type Admitted =
  | { readonly kind: 'new'; readonly open: OpenRequest }
  | { readonly kind: 'parked' | 'known'; readonly requestId: RequestId };

/** What is known of a request; the rest follows from it. */
type OpenParts = Omit<OpenRequestInit, 'sink'>;

export class Door {
  readonly #runtime: Runtime;
  readonly #nextId: () => string;
  #sequence = 0;
  /** Their record is being written: those that come into memory have a place in the queue already. */
  readonly #entering = new Map<RequestId, Promise<void>>();

  constructor(runtime: Runtime, nextId: () => string) {
    this.#runtime = runtime;
    this.#nextId = nextId;
  }

  /** @throws {SwitchgearError} `shutting-down`, `queue-full`, `unknown-model`, `idempotency-conflict`, `store-unavailable` */
  async admit(request: AdmitRequest): Promise<Admitted> {
    const parts = this.#prepare(request);
    if (!parts.isStored) return { kind: 'new', open: this.#enterNew(parts) };
    const place = this.#placeFor(parts);
    const inserted = await this.#store(parts, request.options, place);
    switch (inserted.kind) {
      case 'inserted':
        return inserted.open === undefined
          ? { kind: 'parked', requestId: parts.requestId }
          : { kind: 'new', open: inserted.open };
      case 'known':
        return this.#join(inserted.requestId);
      case 'conflict':
        throw new SwitchgearError(
          'idempotency-conflict',
          'the idempotency key was used for another request; use a new key, or send the same request',
          {
            requestId: inserted.requestId,
          },
        );
      case 'full':
        throw this.#queueFull('the request store is full');
    }
  }

  /** Admits what is not stored, synchronously. @throws {SwitchgearError} as `admit` */
  enter(request: AdmitRequest): OpenRequest {
    return this.#enterNew(this.#prepare(request));
  }

  /** Claims records of the store and puts them into the table, but for those that have ended meanwhile. Never rejects. */
  async takeIn(records: readonly RequestRecord[]): Promise<readonly OpenRequest[]> {
    const [first] = records;
    if (first === undefined) return [];
    const ids = records.map(({ requestId }) => requestId);
    const entering = Promise.withResolvers<void>();
    for (const requestId of ids) this.#entering.set(requestId, entering.promise);
    try {
      const named = { requestId: first.requestId, operation: 'claim' };
      const claims = await insist(this.#runtime, named, () => this.#runtime.store.claim(ids));
      const fences = new Map(claims?.value.map(({ requestId, fence }) => [requestId, fence]));
      const entered: OpenRequest[] = [];
      for (const record of records) {
        const fence = fences.get(record.requestId);
        if (fence === undefined) continue;
        try {
          entered.push(this.#enterStored(this.#partsOf(record, fence), record));
        } catch {
          // One that an earlier version may have written, and this one cannot read, must not keep the others out.
          await endUnreadable(this.#runtime, record, fence);
        }
      }
      return entered;
    } finally {
      for (const requestId of ids) this.#entering.delete(requestId);
      entering.resolve();
    }
  }

  /** So much of the queue comes free before records are taken in from the store. */
  get share(): number {
    return Math.max(1, this.#reserve);
  }

  /** How many requests may still come into memory. */
  get room(): number {
    const { open: table, config } = this.#runtime;
    return config().service.queueDepthMax - table.waiting - table.unwritten - this.#entering.size;
  }

  /** Resolves when every insertion that is under way has ended. Never rejects. */
  async whenEntered(): Promise<void> {
    await Promise.all(this.#entering.values());
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

  /** Everything up to the record. @throws {SwitchgearError} as `admit` */
  #prepare({ mode, request, options, batch }: AdmitRequest): OpenParts {
    const { clock, service } = this.#runtime;
    if (service.isDraining)
      throw new SwitchgearError(
        'shutting-down',
        'the service is shutting down; send the request to another instance, or again later',
      );
    const candidates = this.resolve(request.model, options.fallbacks);
    const config = this.#runtime.config().service;
    const priority = options.priority ?? 'normal';
    const tenant = options.tenant ?? TENANT_DEFAULT;
    const enqueuedAtMs = clock.nowMs();
    return {
      requestId: this.#nextId(),
      mode,
      request,
      candidates,
      priority,
      enqueuedAtMs,
      createdAt: clock.wallMs(),
      key: queueKey({ priority, tenant, enqueuedAtMs, sequence: this.#sequence++ }),
      tenant,
      tags: options.tags ?? {},
      delivery: options.delivery ?? this.#deliveryOf(candidates[0]) ?? config.delivery,
      timeoutMs: options.timeoutMs ?? (mode === 'async' ? config.asyncTimeoutMs : config.timeoutMs),
      isStored: mode === 'async' || options.idempotencyKey !== undefined,
      batch,
      fence: FIRST_FENCE,
    };
  }

  /** The parts of a record that has been here before. What a clock was set back or forward is not held against it. */
  #partsOf(record: RequestRecord, fence: number): OpenParts {
    const { clock, steadyWallMs, config } = this.#runtime;
    const { requestId, request, priority, createdAt, tenant, tags, timeoutMs } = record;
    const ageMs = Math.min(timeoutMs, Math.max(0, steadyWallMs() - record.enqueuedAt));
    const enqueuedAtMs = clock.nowMs() - ageMs;
    return {
      requestId,
      mode: 'async',
      request,
      ...this.#resolveAgain(record),
      priority,
      enqueuedAtMs,
      createdAt,
      key: queueKey({ priority, tenant, enqueuedAtMs, sequence: this.#sequence++ }),
      tenant,
      tags,
      delivery: config().service.delivery,
      timeoutMs,
      isStored: true,
      batch: record.batch,
      fence,
    };
  }

  /** What a record asks for may not be configured any more: it ends with the reason. */
  #resolveAgain({ request, fallbacks }: RequestRecord): Pick<OpenParts, 'candidates' | 'refusal'> {
    try {
      return { candidates: this.resolve(request.model, fallbacks) };
    } catch (error) {
      if (!(error instanceof SwitchgearError)) throw error;
      return { candidates: [], refusal: error };
    }
  }

  /** What the model that is asked first was configured with: a stream keeps one delivery, whoever answers it. */
  #deliveryOf(candidate: Candidate | undefined): Delivery | undefined {
    const provider = this.#runtime.config().providers.find(({ name }) => name === candidate?.provider);
    return provider?.models.find(({ id }) => id === candidate?.model)?.delivery;
  }

  #enterNew(parts: OpenParts): OpenRequest {
    this.#makeRoom(parts);
    return this.#enter(parts);
  }

  /** Puts a request into the table; one that has been here before with what was tried. */
  #enter(parts: OpenParts, record?: RequestRecord): OpenRequest {
    const { open: table, announce, lookouts, clock } = this.#runtime;
    const { requestId, request, mode, priority } = parts;
    const sink = mode === 'stream' ? new PartSink() : undefined;
    const open = new OpenRequest({ ...parts, sink }, clock);
    // What was spent on it before keeps its place in the ledger.
    if (record !== undefined) open.attempts.push(...record.attempts);
    table.add(open);
    if (record === undefined) announce('request.admitted', { requestId, model: request.model, priority, mode });
    lookouts.notify(requestId);
    return open;
  }

  /**
   * Whoever may wait in the store does so when memory is full, and also when others wait there that came before: they would
   * be overtaken for ever.
   */
  #placeFor(parts: OpenParts): 'memory' | 'store' {
    const { store, open: table } = this.#runtime;
    const mayPark = store.isDurable && parts.mode === 'async';
    if (!mayPark) this.#makeRoom(parts);
    else if (store.parked > 0 && !table.isAhead(parts.key)) return 'store';
    else if (this.#isFull && !this.#evictFor(parts)) return 'store';
    return 'memory';
  }

  /** While records wait in the store, newcomers leave the room that those need to come in. */
  get #isFull(): boolean {
    return this.room <= (this.#runtime.store.parked > 0 ? this.#reserve : 0);
  }

  get #reserve(): number {
    return Math.min(RESERVE_MAX, Math.floor(this.#runtime.config().service.queueDepthMax / 4));
  }

  /** @throws {SwitchgearError} `queue-full` */
  #makeRoom(parts: OpenParts): void {
    if (this.#isFull && !this.#evictFor(parts)) {
      const { open: table } = this.#runtime;
      throw this.#queueFull(`${table.waiting + table.unwritten + this.#entering.size} requests are waiting already`);
    }
  }

  /** When memory is full, whoever would be served last gives way, unless somebody waits for it. */
  #evictFor({ key }: OpenParts): boolean {
    const { open: table, config } = this.#runtime;
    // Those given up stay in memory until the store has written it, so their number is bounded too.
    const evicted = table.unwritten < config().service.queueDepthMax ? table.evict(key) : undefined;
    evicted?.stop('evicted');
    return evicted !== undefined;
  }

  #queueFull(reason: string): SwitchgearError {
    return new SwitchgearError('queue-full', `${reason}; try again later, or raise service.queueDepthMax`, {
      retryAfterMs: queueRetryMs(this.#runtime),
    });
  }

  /** Stores a request and enters it, unless it waits in the store alone. */
  async #store(
    parts: OpenParts,
    options: RequestOptions,
    place: 'memory' | 'store',
  ): Promise<Exclude<InsertResult, { kind: 'inserted' }> | { kind: 'inserted'; open: OpenRequest | undefined }> {
    const { steadyWallMs, config } = this.#runtime;
    const recovery = options.recovery ?? config().service.recovery;
    const record = recordOf(parts, options, { enqueuedAt: steadyWallMs(), recovery });
    const entering = Promise.withResolvers<void>();
    if (place === 'memory') this.#entering.set(parts.requestId, entering.promise);
    try {
      const inserted = await this.#insert(record, place);
      if (inserted.kind !== 'inserted') return inserted;
      return { kind: 'inserted', open: place === 'memory' ? this.#enterStored(parts) : this.#noteParked(parts) };
    } finally {
      this.#entering.delete(parts.requestId);
      entering.resolve();
      // One that was known, or failed, leaves its room to whoever waits in the store.
      this.#runtime.feed();
    }
  }

  /** An insertion that failed may have had its effect all the same; then the request is ours. */
  async #insert(record: RequestRecord, place: 'memory' | 'store'): Promise<InsertResult> {
    const { store, clock } = this.#runtime;
    try {
      return await askStore(clock, store.insert(record, place));
    } catch (error) {
      const loaded = await askStore(clock, store.load(record.requestId)).catch(() => undefined);
      if (loaded?.kind === 'found') return { kind: 'inserted' };
      throw error;
    }
  }

  /** The service may have begun to drain while the record was written; what becomes of it then has to be written all the same. */
  #enterStored(parts: OpenParts, record?: RequestRecord): OpenRequest {
    const open = this.#enter(parts, record);
    if (this.#runtime.service.isDraining) open.stop('shutdown');
    return open;
  }

  #noteParked({ requestId, request, priority, mode }: OpenParts): undefined {
    this.#runtime.announce('request.admitted', { requestId, model: request.model, priority, mode });
  }

  /** The request that an idempotency key stands for. */
  async #join(requestId: RequestId): Promise<Admitted> {
    const { store, open: table, clock } = this.#runtime;
    // Whether it is stored for good is not known before its insertion has ended.
    await this.#entering.get(requestId);
    if (table.find(requestId) !== undefined) return { kind: 'known', requestId };
    const loaded = await askStore(clock, store.load(requestId));
    const isOrphan = loaded.kind === 'found' && loaded.record.settlement === undefined && !loaded.isParked;
    if (!isOrphan || this.#isHere(requestId)) return { kind: 'known', requestId };
    // Its insertion took effect without anybody hearing of it: whoever asks again is the first to be promised it.
    const [open] = await this.takeIn([loaded.record]);
    if (open === undefined) return { kind: 'known', requestId };
    const { request, priority } = loaded.record;
    this.#runtime.announce('request.admitted', { requestId, model: request.model, priority, mode: open.init.mode });
    return { kind: 'new', open };
  }

  #isHere(requestId: RequestId): boolean {
    return this.#runtime.open.find(requestId) !== undefined || this.#entering.has(requestId);
  }
}
