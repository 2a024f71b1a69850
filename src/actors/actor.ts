/**
 * One supervised XState root: its own system, its own timers, stoppable, with a bounded mailbox while suspended. XState lets
 * an unobserved error end the Node process and knows no restart; here every error is an exit that a supervisor sees, and
 * what an actor of an old incarnation still does reaches nobody.
 */
import {
  type Actor as XStateActor,
  type AnyStateMachine,
  createActor,
  type EventFromLogic,
  type SnapshotFrom,
} from 'xstate';
import type { Clock } from '../contract/clock.ts';
import { type ExitReason, type Process, SupervisorError, tellExit } from './process.ts';

const MAILBOX_MAX = 10_000;
const CALL_TIMEOUT_MS = 5_000;

/** Sees each event before its actor does. A throw in it is a throw in the actor: the seam for fault injection. */
export type BeforeEvent = (actorId: string, event: { readonly type: string }) => void;

export interface ActorOptions<Machine extends AnyStateMachine> {
  readonly id: string;
  readonly incarnation: number;
  readonly machine: Machine;
  readonly clock: Clock;
  readonly beforeEvent?: BeforeEvent | undefined;
  /** Takes what still waited in the mailbox when the actor ended. */
  readonly onUndelivered?: (
    events: readonly EventFromLogic<Machine>[],
    crashedOn: EventFromLogic<Machine> | undefined,
  ) => void;
  /** Called after each transition with the new snapshot; what it keeps survives a crash. */
  readonly onSnapshot?: (snapshot: SnapshotFrom<Machine>) => void;
}

/** Carries the answer of a `call`: put it into the event, the machine's action calls it. */
export type Reply<Value> = (value: Value) => void;

export class Actor<Machine extends AnyStateMachine> implements Process {
  readonly id: string;
  readonly incarnation: number;
  readonly #clock: Clock;
  readonly #onUndelivered: ActorOptions<Machine>['onUndelivered'];
  readonly #root: XStateActor<AnyStateMachine>;
  readonly #mailbox: EventFromLogic<Machine>[] = [];
  readonly #exitListeners = new Set<(reason: ExitReason) => void>();
  #exit: ExitReason | undefined;
  #isSuspended = false;
  #resumingOn: EventFromLogic<Machine> | undefined;

  /** Starts at once. */
  constructor(options: ActorOptions<Machine>) {
    this.id = options.id;
    this.incarnation = options.incarnation;
    this.#clock = options.clock;
    this.#onUndelivered = options.onUndelivered;
    const machine =
      options.beforeEvent === undefined ? options.machine : intercept(options.machine, options.id, options.beforeEvent);
    const { clock } = options;
    // The supervised machines take no input; with the concrete type XState would demand a generic one.
    this.#root = createActor(machine as AnyStateMachine, {
      clock: {
        setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
        clearTimeout: (handle) => {
          clock.clearTimeout(handle);
        },
      },
    });
    this.#root.subscribe({
      next: (snapshot) => {
        // It is a snapshot of `machine`, whose type the line above gave up.
        if (this.#exit === undefined) options.onSnapshot?.(snapshot as SnapshotFrom<Machine>);
      },
      error: (error) => {
        this.#end({ kind: 'error', error });
      },
      complete: () => {
        this.#end({ kind: 'normal' });
      },
    });
    this.#root.start();
  }

  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  get isAlive(): boolean {
    return this.#exit === undefined;
  }

  /** The current snapshot. Synchronous and cheap. */
  read(): SnapshotFrom<Machine> {
    // As above.
    return this.#root.getSnapshot() as SnapshotFrom<Machine>;
  }

  /** Tells the actor something and goes on. False when it is dead or its mailbox is full; never throws. */
  cast(event: EventFromLogic<Machine>): boolean {
    if (this.#exit !== undefined) return false;
    if (this.#isSuspended) {
      if (this.#mailbox.length >= MAILBOX_MAX) return false;
      this.#mailbox.push(event);
      return true;
    }
    this.#root.send(event);
    return this.#exit === undefined;
  }

  /**
   * Asks the actor and waits for its answer, 5 s by default; for as long as it takes with an infinite `timeoutMs`.
   * @throws {SupervisorError} `noproc` when it is dead or dies before it answers, `timeout`, `mailbox-full`, `aborted`
   */
  call<Value>(
    createEvent: (reply: Reply<Value>) => EventFromLogic<Machine>,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Value> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal } = options;
    return new Promise<Value>((resolve, reject) => {
      const ended = (reason: ExitReason) =>
        new SupervisorError('noproc', `actor ${this.id} ended before it answered`, { cause: reason });
      const left = () =>
        new SupervisorError('aborted', `the call to actor ${this.id} was aborted`, { cause: signal?.reason });
      if (this.#exit !== undefined || signal?.aborted === true) {
        reject(this.#exit === undefined ? left() : ended(this.#exit));
        return;
      }
      let position = () => -1;
      const onExit = (reason: ExitReason) => {
        fail(ended(reason));
      };
      const onAbort = () => {
        fail(left());
      };
      const expire = () => {
        fail(new SupervisorError('timeout', `actor ${this.id} did not answer within ${timeoutMs} ms`));
      };
      const timer = Number.isFinite(timeoutMs) ? this.#clock.setTimeout(expire, timeoutMs) : undefined;
      const finish = () => {
        if (timer !== undefined) this.#clock.clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#exitListeners.delete(onExit);
      };
      const fail = (error: SupervisorError) => {
        finish();
        // Nobody waits for the answer any more.
        if (position() >= 0) this.#mailbox.splice(position(), 1);
        reject(error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#exitListeners.add(onExit);
      const event = createEvent((value) => {
        finish();
        resolve(value);
      });
      position = () => this.#mailbox.indexOf(event);
      if (!this.cast(event) && this.isAlive)
        fail(new SupervisorError('mailbox-full', `the mailbox of actor ${this.id} is full`));
    });
  }

  onExit(listener: (reason: ExitReason) => void): void {
    if (this.#exit === undefined) this.#exitListeners.add(listener);
    else listener(this.#exit);
  }

  suspend(): void {
    this.#isSuspended = true;
  }

  resume(): void {
    this.#isSuspended = false;
    while (this.#exit === undefined) {
      const event = this.#mailbox[0];
      if (event === undefined) return;
      // One that crashes the actor is not lost: `#end` hands it on with those behind it.
      this.#resumingOn = event;
      if (this.cast(event)) this.#mailbox.shift();
      this.#resumingOn = undefined;
    }
  }

  stop(): Promise<void> {
    this.#end({ kind: 'shutdown' });
    return Promise.resolve();
  }

  /** Ends the actor as a crash would; for supervisors' tests and for `restart`. */
  crash(error: unknown): void {
    this.#end({ kind: 'error', error });
  }

  #end(reason: ExitReason): void {
    if (this.#exit !== undefined) return;
    this.#exit = reason;
    this.#root.stop();
    // Callers take their questions back before the rest is handed on.
    tellExit(this.#exitListeners, reason);
    const undelivered = this.#mailbox.splice(0);
    if (undelivered.length > 0)
      this.#onUndelivered?.(undelivered, reason.kind === 'error' ? this.#resumingOn : undefined);
  }
}

/** The same machine with `beforeEvent` inside the transition, where XState turns a throw into the actor's error. */
function intercept<Machine extends AnyStateMachine>(machine: Machine, id: string, beforeEvent: BeforeEvent): Machine {
  const transition: Machine['transition'] = (snapshot, event, scope) => {
    beforeEvent(id, event);
    return machine.transition(snapshot, event, scope);
  };
  // The object differs from the machine in `transition` alone, which has the same type.
  return Object.create(machine, { transition: { value: transition } }) as Machine;
}
