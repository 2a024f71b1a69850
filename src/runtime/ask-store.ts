/** A store may hang, which no caller may: whoever asks it waits for so long and no longer. */
import type { Clock } from '../contract/clock.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { settledWithin } from './sleep.ts';

/** A store that says nothing for so long has failed. */
export const STORE_WAIT_MS = 10_000;

/**
 * What the store says; nothing is known of an operation that was not waited for.
 * @throws {SwitchgearError} `store-unavailable` when it says nothing within `waitMs`, or until `signal` aborts
 */
export async function askStore<Value>(
  clock: Clock,
  operation: Promise<Value>,
  waitMs = STORE_WAIT_MS,
  signal?: AbortSignal,
): Promise<Value> {
  // Whoever gives up on it does not hear of its failure.
  operation.catch(() => undefined);
  if (await settledWithin(clock, operation, waitMs, signal)) return operation;
  throw new SwitchgearError(
    'store-unavailable',
    `the request store did not answer within ${waitMs} ms; look at its disk`,
  );
}
