/** The lines of batches: written before they are run, entered group by group, counted and listed by their requests. */
import type { BatchRow, EnteredCounts, WaitingLines } from '../../contract/batches.ts';
import type { EngineContext } from './engine.ts';
import { createParkingOperations } from './parking-operations.ts';
import { insertRecord } from './request-operations.ts';
import type { StoredRecord } from './stored-record.ts';

/** Settlements that travel at once. */
const ROWS_LENGTH_MAX = 4_194_304;

/** As it travels: the settlement is JSON still. */
export type StoredRow = Omit<BatchRow, 'settlement' | 'customId'> & {
  readonly customId: string | null;
  readonly settlement: string | null;
};

export function createBatchLineOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    appendLines(batchId: string, { first, lines }: WaitingLines): void {
      run(
        `INSERT INTO batch_lines (batch_id, first, count, lines) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        batchId,
        first,
        lines.length,
        // JSON holds no line break.
        lines.join('\n'),
      );
    },

    dropLines(batchId: string): void {
      run(`DELETE FROM batch_lines WHERE batch_id = ?1 AND NOT EXISTS (SELECT 1 FROM batches WHERE id = ?1)`, batchId);
    },

    readLines(batchId: string, index: number): WaitingLines | undefined {
      const row = prepare(
        `SELECT first, count, lines FROM batch_lines WHERE batch_id = ? AND first <= ? ORDER BY first DESC LIMIT 1`,
      ).get(batchId, index);
      if (row === undefined || index >= Number(row['first']) + Number(row['count'])) return undefined;
      return { first: Number(row['first']), lines: String(row['lines']).split('\n') };
    },

    enterLines(batchId: string, from: number, to: number, records: readonly StoredRecord[]): boolean {
      const moved = run(
        `UPDATE batches SET entered = ? WHERE id = ? AND entered = ? AND finished_at IS NULL`,
        to,
        batchId,
        from,
      );
      if (moved === 0) return false;
      for (const record of records) enterRecord(context, record);
      run(`DELETE FROM batch_lines WHERE batch_id = ? AND first + count <= ?`, batchId, to);
      return true;
    },

    countBatch(batchId: string): EnteredCounts {
      const counts = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
      const rows = prepare(`SELECT status, count(*) AS count FROM requests WHERE batch_id = ? GROUP BY status`).all(
        batchId,
      );
      // The other status, `expired`, is one of batches that are not counted any more.
      return Object.assign(
        counts,
        Object.fromEntries(rows.map((row) => [String(row['status']), Number(row['count'])])),
      );
    },

    listRows(batchId: string, from: number, max: number): readonly StoredRow[] {
      const rows = prepare(
        `SELECT id, batch_index, custom_id, status, settlement FROM requests LEFT JOIN settlements USING (seq)
         WHERE batch_id = ? AND batch_index >= ? ORDER BY batch_index LIMIT ?`,
      ).iterate(batchId, from, max);
      const listed: StoredRow[] = [];
      let length = 0;
      for (const row of rows) {
        const stored = readRow(batchId, row);
        listed.push(stored);
        length += stored.settlement?.length ?? 0;
        if (length > ROWS_LENGTH_MAX) break;
      }
      return listed;
    },

    listUnsettled(batchId: string, max: number): readonly string[] {
      const rows = prepare(
        `SELECT id FROM requests WHERE batch_id = ? AND status IN ('queued', 'running') ORDER BY batch_index LIMIT ?`,
      ).all(batchId, max);
      return rows.map(({ id }) => String(id));
    },
  };
}

/** What has ended already is parked for no longer than this transaction. */
function enterRecord(context: EngineContext, record: StoredRecord): void {
  insertRecord(context, record, 'store');
  if (record.settlement === null) return;
  const parking = createParkingOperations(context);
  parking.settleParked(record.requestId, record.status, record.settlement, record.settledAt ?? context.nowMs());
}

function readRow(batchId: string, row: Readonly<Record<string, unknown>>): StoredRow {
  return {
    batchId,
    index: Number(row['batch_index']),
    customId: row['custom_id'] as string | null,
    requestId: String(row['id']),
    // Only statuses are written into this column, and `expired` ones have lost their batch.
    status: row['status'] as StoredRow['status'],
    settlement: row['settlement'] as string | null,
  };
}
