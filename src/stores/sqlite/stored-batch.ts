/** A batch as it lies in the file: flat columns for what is searched and changed, JSON for the rest. */
import type { BatchRecord } from '../../contract/batches.ts';

export interface StoredBatch {
  readonly batchId: string;
  readonly tenant: string;
  readonly idempotencyKey: string | null;
  readonly requestHash: string;
  /** JSON: kind, settings, metadata, inputFileId, problems. */
  readonly body: string;
  readonly total: number;
  readonly entered: number;
  readonly createdAt: number;
  readonly cancelledAt: number | null;
  readonly finishedAt: number | null;
}

export function encodeBatch(batch: BatchRecord): StoredBatch {
  const { kind, settings, metadata, inputFileId, problems } = batch;
  return {
    batchId: batch.batchId,
    tenant: batch.tenant,
    idempotencyKey: batch.idempotencyKey ?? null,
    requestHash: batch.requestHash,
    body: JSON.stringify({ kind, settings, metadata, inputFileId, problems }),
    total: batch.total,
    entered: batch.entered,
    createdAt: batch.createdAt,
    cancelledAt: batch.cancelledAt ?? null,
    finishedAt: batch.finishedAt ?? null,
  };
}

/** What `encodeBatch` was given. */
export function decodeBatch(stored: StoredBatch): BatchRecord {
  // It was written from a record of these types, and the file is checked when it is opened.
  const body = JSON.parse(stored.body) as Pick<
    BatchRecord,
    'kind' | 'settings' | 'metadata' | 'inputFileId' | 'problems'
  >;
  return {
    batchId: stored.batchId,
    tenant: stored.tenant,
    kind: body.kind,
    idempotencyKey: stored.idempotencyKey ?? undefined,
    requestHash: stored.requestHash,
    // JSON has no undefined: what was none is absent.
    settings: { ...body.settings, fallbacks: body.settings.fallbacks },
    metadata: body.metadata,
    inputFileId: body.inputFileId,
    total: stored.total,
    entered: stored.entered,
    createdAt: stored.createdAt,
    ...(stored.cancelledAt !== null && { cancelledAt: stored.cancelledAt }),
    ...(stored.finishedAt !== null && { finishedAt: stored.finishedAt }),
    ...(body.problems !== undefined && { problems: body.problems }),
  };
}
