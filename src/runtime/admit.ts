/**
 * The door: parses what a caller asks for, resolves its model, refuses what cannot be served or remembered, and gives the
 * rest a requestId and a place in the table of open requests. Nothing is sent from here.
 */
import { createHash } from 'node:crypto';
import { SwitchgearError } from '../contract/errors.ts';
import type { InsertResult, RequestRecord } from '../contract/records.ts';
import type { ParsedRequest, RequestOptions } from '../contract/request.ts';
import type { RequestId } from '../contract/response.ts';
import { queueKey } from '../policy/order.ts';
import { type Candidate, resolveCandidates } from '../policy/resolve.ts';
import { estimateInputTokens } from './estimate.ts';
import { OpenRequest } from './open-request.ts';
import { PartSink } from './part-sink.ts';
import type { Runtime } from './runtime.ts';

const TENANT_DEFAULT = 'default';
const QUEUE_FULL_RETRY_MS = 1_000;
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

export class Door {
  readonly #runtime: Runtime;
  readonly #nextId: () => string;
  #sequence = 0;
  /** Prepared, and waiting for their record to be stored: they have a place in the queue already. */
  #entering = 0;

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
        return { kind: 'new', open: this.#enterStored(open) };
      case 'known':
        open.discard();
        return { kind: 'known', requestId: inserted.requestId };
      case 'conflict':
        open.discard();
        throw new SwitchgearError(
          'idempotency-conflict',
          'the idempotency key was used for another request; use a new key, or send the same request',
          {
            requestId: inserted.requestId,
          },
        );
      case 'full':
        open.discard();
        throw queueFull('the request store is full');
    }
  }

  /** Everything up to the record, synchronously. @throws {SwitchgearError} as `admit` */
  prepare({ mode, request, options }: AdmitRequest): OpenRequest {
    const { clock, service } = this.#runtime;
    if (service.isDraining)
      throw new SwitchgearError(
        'shutting-down',
        'the service is shutting down; send the request to another instance, or again later',
      );
    const candidates = this.resolve(request.model, options.fallbacks);
    const config = this.#runtime.config().service;
    this.#checkDepth(config.queueDepthMax);
    const priority = options.priority ?? 'normal';
    const init = {
      requestId: this.#nextId(),
      mode,
      request,
      candidates,
      priority,
      tenant: options.tenant ?? TENANT_DEFAULT,
      tags: options.tags ?? {},
      delivery: options.delivery ?? config.delivery,
      timeoutMs: options.timeoutMs ?? (mode === 'async' ? config.asyncTimeoutMs : config.timeoutMs),
      inputTokens: estimateInputTokens(request),
      isStored: mode === 'async' || options.idempotencyKey !== undefined,
      key: queueKey(priority, clock.nowMs(), this.#sequence++),
      sink: mode === 'stream' ? new PartSink() : undefined,
    };
    return new OpenRequest(init, clock);
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

  #checkDepth(depthMax: number): void {
    const waiting = this.#runtime.open.waiting + this.#entering;
    if (waiting >= depthMax) throw queueFull(`${waiting} requests are waiting already`);
  }

  /** The service may have begun to drain while the record was written; the record then has to be settled all the same. */
  #enterStored(open: OpenRequest): OpenRequest {
    this.enter(open);
    if (this.#runtime.service.isDraining) open.stop('shutdown');
    return open;
  }

  async #store(open: OpenRequest, options: RequestOptions): Promise<InsertResult> {
    this.#entering += 1;
    try {
      return await this.#insert(open, options);
    } finally {
      this.#entering -= 1;
    }
  }

  #insert(open: OpenRequest, options: RequestOptions): Promise<InsertResult> {
    const { init } = open;
    const record: RequestRecord = {
      requestId: open.requestId,
      tenant: init.tenant,
      idempotencyKey: options.idempotencyKey,
      requestHash: hashRequest(init.request, options.fallbacks),
      request: init.request,
      fallbacks: options.fallbacks,
      priority: init.priority,
      tags: init.tags,
      createdAt: open.createdAt,
      timeoutMs: init.timeoutMs,
      status: 'queued',
      attempts: [],
    };
    return this.#runtime.store.insert(record).catch((error: unknown) => {
      open.discard();
      throw error;
    });
  }
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
