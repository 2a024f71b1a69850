/**
 * Writing how a request ended. Until it is written nobody is told, because a process that ended in between would run the
 * request again and might tell another end; so a store that fails is asked again, for as long as it takes. Only the end of
 * the service ends that: the record then says that the request is open, which whoever starts next can see.
 */
import type { Settlement } from '../contract/records.ts';
import { askStore, STORE_WAIT_MS } from './ask-store.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';
import { sleep } from './sleep.ts';

const PAUSE_BASE_MS = 100;
const PAUSE_CAP_MS = 10_000;
/** Further tries once the service is ending. */
const LAST_TRIES_MAX = 3;
/** At the end of the service there is less time. */
const LAST_WAIT_MS = 3_000;

/** True when it is written; false when it cannot be any more. Never rejects. */
export async function writeSettlement(runtime: Runtime, open: OpenRequest, settlement: Settlement): Promise<boolean> {
  const { clock, store, ending } = runtime;
  const stored = withoutWireBody(settlement);
  let lastTries = 0;
  for (let tries = 0; lastTries < LAST_TRIES_MAX; tries++) {
    if (ending.aborted) lastTries += 1;
    try {
      const waitMs = ending.aborted ? LAST_WAIT_MS : STORE_WAIT_MS;
      await askStore(clock, store.settle(open.requestId, stored, clock.wallMs()), waitMs);
      return true;
    } catch (error) {
      runtime.announce('store.failed', { requestId: open.requestId, operation: 'settle', message: String(error) });
    }
    const pauseMs = Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** Math.min(tries, 10));
    if (ending.aborted) await sleep(clock, PAUSE_BASE_MS);
    else await sleep(clock, pauseMs, ending);
  }
  return false;
}

function withoutWireBody(settlement: Settlement): Settlement {
  if (settlement.status !== 'succeeded' || settlement.response.kind !== 'completion') return settlement;
  const { wireBody: _, ...response } = settlement.response;
  return { ...settlement, response };
}
