/**
 * A durable request store as one list of what is known of each record, without a file, without SQL and without any index: what
 * the real ones are compared with. `nowMs` is the steady wall clock.
 */
import {
  type Claim,
  FIRST_FENCE,
  type InsertResult,
  type LoadResult,
  type Recovered,
  type RequestRecord,
  type Settlement,
} from '../../src/contract/records.ts';
import type { AttemptReport } from '../../src/contract/response.ts';
import { interruptedError, isRunAgain } from '../../src/policy/recover.ts';

type Target = Pick<AttemptReport, 'provider' | 'model'>;

interface ModelRow {
  record: RequestRecord;
  /** The process that has it in memory; undefined when it is parked or has ended. */
  owner: number | undefined;
  fence: number;
  /** An attempt that was begun and not told of. */
  begun: Target | undefined;
  endedAtMs: number | undefined;
}

export class StoreModel {
  readonly #rows: ModelRow[] = [];
  readonly #ttlMs: number;
  #process = 1;

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  get parked(): number {
    return this.#rows.filter((row) => this.#isParked(row)).length;
  }

  /** From now on another process speaks. */
  restart(): void {
    this.#process += 1;
  }

  recover(nowMs: number): Recovered {
    const left = this.#rows.filter(({ owner }) => owner !== undefined && owner !== this.#process);
    const running = left.filter(({ record }) => record.status === 'running');
    for (const row of running) this.#interrupt(row, nowMs);
    const isEnded = ({ endedAtMs }: ModelRow) => endedAtMs !== undefined;
    for (const row of left.filter((each) => !isEnded(each))) this.#park(row);
    const idsOf = (rows: readonly ModelRow[]) => rows.map(({ record }) => record.requestId);
    const interrupted = idsOf(running.filter(isEnded));
    return { queued: this.parked, requeued: idsOf(running.filter((row) => !isEnded(row))), interrupted };
  }

  insert(record: RequestRecord, place: 'memory' | 'store', nowMs: number): InsertResult {
    const { tenant, idempotencyKey: key, requestHash } = record;
    const known = this.#rows.find(
      (row) =>
        key !== undefined &&
        row.record.tenant === tenant &&
        row.record.idempotencyKey === key &&
        this.#ageOf(row, nowMs) === 'found',
    )?.record;
    if (known !== undefined)
      return { kind: known.requestHash === requestHash ? 'known' : 'conflict', requestId: known.requestId };
    const isClaimed = place === 'memory';
    this.#rows.push({
      record,
      owner: isClaimed ? this.#process : undefined,
      fence: isClaimed ? FIRST_FENCE : 0,
      begun: undefined,
      endedAtMs: undefined,
    });
    return { kind: 'inserted' };
  }

  load(requestId: string, nowMs: number): LoadResult {
    const row = this.#find(requestId);
    if (row === undefined) return { kind: 'unknown' };
    const kind = this.#ageOf(row, nowMs);
    return kind === 'found' ? { kind, record: row.record, isParked: this.#isParked(row) } : { kind };
  }

  /** Which of them can be claimed. */
  claimable(requestIds: readonly string[]): readonly string[] {
    return requestIds.filter((requestId) => {
      const row = this.#find(requestId);
      return row !== undefined && row.endedAtMs === undefined;
    });
  }

  /** The real store has given this claim: its fence is larger than any before, and that is all that is known of it. */
  claimed({ requestId, fence }: Claim): void {
    const row = this.#find(requestId);
    if (row === undefined || fence <= row.fence)
      throw new Error(`expected a larger fence for ${requestId}, got: ${fence}`);
    row.owner = this.#process;
    row.fence = fence;
  }

  /** Ids of parked records whose deadline has passed, in the order of ids. */
  overdue(nowMs: number): readonly string[] {
    const isOver = ({ record }: ModelRow) => record.enqueuedAt + record.timeoutMs <= nowMs;
    const rows = this.#rows.filter((row) => this.#isParked(row) && isOver(row));
    return rows.map(({ record }) => record.requestId).toSorted();
  }

  park(claim: Claim): boolean {
    return this.#write(claim, (row) => {
      this.#park(row);
    });
  }

  markRunning(claim: Claim, target: Target): boolean {
    return this.#write(claim, (row) => {
      row.record = { ...row.record, status: 'running' };
      row.begun = target;
    });
  }

  markQueued(claim: Claim): boolean {
    return this.#write(claim, (row) => {
      row.record = { ...row.record, status: 'queued' };
      row.begun = undefined;
    });
  }

  addAttempt(claim: Claim, number: number, attempt: AttemptReport): boolean {
    return this.#write(claim, (row) => {
      if (number <= row.record.attempts.length) return;
      row.record = { ...row.record, attempts: [...row.record.attempts, attempt] };
      row.begun = undefined;
    });
  }

  settle(claim: Claim, settlement: Settlement, settledAt: number, nowMs: number): boolean {
    return this.#write(claim, (row) => {
      this.#end(row, settlement, settledAt, nowMs);
    });
  }

  settleParked(requestId: string, settlement: Settlement, settledAt: number, nowMs: number): boolean {
    const row = this.#find(requestId);
    if (row === undefined || !this.#isParked(row)) return false;
    this.#end(row, settlement, settledAt, nowMs);
    return true;
  }

  #find(requestId: string): ModelRow | undefined {
    return this.#rows.find(({ record }) => record.requestId === requestId);
  }

  #isParked({ owner, endedAtMs }: ModelRow): boolean {
    return owner === undefined && endedAtMs === undefined;
  }

  #ageOf({ record, endedAtMs }: ModelRow, nowMs: number): LoadResult['kind'] {
    if (endedAtMs === undefined || record.batch !== undefined || nowMs < endedAtMs + this.#ttlMs) return 'found';
    return nowMs < endedAtMs + 2 * this.#ttlMs ? 'expired' : 'unknown';
  }

  #write({ requestId, fence }: Claim, change: (row: ModelRow) => void): boolean {
    const row = this.#find(requestId);
    if (row === undefined || row.owner !== this.#process || row.fence !== fence) return false;
    change(row);
    return true;
  }

  #park(row: ModelRow): void {
    row.record = { ...row.record, status: 'queued' };
    row.owner = undefined;
    row.begun = undefined;
  }

  #end(row: ModelRow, settlement: Settlement, settledAt: number, nowMs: number): void {
    row.record = { ...row.record, status: settlement.status, settlement, settledAt };
    row.owner = undefined;
    row.begun = undefined;
    row.endedAtMs = nowMs;
  }

  /** It was running when its process ended. */
  #interrupt(row: ModelRow, nowMs: number): void {
    const { requestId, recovery } = row.record;
    const cutOff = { outcome: 'abandoned', code: 'interrupted', durationMs: 0, isMaybeBilled: true } as const;
    const message = 'the process ended during this attempt';
    const told = row.begun === undefined ? [] : [{ ...row.begun, ...cutOff, message }];
    const attempts = [...row.record.attempts, ...told];
    const recoveries = row.record.recoveries + 1;
    row.record = { ...row.record, attempts, recoveries };
    if (isRunAgain(recovery, recoveries)) return;
    const error = interruptedError(requestId, recovery, recoveries, attempts);
    this.#end(row, { status: 'failed', error }, nowMs, nowMs);
  }
}
