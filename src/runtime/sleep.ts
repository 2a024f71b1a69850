/** Waiting on the injected clock. */
import type { Clock } from '../contract/clock.ts';

/** Resolves with true after `waitMs`, or with false as soon as the signal aborts. */
export function sleep(clock: Clock, waitMs: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve(false);
      return;
    }
    const finish = (isOver: boolean) => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(isOver);
    };
    const onAbort = () => {
      finish(false);
    };
    const timer = clock.setTimeout(() => {
      finish(true);
    }, waitMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Waits for `promise`, at most `waitMs` and only while `signal` is not aborted. True when it settled. Never rejects; leaves
 * no timer behind.
 */
export async function settledWithin(
  clock: Clock,
  promise: Promise<unknown>,
  waitMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  if (signal?.aborted === true) return false;
  const over = new AbortController();
  const leave = () => {
    over.abort();
  };
  signal?.addEventListener('abort', leave, { once: true });
  const settled = promise.then(
    () => true,
    () => true,
  );
  const isSettled = await Promise.race([settled, sleep(clock, waitMs, over.signal).then(() => false)]);
  over.abort();
  signal?.removeEventListener('abort', leave);
  return isSettled;
}
