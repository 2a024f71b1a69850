/** What became of a request: from the table while it is open, from the store afterwards. Reading never deletes. */
import { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import type { RequestResult } from '../contract/service.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';

const WAIT_MAX_MS = 86_400_000;
/** How long `cancel` waits for a store that fails. */
const CANCEL_WAIT_MS = 10_000;

/** @throws {SwitchgearError} `request-not-found`, `request-expired` */
export async function readResult(
  runtime: Runtime,
  requestId: RequestId,
  options: { waitMs?: number; signal?: AbortSignal },
): Promise<RequestResult> {
  const { waitMs = 0, signal } = options;
  const open = runtime.open.find(requestId);
  if (open === undefined) return recordResult(await loadRecord(runtime, requestId));
  if (waitMs > 0) await settledWhileWatched(runtime, open, Math.min(waitMs, WAIT_MAX_MS), signal);
  if (runtime.open.find(requestId) !== undefined) return { requestId, status: open.status };
  return open.settlement === undefined
    ? recordResult(await loadRecord(runtime, requestId))
    : resultOf(requestId, open.settlement);
}

/** Waits for the end of a request, at most `waitMs`; meanwhile it is not given up for being late in a full queue. */
export async function settledWhileWatched(
  { open: table }: Runtime,
  open: OpenRequest,
  waitMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const unwatch = table.watch(open);
  try {
    await open.waitSettled(waitMs, signal);
  } finally {
    unwatch();
  }
}

/**
 * Cancels an open request; false when it was settled already.
 * @throws {SwitchgearError} `request-not-found`, `request-expired`; `store-unavailable` when it is stopped and that cannot be
 * written yet
 */
export async function cancelRequest(runtime: Runtime, requestId: RequestId): Promise<boolean> {
  const open = runtime.open.find(requestId);
  if (open === undefined) {
    await loadRecord(runtime, requestId);
    return false;
  }
  open.stop('cancelled');
  await open.waitSettled(CANCEL_WAIT_MS);
  if (runtime.open.find(requestId) !== undefined)
    throw new SwitchgearError(
      'store-unavailable',
      `request ${requestId} was stopped and the store has not written how it ended; ask getResult later`,
      { requestId },
    );
  const settlement = await open.settled;
  return settlement.status === 'cancelled';
}

/** The stored form of a request. @throws {SwitchgearError} `request-not-found`, `request-expired` */
export async function loadRecord(runtime: Runtime, requestId: RequestId): Promise<RequestRecord> {
  const loaded = await runtime.store.load(requestId);
  switch (loaded.kind) {
    case 'found':
      return loaded.record;
    case 'expired':
      throw new SwitchgearError(
        'request-expired',
        `the result of ${requestId} is no longer kept; raise store.resultTtlMs to keep results longer`,
        { requestId },
      );
    case 'unknown':
      throw new SwitchgearError(
        'request-not-found',
        `no request ${requestId} is known here: the id is wrong, it was a sync request (those are not kept), or the process that took it has ended (requests live in its memory)`,
        { requestId },
      );
  }
}

function recordResult(record: RequestRecord): RequestResult {
  const { requestId, status, settlement } = record;
  if (settlement !== undefined) return resultOf(requestId, settlement);
  return { requestId, status: status === 'running' ? 'running' : 'queued' };
}

function resultOf(requestId: RequestId, settlement: Settlement): RequestResult {
  if (settlement.status !== 'succeeded')
    return { requestId, status: settlement.status, error: SwitchgearError.fromReport(settlement.error) };
  if (settlement.response.kind !== 'completion') {
    throw new SwitchgearError(
      'request-not-found',
      `expected the id of a completion, got: ${requestId} of an embedding; ask again with its idempotency key`,
      { requestId },
    );
  }
  return { requestId, status: 'succeeded', response: settlement.response };
}
