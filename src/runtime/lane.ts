/**
 * The part of the priority queue where requests wait for one provider: a p-queue with an order of our own. A task's first
 * synchronous step claims permit, credential and pacing tokens; what cannot be claimed goes back with its original key, its
 * tenant keeps its turn, and the lane stands still until its provider admits again. A slot is held for one attempt, and no
 * longer than that attempt's own limit.
 */
import PQueue from 'p-queue';
import type { ClaimResult, ProviderControl } from '../actors/provider-control.ts';
import type { Clock, TimerHandle } from '../contract/clock.ts';
import type { QueueKey } from '../policy/order.ts';
import type { Admission } from '../policy/rank.ts';
import { HeapQueue, type LaneAddOptions } from './heap-queue.ts';

export type Claimed = Extract<ClaimResult, { kind: 'claimed' }>;

/** The right to make one attempt; `release` gives the slot back and may be called twice. */
export interface Slot {
  readonly provider: string;
  readonly claimed: Claimed;
  release(): void;
}

/**
 * What a request stays for when the provider stops admitting: nothing, a gate that clears or an actor that restarts, or
 * whatever it is. Those who do not stay are sent back to be routed again.
 */
export type Patience = 'none' | 'brief' | 'recovery';

/** A request as one lane sees it. */
export interface Waiter {
  readonly id: string;
  readonly key: QueueKey;
  readonly patience: Patience;
  /** One synchronous step (R3). */
  claim(provider: string): ClaimResult;
  /** False when another lane was faster. */
  take(slot: Slot): boolean;
  /** The provider stopped admitting: route this request again. */
  reroute(): void;
}

export interface LaneStatus {
  readonly provider: string;
  readonly waiting: number;
  readonly running: number;
  readonly limit: number;
  readonly paused: boolean;
}

const PATIENCES: readonly Patience[] = ['none', 'brief', 'recovery'];

interface Place {
  readonly waiter: Waiter;
  readonly leaving: AbortController;
}

export class Lane {
  readonly #control: ProviderControl;
  readonly #clock: Clock;
  readonly #queue: PQueue<HeapQueue, LaneAddOptions>;
  readonly #order: HeapQueue;
  readonly #places = new Map<string, Place>();
  /** Who stays for the same, so that nobody is asked who stays anyway. */
  readonly #byPatience: Readonly<Record<Patience, Set<string>>> = {
    none: new Set(),
    brief: new Set(),
    recovery: new Set(),
  };
  #paceTimer: TimerHandle | undefined;
  /** The waiter that could not be paced. */
  #standingFor: string | undefined;

  constructor(control: ProviderControl, clock: Clock) {
    this.#control = control;
    this.#clock = clock;
    const order = new HeapQueue();
    this.#order = order;
    this.#queue = new PQueue({ queueClass: orderedBy(order), concurrency: control.concurrencyLimit });
    control.onChange(() => {
      this.refresh();
    });
    control.onPaceRelaxed(() => {
      this.#endStandstill();
    });
  }

  get provider(): string {
    return this.#control.name;
  }

  status(): LaneStatus {
    return {
      provider: this.provider,
      waiting: this.#queue.size,
      running: this.#queue.pending,
      limit: this.#queue.concurrency,
      paused: this.#queue.isPaused,
    };
  }

  enter(waiter: Waiter): void {
    const leaving = new AbortController();
    this.#places.set(waiter.id, { waiter, leaving });
    this.#byPatience[waiter.patience].add(waiter.id);
    const options = { id: waiter.id, key: waiter.key, signal: leaving.signal };
    // Rejects only when the waiter left the lane, which `leave` has recorded.
    void this.#queue.add(() => this.#serve(waiter), options).catch(() => undefined);
    // Who is asked next may need fewer tokens than the one the lane stands still for.
    if (this.#isOvertaken) this.#endStandstill();
    else this.refresh();
  }

  leave(id: string): void {
    this.#giveUpPlace(id)?.leaving.abort();
    if (this.#isOvertaken) this.#endStandstill();
  }

  /** Sends everybody back; the lane is not used again. */
  close(): void {
    if (this.#paceTimer !== undefined) this.#clock.clearTimeout(this.#paceTimer);
    this.#paceTimer = undefined;
    this.#sendBack(PATIENCES);
  }

  /** Follows the provider: its concurrency limit, and whether it admits. */
  refresh(): void {
    this.#queue.concurrency = Math.max(1, this.#control.concurrencyLimit);
    const admission = this.#control.admission('');
    if (admission.kind === 'ready') {
      if (this.#paceTimer === undefined) this.#queue.start();
      return;
    }
    this.#queue.pause();
    this.#sendBack(PATIENCES.filter((patience) => !isPatient(patience, admission)));
  }

  /** Holds the slot until the attempt is over. p-queue's own signal must not see a running task: it would free the slot. */
  async #serve(waiter: Waiter): Promise<void> {
    if (this.#giveUpPlace(waiter.id) === undefined) return;
    const result = waiter.claim(this.provider);
    if (result.kind !== 'claimed') this.#order.giveBack(waiter.id);
    switch (result.kind) {
      case 'claimed':
        return this.#hold(waiter, result);
      case 'paced':
        this.#standStill(waiter.id, result.waitMs);
        this.enter(waiter);
        return;
      case 'unaffordable':
        waiter.reroute();
        return;
      case 'refused':
        // The lane must stand still before anybody enters it again, or p-queue serves the same waiter on its own stack.
        this.refresh();
        if (isPatient(waiter.patience, result.admission)) this.enter(waiter);
        else waiter.reroute();
    }
  }

  /** Whether the one that the lane stands still for is not the next one any more. */
  get #isOvertaken(): boolean {
    return this.#standingFor !== undefined && this.#standingFor !== this.#order.nextId;
  }

  #hold(waiter: Waiter, claimed: Claimed): Promise<void> | undefined {
    const held = Promise.withResolvers<void>();
    const slot: Slot = {
      provider: this.provider,
      claimed,
      release: () => {
        held.resolve();
      },
    };
    if (waiter.take(slot)) return held.promise;
    this.#order.giveBack(waiter.id);
    this.#control.report(claimed.permit, { verdict: 'neutral', effect: 'none', model: '' });
    return undefined;
  }

  #giveUpPlace(id: string): Place | undefined {
    const place = this.#places.get(id);
    this.#places.delete(id);
    if (place !== undefined) this.#byPatience[place.waiter.patience].delete(id);
    return place;
  }

  /** Whoever is next in line is first to find somebody else, or to be the probe. */
  #sendBack(patiences: readonly Patience[]): void {
    const ids = new Set(patiences.flatMap((patience) => [...this.#byPatience[patience]]));
    const inOrder = ids.size > 1 ? this.#order.idsInOrder().filter((id) => ids.has(id)) : ids;
    for (const id of inOrder) {
      const place = this.#places.get(id);
      this.leave(id);
      place?.waiter.reroute();
    }
  }

  #standStill(id: string, waitMs: number): void {
    this.#queue.pause();
    this.#standingFor = id;
    if (this.#paceTimer !== undefined) return;
    this.#paceTimer = this.#clock.setTimeout(() => {
      this.#endStandstill();
    }, waitMs);
  }

  #endStandstill(): void {
    if (this.#paceTimer === undefined) return;
    this.#clock.clearTimeout(this.#paceTimer);
    this.#paceTimer = undefined;
    this.#standingFor = undefined;
    this.refresh();
  }
}

/** p-queue makes its queue itself and shows it to nobody; this one is known to its lane. */
function orderedBy(order: HeapQueue): new () => HeapQueue {
  return class extends HeapQueue {
    constructor() {
      super();
      return order;
    }
  };
}

function isPatient(patience: Patience, admission: Admission): boolean {
  if (admission.kind === 'ready') return true;
  if (admission.kind === 'never' || patience === 'none') return false;
  return patience === 'recovery' || admission.reason === 'held' || admission.reason === 'restarting';
}
