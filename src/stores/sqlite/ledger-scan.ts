/** Sums up what matches a query, slice by slice, so that the thread of the store is free for others in between. */
import type { CostSummary } from '../../contract/state.ts';
import type { ParsedLedgerQuery } from '../ledger-query.ts';
import { SummaryBuilder } from '../ledger-totals.ts';
import type { Gateway } from './gateway.ts';
import type { MatchingNames, ScanPlan, Slice } from './ledger-scan-operations.ts';
import type { LedgerPart } from './stored-totals.ts';

/**
 * Reading an entry by its names takes about twice the time that reading it among its neighbours takes: it is worth it when
 * fewer than this share of the entries have them.
 */
const NAMED_SHARE_MAX = 0.3;
/** More names than this would make more queries than they save. */
const NAMED_MAX = 200;

/** What the ledger held when the plan was made. Nothing may be folded before it resolves. */
export async function scanLedger(gateway: Gateway, query: ParsedLedgerQuery): Promise<CostSummary> {
  const summary = new SummaryBuilder();
  const plan = await gateway.ask('planScan', query);
  await eachSlice((after) => gateway.ask('scanGroups', query, after), 0, summary);
  const numbers = await findNames(gateway, plan);
  if (numbers === undefined)
    await eachSlice((after) => gateway.ask('scanBlocks', plan, after), plan.afterBlock, summary);
  else if (numbers.length > 0)
    await eachSlice((after) => gateway.ask('scanNames', plan, numbers, after), plan.afterBlock, summary);
  return summary.build();
}

async function eachSlice(
  readSlice: (after: number) => Promise<Slice>,
  start: number,
  summary: SummaryBuilder,
): Promise<void> {
  let after: number | undefined = start;
  while (after !== undefined) {
    const slice: Slice = await readSlice(after);
    addPart(summary, slice.part);
    after = slice.next;
  }
}

function addPart(summary: SummaryBuilder, { totals, pricedRequests }: LedgerPart): void {
  for (const [names, sums] of totals) summary.addTotal(names, sums);
  summary.countPricedRequests(pricedRequests);
}

/** The few names that a query asks for; undefined when it is quicker to read everything. */
async function findNames(gateway: Gateway, { query, entries }: ScanPlan): Promise<readonly number[] | undefined> {
  if (query.provider === undefined && query.model === undefined && query.tenant === undefined) return undefined;
  const numbers: number[] = [];
  let [named, after]: [number, number | undefined] = [0, 0];
  while (after !== undefined) {
    const found: MatchingNames = await gateway.ask('matchNames', query, after);
    numbers.push(...found.numbers);
    named += found.entries;
    if (numbers.length > NAMED_MAX || named > entries * NAMED_SHARE_MAX) return undefined;
    after = found.next;
  }
  return numbers;
}
