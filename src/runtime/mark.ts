/** Whether a request waits or runs, in the table and in its record. */
import type { Candidate } from '../policy/resolve.ts';
import { askStore, STORE_WAIT_MS } from './ask-store.ts';
import type { OpenRequest } from './open-request.ts';
import { bookkeep } from './remember.ts';
import type { Runtime } from './runtime.ts';

/** Whoever waits while the service ends waits in a durable store: only what is running is worth waiting for. */
export async function markQueued(runtime: Runtime, open: OpenRequest): Promise<void> {
  const { store, service, open: table } = runtime;
  if (open.status === 'queued' && !open.isRecordedAsRunning) return;
  table.mark(open, 'queued');
  if (!open.init.isStored) return;
  if (service.isDraining && store.isDurable && open.init.mode === 'async') {
    open.stop('shutdown');
    return;
  }
  const isWritten = await bookkeep(runtime, open, 'queued', () =>
    recordMissing(runtime, open).then(() => store.markQueued(open.claim)),
  );
  if (isWritten) open.isRecordedAsRunning = false;
}

/**
 * Records attempts that could not be recorded when they ended. Whoever takes the request in later goes on counting after them:
 * the ledger knows an attempt by its number. Whoever asks for it says how long it may take.
 * @throws {SwitchgearError} `store-unavailable`
 */
export async function recordMissing({ store }: Runtime, open: OpenRequest): Promise<void> {
  if (!open.isBehind) return;
  // One that was said to have failed may have had its effect: it is told again, and counts once.
  await Promise.all(open.attempts.map((attempt, index) => store.addAttempt(open.claim, index + 1, attempt)));
  open.isBehind = false;
}

/**
 * Before an attempt is sent, so that a process that ends meanwhile is known to have sent it. False: it could not be recorded,
 * and is not to be sent.
 */
export async function markRunning(
  runtime: Runtime,
  open: OpenRequest,
  target: Pick<Candidate, 'provider' | 'model'>,
): Promise<boolean> {
  const { store, clock, announce, feed, open: table } = runtime;
  table.mark(open, 'running');
  feed();
  if (!open.init.isStored) return true;
  try {
    open.isRecordedAsRunning = true;
    const recorded = recordMissing(runtime, open).then(() => store.markRunning(open.claim, target));
    const isHeld = await askStore(clock, recorded, STORE_WAIT_MS, open.signal);
    if (!isHeld) open.stop('superseded');
    return isHeld;
  } catch (error) {
    if (!open.signal.aborted)
      announce('store.failed', { requestId: open.requestId, operation: 'running', message: String(error) });
    return false;
  }
}
