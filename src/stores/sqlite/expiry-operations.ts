/** Results that nobody may read any more: first the result goes and its id is told as expired, then the id goes too. */
import { sweepBatches } from './batch-expiry.ts';
import type { EngineContext } from './engine.ts';
import { SweepSlice } from './sweep-slice.ts';

/** What one sweep came to. */
export interface Swept {
  /** Rows that it has deleted, or made due. */
  readonly rows: number;
  /** It could take no more; what is due may be more. */
  readonly isFull: boolean;
}

export function createExpiryOperations(context: EngineContext) {
  const { prepare } = context;
  return {
    /** Deletes what is due, at most `rowsMax` rows and only for a moment, so that nobody waits long for it. */
    sweep(rowsMax: number): Swept {
      const slice = new SweepSlice(rowsMax, context.stopwatchMs);
      const due = prepare(
        `SELECT seq, status FROM requests
         WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
      ).all(context.nowMs(), rowsMax);
      for (const { seq, status } of due) {
        if (slice.room === 0) break;
        if (status === 'expired') forgetRecord(context, Number(seq));
        else expireRecord(context, Number(seq));
        slice.add(1);
      }
      sweepBatches(context, slice);
      return { rows: slice.rows, isFull: slice.room === 0 };
    },
  };
}

/** Also a notice of it, which expired while there was somebody to deliver it. */
function forgetRecord(context: EngineContext, seq: number): void {
  forgetNotice(context, seq);
  context.run(`DELETE FROM requests WHERE seq = ?`, seq);
}

/** Whoever delivers notices tells that this one was in vain; without anybody there is nothing left to come for. */
function forgetNotice({ run, options }: EngineContext, seq: number): void {
  if (!options.hasWebhooks) run(`DELETE FROM webhooks WHERE request_id = (SELECT id FROM requests WHERE seq = ?)`, seq);
}

/** How long the id is remembered depends on when the result expired, not on when somebody looked. */
export function expireRecord(context: EngineContext, seq: number): void {
  const { run, options } = context;
  run(
    `UPDATE requests SET status = 'expired', idempotency_key = NULL, expires_at = expires_at + ? WHERE seq = ?`,
    options.resultTtlMs,
    seq,
  );
  forgetNotice(context, seq);
  run(`DELETE FROM bodies WHERE seq = ?`, seq);
  run(`DELETE FROM settlements WHERE seq = ?`, seq);
  run(`DELETE FROM attempts WHERE seq = ?`, seq);
}
