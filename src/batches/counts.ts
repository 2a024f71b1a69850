/** How far a batch is, from what its store counts. */
import type { BatchCounts, BatchRecord, BatchState, EnteredCounts } from '../contract/batches.ts';
import { deadlineOf } from './line-records.ts';

/** Lines that were not entered are queued: nobody was asked about them yet. */
export function countsOf({ total, entered }: BatchRecord, inStore: EnteredCounts): BatchCounts {
  return { ...inStore, total, queued: inStore.queued + total - entered };
}

export function settledOf({ succeeded, failed, cancelled }: EnteredCounts): number {
  return succeeded + failed + cancelled;
}

export function stateOf(batch: BatchRecord, inStore: EnteredCounts): BatchState {
  const counts = countsOf(batch, inStore);
  return { batch, counts, status: statusOf(batch, counts), expiresAt: deadlineOf(batch) };
}

function statusOf(batch: BatchRecord, counts: BatchCounts): BatchState['status'] {
  if (batch.problems !== undefined) return 'refused';
  if (batch.finishedAt === undefined) return batch.cancelledAt === undefined ? 'running' : 'cancelling';
  if (batch.cancelledAt !== undefined) return 'cancelled';
  const isLate = batch.finishedAt >= deadlineOf(batch) && counts.failed > 0;
  return isLate ? 'expired' : 'completed';
}
