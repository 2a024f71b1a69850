/**
 * Request records in memory: bounded, gone with the process. Settled records stay readable for `resultTtlMs`; after that
 * their ids are remembered as expired for as long again, so that 410 can be told from 404.
 */
import type { BatchId } from '../contract/batches.ts';
import type { Clock } from '../contract/clock.ts';
import {
  type Claim,
  FIRST_FENCE,
  type InsertResult,
  type LoadResult,
  type Recovered,
  type RequestRecord,
  type RequestStore,
  type Settlement,
} from '../contract/records.ts';
import type { AttemptReport, RequestId } from '../contract/response.ts';
import type { LineRecords } from './memory-batches.ts';
import type { MemoryOutbox } from './memory-outbox.ts';

const RECORDS_MAX = 100_000;

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly resultTtlMs: number;
  /** Where settlements are noted for delivery, when they are. */
  readonly outbox?: MemoryOutbox;
  /** Default 100,000. Settled records make room for new ones, oldest first; open ones never do. */
  readonly recordsMax?: number;
}

export class MemoryStore implements RequestStore, LineRecords {
  readonly isDurable = false;
  /** Whatever is kept here is in memory anyway. */
  readonly parked = 0;
  readonly #options: MemoryStoreOptions;
  readonly #records = new Map<RequestId, RequestRecord>();
  /** Of open records. */
  readonly #fences = new Map<RequestId, number>();
  /** Settled ids in the order they were settled, with the monotonic moment they expire. */
  readonly #settled = new Map<RequestId, number>();
  /** Expired ids with the monotonic moment they are forgotten. */
  readonly #expired = new Map<RequestId, number>();
  readonly #keys = new Map<string, RequestId>();
  /** Requests of batches, by line. */
  readonly #lines = new Map<BatchId, RequestId[]>();

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
  }

  async recover(): Promise<Recovered> {
    return { queued: 0, requeued: [], interrupted: [] };
  }

  async insert(record: RequestRecord): Promise<InsertResult> {
    this.#expire();
    const key = idempotencyKeyOf(record);
    const known = key === undefined ? undefined : this.#records.get(this.#keys.get(key) ?? '');
    if (known !== undefined)
      return { kind: known.requestHash === record.requestHash ? 'known' : 'conflict', requestId: known.requestId };
    if (this.#records.size >= this.#recordsMax && !this.#makeRoom()) return { kind: 'full' };
    this.#keep(record);
    this.#fences.set(record.requestId, FIRST_FENCE);
    if (key !== undefined) this.#keys.set(key, record.requestId);
    return { kind: 'inserted' };
  }

  async load(requestId: RequestId): Promise<LoadResult> {
    this.#expire();
    const record = this.#records.get(requestId);
    if (record !== undefined) return { kind: 'found', record, isParked: false };
    return this.#expired.has(requestId) ? { kind: 'expired' } : { kind: 'unknown' };
  }

  async listParked(): Promise<readonly RequestRecord[]> {
    return [];
  }

  async listOverdue(): Promise<readonly RequestRecord[]> {
    return [];
  }

  async claim(requestIds: readonly RequestId[]): Promise<readonly Claim[]> {
    return requestIds.flatMap((requestId) => {
      const known = this.#fences.get(requestId);
      if (known === undefined) return [];
      this.#fences.set(requestId, known + 1);
      return [{ requestId, fence: known + 1 }];
    });
  }

  async park(): Promise<boolean> {
    return false;
  }

  async markRunning(claim: Claim): Promise<boolean> {
    return this.#change(claim, (record) => ({ ...record, status: 'running' }));
  }

  async markQueued(claim: Claim): Promise<boolean> {
    return this.#change(claim, (record) => ({ ...record, status: 'queued' }));
  }

  async addAttempt(claim: Claim, number: number, attempt: AttemptReport): Promise<boolean> {
    return this.#change(claim, (record) =>
      number <= record.attempts.length ? record : { ...record, attempts: [...record.attempts, attempt] },
    );
  }

  async settle(claim: Claim, settlement: Settlement, settledAt: number): Promise<boolean> {
    const { requestId } = claim;
    const isChanged = this.#change(claim, (record) => ({
      ...record,
      status: settlement.status,
      settlement,
      settledAt,
    }));
    if (!isChanged) return false;
    this.#fences.delete(requestId);
    // The lines of a batch expire with it, and end by the thousand: whoever waits for them waits for the batch.
    if (this.#records.get(requestId)?.batch !== undefined) return true;
    this.#settled.set(requestId, this.#options.clock.nowMs() + this.#options.resultTtlMs);
    this.#options.outbox?.add(requestId, settlement, settledAt);
    return true;
  }

  async settleParked(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    this.#records.clear();
    this.#fences.clear();
    this.#settled.clear();
    this.#expired.clear();
    this.#keys.clear();
    this.#lines.clear();
  }

  linesOf(batchId: BatchId): readonly RequestId[] {
    return this.#lines.get(batchId) ?? [];
  }

  peek(requestId: RequestId): RequestRecord | undefined {
    return this.#records.get(requestId);
  }

  insertEnded(record: RequestRecord): void {
    this.#keep(record);
  }

  expireLines(batchId: BatchId): void {
    const nowMs = this.#options.clock.nowMs();
    for (const requestId of this.linesOf(batchId)) this.#forgetResult(requestId, nowMs);
    this.#lines.delete(batchId);
  }

  #keep(record: RequestRecord): void {
    const { requestId, batch } = record;
    this.#records.set(requestId, record);
    if (batch === undefined) return;
    const lines = this.#lines.get(batch.batchId) ?? [];
    lines[batch.index] = requestId;
    this.#lines.set(batch.batchId, lines);
  }

  get #recordsMax(): number {
    return this.#options.recordsMax ?? RECORDS_MAX;
  }

  /** False for an unknown record, one that has ended, and an old claim. */
  #change({ requestId, fence }: Claim, change: (record: RequestRecord) => RequestRecord): boolean {
    const record = this.#records.get(requestId);
    if (record === undefined || this.#fences.get(requestId) !== fence) return false;
    this.#records.set(requestId, change(record));
    return true;
  }

  /** Both maps are in order of expiry, so that only what is due is looked at. */
  #expire(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const [requestId, expiresAtMs] of this.#settled) {
      if (expiresAtMs > nowMs) break;
      this.#forgetResult(requestId, expiresAtMs);
    }
    for (const [requestId, forgottenAtMs] of this.#expired) {
      if (forgottenAtMs > nowMs) break;
      this.#expired.delete(requestId);
    }
  }

  #makeRoom(): boolean {
    const [oldest] = this.#settled;
    if (oldest === undefined) return false;
    this.#forgetResult(...oldest);
    return true;
  }

  /** How long its id is remembered depends on when the result expires, not on when somebody looks. */
  #forgetResult(requestId: RequestId, expiresAtMs: number): void {
    const record = this.#records.get(requestId);
    this.#records.delete(requestId);
    this.#settled.delete(requestId);
    this.#options.outbox?.expire(requestId);
    const key = record === undefined ? undefined : idempotencyKeyOf(record);
    if (key !== undefined && this.#keys.get(key) === requestId) this.#keys.delete(key);
    this.#expired.set(requestId, expiresAtMs + this.#options.resultTtlMs);
    const [oldest] = this.#expired.keys();
    if (this.#expired.size > this.#recordsMax && oldest !== undefined) this.#expired.delete(oldest);
  }
}

function idempotencyKeyOf(record: RequestRecord): string | undefined {
  return record.idempotencyKey === undefined ? undefined : JSON.stringify([record.tenant, record.idempotencyKey]);
}
