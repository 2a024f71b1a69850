/**
 * The ledger in the same file as the request records. Entries are idempotent by request and attempt; a request of which all
 * entries are older than `retainDays` folds into daily totals, and the last 100,000 that were folded are remembered: no more
 * entries than that wait to be told again. A summary is what the ledger held at one moment, whatever is appended meanwhile.
 */
import type { Clock } from '../../contract/clock.ts';
import type { Ledger, LedgerEntry, LedgerQuery } from '../../contract/records.ts';
import type { RequestId } from '../../contract/response.ts';
import type { CostSummary } from '../../contract/state.ts';
import { newestOf, parseLedgerQuery } from '../ledger-query.ts';
import type { ReportFailure } from './background-work.ts';
import type { Gateway } from './gateway.ts';
import { LedgerFolding } from './ledger-folding.ts';
import { scanLedger } from './ledger-scan.ts';
import { LedgerTurns } from './ledger-turns.ts';
import { decodeEntry, encodeEntry } from './stored-entry.ts';

const dayMs = 86_400_000;
/** Entries that are written in one transaction; others get their turn between two. */
const APPENDED_MAX = 250;
/** While entries arrive, so much may come together before it is folded: a block in a few steps, not request by request. */
const FOLD_LAG_MS = 3_600_000;

export interface SqliteLedgerOptions {
  readonly retainDays: number;
  readonly clock: Clock;
  /** Is told of folding that fails. */
  readonly report?: ReportFailure;
  /** Bounds the daily totals. Default 10,000 groups. */
  readonly groupsMax?: number;
  /** How many folded requests are remembered. Default 100,000. */
  readonly rememberedMax?: number;
}

/** Keeps what was spent in a file. */
export class SqliteLedger implements Ledger {
  readonly #gateway: Gateway;
  readonly #retainMs: number;
  readonly #turns = new LedgerTurns();
  readonly #folding: LedgerFolding;

  constructor(gateway: Gateway, options: SqliteLedgerOptions) {
    const { retainDays, clock, report = () => undefined, groupsMax = 10_000, rememberedMax = 100_000 } = options;
    this.#gateway = gateway;
    this.#retainMs = retainDays * dayMs;
    this.#folding = new LedgerFolding(gateway, this.#turns, { groupsMax, rememberedMax, clock, report });
  }

  async append(entries: readonly LedgerEntry[]): Promise<void> {
    const beforeMs = newestOf(entries) - this.#retainMs;
    for (let first = 0; first < entries.length; first += APPENDED_MAX) {
      const some = entries.slice(first, first + APPENDED_MAX);
      const foldAt = await this.#gateway.ask('appendEntries', some.map(encodeEntry));
      if (foldAt !== undefined && foldAt < beforeMs - FOLD_LAG_MS) this.#folding.begin(beforeMs);
    }
  }

  async summary(query: LedgerQuery, nowMs: number): Promise<CostSummary> {
    const parsed = parseLedgerQuery(query);
    const summary = await this.#turns.together(() => scanLedger(this.#gateway, parsed));
    this.#folding.begin(nowMs - this.#retainMs);
    return summary;
  }

  async entriesFor(requestId: RequestId): Promise<readonly LedgerEntry[]> {
    return (await this.#gateway.ask('entriesFor', requestId)).map(decodeEntry);
  }

  /** Resolves when nothing is left to fold of what was found old. */
  folded(): Promise<void> {
    return this.#folding.done();
  }

  /** The file is closed with the storage it belongs to. */
  close(): Promise<void> {
    return this.#folding.close();
  }
}
