/**
 * The priority queue: one lane per provider. A request waits in the lane of its best candidate; while nobody admits it waits
 * in the lanes of all candidates at once and the first that admits takes it, so that a recovery wakes exactly as many
 * requests as there are slots.
 */
import type { ProviderControl } from '../actors/provider-control.ts';
import type { Clock } from '../contract/clock.ts';
import type { ClaimResult } from '../actors/provider-control.ts';
import type { Candidate } from '../policy/resolve.ts';
import type { QueueKey } from '../policy/order.ts';
import { Lane, type LaneStatus, type Patience, type Slot, type Waiter } from './lane.ts';

export interface TakeRequest {
  readonly requestId: string;
  readonly key: QueueKey;
  readonly candidates: readonly Candidate[];
  readonly patience: Patience;
  readonly signal: AbortSignal;
  /** Claims permit, credential and tokens for a candidate; synchronous. */
  readonly claim: (candidate: Candidate) => ClaimResult;
}

export type Taken =
  | { readonly kind: 'slot'; readonly slot: Slot; readonly candidate: Candidate }
  /** The candidate stopped admitting: route again. */
  | { readonly kind: 'reroute' }
  | { readonly kind: 'stopped' };

export class RequestQueue {
  readonly #lanes = new Map<string, Lane>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  addLane(control: ProviderControl): void {
    if (!this.#lanes.has(control.name)) this.#lanes.set(control.name, new Lane(control, this.#clock));
  }

  /** Sends everybody who waits for this provider back to be routed. */
  removeLane(provider: string): void {
    this.#lanes.get(provider)?.close();
    this.#lanes.delete(provider);
  }

  status(): readonly LaneStatus[] {
    return [...this.#lanes.values()].map((lane) => lane.status());
  }

  /** Waits for the right to make one attempt. Rejects when `claim` throws. */
  take(request: TakeRequest): Promise<Taken> {
    return new Promise((resolve, reject) => {
      if (request.signal.aborted) {
        resolve({ kind: 'stopped' });
        return;
      }
      new Wait(request, this.#lanesOf(request), { resolve, reject }).begin();
    });
  }

  #lanesOf(request: TakeRequest): ReadonlyMap<string, Lane> {
    const lanes = new Map<string, Lane>();
    for (const { provider } of request.candidates) {
      const lane = this.#lanes.get(provider);
      if (lane !== undefined) lanes.set(provider, lane);
    }
    return lanes;
  }
}

/** One request's stay in its lanes. */
class Wait implements Waiter {
  readonly #request: TakeRequest;
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #settle: Pick<PromiseWithResolvers<Taken>, 'resolve' | 'reject'>;
  #isOver = false;

  constructor(
    request: TakeRequest,
    lanes: ReadonlyMap<string, Lane>,
    settle: Pick<PromiseWithResolvers<Taken>, 'resolve' | 'reject'>,
  ) {
    this.#request = request;
    this.#lanes = lanes;
    this.#settle = settle;
  }

  get id(): string {
    return this.#request.requestId;
  }

  get key(): QueueKey {
    return this.#request.key;
  }

  get patience(): Patience {
    return this.#request.patience;
  }

  begin(): void {
    this.#request.signal.addEventListener('abort', this.#stop, { once: true });
    if (this.#lanes.size === 0) this.reroute();
    for (const lane of this.#lanes.values()) {
      if (!this.#isOver) lane.enter(this);
    }
  }

  claim(provider: string): ClaimResult {
    try {
      return this.#request.claim(this.#candidateAt(provider));
    } catch (error) {
      // A lane has nobody to tell it to.
      this.#leave();
      this.#settle.reject(error);
      return { kind: 'refused', admission: { kind: 'never', reason: 'the request failed' } };
    }
  }

  take(slot: Slot): boolean {
    if (this.#isOver) return false;
    this.#end({ kind: 'slot', slot, candidate: this.#candidateAt(slot.provider) });
    return true;
  }

  reroute(): void {
    this.#end({ kind: 'reroute' });
  }

  readonly #stop = (): void => {
    this.#end({ kind: 'stopped' });
  };

  #candidateAt(provider: string): Candidate {
    const candidate = this.#request.candidates.find((known) => known.provider === provider);
    if (candidate === undefined) throw new TypeError(`expected ${this.id} to wait for ${provider}`);
    return candidate;
  }

  #end(taken: Taken): void {
    if (this.#isOver) return;
    this.#leave();
    this.#settle.resolve(taken);
  }

  #leave(): void {
    this.#isOver = true;
    this.#request.signal.removeEventListener('abort', this.#stop);
    for (const lane of this.#lanes.values()) lane.leave(this.id);
  }
}
