/** Batches and files that nobody may read any more. */
import type { EngineContext } from './engine.ts';
import type { SweepSlice } from './sweep-slice.ts';

/** Deletes what is due or hands it on to the sweep of requests, as far as the slice has room. */
export function sweepBatches(context: EngineContext, slice: SweepSlice): void {
  expireBatch(context, slice);
  forgetBatches(context, slice);
  deleteFile(context, slice);
}

/** When the results of a batch expire; null for no batch, and for one that has not finished. */
export function expiryOfBatch({ prepare }: EngineContext, batchId: unknown): number | null {
  if (typeof batchId !== 'string') return null;
  const expiresAt = prepare(`SELECT expires_at FROM batches WHERE id = ?`).get(batchId)?.['expires_at'];
  return typeof expiresAt === 'number' ? expiresAt : null;
}

/** The requests of one batch become due, some at a time; its id is told as expired when all of them are. */
function expireBatch({ prepare, run, nowMs, options }: EngineContext, slice: SweepSlice): void {
  const { room } = slice;
  if (room === 0) return;
  const due = prepare(`SELECT id, expires_at FROM batches WHERE is_expired = 0 AND expires_at <= ? LIMIT 1`).get(
    nowMs(),
  );
  if (due === undefined) return;
  const batchId = String(due['id']);
  const released = run(
    `UPDATE requests SET expires_at = ?1
     WHERE seq IN (SELECT seq FROM requests WHERE batch_id = ?2 AND status IN ('succeeded', 'failed', 'cancelled') AND expires_at IS NULL LIMIT ?3)`,
    Number(due['expires_at']),
    batchId,
    room,
  );
  slice.add(released);
  if (released === room) return;
  run(
    `UPDATE batches SET is_expired = 1, idempotency_key = NULL, total = 0, expires_at = expires_at + ? WHERE id = ?`,
    options.resultTtlMs,
    batchId,
  );
  slice.add(1);
}

function forgetBatches({ run, nowMs }: EngineContext, slice: SweepSlice): void {
  const sql = `DELETE FROM batches WHERE seq IN (SELECT seq FROM batches WHERE is_expired = 1 AND expires_at <= ? LIMIT ?)`;
  slice.add(run(sql, nowMs(), slice.room));
}

/** One file, which may be large: by its chunks, and its row comes last. */
function deleteFile({ prepare, run, nowMs }: EngineContext, slice: SweepSlice): void {
  if (slice.room === 0) return;
  const due = prepare(`SELECT id FROM files WHERE expires_at <= ? LIMIT 1`).get(nowMs());
  if (due === undefined) return;
  const fileId = String(due['id']);
  // Half a file must not come back when somebody sets the clock back.
  run(`UPDATE files SET expires_at = 0 WHERE id = ?`, fileId);
  while (slice.room > 0) {
    const chunk = `SELECT number FROM file_chunks WHERE file_id = ?1 LIMIT 1`;
    const deleted = run(`DELETE FROM file_chunks WHERE file_id = ?1 AND number = (${chunk})`, fileId);
    slice.add(1);
    if (deleted > 0) continue;
    run(`DELETE FROM files WHERE id = ?`, fileId);
    return;
  }
}
