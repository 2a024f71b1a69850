/**
 * A summary is read in slices of whole blocks, a transaction each, so that nobody waits long for it. Every slice belongs to
 * one plan: entries that were told after the plan was made are left out, and whoever scans sees to it that nothing is folded
 * meanwhile. An operation keeps nothing for the next one.
 */
import type { EngineContext } from './engine.ts';
import { summarizeGroup } from '../daily-group.ts';
import { hasNames, type ParsedLedgerQuery } from '../ledger-query.ts';
import { EntriesPart, GroupsPart, SCANNED_COLUMNS, type ScannedRow } from './ledger-part.ts';
import { decodeNames } from './stored-entry.ts';
import { decodeGroup, type LedgerPart } from './stored-totals.ts';

/** A slice ends with the block in which it comes to so many entries. */
const SLICE_ENTRIES = 2_000;
const SLICE_BLOCKS_MAX = 50;
const SLICE_GROUPS_MAX = 200;
const SLICE_NAMES_MAX = 2_000;

/** What a summary looks at. */
export interface ScanPlan {
  readonly query: ParsedLedgerQuery;
  /** Blocks that may hold entries of the queried time: after this one, up to that one. */
  readonly afterBlock: number;
  readonly untilBlock: number;
  /** The last entry that was told before. */
  readonly untilEntry: number;
  /** How many entries these blocks hold. */
  readonly entries: number;
}

/** What one transaction has read. */
export interface Slice {
  readonly part: LedgerPart;
  /** Where the next one begins; undefined when this was the last one. */
  readonly next: number | undefined;
}

/** Some of the names that a query asks for. */
export interface MatchingNames {
  readonly numbers: readonly number[];
  /** How many entries have them. */
  readonly entries: number;
  readonly next: number | undefined;
}

/** Operations that read for a summary. */
export function createLedgerScanOperations(context: EngineContext) {
  const { prepare } = context;
  return {
    planScan(query: ParsedLedgerQuery): ScanPlan {
      const range = prepare(
        `SELECT min(block) AS first, max(block) AS last, sum(entries) AS entries FROM ledger_blocks
         WHERE last_at >= ? AND first_at < ?`,
      ).get(query.sinceMs, query.untilMs);
      return {
        query,
        afterBlock: Number(range?.['first'] ?? 1) - 1,
        untilBlock: Number(range?.['last'] ?? 0),
        untilEntry: Number(prepare(`SELECT entries FROM ledger_counters`).get()?.['entries']),
        entries: Number(range?.['entries'] ?? 0),
      };
    },

    /** Provider, model and tenant that a query asks for, by their numbers; some of them, those after `after`. */
    matchNames(query: ParsedLedgerQuery, after: number): MatchingNames {
      const rows = prepare(
        `SELECT number, names, entries FROM ledger_names WHERE number > ? ORDER BY number LIMIT ?`,
      ).all(after, SLICE_NAMES_MAX);
      const matching = rows.filter(({ names }) => hasNames(decodeNames(String(names)), query));
      return {
        numbers: matching.map(({ number }) => Number(number)),
        entries: matching.reduce((sum, { entries }) => sum + Number(entries), 0),
        next: rows.length < SLICE_NAMES_MAX ? undefined : Number(rows.at(-1)?.['number']),
      };
    },

    /** The next blocks of a plan, after `after`. */
    scanBlocks({ query, untilBlock, untilEntry }: ScanPlan, after: number): Slice {
      const blocks = prepare(
        `SELECT block, entries FROM ledger_blocks
         WHERE block > ? AND block <= ? AND last_at >= ? AND first_at < ? ORDER BY block LIMIT ?`,
      ).all(after, untilBlock, query.sinceMs, query.untilMs, SLICE_BLOCKS_MAX);
      const part = new EntriesPart(query, readNames(context));
      let [read, last]: [number, number | undefined] = [0, undefined];
      for (const { block, entries } of blocks) {
        const rows = prepare(
          `SELECT ${SCANNED_COLUMNS} FROM ledger_entries
           WHERE block = ? AND is_billable = 1 AND entry <= ? AND at >= ? AND at < ?`,
        );
        addRows(part, rows, [Number(block), untilEntry, query.sinceMs, query.untilMs]);
        read += Number(entries);
        last = Number(block);
        if (read >= SLICE_ENTRIES) break;
      }
      return { part: part.build(), next: last === untilBlock ? undefined : last };
    },

    /** The same where only few entries have the names that are asked for: these alone are read. */
    scanNames({ query, untilBlock, untilEntry }: ScanPlan, numbers: readonly number[], after: number): Slice {
      const last = endOfSlice(context, { numbers, after, untilBlock });
      const part = new EntriesPart(query, readNames(context));
      for (const number of numbers) {
        const rows = prepare(
          `SELECT ${SCANNED_COLUMNS} FROM ledger_entries INDEXED BY ledger_entries_by_names
           WHERE names = ? AND block > ? AND block <= ? AND is_billable = 1 AND entry <= ? AND at >= ? AND at < ?`,
        );
        addRows(part, rows, [number, after, last, untilEntry, query.sinceMs, query.untilMs]);
      }
      return { part: part.build(), next: last === untilBlock ? undefined : last };
    },

    /** The next groups of daily totals, after `after`. */
    scanGroups(query: ParsedLedgerQuery, after: number): Slice {
      const rows = prepare(
        `SELECT id, requests, totals FROM ledger_groups
         WHERE id > ? AND last_to >= ? AND last_from < ? ORDER BY id LIMIT ?`,
      ).all(after, query.sinceMs, query.untilMs, SLICE_GROUPS_MAX);
      const part = new GroupsPart();
      for (const row of rows) summarizeGroup(decodeGroup(String(row['totals']), Number(row['requests'])), query, part);
      return { part: part.build(), next: rows.length < SLICE_GROUPS_MAX ? undefined : Number(rows.at(-1)?.['id']) };
    },
  };
}

/** The block with which names that share a slice come to about as many entries as it may have. */
function endOfSlice(
  { prepare }: EngineContext,
  range: { readonly numbers: readonly number[]; readonly after: number; readonly untilBlock: number },
): number {
  const share = Math.ceil(SLICE_ENTRIES / range.numbers.length);
  const ends = range.numbers.map((number) => {
    const row = prepare(
      `SELECT block FROM ledger_entries INDEXED BY ledger_entries_by_names
       WHERE names = ? AND block > ? ORDER BY block LIMIT 1 OFFSET ?`,
    ).get(number, range.after, share - 1);
    return Number(row?.['block'] ?? Number.POSITIVE_INFINITY);
  });
  return Math.min(range.untilBlock, ...ends);
}

function readNames({ prepare }: EngineContext): (number: number) => string {
  return (number) => String(prepare(`SELECT names FROM ledger_names WHERE number = ?`).get(number)?.['names']);
}

function addRows(part: EntriesPart, statement: ReturnType<EngineContext['prepare']>, values: readonly number[]): void {
  statement.setReturnArrays(true);
  // The statement selects these columns in this order.
  for (const row of statement.all(...values) as unknown as readonly ScannedRow[]) part.add(row);
}
