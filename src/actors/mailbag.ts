/**
 * The way to an actor by its name: what is told while the actor is down is kept, bounded, and delivered to its next
 * incarnation, so that no report is lost in a crash.
 */
import type { Announce } from './announce.ts';
import { Actor } from '../supervision/actor.ts';
import type { Registry } from '../supervision/registry.ts';
import type { AnyStateMachine, EventFromLogic } from 'xstate';

const UNDELIVERED_MAX = 10_000;
/** Incarnations that one event may crash. */
const CRASHES_MAX = 3;

export class Mailbag<Machine extends AnyStateMachine> {
  readonly actorId: string;
  readonly #registry: Registry;
  readonly #announce: Announce;
  readonly #onDropped: ((event: EventFromLogic<Machine>) => void) | undefined;
  readonly #undelivered: EventFromLogic<Machine>[] = [];
  readonly #crashes = new WeakMap<EventFromLogic<Machine>, number>();
  #isClosed = false;

  /** `onDropped` hears of an event that is given up, while no incarnation lives. */
  constructor(
    actorId: string,
    registry: Registry,
    announce: Announce,
    onDropped?: (event: EventFromLogic<Machine>) => void,
  ) {
    this.actorId = actorId;
    this.#registry = registry;
    this.#announce = announce;
    this.#onDropped = onDropped;
  }

  /** The living actor, or undefined while it restarts. */
  actor(): Actor<Machine> | undefined {
    if (this.#isClosed) return undefined;
    const process = this.#registry.find(this.actorId);
    // Only the owner of this mailbag starts processes of this name, and it starts this machine.
    return process instanceof Actor && process.isAlive ? (process as Actor<Machine>) : undefined;
  }

  /** Tells the actor now; false when it is down. Nothing is kept. */
  tellNow(event: EventFromLogic<Machine>): boolean {
    return this.actor()?.cast(event) ?? false;
  }

  /** Tells the actor now, or its next incarnation. */
  tell(event: EventFromLogic<Machine>): void {
    const actor = this.actor();
    if (actor?.cast(event) === true) return;
    if (actor === undefined || actor.isAlive || !this.#isPoison(event)) this.#keep(event);
  }

  /** An event that crashes one incarnation after another must not use up the supervisor's patience. */
  #isPoison(event: EventFromLogic<Machine>): boolean {
    const crashes = (this.#crashes.get(event) ?? 0) + 1;
    this.#crashes.set(event, crashes);
    if (crashes < CRASHES_MAX) return false;
    const message = `${crashes} incarnations crashed on the same event; dropping ${event.type}`;
    this.#announce('actor.crashed', { actor: this.actorId, incarnation: 0, message });
    this.#onDropped?.(event);
    return true;
  }

  /** Keeps what an incarnation had not got to when it ended, for the next one; `crashedOn` is what it ended on. */
  readonly keep = (events: readonly EventFromLogic<Machine>[], crashedOn?: EventFromLogic<Machine>): void => {
    const poison = crashedOn !== undefined && this.#isPoison(crashedOn) ? crashedOn : undefined;
    for (const event of events) if (event !== poison) this.#keep(event);
  };

  /** From now on everything is dropped: the name may pass to an actor that has nothing to do with this one. */
  close(): void {
    this.#isClosed = true;
    this.#undelivered.length = 0;
  }

  #keep(event: EventFromLogic<Machine>): void {
    if (this.#isClosed) return;
    if (this.#undelivered.length < UNDELIVERED_MAX) {
      this.#undelivered.push(event);
      return;
    }
    if (this.actor() === undefined) this.#onDropped?.(event);
    this.#announce('actor.crashed', {
      actor: this.actorId,
      incarnation: 0,
      message: `more than ${UNDELIVERED_MAX} events wait for it; dropping ${event.type}`,
    });
  }

  /** Delivers what was kept; called when an incarnation was registered, or resumed. */
  deliver(): void {
    for (const event of this.#undelivered.splice(0)) this.tell(event);
  }
}
