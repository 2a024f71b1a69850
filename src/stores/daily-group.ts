/**
 * What old ledger entries fold into: one total per day, provider, model, tenant and tags, sums unchanged to the
 * nano-dollar. The average per request needs the number of distinct requests under any filter, and one request may have
 * attempts in several totals; so totals live in groups, one for each set of totals that the attempts of one request fell
 * into, and a group counts its requests once. A query takes a total whole or not at all, by the time of its last entry:
 * neighbouring ranges never count it twice.
 */
import type { LedgerEntry } from '../contract/records.ts';
import { canonicalTags, hasLabels, isInRange, type LedgerLabels, type ParsedLedgerQuery } from './ledger-query.ts';
import { isBillable, LedgerTotal, type SummaryBuilder } from './ledger-totals.ts';

/** What all entries of one total share. */
export interface TotalLabels extends LedgerLabels {
  /** `2026-11-21`, in UTC; `2026-11` once days had to be merged. */
  readonly day: string;
  readonly isPriced: boolean;
}

/** What the entries of one day, provider, model, tenant and tags come to; priced ones apart. */
export interface DailyTotal {
  readonly labels: TotalLabels;
  readonly total: LedgerTotal;
}

/** Requests that fell into the same totals. */
export interface DailyGroup {
  readonly totals: ReadonlyMap<string, DailyTotal>;
  requestCount: number;
}

/** What takes up the totals that a query matches. */
export type TotalsSink = Pick<SummaryBuilder, 'addTotal' | 'countPricedRequests'>;

/** Stands for everything that is no longer told apart. */
const OTHERS = '(others)';

/** What is given up first when there are too many groups: the dimension that callers make up comes before ours. */
const COARSER: readonly ((labels: TotalLabels) => TotalLabels)[] = [
  (labels) => ({ ...labels, tags: {} }),
  (labels) => ({ ...labels, tenant: OTHERS }),
  (labels) => ({ ...labels, day: labels.day.slice(0, 7) }),
  (labels) => ({ ...labels, model: OTHERS }),
];

/** How many dimensions can be given up. */
export const COARSENESS_MAX = COARSER.length;

/** The group of one request; undefined when nothing of it was billable. */
export function groupOf(entries: readonly LedgerEntry[]): DailyGroup | undefined {
  const totals = new Map<string, DailyTotal>();
  for (const entry of entries.filter(isBillable)) totalFor(totals, labelsOf(entry)).addEntry(entry);
  return totals.size === 0 ? undefined : { totals, requestCount: 1 };
}

/** What two groups have in common that may be merged. */
export function keyOfGroup({ totals }: DailyGroup): string {
  return [...totals.keys()].toSorted().join();
}

/** Puts a group among others; those of one key become one. */
export function putGroup(groups: Map<string, DailyGroup>, group: DailyGroup): void {
  const key = keyOfGroup(group);
  const known = groups.get(key);
  if (known === undefined) groups.set(key, group);
  else mergeGroup(known, group);
}

/** Adds a group of the same key. */
export function mergeGroup(group: DailyGroup, other: DailyGroup): void {
  group.requestCount += other.requestCount;
  // Equal keys are made of equal sets of totals.
  for (const [name, { total }] of other.totals) group.totals.get(name)?.total.addSums(total.sums());
}

/** The same group with one dimension less; `coarseness` counts from 0 what was given up before. */
export function coarsenGroup({ totals, requestCount }: DailyGroup, coarseness: number): DailyGroup {
  const coarser = COARSER[coarseness] ?? ((labels: TotalLabels) => labels);
  return groupFrom(
    [...totals.values()].map(({ labels, total }) => ({ labels: coarser(labels), total })),
    requestCount,
  );
}

/** Puts a group together; totals with equal labels become one. */
export function groupFrom(parts: readonly DailyTotal[], requestCount: number): DailyGroup {
  const totals = new Map<string, DailyTotal>();
  for (const { labels, total } of parts) totalFor(totals, labels).addSums(total.sums());
  return { totals, requestCount };
}

/** Tells a summary what of a group matches a query. */
export function summarizeGroup({ totals, requestCount }: DailyGroup, query: ParsedLedgerQuery, sink: TotalsSink): void {
  let isPriced = false;
  for (const { labels, total } of totals.values()) {
    if (!hasLabels(labels, query) || !isInRange(total.lastAt, query)) continue;
    sink.addTotal(labels, total.sums());
    isPriced ||= labels.isPriced;
  }
  if (isPriced) sink.countPricedRequests(requestCount);
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
  const { day, provider, model, tenant, tags, isPriced } = labels;
  const key = JSON.stringify([day, provider, model, tenant, canonicalTags(tags), isPriced]);
  const known = totals.get(key);
  if (known !== undefined) return known.total;
  const total = new LedgerTotal();
  totals.set(key, { labels, total });
  return total;
}
