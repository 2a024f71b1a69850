/**
 * What old ledger entries fold into: one total per day, provider, model, tenant and tags, sums unchanged to the
 * nano-dollar. The average per request needs the number of distinct requests under any filter, and one request may have
 * attempts in several totals; so totals live in groups, one for each set of totals that the attempts of one request fell
 * into, and a group counts its requests once. A query takes a total whole or not at all, by the time of its last entry:
 * neighbouring ranges never count it twice.
 */
import type { LedgerEntry } from '../contract/records.ts';
import { hasLabels, isInRange, type LedgerLabels, type ParsedLedgerQuery } from './ledger-query.ts';
import { isBillable, LedgerTotal, type SummaryBuilder } from './ledger-totals.ts';

/** What all entries of one total share. */
interface TotalLabels extends LedgerLabels {
  /** `2026-11-21`, in UTC; `2026-11` once days had to be merged. */
  readonly day: string;
  readonly isPriced: boolean;
}

interface DailyTotal {
  readonly labels: TotalLabels;
  readonly total: LedgerTotal;
}

interface Group {
  readonly totals: ReadonlyMap<string, DailyTotal>;
  requestCount: number;
}

/** Stands for everything that is no longer told apart. */
const OTHERS = '(others)';

/** What is given up first when there are too many totals: the dimension that callers make up comes before ours. */
const COARSER: readonly ((labels: TotalLabels) => TotalLabels)[] = [
  (labels) => ({ ...labels, tags: {} }),
  (labels) => ({ ...labels, tenant: OTHERS }),
  (labels) => ({ ...labels, day: labels.day.slice(0, 7) }),
  (labels) => ({ ...labels, model: OTHERS }),
];

/** Keeps daily totals, at most `groupsMax` groups of them (the oldest half is made coarser beyond). */
export class DailyTotals {
  readonly #groupsMax: number;
  readonly #groups = new Map<string, Group>();

  constructor({ groupsMax = 10_000 }: { readonly groupsMax?: number } = {}) {
    this.#groupsMax = groupsMax;
  }

  /** Adds all entries of one request. */
  fold(entries: readonly LedgerEntry[]): void {
    const totals = new Map<string, DailyTotal>();
    for (const entry of entries.filter(isBillable)) {
      const labels = labelsOf(entry);
      totalFor(totals, labels).addEntry(entry);
    }
    addGroup(this.#groups, totals, 1);
    this.#coarsen();
  }

  /** Tells a summary everything that matches a query. */
  summarize(query: ParsedLedgerQuery, summary: SummaryBuilder): void {
    for (const { totals, requestCount } of this.#groups.values()) {
      let isPriced = false;
      for (const { labels, total } of totals.values()) {
        if (!hasLabels(labels, query) || !isInRange(total.lastAt, query)) continue;
        summary.addTotal(labels, total);
        isPriced ||= labels.isPriced;
      }
      if (isPriced) summary.countPricedRequests(requestCount);
    }
  }

  /** Gives up one dimension of the oldest half after the other, until a quarter of the room is free again. */
  #coarsen(): void {
    if (this.#groups.size <= this.#groupsMax) return;
    const groups = [...this.#groups.values()];
    const young = groups.splice(Math.ceil(groups.length / 2));
    let old: readonly Group[] = groups;
    for (const coarser of COARSER) {
      old = mergeGroups(old, coarser);
      if (old.length + young.length <= this.#groupsMax * 0.75) break;
    }
    this.#groups.clear();
    for (const { totals, requestCount } of [...old, ...young]) addGroup(this.#groups, totals, requestCount);
  }
}

function mergeGroups(groups: readonly Group[], coarser: (labels: TotalLabels) => TotalLabels): readonly Group[] {
  const merged = new Map<string, Group>();
  for (const { totals, requestCount } of groups) {
    const coarse = new Map<string, DailyTotal>();
    for (const { labels, total } of totals.values()) totalFor(coarse, coarser(labels)).addTotal(total);
    addGroup(merged, coarse, requestCount);
  }
  return [...merged.values()];
}

function addGroup(groups: Map<string, Group>, totals: ReadonlyMap<string, DailyTotal>, requestCount: number): void {
  const key = [...totals.keys()].toSorted().join();
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, { totals, requestCount });
    return;
  }
  group.requestCount += requestCount;
  // Equal keys are made of equal sets of totals.
  for (const [name, { total }] of totals) group.totals.get(name)?.total.addTotal(total);
}

function labelsOf({ at, provider, model, tenant, tags, costNanos }: LedgerEntry): TotalLabels {
  return {
    day: new Date(at).toISOString().slice(0, 10),
    provider,
    model,
    tenant,
    tags,
    isPriced: costNanos !== undefined,
  };
}

function totalFor(totals: Map<string, DailyTotal>, labels: TotalLabels): LedgerTotal {
  const tags = Object.entries(labels.tags).toSorted(([left], [right]) => (left < right ? -1 : 1));
  const key = JSON.stringify([labels.day, labels.provider, labels.model, labels.tenant, tags, labels.isPriced]);
  const known = totals.get(key);
  if (known !== undefined) return known.total;
  const total = new LedgerTotal();
  totals.set(key, { labels, total });
  return total;
}
