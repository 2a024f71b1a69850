/** The end of a request that is not in memory: it waited in the store when it was cancelled, or until its time was over. */
import { SwitchgearError } from '../contract/errors.ts';
import type { LoadResult, RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import { unreadableError } from '../policy/recover.ts';
import { askStore } from './ask-store.ts';
import { insist } from './insist.ts';
import type { Runtime } from './runtime.ts';

/**
 * False when it is not parked any more, or somebody else is about to end it. A store that says that it failed may have written
 * it all the same; then it is told like any other end. @throws {SwitchgearError} `store-unavailable`
 */
export async function endParked(runtime: Runtime, record: RequestRecord, error: SwitchgearError): Promise<boolean> {
  const { store, clock, lookouts, endings } = runtime;
  const { requestId } = record;
  if (endings.has(requestId)) return false;
  endings.add(requestId);
  const status = error.code === 'cancelled' ? 'cancelled' : 'failed';
  const end: ParkedEnd = { requestId, settlement: { status, error: error.toJSON() }, settledAt: clock.wallMs() };
  const conclude = (isWritten: boolean): boolean => {
    endings.delete(requestId);
    if (isWritten) tell(runtime, record, status, error);
    return isWritten;
  };
  try {
    return conclude(await askStore(clock, store.settleParked(requestId, end.settlement, end.settledAt)));
  } catch (failure) {
    const loaded = await askStore(clock, store.load(requestId)).catch(() => undefined);
    if (loaded === undefined) void findOut(runtime, end).then(conclude);
    else if (conclude(isEndOf(loaded, end))) return true;
    // Whoever waits looks again.
    lookouts.notify(requestId);
    throw failure;
  }
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
  readonly settledAt: number;
}

/** Whether it was written after all: waits until the store tells, or the service ends. Never rejects. */
async function findOut(runtime: Runtime, end: ParkedEnd): Promise<boolean> {
  const named = { requestId: end.requestId, operation: 'load' };
  const loaded = await insist(runtime, named, () => runtime.store.load(end.requestId));
  return loaded !== undefined && isEndOf(loaded.value, end);
}

function isEndOf(loaded: LoadResult, { settlement, settledAt }: ParkedEnd): boolean {
  if (loaded.kind !== 'found' || loaded.record.settledAt !== settledAt) return false;
  return JSON.stringify(loaded.record.settlement) === JSON.stringify(settlement);
}
