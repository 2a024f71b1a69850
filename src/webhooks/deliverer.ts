/**
 * Takes due notices out of the outbox and has them delivered, a few at a time. It looks when a settlement was written, when a
 * delivery ends and when the next notice is due, and at no other time; while there is nothing to deliver it has no timer. What
 * is in flight is still in the outbox, so that whatever ends this process loses nothing: the next one sends it again.
 */
import { isDeepStrictEqual } from 'node:util';
import type { WebhooksConfig } from '../contract/config.ts';
import type { TimerHandle } from '../contract/clock.ts';
import type { RequestId } from '../contract/response.ts';
import type { ExpiredDelivery, WebhookDelivery } from '../contract/storage.ts';
import { askStore } from '../runtime/ask-store.ts';
import { settledWithin } from '../runtime/sleep.ts';
import { type DeliveryDeps, outboxPauseMs, tryDelivery } from './delivery.ts';
import type { Endpoint } from './endpoint.ts';

/** A receiver that is slow holds up so many and no more connections. */
const IN_FLIGHT_MAX = 8;
/** What `stop` gives to those in flight. */
const STOP_WAIT_MS = 5_000;
/** What it gives to those that it has broken off, and to closing connections. */
const LAST_WAIT_MS = 1_000;
/** Before an outbox is asked again that contradicts itself. */
const LOOK_AGAIN_MS = 1_000;

export interface DelivererDeps extends DeliveryDeps {
  readonly openEndpoint: (config: WebhooksConfig) => Endpoint;
}

interface InFlight {
  readonly ended: Promise<void>;
  readonly breakOff: AbortController;
}

export class Deliverer {
  readonly #deps: DelivererDeps;
  #config: WebhooksConfig;
  #endpoint: Endpoint;
  /** Endpoints of former configs. */
  #closed: Promise<unknown> = Promise.resolve();
  readonly #inFlight = new Map<RequestId, InFlight>();
  /** Ended since the outbox was asked last: what it answers may be older. */
  readonly #endedMeanwhile = new Set<RequestId>();
  #looking: Promise<void> = Promise.resolve();
  #isLooking = false;
  #isWanted = false;
  #isStopped = false;
  /** Nothing is started any more. */
  #isClosed = false;
  #timer: TimerHandle | undefined;
  /** Monotonic: the receiver wants to be left alone, or the outbox failed. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #outboxFailures = 0;

  constructor(config: WebhooksConfig, deps: DelivererDeps) {
    this.#deps = deps;
    this.#config = config;
    this.#endpoint = deps.openEndpoint(config);
  }

  /** Looks what is due: at the start, and whenever a settlement was written. Returns at once. */
  wake(): void {
    if (this.#isStopped) return;
    this.#isWanted = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    // It never rejects.
    this.#looking = this.#look();
  }

  /** Tries from now on go to another receiver, or are signed with other secrets; those in flight end as they began. */
  configure(config: WebhooksConfig): void {
    if (this.#isStopped || isDeepStrictEqual(config, this.#config)) return;
    this.#closed = Promise.allSettled([this.#closed, this.#endpoint.close()]);
    this.#config = config;
    this.#endpoint = this.#deps.openEndpoint(config);
    // It was another receiver that wanted to be left alone.
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    this.wake();
  }

  /** Lets those in flight end, for a while, and leaves the others where they are. Never rejects. */
  async stop(): Promise<void> {
    const { clock } = this.#deps;
    this.#isStopped = true;
    this.#clearTimer();
    // What it was woken for before is started still.
    const ended = this.#looking.then(() => Promise.all([...this.#inFlight.values()].map(({ ended: end }) => end)));
    await settledWithin(clock, ended, STOP_WAIT_MS);
    this.#isClosed = true;
    if (this.#inFlight.size > 0) {
      for (const { breakOff } of this.#inFlight.values()) breakOff.abort();
      await settledWithin(clock, ended, LAST_WAIT_MS);
    }
    await settledWithin(clock, Promise.allSettled([this.#closed, this.#endpoint.close()]), LAST_WAIT_MS);
  }

  async #look(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      this.#endedMeanwhile.clear();
      this.#clearTimer();
      const heldMs = this.#notBeforeMs - this.#deps.clock.nowMs();
      if (heldMs > 0) this.#lookIn(heldMs);
      // The first of those in flight to end looks again.
      else if (this.#inFlight.size < IN_FLIGHT_MAX) await this.#askOutbox();
    }
    // In the turn of the last check: a wake is either seen there or starts another look.
    this.#isLooking = false;
  }

  /** Never rejects. */
  async #askOutbox(): Promise<void> {
    try {
      await this.#startDue();
      this.#outboxFailures = 0;
    } catch (error) {
      this.#deps.announce('store.failed', { operation: 'webhooks.due', message: String(error) });
      this.#holdFor(outboxPauseMs(this.#outboxFailures));
      this.#outboxFailures += 1;
      this.#isWanted = true;
    }
  }

  /** Fills what room there is, and sets the timer when there is more room than is due. */
  async #startDue(): Promise<void> {
    const { clock, steadyNowMs, outbox } = this.#deps;
    const nowMs = steadyNowMs();
    const due = await askStore(clock, outbox.due(nowMs, IN_FLIGHT_MAX));
    const room = IN_FLIGHT_MAX - this.#inFlight.size;
    const startable = due.filter(({ requestId }) => this.#isStartable(requestId)).slice(0, room);
    for (const delivery of startable) this.#start(delivery);
    if (startable.length === room) return;
    const nextDueAt = await askStore(clock, outbox.nextDueAt());
    if (nextDueAt === undefined) return;
    if (nextDueAt > nowMs) this.#lookIn(nextDueAt - nowMs);
    // What is in flight is due still and hides when the next one is. A delivery is short: its end is soon enough to look.
    else if (this.#inFlight.size === 0) this.#lookIn(LOOK_AGAIN_MS);
  }

  #isStartable(requestId: RequestId): boolean {
    return !this.#isClosed && !this.#inFlight.has(requestId) && !this.#endedMeanwhile.has(requestId);
  }

  #start(delivery: WebhookDelivery | ExpiredDelivery): void {
    const { requestId } = delivery;
    const breakOff = new AbortController();
    // It never rejects.
    const ended = tryDelivery(this.#deps, this.#endpoint, delivery, breakOff.signal).then((holdMs) => {
      this.#inFlight.delete(requestId);
      this.#endedMeanwhile.add(requestId);
      if (holdMs > 0) this.#holdFor(holdMs);
      this.wake();
    });
    this.#inFlight.set(requestId, { ended, breakOff });
  }

  #holdFor(forMs: number): void {
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#deps.clock.nowMs() + forMs);
  }

  #lookIn(waitMs: number): void {
    if (this.#isStopped) return;
    this.#timer = this.#deps.clock.setTimeout(() => {
      this.#timer = undefined;
      this.wake();
    }, waitMs);
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#deps.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
