/** Waiting on the injected clock. Every wait of the mock and of the simulator ends at once when its signal aborts. */
import type { Clock } from '../../contract/clock.ts';

/** Longest wait that may be asked for: one day, well below what Node's timers can hold. */
export const pauseMsMax = 86_400_000;

/** Waits `delayMs`. Rejects with the signal's reason as soon as it aborts; a delay of 0 or less only checks the signal. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  if (delayMs <= 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const leave = () => {
      clock.clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = clock.setTimeout(() => {
      signal.removeEventListener('abort', leave);
      resolve();
    }, delayMs);
    signal.addEventListener('abort', leave, { once: true });
  });
}

/** Waits for ever; rejects with the signal's reason when it aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
