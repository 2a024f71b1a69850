/** The ledgers that the ledger's tests run over, each opened empty, with what a test needs beside the port. */
import { existsSync } from 'node:fs';
import type { Ledger, LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import type { CostSummary } from '../../src/contract/state.ts';
import { MemoryLedger } from '../../src/stores/memory-ledger.ts';
import type { BackgroundFailure, ReportFailure } from '../../src/stores/sqlite/background-work.ts';
import { Gateway, type Host } from '../../src/stores/sqlite/gateway.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { SqliteLedger } from '../../src/stores/sqlite/sqlite-ledger.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { StoreFile } from './store-file.ts';

export interface LedgerSubjectOptions {
  /** Default 30. */
  readonly retainDays?: number;
  /** Default 10,000. */
  readonly groupsMax?: number;
  /** How many entries there may be, where that is bounded, and of how many folded requests is known which. */
  readonly rememberedMax?: number;
}

/** A ledger, and its time. */
export interface LedgerSubject extends AsyncDisposable {
  /** Another one after each restart. */
  readonly ledger: Ledger;
  /** Folds everything that is old at `nowMs`. */
  fold(nowMs: number): Promise<void>;
  /** What the next process finds, where there is anything to find. */
  restart(): Promise<void>;
}

export type OpenLedger = (options?: LedgerSubjectOptions) => LedgerSubject;

/** Every ledger there is. */
export const LEDGERS: readonly (readonly [name: string, open: OpenLedger])[] = [
  ['memory', openMemoryLedger],
  ['sqlite', openSqliteLedger],
];

/** What a ledger in memory makes of entries. */
export async function summaryInMemory(
  entries: readonly LedgerEntry[],
  query: LedgerQuery,
  nowMs: number,
): Promise<CostSummary> {
  const ledger = new MemoryLedger();
  await ledger.append(entries);
  return ledger.summary(query, nowMs);
}

export function openMemoryLedger({ rememberedMax, ...options }: LedgerSubjectOptions = {}): LedgerSubject {
  const ledger = new MemoryLedger({ ...options, ...(rememberedMax !== undefined && { entriesMax: rememberedMax }) });
  return {
    ledger,
    fold: async (nowMs) => {
      await ledger.summary({}, nowMs);
    },
    restart: async () => {},
    [Symbol.asyncDispose]: () => ledger.close(),
  };
}

export function openSqliteLedger(options: LedgerSubjectOptions = {}): LedgerSubject {
  return new SqliteLedgerSubject(options);
}

/** In memory if that is to be had: what these tests ask is not whether it was synced. */
const KEPT_IN = existsSync('/dev/shm') ? '/dev/shm' : undefined;

/** A ledger in a file, and the gateway it asks. */
export class SqliteLedgerSubject implements LedgerSubject {
  readonly clock = new VirtualClock();
  readonly file = new StoreFile(KEPT_IN);
  /** What was told of folding that failed. */
  readonly failures: BackgroundFailure[] = [];
  readonly #options: LedgerSubjectOptions;
  readonly #wrap: (host: Host) => Host;
  gateway: Gateway;
  ledger: SqliteLedger;

  /** `wrap` puts something between the engine and whoever asks. */
  constructor(options: LedgerSubjectOptions = {}, wrap = (host: Host): Host => host) {
    this.#options = options;
    this.#wrap = wrap;
    this.gateway = this.#open();
    this.ledger = this.#start();
  }

  async fold(nowMs: number): Promise<void> {
    await this.ledger.summary({}, nowMs);
    await this.ledger.folded();
  }

  async restart(): Promise<void> {
    await this.#stop();
    this.gateway = this.#open();
    this.ledger = this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    this.file[Symbol.dispose]();
  }

  #open(): Gateway {
    return new Gateway(this.#wrap(createInlineHost(this.file.options())), this.clock);
  }

  #start(): SqliteLedger {
    const report: ReportFailure = (failure) => void this.failures.push(failure);
    return new SqliteLedger(this.gateway, { retainDays: 30, clock: this.clock, report, ...this.#options });
  }

  async #stop(): Promise<void> {
    await this.ledger.close();
    await this.gateway.close();
  }
}
