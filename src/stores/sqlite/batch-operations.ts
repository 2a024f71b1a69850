/** Batches and their lines: written before they are run, entered group by group, counted and listed by their requests. */
import type { BatchInsertResult, BatchRow, EnteredCounts, Page, WaitingLines } from '../../contract/batches.ts';
import type { EngineContext } from './engine.ts';
import { createParkingOperations } from './parking-operations.ts';
import { insertRecord } from './request-operations.ts';
import type { StoredBatch } from './stored-batch.ts';
import type { StoredRecord } from './stored-record.ts';

/** Requests of all batches together. */
const LINES_MAX = 5_000_000;
/** Settlements that travel at once. */
const ROWS_LENGTH_MAX = 4_194_304;

const COLUMNS =
  'id, tenant, idempotency_key, request_hash, body, total, entered, created_at, cancelled_at, finished_at';

export type StoredBatchLoad =
  | { readonly kind: 'found'; readonly batch: StoredBatch }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

/** As it travels: the settlement is JSON still. */
export type StoredRow = Omit<BatchRow, 'settlement' | 'customId'> & {
  readonly customId: string | null;
  readonly settlement: string | null;
};

export function createBatchOperations(context: EngineContext) {
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

    createBatch(batch: StoredBatch): BatchInsertResult {
      const known = findByKey(context, batch.tenant, batch.idempotencyKey);
      if (known !== undefined)
        return { kind: known.requestHash === batch.requestHash ? 'known' : 'conflict', batchId: known.batchId };
      const kept = Number(prepare(`SELECT coalesce(sum(total), 0) AS lines FROM batches`).get()?.['lines']);
      if (kept + batch.total > LINES_MAX) return { kind: 'full' };
      run(
        `INSERT INTO batches (id, tenant, idempotency_key, request_hash, body, total, entered, created_at, finished_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        batch.batchId,
        batch.tenant,
        batch.idempotencyKey,
        batch.requestHash,
        batch.body,
        batch.total,
        batch.entered,
        batch.createdAt,
        batch.finishedAt,
        batch.finishedAt === null ? null : context.nowMs() + context.options.resultTtlMs,
      );
      return { kind: 'inserted' };
    },

    loadBatch(batchId: string): StoredBatchLoad {
      const row = prepare(`SELECT ${COLUMNS}, expires_at, is_expired FROM batches WHERE id = ?`).get(batchId);
      if (row === undefined) return { kind: 'unknown' };
      // What is due counts as done: the sweep comes when it comes.
      const overMs = row['expires_at'] === null ? -1 : context.nowMs() - Number(row['expires_at']);
      if (row['is_expired'] === 1) return { kind: overMs < 0 ? 'expired' : 'unknown' };
      if (overMs >= 0) return { kind: overMs < context.options.resultTtlMs ? 'expired' : 'unknown' };
      return { kind: 'found', batch: readBatch(row) };
    },

    findBatch(tenant: string, idempotencyKey: string): StoredBatch | undefined {
      return findByKey(context, tenant, idempotencyKey);
    },

    listBatches({ after, max }: Page): readonly StoredBatch[] {
      const rows = prepare(
        `SELECT ${COLUMNS} FROM batches
         WHERE is_expired = 0 AND (expires_at IS NULL OR expires_at > ?1)
           AND (?2 IS NULL OR seq < (SELECT seq FROM batches WHERE id = ?2)) ORDER BY seq DESC LIMIT ?3`,
      ).all(context.nowMs(), after ?? null, max);
      return rows.map(readBatch);
    },

    /** What was begun and never finished is gone with its process. */
    recoverBatches(): readonly StoredBatch[] {
      run(`DELETE FROM batch_lines WHERE batch_id NOT IN (SELECT id FROM batches)`);
      run(`DELETE FROM file_chunks WHERE file_id NOT IN (SELECT id FROM files)`);
      return prepare(`SELECT ${COLUMNS} FROM batches WHERE finished_at IS NULL ORDER BY seq`).all().map(readBatch);
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

    cancelBatch(batchId: string, cancelledAt: number): boolean {
      const sql = `UPDATE batches SET cancelled_at = ? WHERE id = ? AND cancelled_at IS NULL AND finished_at IS NULL`;
      return run(sql, cancelledAt, batchId) > 0;
    },

    finishBatch(batchId: string, finishedAt: number): boolean {
      const expiresAt = context.nowMs() + context.options.resultTtlMs;
      const sql = `UPDATE batches SET finished_at = ?, expires_at = ? WHERE id = ? AND finished_at IS NULL`;
      return run(sql, finishedAt, expiresAt, batchId) > 0;
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

/** What the idempotency key stands for already. A batch that has expired stands for nothing. */
function findByKey(
  { prepare, run, nowMs }: EngineContext,
  tenant: string,
  idempotencyKey: string | null,
): StoredBatch | undefined {
  if (idempotencyKey === null) return undefined;
  const row = prepare(
    `SELECT ${COLUMNS}, expires_at FROM batches
     WHERE tenant = ? AND idempotency_key = ? AND idempotency_key IS NOT NULL`,
  ).get(tenant, idempotencyKey);
  if (row === undefined) return undefined;
  if (row['expires_at'] === null || Number(row['expires_at']) > nowMs()) return readBatch(row);
  run(`UPDATE batches SET idempotency_key = NULL WHERE id = ?`, String(row['id']));
  return undefined;
}

function readBatch(row: Readonly<Record<string, unknown>>): StoredBatch {
  return {
    batchId: String(row['id']),
    tenant: String(row['tenant']),
    idempotencyKey: row['idempotency_key'] as string | null,
    requestHash: String(row['request_hash']),
    body: String(row['body']),
    total: Number(row['total']),
    entered: Number(row['entered']),
    createdAt: Number(row['created_at']),
    cancelledAt: row['cancelled_at'] as number | null,
    finishedAt: row['finished_at'] as number | null,
  };
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
