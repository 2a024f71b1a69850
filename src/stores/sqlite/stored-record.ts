/**
 * A request record as it lies in the file: flat columns for what is searched and changed, JSON for the rest. Encoding and
 * decoding happen at the caller's, so that only flat rows travel to the engine and back.
 */
import type { RequestRecord, RequestStatus, Settlement } from '../../contract/records.ts';
import type { Priority, Recovery } from '../../contract/request.ts';
import type { AttemptReport } from '../../contract/response.ts';

/** The most urgent class first. */
export const PRIORITIES: readonly Priority[] = ['high', 'normal', 'low'];

export interface StoredRecord {
  readonly requestId: string;
  readonly tenant: string;
  readonly idempotencyKey: string | null;
  readonly requestHash: string;
  readonly status: string;
  readonly priority: number;
  readonly createdAt: number;
  readonly enqueuedAt: number;
  readonly timeoutMs: number;
  readonly recovery: string;
  readonly recoveries: number;
  readonly batchId: string | null;
  readonly batchIndex: number | null;
  readonly customId: string | null;
  readonly settledAt: number | null;
  /** JSON: request, fallbacks, tags. */
  readonly body: string;
  /** JSON, one for each attempt that has ended. */
  readonly attempts: readonly string[];
  readonly settlement: string | null;
}

export function encodeRecord(record: RequestRecord): StoredRecord {
  const { request, fallbacks, tags, attempts, settlement, batch, settledAt } = record;
  return {
    requestId: record.requestId,
    tenant: record.tenant,
    idempotencyKey: record.idempotencyKey ?? null,
    requestHash: record.requestHash,
    status: record.status,
    priority: PRIORITIES.indexOf(record.priority),
    createdAt: record.createdAt,
    enqueuedAt: record.enqueuedAt,
    timeoutMs: record.timeoutMs,
    recovery: record.recovery,
    recoveries: record.recoveries,
    batchId: batch?.batchId ?? null,
    batchIndex: batch?.index ?? null,
    customId: batch?.customId ?? null,
    settledAt: settledAt ?? null,
    body: JSON.stringify({ request, fallbacks, tags }),
    attempts: attempts.map((attempt) => JSON.stringify(attempt)),
    settlement: settlement === undefined ? null : encodeSettlement(settlement),
  };
}

export function encodeSettlement(settlement: Settlement): string {
  return JSON.stringify(settlement);
}

/** What `encodeRecord` was given. @throws {SyntaxError} for JSON that was damaged */
export function decodeRecord(stored: StoredRecord): RequestRecord {
  // It was written from a record of these types, and the file is checked when it is opened.
  const body = JSON.parse(stored.body) as Pick<RequestRecord, 'request' | 'fallbacks' | 'tags'>;
  return {
    requestId: stored.requestId,
    tenant: stored.tenant,
    idempotencyKey: stored.idempotencyKey ?? undefined,
    requestHash: stored.requestHash,
    request: body.request,
    fallbacks: body.fallbacks,
    priority: PRIORITIES[stored.priority] ?? 'normal',
    tags: body.tags,
    createdAt: stored.createdAt,
    enqueuedAt: stored.enqueuedAt,
    timeoutMs: stored.timeoutMs,
    recovery: stored.recovery as Recovery,
    recoveries: stored.recoveries,
    ...(stored.batchId !== null && {
      batch: { batchId: stored.batchId, index: stored.batchIndex ?? 0, customId: stored.customId ?? undefined },
    }),
    status: stored.status as RequestStatus,
    attempts: stored.attempts.map((attempt) => JSON.parse(attempt) as AttemptReport),
    ...(stored.settledAt !== null && { settledAt: stored.settledAt }),
    ...(stored.settlement !== null && { settlement: decodeSettlement(stored.settlement) }),
  };
}

export function decodeSettlement(settlement: string): Settlement {
  return JSON.parse(settlement) as Settlement;
}
