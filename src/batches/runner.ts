/**
 * Carries one batch from its record to its end: enters lines as far as there is room, ends what is left when the batch is
 * cancelled or its time is over, and writes when it has finished. It decides by what the store counts; what it is told
 * meanwhile only says when to look. So a process that ends at any point leaves a batch that the next one goes on with.
 */
import type { BatchCounts, BatchRecord, EnteredCounts } from '../contract/batches.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { LATELY_MS, linesAheadMax } from '../policy/batch-pace.ts';
import { askStore } from '../runtime/ask-store.ts';
import { sleep } from '../runtime/sleep.ts';
import { countsOf, settledOf, stateOf } from './counts.ts';
import { Entrance } from './entrance.ts';
import { deadlineOf } from './line-records.ts';
import type { BatchParts } from './parts.ts';
import { RecentCount } from './recent-count.ts';
import { Watch } from './watch.ts';

/** How often the store is counted although nobody told of anything. */
const LOOK_MS = 5_000;
/** How often it is counted while somebody watches. */
const PROGRESS_MS = 250;
/** How soon a queue that was full is tried again. */
const QUEUE_RETRY_MS = 1_000;
/** In memory a batch leaves this share of the queue to others. */
const QUEUE_SHARE = 0.5;
/** Requests that are cancelled in one go. */
const CANCELLED_MAX = 100;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 30_000;

const NOTHING: EnteredCounts = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };

export class BatchRunner {
  readonly #parts: BatchParts;
  readonly #entrance: Entrance;
  readonly #watches = new Set<Watch>();
  readonly #listeners = new Set<(counts: BatchCounts) => void>();
  readonly #lately = new RecentCount(LATELY_MS);
  #batch: BatchRecord;
  #inStore = NOTHING;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  /** Ends that were told since the store was counted. */
  #told = 0;
  /** How many more ends the store has counted than anybody told of, and at the count before. */
  #untold = 0;
  /** The queue took no line although there was room for some. */
  #isHeldUp = false;
  /** The last step failed. */
  #isInDoubt = false;
  #wake = new AbortController();
  /** Why nothing more is told. */
  #over: Error | undefined;

  constructor(parts: BatchParts, batch: BatchRecord) {
    this.#parts = parts;
    this.#batch = batch;
    this.#entrance = new Entrance(parts, (index) => {
      this.lineEnded(index);
    });
  }

  get counts(): BatchCounts {
    return countsOf(this.#batch, this.#inStore);
  }

  /** Runs until the batch has finished or the service ends. Never rejects. */
  async run(): Promise<void> {
    const { ending } = this.#parts;
    const stop = () => {
      this.#wake.abort();
    };
    ending.addEventListener('abort', stop);
    let failures = 0;
    while (!ending.aborted) {
      const stepped = await this.#tryStep(failures);
      if (stepped === 'finished') break;
      failures = stepped === 'failed' ? failures + 1 : 0;
    }
    ending.removeEventListener('abort', stop);
    this.#endWatches(this.#stoppedError());
  }

  /** One step and the wait after it. */
  async #tryStep(failures: number): Promise<'finished' | 'goes-on' | 'failed'> {
    const { clock, ending, announce } = this.#parts;
    try {
      if (await this.#step()) return 'finished';
      await this.#waitForNews();
      return 'goes-on';
    } catch (error) {
      this.#isInDoubt = true;
      announce('store.failed', { operation: `batch ${this.#batch.batchId}`, message: String(error) });
      await sleep(clock, Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(failures, 10)), ending);
      return 'failed';
    }
  }

  /** A request of the batch has ended. */
  lineEnded(index: number): void {
    this.#told += 1;
    this.#lately.add(1, this.#parts.clock.nowMs());
    for (const watch of this.#watches) watch.lineEnded(index);
    this.#wake.abort();
  }

  /** The batch was cancelled, and that is written. */
  cancelled(batch: BatchRecord): void {
    this.#batch = { ...this.#batch, ...(batch.cancelledAt !== undefined && { cancelledAt: batch.cancelledAt }) };
    this.#wake.abort();
  }

  watch(): Watch {
    const watch = new Watch();
    if (this.#over === undefined) this.#watches.add(watch);
    else watch.end(this.#over);
    return watch;
  }

  unwatch(watch: Watch): void {
    this.#watches.delete(watch);
  }

  /** Tells the counts whenever they have changed. */
  listen(listener: (counts: BatchCounts) => void): void {
    this.#listeners.add(listener);
    this.#wake.abort();
  }

  /** True when the batch has finished. */
  async #step(): Promise<boolean> {
    this.#wake = new AbortController();
    if (this.#isInDoubt) await this.#reload();
    if (this.#isCountDue()) await this.#count();
    if (this.#batch.cancelledAt !== undefined) await this.#cancelUnsettled();
    await this.#enter();
    if (this.#batch.entered < this.#batch.total || this.#settled < this.#batch.total) return false;
    // What was told may be wrong; what is stored decides.
    await this.#count();
    return settledOf(this.#inStore) === this.#batch.total && this.#finish();
  }

  /** What failed may have had its effect all the same: the store knows how far the batch is. */
  async #reload(): Promise<void> {
    const { batches, clock } = this.#parts;
    const { batchId } = this.#batch;
    const loaded = await askStore(clock, batches.load(batchId));
    if (loaded.kind !== 'found')
      throw new SwitchgearError('store-unavailable', `the store does not know batch ${batchId} any more`);
    this.#batch = loaded.batch;
    this.#isInDoubt = false;
    if (this.#parts.isDurable) this.#parts.feed();
  }

  /** How many have ended, as far as is known. */
  get #settled(): number {
    return settledOf(this.#inStore) + this.#told;
  }

  #isCountDue(): boolean {
    const ageMs = this.#parts.clock.nowMs() - this.#countedAtMs;
    return ageMs >= LOOK_MS || (this.#told > 0 && ageMs >= PROGRESS_MS);
  }

  async #count(): Promise<void> {
    const { clock, batches } = this.#parts;
    const before = this.counts;
    const expected = this.#settled;
    const isFirst = this.#countedAtMs === Number.NEGATIVE_INFINITY;
    this.#told = 0;
    this.#inStore = await askStore(clock, batches.counts(this.#batch.batchId));
    this.#countedAtMs = clock.nowMs();
    if (JSON.stringify(before) !== JSON.stringify(this.counts)) this.#tell(this.counts);
    this.#notice(settledOf(this.#inStore) - expected, isFirst);
  }

  /** An end may be counted a moment before it is told; only what stays untold was missed. */
  #notice(surplus: number, isFirst: boolean): void {
    const untold = Math.max(0, this.#untold + surplus);
    const isMissed = this.#untold > 0 && untold > 0;
    // What had ended before this process began is nobody's news.
    this.#untold = isMissed || isFirst ? 0 : untold;
    if (isMissed) for (const watch of this.#watches) watch.missed();
  }

  #tell(counts: BatchCounts): void {
    for (const listener of this.#listeners) {
      try {
        listener(counts);
      } catch (error) {
        this.#parts.announce('listener.failed', { event: 'onProgress', message: String(error) });
      }
    }
  }

  /** Enters lines until there is no room, or none is left. */
  async #enter(): Promise<void> {
    const { clock, steadyWallMs, isDraining } = this.#parts;
    while (this.#batch.entered < this.#batch.total && !isDraining()) {
      const { entered } = this.#batch;
      const end = this.#endOfRest(steadyWallMs());
      const room = this.#room(linesAheadMax(this.#lately.total(clock.nowMs())));
      if (end === undefined && room === 0) return;
      const now =
        end === undefined
          ? await this.#entrance.enterSome(this.#batch, room)
          : await this.#entrance.endSome(this.#batch, end);
      // It may have been cancelled meanwhile, which must not be forgotten.
      this.#batch = { ...this.#batch, entered: now };
      this.#isHeldUp = now === entered;
      if (now === entered) return;
    }
  }

  /** How many lines may come in now: none, or enough to be worth a write. */
  #room(aheadMax: number): number {
    const { isDurable, config } = this.#parts;
    const share = isDurable ? aheadMax : Math.max(1, Math.floor(config().service.queueDepthMax * QUEUE_SHARE));
    const max = Math.min(aheadMax, share);
    const room = max - (this.#batch.entered - this.#settled);
    return room < max / 4 ? 0 : room;
  }

  /** Why lines that were not entered yet are not run any more. */
  #endOfRest(nowMs: number): { readonly code: 'cancelled' | 'timeout'; readonly message: string } | undefined {
    const { cancelledAt, settings } = this.#batch;
    if (cancelledAt !== undefined)
      return { code: 'cancelled', message: 'the batch was cancelled before this request was sent' };
    if (nowMs < deadlineOf(this.#batch)) return undefined;
    const message = `the batch was not done within ${settings.timeoutMs} ms, and this request was not sent; allow more with timeoutMs`;
    return { code: 'timeout', message };
  }

  async #cancelUnsettled(): Promise<void> {
    const { batches, clock, cancelRequest, isDraining } = this.#parts;
    if (isDraining()) return;
    const { batchId } = this.#batch;
    for (let done = 0; done < this.#batch.total; done += CANCELLED_MAX) {
      const requestIds = await askStore(clock, batches.listUnsettled(batchId, CANCELLED_MAX));
      if (requestIds.length === 0) return;
      await Promise.all(requestIds.map((requestId) => cancelRequest(requestId)));
      await this.#count();
    }
  }

  async #finish(): Promise<boolean> {
    const { batches, clock, steadyWallMs, announce } = this.#parts;
    const finishedAt = steadyWallMs();
    const { batchId } = this.#batch;
    const isFinished = await askStore(clock, batches.finish(batchId, finishedAt));
    this.#batch = { ...this.#batch, finishedAt };
    const { status, counts } = stateOf(this.#batch, this.#inStore);
    if (isFinished) announce('batch.finished', { batchId, status, ...counts });
    for (const watch of this.#watches) watch.missed();
    this.#endWatches(new SwitchgearError('request-expired', `the results of batch ${batchId} are no longer kept`));
    return true;
  }

  /** The first reason counts. */
  #endWatches(reason: Error): void {
    this.#over ??= reason;
    for (const watch of this.#watches) watch.end(reason);
    this.#watches.clear();
  }

  async #waitForNews(): Promise<void> {
    const { clock } = this.#parts;
    const countInMs = this.#countedAtMs + (this.#told > 0 ? PROGRESS_MS : LOOK_MS) - clock.nowMs();
    const waitMs = this.#isHeldUp ? QUEUE_RETRY_MS : Math.max(0, countInMs);
    this.#isHeldUp = false;
    await sleep(clock, waitMs, this.#wake.signal);
  }

  #stoppedError(): SwitchgearError {
    const { batchId } = this.#batch;
    const advice = this.#parts.isDurable
      ? `batch ${batchId} goes on when it starts again: getBatch gives it then`
      : `batch ${batchId} is lost with its memory; store.kind sqlite keeps batches`;
    return new SwitchgearError('shutting-down', `the service has stopped; ${advice}`);
  }
}
