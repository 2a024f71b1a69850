/** Daily totals in memory: the groups that old requests were folded into, at most `groupsMax` of them. */
import type { LedgerEntry } from '../contract/records.ts';
import {
  COARSENESS_MAX,
  coarsenGroup,
  groupOf,
  putGroup,
  summarizeGroup,
  type DailyGroup,
  type TotalsSink,
} from './daily-group.ts';
import type { ParsedLedgerQuery } from './ledger-query.ts';

/** How much of the room the oldest half may have when it has been made coarser. */
export const OLD_SHARE = 0.25;

/** Keeps groups, oldest first; the oldest half is made coarser when there are more than `groupsMax`. */
export class DailyTotals {
  readonly #groupsMax: number;
  readonly #groups = new Map<string, DailyGroup>();

  constructor({ groupsMax = 10_000 }: { readonly groupsMax?: number } = {}) {
    this.#groupsMax = groupsMax;
  }

  /** Adds all entries of one request. */
  fold(entries: readonly LedgerEntry[]): void {
    const group = groupOf(entries);
    if (group === undefined) return;
    putGroup(this.#groups, group);
    this.#coarsen();
  }

  /** Tells a summary everything that matches a query. */
  summarize(query: ParsedLedgerQuery, sink: TotalsSink): void {
    for (const group of this.#groups.values()) summarizeGroup(group, query, sink);
  }

  /** Gives up one dimension of the oldest half after the other, until about a quarter of the room is free again. */
  #coarsen(): void {
    if (this.#groups.size <= this.#groupsMax) return;
    const groups = [...this.#groups.values()];
    const young = groups.splice(Math.ceil(groups.length / 2));
    let old: readonly DailyGroup[] = groups;
    for (let coarseness = 0; coarseness < COARSENESS_MAX; coarseness += 1) {
      old = mergeAll(old.map((group) => coarsenGroup(group, coarseness)));
      if (old.length <= this.#groupsMax * OLD_SHARE) break;
    }
    this.#groups.clear();
    for (const group of [...old, ...young]) putGroup(this.#groups, group);
  }
}

function mergeAll(groups: readonly DailyGroup[]): readonly DailyGroup[] {
  const merged = new Map<string, DailyGroup>();
  for (const group of groups) putGroup(merged, group);
  return [...merged.values()];
}
