/** The end of a request that is not in memory: it waited in the store when it was cancelled, or until its time was over. */
import { SwitchgearError } from '../contract/errors.ts';
import type { LoadResult, RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import { unreadableError } from '../policy/recover.ts';
import { askStore } from './ask-store.ts';
import { insist } from './insist.ts';
import type { Runtime } from './runtime.ts';

/** False when it is not parked any more. @throws {SwitchgearError} `store-unavailable` */
export async function endParked(runtime: Runtime, record: RequestRecord, error: SwitchgearError): Promise<boolean> {
  const { requestId } = record;
  const outcome = error.code === 'cancelled' ? 'cancelled' : 'failed';
  const end: ParkedEnd = { requestId, settlement: { status: outcome, error: error.toJSON() } };
  if (runtime.doubts.has(requestId))
    throw new SwitchgearError('store-unavailable', 'the request may have ended, which the store has not told yet', {
      requestId,
    });
  try {
    if (!(await write(runtime, end))) return false;
  } catch (failure) {
    // Whether it was written is not known: whoever waits looks again, and once it is known it is told like any other end.
    runtime.lookouts.notify(requestId);
    void isWrittenAfterAll(runtime, end).then((isWritten) => {
      if (isWritten) tell(runtime, record, outcome, error);
    });
    throw failure;
  }
  tell(runtime, record, outcome, error);
  return true;
}

/** A record that was claimed and cannot be run ends. Never rejects. */
export async function endUnreadable(runtime: Runtime, record: RequestRecord, fence: number): Promise<void> {
  const { requestId } = record;
  const { store, clock } = runtime;
  const error = SwitchgearError.fromReport(unreadableError(requestId));
  const settlement: Settlement = { status: 'failed', error: error.toJSON() };
  await insist(runtime, { requestId, operation: 'settle' }, () =>
    store.settle({ requestId, fence }, settlement, clock.wallMs()),
  );
  tell(runtime, record, 'failed', error);
}

function tell(
  { clock, lookouts, announce, wakeWebhooks, noteLineEnded }: Runtime,
  { requestId, attempts, createdAt, batch }: RequestRecord,
  outcome: 'failed' | 'cancelled',
  error: SwitchgearError,
): void {
  lookouts.notify(requestId);
  wakeWebhooks();
  const totalMs = Math.max(0, clock.wallMs() - createdAt);
  announce('request.settled', { requestId, outcome, code: error.code, message: error.message, totalMs, attempts });
  if (batch !== undefined) noteLineEnded(batch);
}

interface ParkedEnd {
  readonly requestId: RequestId;
  readonly settlement: Settlement;
}

/** A store that says that it failed may have written it all the same; then it is to be told like any other end. */
async function write({ store, clock }: Runtime, end: ParkedEnd): Promise<boolean> {
  try {
    return await askStore(clock, store.settleParked(end.requestId, end.settlement, clock.wallMs()));
  } catch (error) {
    const loaded = await askStore(clock, store.load(end.requestId)).catch(() => undefined);
    if (loaded !== undefined && isEndOf(loaded, end)) return true;
    throw error;
  }
}

/** Waits until the store tells, or the service ends. Never rejects. */
async function isWrittenAfterAll(runtime: Runtime, end: ParkedEnd): Promise<boolean> {
  const { store, doubts } = runtime;
  doubts.add(end.requestId);
  const named = { requestId: end.requestId, operation: 'settle' };
  const loaded = await insist(runtime, named, () => store.load(end.requestId));
  doubts.delete(end.requestId);
  return loaded !== undefined && isEndOf(loaded.value, end);
}

function isEndOf(loaded: LoadResult, { settlement }: ParkedEnd): boolean {
  return loaded.kind === 'found' && JSON.stringify(loaded.record.settlement) === JSON.stringify(settlement);
}
