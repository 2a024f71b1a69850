/** Batches: created once, found by id and by key, cancelled, finished. Their lines are beside (batch-line-operations.ts). */
import type { BatchInsertResult, Page } from '../../contract/batches.ts';
import type { EngineContext } from './engine.ts';
import type { StoredBatch } from './stored-batch.ts';

/** Requests of all batches together. */
const LINES_MAX = 5_000_000;
const COLUMNS =
  'id, tenant, idempotency_key, request_hash, body, total, entered, created_at, cancelled_at, finished_at';

export type StoredBatchLoad =
  | { readonly kind: 'found'; readonly batch: StoredBatch }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

export function createBatchOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
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
