/**
 * Those who wait for a request that is not in memory: it is parked, or on its way in or out. They are woken when it comes into
 * memory, leaves it or ends, and look again; nobody asks the store meanwhile.
 */
import type { Clock } from '../contract/clock.ts';
import type { RequestId } from '../contract/response.ts';
import { sleep } from './sleep.ts';

export class Lookouts {
  readonly #clock: Clock;
  readonly #wakes = new Map<RequestId, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when something happens to the request, after `waitMs`, or when `signal` aborts. It is begun before the store is
   * asked, so that nothing that happens meanwhile is missed.
   */
  async wait(requestId: RequestId, waitMs: number, signal?: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = () => {
      woken.abort();
    };
    if (signal?.aborted === true) return;
    signal?.addEventListener('abort', wake, { once: true });
    const others = this.#wakes.get(requestId) ?? new Set();
    this.#wakes.set(requestId, others.add(wake));
    await sleep(this.#clock, waitMs, woken.signal);
    others.delete(wake);
    if (others.size === 0 && this.#wakes.get(requestId) === others) this.#wakes.delete(requestId);
    signal?.removeEventListener('abort', wake);
  }

  /** Something happened to a request. */
  notify(requestId: RequestId): void {
    const wakes = this.#wakes.get(requestId);
    this.#wakes.delete(requestId);
    for (const wake of wakes ?? []) wake();
  }
}
