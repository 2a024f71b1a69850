/** The request records of lines: those that are to be run, and those that ended before anybody was asked. */
import type { BatchRecord, WaitingLine } from '../contract/batches.ts';
import type { ErrorCode } from '../contract/errors.ts';
import type { BatchLine, RequestRecord } from '../contract/records.ts';
import type { ParsedRequest } from '../contract/request.ts';
import type { RequestId } from '../contract/response.ts';

/** A line and where it stands. */
export interface PlacedLine {
  readonly index: number;
  readonly line: WaitingLine;
}

/** Why a line ends without being run. */
export interface LineEnd {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param?: string;
}

export interface LineMoment {
  readonly requestId: RequestId;
  /** Epoch ms, steady wall clock. */
  readonly nowMs: number;
}

/** When the time of a batch is over. */
export function deadlineOf({ createdAt, settings }: BatchRecord): number {
  return createdAt + settings.timeoutMs;
}

/** How long a request of the batch may take from now on. */
export function timeLeftMs(batch: BatchRecord, nowMs: number): number {
  return Math.max(1, Math.ceil(deadlineOf(batch) - nowMs));
}

/**
 * A line as a record that is to be run, or that has ended already because it is no request. It comes into line now: a place
 * as old as its batch would put all of a long batch before everybody else.
 */
export function recordOfLine(batch: BatchRecord, { index, line }: PlacedLine, moment: LineMoment): RequestRecord {
  if ('refusal' in line) return endedRecord(batch, { index, line }, moment, line.refusal);
  return openRecord(batch, { batchId: batch.batchId, index, customId: line.customId }, line.request, moment);
}

/** A line as a record that ended without being run. */
export function endedRecord(
  batch: BatchRecord,
  { index, line }: PlacedLine,
  moment: LineMoment,
  { code, message, param }: LineEnd,
): RequestRecord {
  const { batchId } = batch;
  const request = 'request' in line ? line.request : emptyRequest(batch.kind);
  const status = code === 'cancelled' ? 'cancelled' : 'failed';
  const { requestId, nowMs } = moment;
  const error = { code, message, requestId, attempts: [], ...(param !== undefined && { param }) };
  return {
    ...openRecord(batch, { batchId, index, customId: line.customId }, request, moment),
    status,
    settledAt: nowMs,
    settlement: { status, error },
  };
}

function openRecord(
  batch: BatchRecord,
  line: BatchLine,
  request: ParsedRequest,
  { requestId, nowMs }: LineMoment,
): RequestRecord {
  const { fallbacks, priority, recovery, tags } = batch.settings;
  return {
    requestId,
    tenant: batch.tenant,
    idempotencyKey: undefined,
    requestHash: '',
    request,
    fallbacks,
    priority,
    tags,
    createdAt: nowMs,
    enqueuedAt: nowMs,
    timeoutMs: timeLeftMs(batch, nowMs),
    recovery,
    recoveries: 0,
    batch: line,
    status: 'queued',
    attempts: [],
  };
}

/** Stands for what could not be read. */
function emptyRequest(kind: ParsedRequest['kind']): ParsedRequest {
  return kind === 'completion' ? { kind, model: '', messages: [] } : { kind, model: '', input: [] };
}
