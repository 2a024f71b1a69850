/**
 * Old requests leave the entries for the daily totals, one block in a transaction, so that nobody waits long for it. Which
 * attempts were folded is remembered of those folded last, so that an entry told twice still counts once.
 */
import type { EngineContext } from './engine.ts';
import { groupOf, putGroup, type DailyGroup } from '../daily-group.ts';
import { ENTRY_COLUMNS, readAttempts } from './ledger-append-operations.ts';
import { addGroups, countGroups } from './ledger-groups.ts';
import { decodeEntry, type StoredEntry } from './stored-entry.ts';

/** An entry with the request it belongs to. */
type Row = StoredEntry & { readonly request: number; readonly foldedAttempts: string | null };

interface OldRequest {
  readonly request: number;
  readonly entries: readonly [Row, ...Row[]];
}

/** Operations that fold. */
export function createLedgerFoldOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    /**
     * Folds requests of which every entry is older than `beforeMs`: those of one block. Remembers those that were folded
     * last, `rememberedMax` of them. Gives how many groups of totals there are then.
     */
    foldEntries(beforeMs: number, rememberedMax: number): number {
      const due = prepare(`SELECT block FROM ledger_blocks WHERE fold_at < ? ORDER BY fold_at LIMIT 1`).get(beforeMs);
      if (due !== undefined) foldBlock(context, Number(due['block']), beforeMs);
      run(`DELETE FROM ledger_requests WHERE folded_order <= (SELECT folded FROM ledger_counters) - ?`, rememberedMax);
      return countGroups(context);
    },
  };
}

function foldBlock(context: EngineContext, block: number, beforeMs: number): void {
  const requests = readRequests(context, block);
  const old = requests.filter(({ entries }) => lastOf(entries) < beforeMs);
  const young = requests.filter(({ entries }) => lastOf(entries) >= beforeMs);
  addGroups(context, mergedGroups(old));
  forgetNames(
    context,
    old.flatMap(({ entries }) => entries),
  );
  rememberFolded(context, old);
  const { run } = context;
  if (young.length === 0) {
    run(`DELETE FROM ledger_entries WHERE block = ?`, block);
    run(`DELETE FROM ledger_blocks WHERE block = ?`, block);
    return;
  }
  for (const { request } of old) run(`DELETE FROM ledger_entries WHERE block = ? AND request = ?`, block, request);
  run(
    `UPDATE ledger_blocks SET requests = ?, entries = ?, fold_at = ? WHERE block = ?`,
    young.length,
    young.reduce((count, { entries }) => count + entries.length, 0),
    Math.min(...young.map(({ entries }) => lastOf(entries))),
    block,
  );
}

function readRequests({ prepare }: EngineContext, block: number): readonly OldRequest[] {
  const rows = prepare(
    `SELECT request, folded_attempts AS foldedAttempts, ${ENTRY_COLUMNS}
     FROM ledger_entries JOIN ledger_requests USING (block, request) JOIN ledger_names ON number = ledger_entries.names
     WHERE block = ?`,
  ).all(block);
  // The columns are named after the fields, and no group is empty.
  const groups = Map.groupBy(rows as unknown as readonly Row[], ({ request }) => request);
  return [...groups].map(([request, entries]) => ({ request, entries: entries as [Row, ...Row[]] }));
}

function lastOf(entries: readonly Row[]): number {
  return Math.max(...entries.map(({ at }) => at));
}

/** Mostly a few for all of them. */
function mergedGroups(requests: readonly OldRequest[]): readonly DailyGroup[] {
  const merged = new Map<string, DailyGroup>();
  for (const { entries } of requests) {
    const group = groupOf(entries.map(decodeEntry));
    if (group !== undefined) putGroup(merged, group);
  }
  return [...merged.values()];
}

/** Names that no entry has any more would pile up: callers make up models. */
function forgetNames({ run }: EngineContext, entries: readonly Row[]): void {
  for (const [names, { length }] of Map.groupBy(entries, (entry) => entry.names)) {
    run(`UPDATE ledger_names SET entries = entries - ? WHERE names = ?`, length, names);
    run(`DELETE FROM ledger_names WHERE names = ? AND entries = 0`, names);
  }
}

/** Leaves of each request which of its attempts were folded, and its place among those folded. */
function rememberFolded({ prepare, run }: EngineContext, requests: readonly OldRequest[]): void {
  let order = Number(prepare(`SELECT folded FROM ledger_counters`).get()?.['folded']);
  for (const { request, entries } of requests) {
    order += 1;
    const attempts = [...readAttempts(entries[0].foldedAttempts), ...entries.map(({ attempt }) => attempt)];
    run(
      `UPDATE ledger_requests SET block = NULL, folded_attempts = ?, folded_order = ? WHERE request = ?`,
      JSON.stringify(attempts),
      order,
      request,
    );
  }
  run(`UPDATE ledger_counters SET folded = ?`, order);
}
