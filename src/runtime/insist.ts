/**
 * What has to be written, however long it takes: how a request ended, that it waits in the store again, that it is in memory.
 * A process that ended before would tell another story than this one has told, so a store that fails is asked again. Only the
 * end of the service ends that; what the store says then is what whoever starts next goes by.
 */
import type { RequestId } from '../contract/response.ts';
import { askStore, STORE_WAIT_MS } from './ask-store.ts';
import type { Runtime } from './runtime.ts';
import { sleep } from './sleep.ts';

const PAUSE_BASE_MS = 100;
const PAUSE_CAP_MS = 10_000;
/** Further tries once the service is ending. */
const LAST_TRIES_MAX = 3;
/** At the end of the service there is less time. */
const LAST_WAIT_MS = 3_000;

/** What the write came to; undefined when it cannot be written any more. Never rejects. */
export async function insist<Value>(
  { clock, ending, announce }: Pick<Runtime, 'clock' | 'ending' | 'announce'>,
  { requestId, operation }: { readonly requestId: RequestId; readonly operation: string },
  write: () => Promise<Value>,
): Promise<{ readonly value: Value } | undefined> {
  let lastTries = 0;
  for (let tries = 0; lastTries < LAST_TRIES_MAX; tries++) {
    if (ending.aborted) lastTries += 1;
    try {
      return { value: await askStore(clock, write(), ending.aborted ? LAST_WAIT_MS : STORE_WAIT_MS) };
    } catch (error) {
      announce('store.failed', { requestId, operation, message: String(error) });
    }
    const pauseMs = Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** Math.min(tries, 10));
    if (ending.aborted) await sleep(clock, PAUSE_BASE_MS);
    else await sleep(clock, pauseMs, ending);
  }
  return undefined;
}
