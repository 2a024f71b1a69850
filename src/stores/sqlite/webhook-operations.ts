/** Notices of settlements that are still to be delivered. They are written by `endRecord`, together with the settlement. */
import type { EngineContext } from './engine.ts';

/** As it travels: the settlement is JSON still. */
export interface StoredDelivery {
  readonly requestId: string;
  /** Null when the result has expired. */
  readonly settlement: string | null;
  readonly settledAt: number;
  readonly tries: number;
  readonly dueAt: number;
}

export function createWebhookOperations({ prepare, run }: EngineContext) {
  return {
    /** An answer may be large, and no notice says anything of it: it is not read. */
    dueWebhooks(dueAt: number, max: number): readonly StoredDelivery[] {
      // Of an expired result the settlement is gone or waits for the sweep, and in the end its request is gone as well.
      const rows = prepare(
        `SELECT request_id, tries, due_at, settled_at,
           CASE WHEN expires_at <= ?1 THEN NULL WHEN status = 'succeeded' THEN '{"status":"succeeded"}' ELSE settlement END
             AS settlement
         FROM webhooks LEFT JOIN requests ON requests.id = webhooks.request_id
           LEFT JOIN settlements ON settlements.seq = requests.seq
         WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2`,
      ).all(dueAt, max);
      return rows.map((row) => ({
        requestId: String(row['request_id']),
        settlement: row['settlement'] as string | null,
        settledAt: Number(row['settled_at']),
        tries: Number(row['tries']),
        dueAt: Number(row['due_at']),
      }));
    },

    nextWebhookAt(): number | undefined {
      const dueAt = prepare(`SELECT min(due_at) AS due_at FROM webhooks`).get()?.['due_at'];
      return typeof dueAt === 'number' ? dueAt : undefined;
    },

    postponeWebhook(requestId: string, tries: number, dueAt: number): void {
      const expiresAt = `SELECT iif(status = 'expired', 0, expires_at) FROM requests WHERE id = request_id`;
      run(
        `UPDATE webhooks SET tries = ?, due_at = min(?, coalesce((${expiresAt}), 0)) WHERE request_id = ?`,
        tries,
        dueAt,
        requestId,
      );
    },

    removeWebhook(requestId: string): void {
      run(`DELETE FROM webhooks WHERE request_id = ?`, requestId);
    },
  };
}
