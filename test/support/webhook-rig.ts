/**
 * A deliverer under virtual time, between an outbox that fails, hangs or is slow as it is told and a receiver that answers as
 * it is told. Chance is even: a wait is half its longest.
 */
import type { WebhooksConfig } from '../../src/contract/config.ts';
import type { EventName, Events } from '../../src/contract/events.ts';
import type { WebhookOutbox } from '../../src/contract/storage.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import { MemoryOutbox } from '../../src/stores/memory-outbox.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { Deliverer } from '../../src/webhooks/deliverer.ts';
import type { Endpoint } from '../../src/webhooks/endpoint.ts';
import type { Notice } from '../../src/webhooks/notice.ts';
import type { TryOutcome } from '../../src/webhooks/schedule.ts';

export type Operation = keyof WebhookOutbox;
/** What goes wrong with one call: it fails before or after it had its effect, or never says anything. */
export type Fault = 'before' | 'after' | 'hang';

/** One try, as the receiver saw it. */
export interface Sent {
  readonly requestId: string;
  readonly atMs: number;
  readonly url: string;
}

type Answer = (notice: Notice, signal: AbortSignal) => Promise<TryOutcome>;

export const answered = (status: number, retryAfterMs?: number): TryOutcome => ({
  kind: 'answered',
  status,
  retryAfterMs,
});

export const WEBHOOKS: WebhooksConfig = {
  url: 'https://example.com/hooks',
  secrets: [`whsec_${Buffer.alloc(24, 1).toString('base64')}`],
  timeoutMs: 10_000,
  allowPrivate: false,
};

class EvenClock extends VirtualClock {
  override random(): number {
    return 0.5;
  }
}

export class WebhookRig {
  readonly clock = new EvenClock();
  readonly memory: MemoryOutbox;
  readonly sent: Sent[] = [];
  /** Calls of the outbox, in order. */
  readonly asked: Operation[] = [];
  readonly announced: { readonly name: EventName; readonly payload: Events[EventName] }[] = [];
  readonly closed: string[] = [];
  /** What a try comes to. */
  answer: Answer = async () => answered(200);
  /** Sees every call of the outbox, counted from 1. */
  fault: (operation: Operation, count: number) => Fault | undefined = () => undefined;
  /** How long an operation of the outbox takes. */
  slowMs: Partial<Record<Operation, number>> = {};
  inFlight = 0;
  inFlightMax = 0;
  readonly #counts: Record<Operation, number> = { due: 0, nextDueAt: 0, postpone: 0, remove: 0 };
  deliverer: Deliverer;

  /** Results are there for longer than anything is tried, unless somebody says otherwise. */
  constructor({ resultTtlMs = 30 * 86_400_000 }: { readonly resultTtlMs?: number } = {}) {
    this.memory = new MemoryOutbox({ clock: this.clock, resultTtlMs });
    this.deliverer = this.createDeliverer();
  }

  /** The deliverer of another process over the same outbox. */
  createDeliverer(): Deliverer {
    return new Deliverer(WEBHOOKS, {
      clock: this.clock,
      steadyNowMs: () => this.clock.wallMs(),
      outbox: this.#outbox(),
      announce: (name, payload) => void this.announced.push({ name, payload }),
      openEndpoint: (config) => this.#openEndpoint(config),
    });
  }

  /** A settlement is written. */
  settle(...requestIds: readonly string[]): void {
    for (const requestId of requestIds) {
      this.memory.add(requestId, { status: 'succeeded' }, this.clock.wallMs());
      this.deliverer.wake();
    }
  }

  eventsOf<Name extends EventName>(name: Name): readonly Events[Name][] {
    // The filter leaves only this name, whose payload it is.
    return this.announced.filter((event) => event.name === name).map((event) => event.payload as Events[Name]);
  }

  idsOf(name: 'webhook.delivered' | 'webhook.postponed' | 'webhook.failed'): readonly string[] {
    return this.eventsOf(name).map(({ requestId }) => requestId);
  }

  /** Ids of everything that is in the outbox. */
  async left(): Promise<readonly string[]> {
    const waiting = await this.memory.due(Number.POSITIVE_INFINITY, 1_000);
    return waiting.map(({ requestId }) => requestId);
  }

  /** Moves time until nothing is planned any more. */
  async runOut(limitMs = 10 * 86_400_000): Promise<void> {
    const untilMs = this.clock.nowMs() + limitMs;
    await this.clock.settle();
    while (await this.clock.step(untilMs)) {
      // One step fires one timer.
    }
    if (this.clock.pendingTimers > 0) throw new Error(`expected an end within ${limitMs} virtual ms, got: more timers`);
  }

  #openEndpoint({ url }: WebhooksConfig): Endpoint {
    return {
      send: async (notice, signal) => {
        this.sent.push({ requestId: notice.id.replace('msg_', ''), atMs: this.clock.nowMs(), url });
        this.inFlight += 1;
        this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
        const outcome = await this.answer(notice, signal);
        this.inFlight -= 1;
        return outcome;
      },
      close: async () => void this.closed.push(url),
    };
  }

  #outbox(): WebhookOutbox {
    const run = async <Value>(operation: Operation, act: () => Promise<Value>): Promise<Value> => {
      this.asked.push(operation);
      this.#counts[operation] += 1;
      const fault = this.fault(operation, this.#counts[operation]);
      if (fault === 'hang') await new Promise<never>(() => undefined);
      if (fault === 'before') throw new Error('scripted failure');
      const value = await act();
      if (fault === 'after') throw new Error('scripted failure');
      // What was read is on its way while the outbox goes on.
      if (this.slowMs[operation] !== undefined) await sleep(this.clock, this.slowMs[operation]);
      return value;
    };
    const { memory } = this;
    return {
      due: (...args) => run('due', () => memory.due(...args)),
      nextDueAt: () => run('nextDueAt', () => memory.nextDueAt()),
      postpone: (...args) => run('postpone', () => memory.postpone(...args)),
      remove: (...args) => run('remove', () => memory.remove(...args)),
    };
  }
}

/** Waits on the clock, and gives up when it is broken off, as an endpoint does. */
export function answerAfter(clock: VirtualClock, waitMs: number, outcome: TryOutcome): Answer {
  return async (_notice, signal) => ((await sleep(clock, waitMs, signal)) ? outcome : { kind: 'abandoned' });
}

/** Takes every notice and says nothing until the limit of a try is over. */
export function hangs(clock: VirtualClock): Answer {
  return answerAfter(clock, WEBHOOKS.timeoutMs, { kind: 'unanswered', reason: 'no answer' });
}
