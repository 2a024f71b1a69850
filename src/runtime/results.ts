/** What became of a request: from the table while it is open, from the store afterwards. Reading never deletes. */
import { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import type { RequestResult } from '../contract/service.ts';
import { askStore } from './ask-store.ts';
import { endParked } from './end-parked.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';

const WAIT_MAX_MS = 86_400_000;
/** How long `cancel` waits for a store that fails. */
const CANCEL_WAIT_MS = 10_000;

/** How a request ended, or that it is open still. */
export type Seen =
  | { readonly kind: 'ended'; readonly settlement: Settlement; readonly error: SwitchgearError | undefined }
  /** `error`: it waits in the store, and nobody takes it in because the service ends. */
  | { readonly kind: 'open'; readonly status: 'queued' | 'running'; readonly error?: SwitchgearError | undefined };

/** @throws {SwitchgearError} `request-not-found`, `request-expired` */
export async function readResult(
  runtime: Runtime,
  requestId: RequestId,
  { waitMs = 0, signal }: { waitMs?: number; signal?: AbortSignal },
): Promise<RequestResult> {
  const seen = await awaitEnding(runtime, requestId, waitMs, signal);
  return seen.kind === 'ended' ? resultOf(requestId, seen.settlement) : { requestId, status: seen.status };
}

/**
 * Waits for the end of a request, at most `waitMs`, wherever it is; meanwhile it is not given up for being late in a full
 * queue. The store is asked once, and again when something has happened to a request that is not in memory.
 * @throws {SwitchgearError} `request-not-found`, `request-expired`
 */
export async function awaitEnding(
  runtime: Runtime,
  requestId: RequestId,
  waitMs: number,
  signal?: AbortSignal,
): Promise<Seen> {
  const { clock, open: table, service } = runtime;
  const untilMs = clock.nowMs() + Math.min(waitMs, WAIT_MAX_MS);
  for (;;) {
    const isOver = clock.nowMs() >= untilMs || signal?.aborted === true;
    const open = table.find(requestId);
    if (open === undefined) {
      const seen = await watchStored(runtime, requestId, isOver ? 0 : untilMs - clock.nowMs(), signal);
      if (seen !== undefined) return seen;
      continue;
    }
    if (isOver) return { kind: 'open', status: open.status };
    await watchOpen(runtime, open, untilMs - clock.nowMs(), signal);
    if (table.find(requestId) !== undefined) continue;
    if (open.isDisowned && open.error !== undefined) throw open.error;
    if (!open.isReleased && open.settlement !== undefined)
      return { kind: 'ended', settlement: open.settlement, error: open.error };
    if (service.isDraining) return { kind: 'open', status: 'queued', error: open.error };
  }
}

/** Waits for something to happen to a request in memory. */
async function watchOpen(
  { open: table }: Runtime,
  open: OpenRequest,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const unwatch = table.watch(open);
  try {
    await open.waitSettled(waitMs, signal);
  } finally {
    unwatch();
  }
}

/** What the store says of a request that is not in memory; undefined when it is worth looking again. */
async function watchStored(
  runtime: Runtime,
  requestId: RequestId,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<Seen | undefined> {
  const { ending, lookouts, open: table } = runtime;
  const leaving = new AbortController();
  const leave = () => {
    leaving.abort();
  };
  for (const ender of [signal, ending]) ender?.addEventListener('abort', leave, { once: true });
  // Begun before the store is asked: what happens meanwhile is not missed.
  const change = lookouts.wait(requestId, waitMs, leaving.signal);
  try {
    const { settlement, status } = await loadRecord(runtime, requestId);
    if (settlement !== undefined) return { kind: 'ended', settlement, error: undefined };
    if (waitMs <= 0 || signal?.aborted === true)
      return { kind: 'open', status: status === 'running' ? 'running' : 'queued' };
    if (!ending.aborted) await change;
    // Nobody takes it in any more, and nobody may be asked about it soon.
    if (ending.aborted && table.find(requestId) === undefined)
      return { kind: 'open', status: 'queued', error: endingError(requestId) };
    return undefined;
  } finally {
    leave();
    for (const ender of [signal, ending]) ender?.removeEventListener('abort', leave);
  }
}

function endingError(requestId: RequestId): SwitchgearError {
  const message = `request ${requestId} waits in the store, and goes on when the service is started again`;
  return new SwitchgearError('shutting-down', message, { requestId });
}

/**
 * Cancels an open request; false when it was settled already.
 * @throws {SwitchgearError} `request-not-found`, `request-expired`; `store-unavailable` when it is stopped and that cannot be
 * written yet
 */
export async function cancelRequest(runtime: Runtime, requestId: RequestId): Promise<boolean> {
  const { clock, open: table } = runtime;
  const untilMs = clock.nowMs() + CANCEL_WAIT_MS;
  while (clock.nowMs() < untilMs) {
    const open = table.find(requestId);
    if (open === undefined) {
      const isCancelled = await cancelStored(runtime, requestId, untilMs - clock.nowMs());
      if (isCancelled !== undefined) return isCancelled;
      continue;
    }
    open.stop('cancelled');
    await open.waitSettled(untilMs - clock.nowMs());
    if (table.find(requestId) === open) break;
    // It went back to the store at the same moment.
    if (!open.isReleased) return open.settlement?.status === 'cancelled';
  }
  throw new SwitchgearError(
    'store-unavailable',
    `request ${requestId} was stopped and the store has not written how it ended; ask getResult later`,
    { requestId },
  );
}

/** Ends a parked request; undefined when it is on its way in or out of memory and has to be looked for again. */
async function cancelStored(runtime: Runtime, requestId: RequestId, waitMs: number): Promise<boolean | undefined> {
  const leaving = new AbortController();
  const change = runtime.lookouts.wait(requestId, waitMs, leaving.signal);
  try {
    const record = await loadRecord(runtime, requestId);
    if (record.settlement !== undefined) return false;
    const { attempts } = record;
    const error = new SwitchgearError('cancelled', 'the request was cancelled', { requestId, attempts });
    if (await endParked(runtime, record, error)) return true;
    if (runtime.open.find(requestId) === undefined) await change;
    return undefined;
  } finally {
    leaving.abort();
  }
}

/** The stored form of a request. @throws {SwitchgearError} `request-not-found`, `request-expired` */
export async function loadRecord(
  runtime: Pick<Runtime, 'clock' | 'store'>,
  requestId: RequestId,
): Promise<RequestRecord> {
  const loaded = await askStore(runtime.clock, runtime.store.load(requestId));
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
        `no request ${requestId} is known here: the id is wrong, it was a sync request (those are not kept), ${runtime.store.isDurable ? 'or it was forgotten long ago' : 'or the process that took it has ended (requests live in its memory)'}`,
        { requestId },
      );
  }
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
