/** The table of open requests, in the order they were admitted. It counts who waits, which is what the queue's bound is about. */
import type { RequestId } from '../contract/response.ts';
import type { OpenRequest } from './open-request.ts';

export class OpenTable {
  readonly #open = new Map<RequestId, OpenRequest>();
  readonly #emptyWaiters = new Set<() => void>();
  #waiting = 0;
  /** How many have ended and wait for the store to write it. */
  unwritten = 0;

  get size(): number {
    return this.#open.size;
  }

  /** How many are queued. */
  get waiting(): number {
    return this.#waiting;
  }

  add(open: OpenRequest): void {
    this.#open.set(open.requestId, open);
    this.#waiting += 1;
  }

  find(requestId: RequestId): OpenRequest | undefined {
    return this.#open.get(requestId);
  }

  mark(open: OpenRequest, status: 'queued' | 'running'): void {
    if (open.status === status) return;
    open.status = status;
    this.#waiting += status === 'queued' ? 1 : -1;
  }

  remove(open: OpenRequest): void {
    if (!this.#open.delete(open.requestId)) return;
    if (open.status === 'queued') this.#waiting -= 1;
    if (this.#open.size > 0) return;
    for (const wake of this.#emptyWaiters) wake();
    this.#emptyWaiters.clear();
  }

  list(): readonly OpenRequest[] {
    return [...this.#open.values()];
  }

  /** Resolves when no request is open. */
  whenEmpty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptyWaiters.add(resolve);
    });
  }
}
