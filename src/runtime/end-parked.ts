/** The end of a request that is not in memory: it waited in the store when it was cancelled, or until its time was over. */
import type { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord, Settlement } from '../contract/records.ts';
import { askStore } from './ask-store.ts';
import type { Runtime } from './runtime.ts';

/** False when it is not parked any more. @throws {SwitchgearError} `store-unavailable` */
export async function endParked(
  runtime: Runtime,
  { requestId, attempts, createdAt }: RequestRecord,
  error: SwitchgearError,
): Promise<boolean> {
  const { store, clock, lookouts, announce, wakeWebhooks } = runtime;
  const outcome = error.code === 'cancelled' ? 'cancelled' : 'failed';
  const settlement: Settlement = { status: outcome, error: error.toJSON() };
  if (!(await askStore(clock, store.settleParked(requestId, settlement, clock.wallMs())))) return false;
  lookouts.notify(requestId);
  wakeWebhooks();
  const totalMs = Math.max(0, clock.wallMs() - createdAt);
  announce('request.settled', { requestId, outcome, code: error.code, message: error.message, totalMs, attempts });
  return true;
}
