/**
 * The table of open requests, in the order they were admitted. It counts who waits, which is what the queue's bound is about,
 * and it knows whom to give up when that bound is reached: of those that nobody waits on, and of whoever comes, the one with
 * the largest key, unless another tenant holds more.
 */
import type { RequestId } from '../contract/response.ts';
import { isBefore, type QueueKey } from '../policy/order.ts';
import type { OpenRequest } from './open-request.ts';
import { Shares } from './shares.ts';

/** Whoever comes, and has no place yet; no request has this id. */
const NEWCOMER = '';

export class OpenTable {
  readonly #open = new Map<RequestId, OpenRequest>();
  readonly #emptyWaiters = new Set<() => void>();
  /** How many wait for the result of a submitted request, where anybody does. */
  readonly #watchers = new Map<RequestId, number>();
  /** Queued, and nobody would notice at once if they were given up. */
  readonly #unwatched = new Shares();
  /** Given up; they have no place in the queue any more. */
  readonly #evicted = new Set<RequestId>();
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

  /** One of the same id that is on its way out, and is waiting in the store again for all that the store says, makes room. */
  add(open: OpenRequest): void {
    const leaving = this.#open.get(open.requestId);
    if (leaving !== undefined) this.#forget(leaving);
    this.#open.set(open.requestId, open);
    this.#waiting += 1;
    this.#refresh(open.requestId);
  }

  find(requestId: RequestId): OpenRequest | undefined {
    return this.#open.get(requestId);
  }

  mark(open: OpenRequest, status: 'queued' | 'running'): void {
    if (open.status === status) return;
    open.status = status;
    if (this.#open.get(open.requestId) !== open) return;
    if (!this.#evicted.has(open.requestId)) this.#waiting += status === 'queued' ? 1 : -1;
    this.#refresh(open.requestId);
  }

  remove(open: OpenRequest): void {
    if (this.#open.get(open.requestId) !== open) return;
    this.#forget(open);
    if (this.#open.size > 0) return;
    for (const wake of this.#emptyWaiters) wake();
    this.#emptyWaiters.clear();
  }

  list(): readonly OpenRequest[] {
    return [...this.#open.values()];
  }

  /** Somebody waits for the result of a request, until the function that is given back is called. */
  watch(open: OpenRequest): () => void {
    const { requestId } = open;
    this.#watchers.set(requestId, (this.#watchers.get(requestId) ?? 0) + 1);
    this.#refresh(open.requestId);
    return () => {
      const left = (this.#watchers.get(requestId) ?? 1) - 1;
      if (left === 0) this.#watchers.delete(requestId);
      else this.#watchers.set(requestId, left);
      this.#refresh(open.requestId);
    };
  }

  /** Takes the place of a request that nobody waits on for `key`, and gives it; it is to be stopped. */
  evict(key: QueueKey): OpenRequest | undefined {
    for (;;) {
      const last = this.#lastWith(key);
      if (last === undefined) return undefined;
      this.#unwatched.remove(last.requestId);
      // Whoever is about to end anyway makes room soon.
      if (last.signal.aborted || last.settlement !== undefined) continue;
      this.#evicted.add(last.requestId);
      this.#waiting -= 1;
      return last;
    }
  }

  /** Whether somebody who waits here, and could wait elsewhere, comes after `key`. */
  isAhead(key: QueueKey): boolean {
    const { largest } = this.#unwatched;
    return largest !== undefined && isBefore(key, largest);
  }

  /** Resolves when no request is open. */
  whenEmpty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptyWaiters.add(resolve);
    });
  }

  #forget({ requestId, status }: OpenRequest): void {
    this.#open.delete(requestId);
    const wasEvicted = this.#evicted.delete(requestId);
    if (status === 'queued' && !wasEvicted) this.#waiting -= 1;
    this.#unwatched.remove(requestId);
  }

  /** Who gives way when `key` is there too; undefined when that is `key` itself. */
  #lastWith(key: QueueKey): OpenRequest | undefined {
    this.#unwatched.add(NEWCOMER, key);
    const { last } = this.#unwatched;
    this.#unwatched.remove(NEWCOMER);
    return last === undefined ? undefined : this.#open.get(last);
  }

  #refresh(requestId: RequestId): void {
    const open = this.#open.get(requestId);
    const isUnwatched =
      open?.status === 'queued' &&
      open.init.mode === 'async' &&
      !this.#watchers.has(requestId) &&
      !this.#evicted.has(requestId);
    if (isUnwatched) this.#unwatched.add(requestId, open.init.key);
    else this.#unwatched.remove(requestId);
  }
}
