/**
 * What a dead process left behind. Whatever it had in memory is parked again; what was running may have been sent, so it is
 * counted, and ends when policy says that it must not be sent again.
 */
import type { Recovered } from '../../contract/records.ts';
import type { AttemptReport } from '../../contract/response.ts';
import { isRunAgain, interruptedError } from '../../policy/recover.ts';
import type { EngineContext } from './engine.ts';
import { endRecord, readHeld } from './request-operations.ts';
import { encodeSettlement } from './stored-record.ts';

export function createRecoveryOperations(context: EngineContext) {
  const { prepare, run, parked, epoch } = context;
  return {
    recover(): Recovered {
      const requeued: string[] = [];
      const interrupted: string[] = [];
      const rows = prepare(
        `SELECT seq, id, status, priority, tenant, batch_id, recovery, recoveries FROM requests
         WHERE owner <> 0 AND owner <> ?`,
      ).all(epoch);
      for (const row of rows) {
        const held = readHeld(row);
        const requestId = String(row['id']);
        if (row['status'] === 'running') {
          closeAttempts(context, held.seq);
          const recoveries = Number(row['recoveries']) + 1;
          run(`UPDATE requests SET recoveries = ? WHERE seq = ?`, recoveries, held.seq);
          const recovery = row['recovery'] === 'atMostOnce' ? 'atMostOnce' : 'atLeastOnce';
          if (!isRunAgain(recovery, recoveries)) {
            const error = interruptedError(requestId, recovery, recoveries, readAttempts(context, held.seq));
            const settlement = encodeSettlement({ status: 'failed', error });
            endRecord(context, held, { requestId, status: 'failed', settlement, settledAt: context.nowMs() });
            interrupted.push(requestId);
            continue;
          }
          requeued.push(requestId);
        }
        run(`UPDATE requests SET status = 'queued', owner = 0, fence = fence + 1 WHERE seq = ?`, held.seq);
        parked.add(held, 1);
      }
      return { queued: parked.total + rows.length - interrupted.length, requeued, interrupted };
    },
  };
}

/** What was begun and never reported was cut off with its process; the provider may have billed it. */
function closeAttempts({ prepare, run }: EngineContext, seq: number): void {
  const begun = prepare(`SELECT number, provider, model FROM attempts WHERE seq = ? AND report IS NULL`).all(seq);
  for (const row of begun) {
    const report: AttemptReport = {
      provider: String(row['provider']),
      model: String(row['model']),
      outcome: 'abandoned',
      code: 'interrupted',
      message: 'the process ended during this attempt',
      durationMs: 0,
      isMaybeBilled: true,
    };
    run(
      `UPDATE attempts SET report = ? WHERE seq = ? AND number = ?`,
      JSON.stringify(report),
      seq,
      Number(row['number']),
    );
  }
}

function readAttempts({ prepare }: EngineContext, seq: number): readonly AttemptReport[] {
  const rows = prepare(`SELECT report FROM attempts WHERE seq = ? ORDER BY number`).all(seq);
  return rows.map(({ report }) => JSON.parse(String(report)) as AttemptReport);
}
