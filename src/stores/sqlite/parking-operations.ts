/** Records that wait in the store alone: listed in the order they shall be claimed, claimed, parked again, ended. */
import type { Claim } from '../../contract/records.ts';
import { keyOffsetMs } from '../../policy/order.ts';
import type { EngineContext } from './engine.ts';
import type { ParkedGroup } from './parked-counts.ts';
import { endRecord, findHeld, forgetBegun, readHeld, readRecord, RECORD_COLUMNS } from './request-operations.ts';
import { PRIORITIES, type StoredRecord } from './stored-record.ts';

/** Tenants of a class that are looked at in one listing; the others come first in the next one. */
const TENANTS_MAX = 1_000;
/** What one listing brings of bodies: a start with many large requests waiting must not be a process that ends for want of memory. */
const LISTED_CHARACTERS_MAX = 16_000_000;

export function createParkingOperations(context: EngineContext) {
  const { prepare, run, parked, epoch } = context;
  return {
    /** Within a class tenants take turns; among classes the one whose oldest is due first. */
    listParked(max: number): readonly StoredRecord[] {
      const groups = parked.groups();
      const turns = PRIORITIES.flatMap((_, priority) => {
        const members = groups.filter((group) => group.priority === priority);
        return listClass(context, members.slice(0, TENANTS_MAX), max);
      }).toSorted((one, other) => one.dueMs - other.dueMs);
      return readMany(
        context,
        turns.slice(0, max).map(({ row }) => row),
      );
    },

    /** Parked records whose deadline has passed. */
    listOverdue(max: number): readonly StoredRecord[] {
      const rows = prepare(
        `SELECT ${RECORD_COLUMNS} FROM requests
         WHERE status = 'queued' AND owner = 0 AND enqueued_at + timeout_ms <= ? ORDER BY enqueued_at + timeout_ms LIMIT ?`,
      ).all(context.nowMs(), max);
      return readMany(context, rows);
    },

    claim(requestIds: readonly string[]): readonly Claim[] {
      return requestIds.flatMap((requestId) => {
        const row = prepare(
          `SELECT seq, priority, tenant, batch_id, owner, fence FROM requests
           WHERE id = ? AND status IN ('queued', 'running')`,
        ).get(requestId);
        if (row === undefined) return [];
        const held = readHeld(row);
        const fence = Number(row['fence']) + 1;
        run(`UPDATE requests SET owner = ?, fence = ? WHERE seq = ?`, epoch, fence, held.seq);
        if (row['owner'] === 0) {
          parked.add(held, -1);
          parked.served(held);
        }
        return [{ requestId, fence }];
      });
    },

    park(claim: Claim): boolean {
      const row = findHeld(context, claim);
      if (row === undefined) return false;
      forgetBegun(context, row.seq);
      run(`UPDATE requests SET status = 'queued', owner = 0 WHERE seq = ?`, row.seq);
      parked.add(row, 1);
      return true;
    },

    settleParked(requestId: string, status: string, settlement: string, settledAt: number): boolean {
      const row = prepare(
        `SELECT seq, priority, tenant, batch_id FROM requests
         WHERE id = ? AND owner = 0 AND status = 'queued'`,
      ).get(requestId);
      if (row === undefined) return false;
      const held = readHeld(row);
      parked.add(held, -1);
      endRecord(context, held, { requestId, status, settlement, settledAt });
      return true;
    },
  };
}

/** The first of them, as many as are not too large together; one at least. Whoever wants more asks again. */
function readMany(context: EngineContext, rows: readonly Readonly<Record<string, unknown>>[]): readonly StoredRecord[] {
  const records: StoredRecord[] = [];
  let characters = 0;
  for (const row of rows) {
    const record = readRecord(context, row);
    characters += record.body.length;
    if (records.length > 0 && characters > LISTED_CHARACTERS_MAX) break;
    records.push(record);
  }
  return records;
}

interface Turn {
  readonly row: Readonly<Record<string, unknown>>;
  readonly turn: number;
  readonly dueMs: number;
}

/** As many turns as fill `max`, in order; tenants that have little leave more turns to the others. */
function listClass(context: EngineContext, members: readonly ParkedGroup[], max: number): readonly Turn[] {
  for (let turns = Math.ceil(max / Math.max(1, members.length)); ; turns *= 2) {
    // One more of each tenant: when the class is due after the last turn depends on those who come next.
    const rows = members.flatMap((group) => listGroup(context, group, turns + 1));
    const inOrder = markDue(rows.toSorted((one, other) => one.turn - other.turn));
    const whole = inOrder.filter(({ turn }) => turn < turns);
    if (whole.length >= max || whole.length === inOrder.length) return whole;
  }
}

function listGroup(context: EngineContext, { priority, tenant }: ParkedGroup, max: number): readonly Turn[] {
  const offsetMs = keyOffsetMs(PRIORITIES[priority] ?? 'normal');
  return context
    .prepare(
      `SELECT ${RECORD_COLUMNS} FROM requests
       WHERE status = 'queued' AND owner = 0 AND priority = ? AND tenant = ? ORDER BY enqueued_at, seq LIMIT ?`,
    )
    .all(priority, tenant, max)
    .map((row, turn) => ({ row, turn, dueMs: Number(row['enqueued_at']) + offsetMs }));
}

/** Whoever comes before another of its class is due no later: the class is due when its oldest is. */
function markDue(inOrder: readonly Turn[]): readonly Turn[] {
  let dueMs = Number.POSITIVE_INFINITY;
  return inOrder
    .toReversed()
    .map((turn) => {
      dueMs = Math.min(dueMs, turn.dueMs);
      return { ...turn, dueMs };
    })
    .toReversed();
}
