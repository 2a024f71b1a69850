/** Results that nobody may read any more: first the result goes and its id is told as expired, then the id goes too. */
import { sweepBatches } from './batch-expiry.ts';
import type { EngineContext } from './engine.ts';

export function createExpiryOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    /** Deletes what is due, at most `max` records, so that nobody waits long for it. Gives how many there were. */
    sweep(max: number): number {
      const due = prepare(
        `SELECT seq, status FROM requests
         WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
      ).all(context.nowMs(), max);
      for (const { seq, status } of due) {
        if (status === 'expired') run(`DELETE FROM requests WHERE seq = ?`, Number(seq));
        else expireRecord(context, Number(seq));
      }
      return Math.min(max, due.length + sweepBatches(context, max));
    },
  };
}

/** How long the id is remembered depends on when the result expired, not on when somebody looked. */
export function expireRecord({ run, options }: EngineContext, seq: number): void {
  run(
    `UPDATE requests SET status = 'expired', idempotency_key = NULL, expires_at = expires_at + ? WHERE seq = ?`,
    options.resultTtlMs,
    seq,
  );
  // There is nothing left to come for.
  run(`DELETE FROM webhooks WHERE request_id = (SELECT id FROM requests WHERE seq = ?)`, seq);
  run(`DELETE FROM bodies WHERE seq = ?`, seq);
  run(`DELETE FROM settlements WHERE seq = ?`, seq);
  run(`DELETE FROM attempts WHERE seq = ?`, seq);
}
