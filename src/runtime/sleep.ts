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
export function settledWithin(
  clock: Clock,
  promise: Promise<unknown>,
  waitMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const finish = (isSettled: boolean) => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      resolve(isSettled);
    };
    const giveUp = () => {
      finish(false);
    };
    const timer = clock.setTimeout(giveUp, waitMs);
    signal?.addEventListener('abort', giveUp, { once: true });
    const settle = () => {
      finish(true);
    };
    promise.then(settle, settle);
  });
}
