/** Batches and files in the words of the OpenAI API. */
import type { BatchProblem, BatchState, StoredFile } from '../../contract/batches.ts';
import type { CostSummary } from '../../contract/state.ts';
import { endpointOf } from './batch-input.ts';
import { outputFileId, type OutputFile } from './batch-output.ts';

const STATUSES: Readonly<Record<BatchState['status'], string>> = {
  running: 'in_progress',
  cancelling: 'cancelling',
  refused: 'failed',
  completed: 'completed',
  expired: 'expired',
  cancelled: 'cancelled',
};

/** `usage`: what the ledger has of it. */
export function renderBatch(state: BatchState, usage?: CostSummary['tokenUsage']): object {
  const { batch, counts, status } = state;
  const { batchId, createdAt, cancelledAt, finishedAt, problems } = batch;
  const notSucceeded = counts.failed + counts.cancelled;
  const hasEnded = counts.total > 0 && counts.succeeded + notSucceeded === counts.total;
  const endedAs = (name: BatchState['status']) => (status === name ? toSeconds(finishedAt) : null);
  return {
    id: batchId,
    object: 'batch',
    endpoint: endpointOf(batch.kind),
    errors: problems === undefined ? null : { object: 'list', data: problems.map(renderProblem) },
    input_file_id: batch.inputFileId ?? null,
    completion_window: renderWindow(batch.settings.timeoutMs),
    status: status === 'running' && hasEnded ? 'finalizing' : STATUSES[status],
    output_file_id: counts.succeeded > 0 ? outputFileId(batchId, 'output') : null,
    error_file_id: notSucceeded > 0 ? outputFileId(batchId, 'errors') : null,
    created_at: toSeconds(createdAt),
    in_progress_at: status === 'refused' ? null : toSeconds(createdAt),
    expires_at: toSeconds(state.expiresAt),
    finalizing_at: status === 'refused' ? null : toSeconds(finishedAt),
    completed_at: endedAs('completed'),
    failed_at: endedAs('refused'),
    expired_at: endedAs('expired'),
    cancelling_at: toSeconds(cancelledAt),
    cancelled_at: endedAs('cancelled'),
    request_counts: { total: counts.total, completed: counts.succeeded, failed: notSucceeded },
    // Beyond OpenAI's three: how many are where, and all that have ended in one file.
    status_counts: {
      queued: counts.queued,
      running: counts.running,
      succeeded: counts.succeeded,
      failed: counts.failed,
      cancelled: counts.cancelled,
    },
    results_file_id: counts.succeeded + notSucceeded > 0 ? outputFileId(batchId, 'results') : null,
    metadata: Object.keys(batch.metadata).length === 0 ? null : batch.metadata,
    ...(usage !== undefined && { usage: renderUsage(usage) }),
  };
}

function renderProblem({ code, message, line, param }: BatchProblem): object {
  return { code, message, line: line ?? null, param: param ?? null };
}

function renderUsage(usage: CostSummary['tokenUsage']): object {
  return {
    input_tokens: usage.inputTokens,
    input_tokens_details: { cached_tokens: usage.cachedInputTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.totalTokens,
  };
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;
const DAY_MS = 86_400_000;

/** `24h` stays what clients know it as. */
function renderWindow(timeoutMs: number): string {
  if (timeoutMs === DAY_MS) return '24h';
  const unit = UNITS.find(([, unitMs]) => timeoutMs % unitMs === 0);
  return unit === undefined ? `${timeoutMs}ms` : `${timeoutMs / unit[1]}${unit[0]}`;
}

export function renderFile(file: StoredFile): object {
  return {
    id: file.fileId,
    object: 'file',
    bytes: file.bytes,
    created_at: toSeconds(file.createdAt),
    expires_at: toSeconds(file.expiresAt),
    filename: file.name,
    purpose: file.purpose,
    status: 'processed',
    status_details: null,
  };
}

/** `bytes`: null when nobody has counted them. */
export function renderOutputFile(file: OutputFile, { batch }: BatchState, bytes: number | null): object {
  return {
    id: outputFileId(file.batchId, file.part),
    object: 'file',
    bytes,
    created_at: toSeconds(batch.createdAt),
    expires_at: null,
    filename: `${file.batchId}_${file.part}.jsonl`,
    purpose: 'batch_output',
    status: 'processed',
    status_details: null,
  };
}

/** A list in the shape that the client's pages are read from. */
export function renderPage(items: readonly { readonly id: string; readonly item: object }[], hasMore: boolean): object {
  return {
    object: 'list',
    data: items.map(({ item }) => item),
    first_id: items[0]?.id ?? null,
    last_id: items.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

function toSeconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms / 1_000);
}
