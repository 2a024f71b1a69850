/**
 * The ledger in memory: entries by request, the oldest requests folded into daily totals once they are older than
 * `retainDays` or there are more than `entriesMax` entries. A request folds with all its attempts. Which attempts were
 * folded is remembered for as many requests again, so that an entry told twice still counts once.
 */
import type { Ledger, LedgerEntry, LedgerQuery } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import type { CostSummary } from '../contract/state.ts';
import { DailyTotals } from './daily-totals.ts';
import { hasLabels, isInRange, newestOf, parseLedgerQuery } from './ledger-query.ts';
import { countable, isBillable, SummaryBuilder } from './ledger-totals.ts';

const dayMs = 86_400_000;

export interface MemoryLedgerOptions {
  /** Default 30. */
  readonly retainDays?: number;
  /** Default 50,000: about 30 MB, and a summary in some ten milliseconds. */
  readonly entriesMax?: number;
  /** Bounds the daily totals; see `DailyTotals`. Default 10,000. */
  readonly groupsMax?: number;
}

/** Keeps what was spent for as long as the process lives. */
export class MemoryLedger implements Ledger {
  readonly #retainMs: number;
  readonly #entriesMax: number;
  /** Open entries by request, oldest request first. */
  readonly #requests = new Map<RequestId, LedgerEntry[]>();
  readonly #folded = new Map<RequestId, Set<number>>();
  readonly #totals: DailyTotals;
  #entryCount = 0;

  constructor({ retainDays = 30, entriesMax = 50_000, groupsMax = 10_000 }: MemoryLedgerOptions = {}) {
    this.#retainMs = retainDays * dayMs;
    this.#entriesMax = entriesMax;
    this.#totals = new DailyTotals({ groupsMax });
  }

  async append(entries: readonly LedgerEntry[]): Promise<void> {
    for (const entry of entries) this.#append(countable(entry));
    this.#foldOld(newestOf(entries));
    while (this.#entryCount > this.#entriesMax) this.#foldOldestRequest();
  }

  async summary(query: LedgerQuery, nowMs: number): Promise<CostSummary> {
    const parsed = parseLedgerQuery(query);
    this.#foldOld(nowMs);
    const summary = new SummaryBuilder();
    this.#totals.summarize(parsed, summary);
    for (const entries of this.#requests.values()) {
      const matching = entries.filter(
        (entry) => isInRange(entry.at, parsed) && hasLabels(entry, parsed) && isBillable(entry),
      );
      for (const entry of matching) summary.addEntry(entry);
      if (matching.some(({ costNanos }) => costNanos !== undefined)) summary.countPricedRequests(1);
    }
    return summary.build();
  }

  async entriesFor(requestId: RequestId): Promise<readonly LedgerEntry[]> {
    return (this.#requests.get(requestId) ?? []).toSorted((left, right) => left.attempt - right.attempt);
  }

  async close(): Promise<void> {
    // Nothing to close: what was kept goes with the process.
  }

  #append(entry: LedgerEntry): void {
    const { requestId, attempt } = entry;
    const known = this.#requests.get(requestId);
    if (known?.some((other) => other.attempt === attempt) || this.#folded.get(requestId)?.has(attempt)) return;
    if (known === undefined) this.#requests.set(requestId, [entry]);
    else known.push(entry);
    this.#entryCount += 1;
  }

  /** Requests are kept in the order of their first entry, so the first one that is young enough ends the search. */
  #foldOld(nowMs: number): void {
    const oldestMs = nowMs - this.#retainMs;
    for (const [requestId, entries] of this.#requests) {
      if (entries.some(({ at }) => at >= oldestMs)) return;
      this.#fold(requestId, entries);
    }
  }

  #foldOldestRequest(): void {
    for (const [requestId, entries] of this.#requests) {
      this.#fold(requestId, entries);
      return;
    }
  }

  #fold(requestId: RequestId, entries: readonly LedgerEntry[]): void {
    this.#requests.delete(requestId);
    this.#entryCount -= entries.length;
    this.#totals.fold(entries);
    const attempts = this.#folded.get(requestId) ?? new Set<number>();
    for (const { attempt } of entries) attempts.add(attempt);
    this.#folded.set(requestId, attempts);
    if (this.#folded.size <= this.#entriesMax) return;
    for (const oldest of this.#folded.keys()) {
      this.#folded.delete(oldest);
      return;
    }
  }
}
