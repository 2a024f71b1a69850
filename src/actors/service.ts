/**
 * The Service actor: it makes each routing decision and knows whether requests are taken at all. The queue and the table of
 * open requests are handed to each incarnation by the composition root, so that a crash here loses no request: the path asks
 * the next incarnation.
 */
import { assign, setup } from 'xstate';
import type { Clock } from '../contract/clock.ts';
import { planRoute, type RoutePlan, type RouteQuestion } from '../policy/route.ts';
import { Actor, type BeforeEvent, type Reply } from '../supervision/actor.ts';
import type { Announce } from './announce.ts';
import { Mailbag } from './mailbag.ts';
import { SupervisorError } from '../supervision/process.ts';
import type { Registry } from '../supervision/registry.ts';

export const SERVICE_ID = 'service';

interface ServiceMemory {
  readonly isDraining: boolean;
}

/** A question that cannot be built is the request's fault, not the actor's: it must not crash the actor for all others. */
type RouteAnswer = { readonly plan: RoutePlan } | { readonly error: unknown };

type ServiceEvent =
  /** `ask` builds the question from what is true at the moment of the decision. */
  | { readonly type: 'route.asked'; readonly ask: () => RouteQuestion; readonly reply: Reply<RouteAnswer> }
  | { readonly type: 'drain.began' };

export type ServiceMachine = ReturnType<typeof createServiceMachine>;

export function createServiceMachine(memory: ServiceMemory) {
  return setup({
    types: {} as { context: ServiceMemory; events: ServiceEvent },
    guards: { wasDraining: ({ context }) => context.isDraining },
    actions: {
      route: ({ event }) => {
        if (event.type === 'route.asked') event.reply(answerRoute(event.ask));
      },
      beginDrain: assign(({ context }) => ({ ...context, isDraining: true })),
    },
  }).createMachine({
    id: SERVICE_ID,
    context: memory,
    initial: 'starting',
    on: {
      'route.asked': { actions: 'route' },
    },
    states: {
      starting: { always: [{ guard: 'wasDraining', target: 'draining' }, { target: 'accepting' }] },
      accepting: {
        on: {
          'drain.began': { target: 'draining', actions: 'beginDrain' },
        },
      },
      draining: {},
    },
  });
}

function answerRoute(ask: () => RouteQuestion): RouteAnswer {
  try {
    return { plan: planRoute(ask()) };
  } catch (error) {
    return { error };
  }
}

export interface ServiceControlDeps {
  readonly clock: Clock;
  readonly registry: Registry;
  readonly announce: Announce;
  readonly beforeEvent: BeforeEvent | undefined;
}

/** After how long it asks again when the mailbox of a suspended actor was full. */
const ROOM_WAIT_MS = 100;

/** The face of the Service actor. */
export class ServiceControl {
  readonly #deps: ServiceControlDeps;
  readonly #mailbag: Mailbag<ServiceMachine>;
  #memory: ServiceMemory = { isDraining: false };

  constructor(deps: ServiceControlDeps) {
    this.#deps = deps;
    this.#mailbag = new Mailbag(SERVICE_ID, deps.registry, deps.announce);
  }

  get isDraining(): boolean {
    return this.#memory.isDraining;
  }

  startActor(incarnation: number): Actor<ServiceMachine> {
    return new Actor({
      id: SERVICE_ID,
      incarnation,
      machine: createServiceMachine(this.#memory),
      clock: this.#deps.clock,
      beforeEvent: this.#deps.beforeEvent,
      onUndelivered: this.#mailbag.keep,
      onSnapshot: (snapshot) => {
        this.#memory = snapshot.context;
      },
    });
  }

  actorStarted(): void {
    this.#mailbag.deliver();
  }

  /** Asks for a routing decision; a crash of the actor in between is not the caller's business. Rejects when `signal` aborts. */
  async route(ask: () => RouteQuestion, signal: AbortSignal): Promise<RoutePlan> {
    for (;;) {
      await this.#deps.registry.waitFor(SERVICE_ID, signal);
      const answer = await this.#askOnce(ask, signal);
      if (answer === undefined) continue;
      if ('error' in answer) throw answer.error;
      return answer.plan;
    }
  }

  /** Undefined when the actor died before it answered, or had no room for the question. */
  async #askOnce(ask: () => RouteQuestion, signal: AbortSignal): Promise<RouteAnswer | undefined> {
    const actor = this.#mailbag.actor();
    if (actor === undefined) return undefined;
    try {
      return await actor.call<RouteAnswer>((reply) => ({ type: 'route.asked', ask, reply }), {
        timeoutMs: Number.POSITIVE_INFINITY,
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof SupervisorError && error.code === 'mailbox-full') await this.#waitForRoom();
      return undefined;
    }
  }

  #waitForRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.clock.setTimeout(resolve, ROOM_WAIT_MS);
    });
  }

  /** From now on no request is admitted, also by later incarnations. */
  drain(): void {
    this.#memory = { ...this.#memory, isDraining: true };
    this.#mailbag.tell({ type: 'drain.began' });
  }
}
