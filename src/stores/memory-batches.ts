/**
 * Batches in memory, beside the request records of `MemoryStore`: bounded, gone with the process. The requests of all batches
 * together have a bound of their own, so that they leave room for others; those that finished first make room.
 */
import type {
  BatchId,
  BatchInsertResult,
  BatchLoadResult,
  BatchRecord,
  BatchRow,
  BatchStore,
  EnteredCounts,
  Page,
  WaitingLines,
} from '../contract/batches.ts';
import type { Clock } from '../contract/clock.ts';
import type { RequestRecord } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import { pageOf } from './page.ts';

const LINES_MAX = 90_000;

/** What the store of request records does for the batches beside it. */
export interface LineRecords {
  /** Requests of a batch, by line. */
  linesOf(batchId: BatchId): readonly RequestId[];
  peek(requestId: RequestId): RequestRecord | undefined;
  insertEnded(record: RequestRecord): void;
  /** Results of a batch expire now. */
  expireLines(batchId: BatchId): void;
}

export interface MemoryBatchesOptions {
  readonly clock: Clock;
  readonly resultTtlMs: number;
  readonly records: LineRecords;
  /** Of all batches together. Default 90,000. */
  readonly linesMax?: number;
}

interface Kept {
  readonly batch: BatchRecord;
  /** Monotonic ms; undefined while it has not finished. */
  readonly expiresAtMs: number | undefined;
}

export class MemoryBatches implements BatchStore {
  readonly #options: MemoryBatchesOptions;
  /** Oldest first. */
  readonly #batches = new Map<BatchId, Kept>();
  readonly #waiting = new Map<BatchId, Map<number, WaitingLines>>();
  readonly #keys = new Map<string, BatchId>();
  /** Expired ids with the monotonic moment they are forgotten. */
  readonly #expired = new Map<BatchId, number>();

  constructor(options: MemoryBatchesOptions) {
    this.#options = options;
  }

  async appendLines(batchId: BatchId, lines: WaitingLines): Promise<void> {
    const waiting = this.#waiting.get(batchId) ?? new Map<number, WaitingLines>();
    if (!waiting.has(lines.first)) waiting.set(lines.first, lines);
    this.#waiting.set(batchId, waiting);
  }

  async dropLines(batchId: BatchId): Promise<void> {
    if (!this.#batches.has(batchId)) this.#waiting.delete(batchId);
  }

  async create(batch: BatchRecord): Promise<BatchInsertResult> {
    this.#expire();
    const key = keyOf(batch.tenant, batch.idempotencyKey);
    const known = key === undefined ? undefined : this.#batches.get(this.#keys.get(key) ?? '')?.batch;
    if (known !== undefined)
      return { kind: known.requestHash === batch.requestHash ? 'known' : 'conflict', batchId: known.batchId };
    if (!this.#makeRoom(batch.total)) return { kind: 'full' };
    this.#batches.set(batch.batchId, { batch, expiresAtMs: this.#expiryOf(batch) });
    if (key !== undefined) this.#keys.set(key, batch.batchId);
    return { kind: 'inserted' };
  }

  async load(batchId: BatchId): Promise<BatchLoadResult> {
    this.#expire();
    const kept = this.#batches.get(batchId);
    if (kept !== undefined) return { kind: 'found', batch: kept.batch };
    return this.#expired.has(batchId) ? { kind: 'expired' } : { kind: 'unknown' };
  }

  async findByKey(tenant: string, idempotencyKey: string): Promise<BatchRecord | undefined> {
    this.#expire();
    return this.#batches.get(this.#keys.get(keyOf(tenant, idempotencyKey) ?? '') ?? '')?.batch;
  }

  async list(page: Page): Promise<readonly BatchRecord[]> {
    this.#expire();
    const newest = [...this.#batches.values()].map(({ batch }) => batch).toReversed();
    return pageOf(newest, ({ batchId }) => batchId, page);
  }

  async recover(): Promise<readonly BatchRecord[]> {
    return [];
  }

  async readLines(batchId: BatchId, index: number): Promise<WaitingLines | undefined> {
    const groups = [...(this.#waiting.get(batchId)?.values() ?? [])];
    return groups.find(({ first, lines }) => first <= index && index < first + lines.length);
  }

  async enter(
    batchId: BatchId,
    { from, to }: { readonly from: number; readonly to: number },
    records: readonly RequestRecord[],
  ): Promise<boolean> {
    const kept = this.#batches.get(batchId);
    if (kept === undefined || kept.batch.entered !== from) return false;
    this.#batches.set(batchId, { ...kept, batch: { ...kept.batch, entered: to } });
    for (const record of records) this.#options.records.insertEnded(record);
    const waiting = this.#waiting.get(batchId);
    for (const { first, lines } of waiting?.values() ?? []) if (first + lines.length <= to) waiting?.delete(first);
    return true;
  }

  async counts(batchId: BatchId): Promise<EnteredCounts> {
    const counts = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
    const { records } = this.#options;
    for (const requestId of records.linesOf(batchId)) {
      const status = records.peek(requestId)?.status;
      if (status !== undefined) counts[status] += 1;
    }
    return counts;
  }

  async rows(batchId: BatchId, from: number, max: number): Promise<readonly BatchRow[]> {
    const { records } = this.#options;
    const requestIds = records.linesOf(batchId).slice(from, from + max);
    return requestIds.flatMap((requestId) => {
      const record = records.peek(requestId);
      return record === undefined ? [] : rowOf(record);
    });
  }

  async listUnsettled(batchId: BatchId, max: number): Promise<readonly RequestId[]> {
    return this.#recordsOf(batchId)
      .filter(({ settlement }) => settlement === undefined)
      .slice(0, max)
      .map(({ requestId }) => requestId);
  }

  async cancel(batchId: BatchId, cancelledAt: number): Promise<boolean> {
    return this.#change(batchId, (batch) =>
      batch.finishedAt === undefined && batch.cancelledAt === undefined ? { ...batch, cancelledAt } : undefined,
    );
  }

  async finish(batchId: BatchId, finishedAt: number): Promise<boolean> {
    return this.#change(batchId, (batch) => (batch.finishedAt === undefined ? { ...batch, finishedAt } : undefined));
  }

  #change(batchId: BatchId, change: (batch: BatchRecord) => BatchRecord | undefined): boolean {
    const kept = this.#batches.get(batchId);
    const batch = kept === undefined ? undefined : change(kept.batch);
    if (batch === undefined) return false;
    this.#batches.set(batchId, { batch, expiresAtMs: this.#expiryOf(batch) });
    return true;
  }

  #expiryOf({ finishedAt }: BatchRecord): number | undefined {
    const { clock, resultTtlMs } = this.#options;
    return finishedAt === undefined ? undefined : clock.nowMs() + resultTtlMs;
  }

  #recordsOf(batchId: BatchId): readonly RequestRecord[] {
    const { records } = this.#options;
    return records.linesOf(batchId).flatMap((requestId) => records.peek(requestId) ?? []);
  }

  #makeRoom(lines: number): boolean {
    const max = this.#options.linesMax ?? LINES_MAX;
    let kept = lines;
    for (const { batch } of this.#batches.values()) kept += batch.total;
    for (const [batchId, { batch, expiresAtMs }] of this.#batches) {
      if (kept <= max) break;
      if (expiresAtMs === undefined) continue;
      kept -= batch.total;
      this.#forget(batchId, this.#options.clock.nowMs());
    }
    return kept <= max;
  }

  #expire(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const [batchId, { expiresAtMs }] of this.#batches)
      if (expiresAtMs !== undefined && expiresAtMs <= nowMs) this.#forget(batchId, expiresAtMs);
    for (const [batchId, forgottenAtMs] of this.#expired) if (forgottenAtMs <= nowMs) this.#expired.delete(batchId);
  }

  #forget(batchId: BatchId, expiredAtMs: number): void {
    const batch = this.#batches.get(batchId)?.batch;
    const key = batch === undefined ? undefined : keyOf(batch.tenant, batch.idempotencyKey);
    if (key !== undefined) this.#keys.delete(key);
    this.#batches.delete(batchId);
    this.#waiting.delete(batchId);
    this.#expired.set(batchId, expiredAtMs + this.#options.resultTtlMs);
    this.#options.records.expireLines(batchId);
  }
}

function rowOf(record: RequestRecord): readonly BatchRow[] {
  const { batch, requestId, status, settlement } = record;
  return batch === undefined ? [] : [{ ...batch, requestId, status, ...(settlement !== undefined && { settlement }) }];
}

function keyOf(tenant: string, idempotencyKey: string | undefined): string | undefined {
  return idempotencyKey === undefined ? undefined : JSON.stringify([tenant, idempotencyKey]);
}
