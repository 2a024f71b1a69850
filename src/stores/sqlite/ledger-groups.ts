/**
 * The daily totals in the file, a row for each group. When there are more groups than may be kept, the oldest half is made
 * coarser in small steps, one dimension after the other, as `DailyTotals` does it at once.
 */
import type { EngineContext } from './engine.ts';
import { COARSENESS_MAX, coarsenGroup, keyOfGroup, mergeGroup, type DailyGroup } from '../daily-group.ts';
import { decodeGroup, encodeTotals } from './stored-totals.ts';

/** Groups that are made coarser in one transaction. */
const COARSENED_MAX = 200;

/** What one step has come to. */
export interface Coarsened {
  /** Groups up to this one are the old half. */
  readonly untilId: number;
  /** How many there are in the old half now, and in all. */
  readonly oldGroups: number;
  readonly groups: number;
  /** Nothing more can be given up. */
  readonly isExhausted: boolean;
}

/** Operations on daily totals. */
export function createLedgerGroupOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    /** Makes some of the oldest groups coarser. `untilId` is what the first step has said. */
    coarsenGroups(untilId = findMiddle(context)): Coarsened {
      const rows = prepare(
        `SELECT id, coarseness, requests, totals FROM ledger_groups
         WHERE id <= ?1 AND coarseness = (SELECT min(coarseness) FROM ledger_groups WHERE id <= ?1)
           AND coarseness < ?2 ORDER BY id LIMIT ?3`,
      ).all(untilId, COARSENESS_MAX, COARSENED_MAX);
      for (const row of rows) run(`DELETE FROM ledger_groups WHERE id = ?`, Number(row['id']));
      for (const row of rows) {
        const coarseness = Number(row['coarseness']);
        const group = decodeGroup(String(row['totals']), Number(row['requests']));
        addGroup(context, coarsenGroup(group, coarseness), coarseness + 1, Number(row['id']));
      }
      const old = prepare(`SELECT count(*) AS count FROM ledger_groups WHERE id <= ?`).get(untilId);
      const oldGroups = Number(old?.['count']);
      return { untilId, oldGroups, groups: countGroups(context), isExhausted: rows.length === 0 };
    },
  };
}

/** How many groups of totals there are. */
export function countGroups({ prepare }: EngineContext): number {
  return Number(prepare(`SELECT count(*) AS count FROM ledger_groups`).get()?.['count']);
}

/** Adds what was folded. */
export function addGroups(context: EngineContext, groups: readonly DailyGroup[]): void {
  for (const group of groups) addGroup(context, group, 0);
}

/** The youngest group of the older half. */
function findMiddle({ prepare }: EngineContext): number {
  const middle = prepare(
    `SELECT id FROM ledger_groups ORDER BY id LIMIT 1 OFFSET (SELECT (count(*) - 1) / 2 FROM ledger_groups)`,
  ).get();
  return Number(middle?.['id'] ?? 0);
}

/** `id` says how old it is; default: the youngest. A group of the same key that there is takes it up, and keeps its age. */
function addGroup({ prepare, run }: EngineContext, group: DailyGroup, coarseness: number, id?: number): void {
  const key = keyOfGroup(group);
  const known = prepare(`SELECT coarseness, requests, totals FROM ledger_groups WHERE key = ?`).get(key);
  if (known !== undefined) mergeGroup(group, decodeGroup(String(known['totals']), Number(known['requests'])));
  const lastAt = [...group.totals.values()].map(({ total }) => total.lastAt);
  const columns = [group.requestCount, Math.min(...lastAt), Math.max(...lastAt), encodeTotals(group), key] as const;
  if (known === undefined)
    run(
      `INSERT INTO ledger_groups (id, coarseness, requests, last_from, last_to, totals, key) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      id ?? null,
      coarseness,
      ...columns,
    );
  else
    run(
      `UPDATE ledger_groups SET coarseness = ?, requests = ?, last_from = ?, last_to = ?, totals = ? WHERE key = ?`,
      // Groups with one key have given up the same, whatever they were made of.
      Math.max(coarseness, Number(known['coarseness'])),
      ...columns,
    );
}
