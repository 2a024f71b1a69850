/** Waiting on the injected clock. */
import type { Clock } from '../contract/clock.ts';

/** Resolves with true after `waitMs`, or with false as soon as the signal aborts. */
export function sleep(clock: Clock, waitMs: number, signal?: AbortSignal): Promise<boolean> {
  return wait(clock, waitMs, signal, { atEnd: true });
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
  return wait(clock, waitMs, signal, { atEnd: false, promise });
}

/** Resolves with `atEnd` after `waitMs`, with false as soon as the signal aborts, and with true when `promise` settles. */
function wait(
  clock: Clock,
  waitMs: number,
  signal: AbortSignal | undefined,
  { atEnd, promise }: { readonly atEnd: boolean; readonly promise?: Promise<unknown> },
): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false);
  return new Promise((resolve) => {
    const finish = (outcome: boolean) => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => {
      finish(false);
    };
    const settle = () => {
      finish(true);
    };
    const timer = clock.setTimeout(() => {
      finish(atEnd);
    }, waitMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    promise?.then(settle, settle);
  });
}
