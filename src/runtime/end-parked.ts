/** The end of a request that is not in memory: it waited in the store when it was cancelled, or until its time was over. */
import { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import { unreadableError } from '../policy/recover.ts';
import { askStore } from './ask-store.ts';
import { insist } from './insist.ts';
import type { Runtime } from './runtime.ts';

/** False when it is not parked any more. @throws {SwitchgearError} `store-unavailable` */
export async function endParked(runtime: Runtime, record: RequestRecord, error: SwitchgearError): Promise<boolean> {
  const outcome = error.code === 'cancelled' ? 'cancelled' : 'failed';
  try {
    if (!(await write(runtime, record.requestId, { status: outcome, error: error.toJSON() }))) return false;
  } catch (failure) {
    // Whether it was written is not known: whoever waits looks again.
    runtime.lookouts.notify(record.requestId);
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

/** A store that says that it failed may have written it all the same; then it is to be told like any other end. */
async function write({ store, clock }: Runtime, requestId: RequestId, settlement: Settlement): Promise<boolean> {
  try {
    return await askStore(clock, store.settleParked(requestId, settlement, clock.wallMs()));
  } catch (error) {
    const loaded = await askStore(clock, store.load(requestId)).catch(() => undefined);
    const stored = loaded?.kind === 'found' ? loaded.record.settlement : undefined;
    if (JSON.stringify(stored) === JSON.stringify(settlement)) return true;
    throw error;
  }
}
