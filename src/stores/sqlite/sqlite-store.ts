/** Request records in a file: encodes what it is given, asks the engine, decodes what it says. */
import type { Clock, TimerHandle } from '../../contract/clock.ts';
import type {
  Claim,
  InsertResult,
  LoadResult,
  Recovered,
  RequestRecord,
  RequestStore,
  Settlement,
} from '../../contract/records.ts';
import type { AttemptReport, RequestId } from '../../contract/response.ts';
import { unreadableError } from '../../policy/recover.ts';
import { BackgroundWork, type ReportFailure } from './background-work.ts';
import type { Gateway } from './gateway.ts';
import { decodeRecord, encodeRecord, encodeSettlement, type StoredRecord } from './stored-record.ts';

/**
 * When results that have expired are looked for next: soon after some were found, ever later while there are none. Whoever
 * asks for one is told so at once; this is only about the room it takes.
 */
const SWEEP_MIN_MS = 1_000;
const SWEEP_MAX_MS = 60_000;
/** Rows that one sweep deletes. More are left to the next one, which follows soon, but not in the very next group. */
const SWEPT_ROWS_MAX = 200;
const SWEEP_AGAIN_MS = 5;

export class SqliteStore implements RequestStore {
  readonly isDurable = true;
  readonly #gateway: Gateway;
  readonly #clock: Clock;
  readonly #sweeping: BackgroundWork;
  #timer: TimerHandle | undefined;
  #sweepMs = SWEEP_MIN_MS;
  #isClosed = false;

  constructor(gateway: Gateway, clock: Clock, report: ReportFailure) {
    this.#gateway = gateway;
    this.#clock = clock;
    this.#sweeping = new BackgroundWork('sweep', report);
    this.#sweepIn(this.#sweepMs);
  }

  get parked(): number {
    return this.#gateway.parked;
  }

  recover(): Promise<Recovered> {
    return this.#gateway.ask('recover');
  }

  async insert(record: RequestRecord, place: 'memory' | 'store'): Promise<InsertResult> {
    return this.#gateway.ask('insert', encodeRecord(record), place);
  }

  async load(requestId: RequestId): Promise<LoadResult> {
    const loaded = await this.#gateway.ask('load', requestId);
    return loaded.kind === 'found' ? { ...loaded, record: decodeRecord(loaded.record) } : loaded;
  }

  async listParked(max: number): Promise<readonly RequestRecord[]> {
    return this.#decodeEach(await this.#gateway.ask('listParked', max));
  }

  async listOverdue(max: number): Promise<readonly RequestRecord[]> {
    return this.#decodeEach(await this.#gateway.ask('listOverdue', max));
  }

  claim(requestIds: readonly RequestId[]): Promise<readonly Claim[]> {
    return this.#gateway.ask('claim', requestIds);
  }

  park(claim: Claim): Promise<boolean> {
    return this.#gateway.ask('park', claim);
  }

  markRunning(claim: Claim, target: { readonly provider: string; readonly model: string }): Promise<boolean> {
    return this.#gateway.ask('markRunning', claim, target.provider, target.model);
  }

  markQueued(claim: Claim): Promise<boolean> {
    return this.#gateway.ask('markQueued', claim);
  }

  async addAttempt(claim: Claim, number: number, attempt: AttemptReport): Promise<boolean> {
    const { provider, model } = attempt;
    return this.#gateway.ask('addAttempt', claim, { number, provider, model, report: JSON.stringify(attempt) });
  }

  async settle(claim: Claim, settlement: Settlement, settledAt: number): Promise<boolean> {
    return this.#gateway.ask('settle', claim, settlement.status, encodeSettlement(settlement), settledAt);
  }

  async settleParked(requestId: RequestId, settlement: Settlement, settledAt: number): Promise<boolean> {
    return this.#gateway.ask('settleParked', requestId, settlement.status, encodeSettlement(settlement), settledAt);
  }

  /** The file is closed with the storage it belongs to. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** One record that was damaged must not keep all others waiting: it ends. */
  async #decodeEach(stored: readonly StoredRecord[]): Promise<readonly RequestRecord[]> {
    const records: RequestRecord[] = [];
    for (const each of stored) {
      try {
        records.push(decodeRecord(each));
      } catch {
        const settlement: Settlement = { status: 'failed', error: unreadableError(each.requestId) };
        await this.settleParked(each.requestId, settlement, this.#clock.wallMs());
      }
    }
    return records;
  }

  #sweepIn(waitMs: number): void {
    this.#timer = this.#clock.setTimeout(() => {
      // It never rejects.
      void this.#sweep();
    }, waitMs);
  }

  async #sweep(): Promise<void> {
    const waitMs = await this.#sweepOnce();
    if (!this.#isClosed) this.#sweepIn(waitMs);
  }

  /** Gives how long to wait before the next one. Never rejects. */
  async #sweepOnce(): Promise<number> {
    try {
      const { rows, isFull } = await this.#gateway.ask('sweep', SWEPT_ROWS_MAX);
      this.#sweeping.succeeded();
      this.#sweepMs = rows > 0 ? SWEEP_MIN_MS : Math.min(SWEEP_MAX_MS, this.#sweepMs * 2);
      return isFull ? SWEEP_AGAIN_MS : this.#sweepMs;
    } catch (error) {
      // A store that is closed meanwhile refuses it, and has not failed.
      return this.#isClosed ? 0 : this.#sweeping.failed(error);
    }
  }
}
