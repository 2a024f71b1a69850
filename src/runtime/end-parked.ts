/** The end of a request that is not in memory: it waited in the store when it was cancelled, or until its time was over. */
import type { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord, Settlement } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import { askStore } from './ask-store.ts';
import type { Runtime } from './runtime.ts';

/** False when it is not parked any more. @throws {SwitchgearError} `store-unavailable` */
export async function endParked(
  runtime: Runtime,
  { requestId, attempts, createdAt }: RequestRecord,
  error: SwitchgearError,
): Promise<boolean> {
  const { clock, lookouts, announce, wakeWebhooks } = runtime;
  const outcome = error.code === 'cancelled' ? 'cancelled' : 'failed';
  if (!(await write(runtime, requestId, { status: outcome, error: error.toJSON() }))) return false;
  lookouts.notify(requestId);
  wakeWebhooks();
  const totalMs = Math.max(0, clock.wallMs() - createdAt);
  announce('request.settled', { requestId, outcome, code: error.code, message: error.message, totalMs, attempts });
  return true;
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
