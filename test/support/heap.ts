/** What is still reachable, for tests of what is left behind. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes of this thread that are still reachable. */
export function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  // V8 gives new contexts the function that the flag exposes.
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}
