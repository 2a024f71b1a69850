/**
 * A request on its way: what was asked, how long it may take, what was tried, and the promise of its settlement. It lives in
 * the table of open requests from admission to settlement and is shared by path, stream, `getResult` and `cancel`.
 */
import type { Clock, TimerHandle } from '../contract/clock.ts';
import type { SwitchgearError } from '../contract/errors.ts';
import type { BatchLine, Claim, Settlement } from '../contract/records.ts';
import type { Delivery, ParsedRequest, Priority } from '../contract/request.ts';
import type { AttemptReport, RequestId } from '../contract/response.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { QueueKey } from '../policy/order.ts';
import { estimateInputTokens } from './estimate.ts';
import { PartHistory } from './part-history.ts';
import type { PartSink } from './part-sink.ts';
import { sleep } from './sleep.ts';

/** Why the work of a request is being stopped. */
export type StopReason = 'deadline' | 'caller-left' | 'cancelled' | 'evicted' | 'shutdown' | 'superseded';

export interface OpenRequestInit {
  readonly requestId: RequestId;
  readonly mode: 'sync' | 'async' | 'stream';
  readonly request: ParsedRequest;
  readonly candidates: readonly Candidate[];
  readonly priority: Priority;
  readonly tenant: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly delivery: Delivery;
  readonly timeoutMs: number;
  readonly isStored: boolean;
  /** Which line of which batch it is. */
  readonly batch: BatchLine | undefined;
  /** Of its record, when it is stored. */
  readonly fence: number;
  /** Monotonic ms: its place in line and its deadline count from here. */
  readonly enqueuedAtMs: number;
  /** Epoch ms. */
  readonly createdAt: number;
  readonly key: QueueKey;
  readonly sink: PartSink | undefined;
  /** Why it cannot be served, although it was accepted once. */
  readonly refusal?: SwitchgearError | undefined;
}

export class OpenRequest {
  readonly init: OpenRequestInit;
  readonly deadlineAtMs: number;
  readonly attempts: AttemptReport[] = [];
  /** For whoever reads along. */
  readonly history = new PartHistory();
  status: 'queued' | 'running' = 'queued';
  /** Who is being asked now, or was asked last. */
  asked: Pick<Candidate, 'provider' | 'model'> | undefined;
  /** Its record waits in the store again, and how it ended here is not how it ends. */
  isReleased = false;
  /** How it ended could not be written, and its record outlives this process: nobody is told an end. */
  isDisowned = false;
  /** Its record may say that it runs, also when it does not: what is not sent must not be taken for sent. */
  isRecordedAsRunning = false;
  /** An attempt could not be recorded when it ended: it has to be before another one is, or whoever takes the request in. */
  isBehind = false;
  /** Time spent in attempts, ms; the rest of the request's age was spent waiting. */
  attemptingMs = 0;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #settled = Promise.withResolvers<Settlement>();
  readonly #lookers = new Set<() => void>();
  #timer: TimerHandle | undefined;
  #settlement: Settlement | undefined;
  #error: SwitchgearError | undefined;
  #detachCaller: (() => void) | undefined;
  #inputTokens: number | undefined;

  constructor(init: OpenRequestInit, clock: Clock) {
    this.init = init;
    this.#clock = clock;
    this.deadlineAtMs = init.enqueuedAtMs + init.timeoutMs;
    this.#timer = clock.setTimeout(
      () => {
        this.stop('deadline');
      },
      Math.max(0, this.remainingMs),
    );
  }

  get requestId(): RequestId {
    return this.init.requestId;
  }

  /** When it was admitted, monotonic ms. */
  get admittedAtMs(): number {
    return this.init.enqueuedAtMs;
  }

  /** About how many tokens the input has. Counting takes longer than everything else that a submission waits for. */
  get inputTokens(): number {
    this.#inputTokens ??= estimateInputTokens(this.init.request);
    return this.#inputTokens;
  }

  /** The right to write its record. */
  get claim(): Claim {
    return { requestId: this.requestId, fence: this.init.fence };
  }

  get remainingMs(): number {
    return this.deadlineAtMs - this.#clock.nowMs();
  }

  /** Aborts when the work has to stop; its reason is a `StopReason`. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  get stopReason(): StopReason | undefined {
    // Only `stop` aborts this controller.
    return this.signal.aborted ? (this.signal.reason as StopReason) : undefined;
  }

  get settlement(): Settlement | undefined {
    return this.#settlement;
  }

  /** The error it ended with, its cause included. */
  get error(): SwitchgearError | undefined {
    return this.#error;
  }

  /** Resolves with the settlement; never rejects. */
  get settled(): Promise<Settlement> {
    return this.#settled.promise;
  }

  stop(reason: StopReason): void {
    if (!this.signal.aborted) this.#stopping.abort(reason);
  }

  /** Stops the work when the caller of a sync request leaves (R8). */
  followCaller(signal: AbortSignal): void {
    const leave = () => {
      this.stop('caller-left');
    };
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    this.#detachCaller = () => {
      signal.removeEventListener('abort', leave);
    };
  }

  /** The first settlement wins (R1); false for any later one. */
  settle(settlement: Settlement, error: SwitchgearError | undefined): boolean {
    if (this.#settlement !== undefined) return false;
    this.#settlement = settlement;
    this.#error = error;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#detachCaller?.();
    return true;
  }

  /** Nobody has been told the first one yet, and nobody will be: it could not be written. */
  replaceEnding(settlement: Settlement, error: SwitchgearError | undefined): void {
    this.#settlement = settlement;
    this.#error = error;
  }

  /** Wakes everybody who waits, after the settlement was written. */
  wake(): void {
    if (this.#settlement === undefined) return;
    this.#settled.resolve(this.#settlement);
    this.history.close();
    for (const wake of this.#lookers) wake();
  }

  /** Waits for `settled`, at most `waitMs`; leaves nothing behind, however often somebody looks. */
  async waitSettled(waitMs: number, signal?: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = () => {
      woken.abort();
    };
    if (signal?.aborted === true) wake();
    signal?.addEventListener('abort', wake, { once: true });
    this.#lookers.add(wake);
    await sleep(this.#clock, waitMs, woken.signal);
    this.#lookers.delete(wake);
    signal?.removeEventListener('abort', wake);
  }
}
