/** Batches and files that nobody may read any more. */
import type { EngineContext } from './engine.ts';

/** Deletes or hands on to the sweep of requests what is due, at most `max` rows. Gives how many there were. */
export function sweepBatches(context: EngineContext, max: number): number {
  return expireBatch(context, max) + forgetBatches(context, max) + deleteFile(context);
}

/** When the results of a batch expire; null for no batch, and for one that has not finished. */
export function expiryOfBatch({ prepare }: EngineContext, batchId: unknown): number | null {
  if (typeof batchId !== 'string') return null;
  const expiresAt = prepare(`SELECT expires_at FROM batches WHERE id = ?`).get(batchId)?.['expires_at'];
  return typeof expiresAt === 'number' ? expiresAt : null;
}

/** The requests of one batch become due, some at a time; its id is told as expired when all of them are. */
function expireBatch({ prepare, run, nowMs, options }: EngineContext, max: number): number {
  const due = prepare(`SELECT id, expires_at FROM batches WHERE is_expired = 0 AND expires_at <= ? LIMIT 1`).get(
    nowMs(),
  );
  if (due === undefined) return 0;
  const batchId = String(due['id']);
  const released = run(
    `UPDATE requests SET expires_at = ?1
     WHERE seq IN (SELECT seq FROM requests WHERE batch_id = ?2 AND expires_at IS NULL LIMIT ?3)`,
    Number(due['expires_at']),
    batchId,
    max,
  );
  if (released < max)
    run(
      `UPDATE batches SET is_expired = 1, idempotency_key = NULL, total = 0, expires_at = expires_at + ? WHERE id = ?`,
      options.resultTtlMs,
      batchId,
    );
  return Math.max(1, released);
}

function forgetBatches({ run, nowMs }: EngineContext, max: number): number {
  const sql = `DELETE FROM batches WHERE seq IN (SELECT seq FROM batches WHERE is_expired = 1 AND expires_at <= ? LIMIT ?)`;
  return run(sql, nowMs(), max);
}

/** One file at a time: it may be large. */
function deleteFile({ prepare, run, nowMs }: EngineContext): number {
  const due = prepare(`SELECT id FROM files WHERE expires_at <= ? LIMIT 1`).get(nowMs());
  if (due === undefined) return 0;
  const fileId = String(due['id']);
  run(`DELETE FROM file_chunks WHERE file_id = ?`, fileId);
  return run(`DELETE FROM files WHERE id = ?`, fileId);
}
