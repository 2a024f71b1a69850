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
import type { Gateway } from './gateway.ts';
import { decodeRecord, encodeRecord, encodeSettlement, type StoredRecord } from './stored-record.ts';

/**
 * When results that have expired are looked for next: soon after some were found, ever later while there are none. Whoever
 * asks for one is told so at once; this is only about the room it takes.
 */
const SWEEP_MIN_MS = 1_000;
const SWEEP_MAX_MS = 60_000;
/** Records that one sweep deletes; more are left to the next one, which follows at once. */
const SWEPT_MAX = 500;

export class SqliteStore implements RequestStore {
  readonly isDurable = true;
  readonly #gateway: Gateway;
  readonly #clock: Clock;
  #timer: TimerHandle | undefined;
  #sweepMs = SWEEP_MIN_MS;
  #isClosed = false;

  constructor(gateway: Gateway, clock: Clock) {
    this.#gateway = gateway;
    this.#clock = clock;
    this.#sweepLater();
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

  async addAttempt(claim: Claim, attempt: AttemptReport): Promise<boolean> {
    return this.#gateway.ask('addAttempt', claim, attempt.provider, attempt.model, JSON.stringify(attempt));
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

  #sweepLater(): void {
    this.#timer = this.#clock.setTimeout(() => {
      void this.#sweep();
    }, this.#sweepMs);
  }

  async #sweep(): Promise<void> {
    let swept = 0;
    try {
      do {
        // Others get their turn between two sweeps.
        swept = await this.#gateway.ask('sweep', SWEPT_MAX);
        this.#sweepMs = swept > 0 ? SWEEP_MIN_MS : Math.min(SWEEP_MAX_MS, this.#sweepMs * 2);
      } while (!this.#isClosed && swept === SWEPT_MAX);
    } catch {
      // The next one comes; whoever writes meanwhile hears what is wrong with the store.
    }
    if (!this.#isClosed) this.#sweepLater();
  }
}
