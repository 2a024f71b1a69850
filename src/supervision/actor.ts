/**
 * One supervised XState root: its own system, its own timers, stoppable, with a bounded mailbox while suspended. XState lets
 * an unobserved error end the Node process and knows no restart; here every error is an exit that a supervisor sees, and
 * what an actor of an old incarnation still does reaches nobody.
 */
import {
  type Actor as XStateActor,
  type AnyActorRef,
  type AnyStateMachine,
  createActor,
  type EventFromLogic,
  type SnapshotFrom,
} from 'xstate';
import type { Clock, TimerHandle } from '../contract/clock.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { Mailbox, type Ticket } from './mailbox.ts';
import { type ExitReason, type Process, SupervisorError, tellExit } from './process.ts';
import { type Answer, Request } from './request.ts';
import { handleFor, isAnyoneHandling, isBudgetSpent, isHandling, within } from './turn-budget.ts';

const MAILBOX_MAX = 10_000;
const CALL_TIMEOUT_MS = 5_000;
/** What XState itself sends to a child that shall stop. */
const STOP = { type: 'xstate.stop' };

/** Sees each event before its actor does. A throw in it is a throw in the actor: the seam for fault injection. */
export type BeforeEvent = (actorId: string, event: { readonly type: string }) => void;

export interface ActorOptions<Machine extends AnyStateMachine> {
  readonly id: string;
  readonly incarnation: number;
  readonly machine: Machine;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** How many events may wait while it is suspended or behind. Default 10,000. */
  readonly mailboxMax?: number;
  readonly beforeEvent?: BeforeEvent | undefined;
  /** Takes what still waited in the mailbox when the actor ended. */
  readonly onUndelivered?: (
    events: readonly EventFromLogic<Machine>[],
    crashedOn: EventFromLogic<Machine> | undefined,
  ) => void;
  /** Called after each transition with the new snapshot; what it keeps survives a crash. */
  readonly onSnapshot?: (snapshot: SnapshotFrom<Machine>) => void;
}

/** What an actor was at when it crashed. Names only: what an event or a state holds may be anybody's secret. */
export interface CrashReport {
  readonly error: unknown;
  /** The type of the event that it was handling, if it was. */
  readonly event: string | undefined;
  /** The states of its machine, as XState tells them. */
  readonly state: unknown;
}

/** Carries the answer of a `call`: put it into the event, the machine's action calls it. */
export type Reply<Value> = (value: Value) => void;

export class Actor<Machine extends AnyStateMachine> implements Process {
  readonly id: string;
  readonly incarnation: number;
  readonly #clock: Clock;
  readonly #onUndelivered: ActorOptions<Machine>['onUndelivered'];
  readonly #root: XStateActor<AnyStateMachine>;
  readonly #mailbox: Mailbox<EventFromLogic<Machine>>;
  readonly #exitListeners = new Set<(reason: ExitReason) => void>();
  #exit: ExitReason | undefined;
  #handling: string | undefined;
  #crashReport: CrashReport | undefined;
  #isSuspended = false;
  /** It is handling an event. */
  #isBusy = false;
  /** What it is catching up on. */
  #current: EventFromLogic<Machine> | undefined;
  #timer: TimerHandle | undefined;

  /** Starts at once. */
  constructor(options: ActorOptions<Machine>) {
    this.id = options.id;
    this.incarnation = options.incarnation;
    this.#clock = options.clock ?? systemClock;
    this.#onUndelivered = options.onUndelivered;
    this.#mailbox = new Mailbox(options.mailboxMax ?? MAILBOX_MAX);
    const machine = intercept(options, this, (type) => {
      this.#handling = type;
    });
    const clock = this.#clock;
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
        if (this.#exit !== undefined) return;
        try {
          // It is a snapshot of `machine`, whose type the line above gave up.
          options.onSnapshot?.(snapshot as SnapshotFrom<Machine>);
        } catch (error) {
          // XState would throw it at the process.
          this.#end({ kind: 'error', error });
        }
      },
      error: (error) => {
        this.#end({ kind: 'error', error });
      },
      complete: () => {
        this.#end({ kind: 'normal' });
      },
    });
    within(this, () => {
      this.#root.start();
    });
  }

  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  get isAlive(): boolean {
    return this.#exit === undefined;
  }

  /** Undefined as long as it has not crashed. */
  get crashReport(): CrashReport | undefined {
    return this.#crashReport;
  }

  /** The current snapshot. Synchronous and cheap. */
  read(): SnapshotFrom<Machine> {
    // As above.
    return this.#root.getSnapshot() as SnapshotFrom<Machine>;
  }

  /** Tells the actor something and goes on. False when it is dead or its mailbox is full; never throws. */
  cast(event: EventFromLogic<Machine>): boolean {
    return this.#post(event) !== 'refused';
  }

  /**
   * Asks the actor and waits for its answer, 5 s by default; for as long as it takes with an infinite `timeoutMs`.
   * @throws {SupervisorError} `noproc` when it is dead or dies before it answers, `timeout`, `mailbox-full`, `aborted`,
   *   `calling-self`
   */
  call<Value>(
    createEvent: (reply: Reply<Value>) => EventFromLogic<Machine>,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Value> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal } = options;
    return new Promise<Value>((resolve, reject) => {
      const left = () =>
        new SupervisorError('aborted', `the call to actor ${this.id} was aborted`, { cause: signal?.reason });
      if (signal?.aborted === true) {
        reject(left());
        return;
      }
      const finish = () => {
        if (timer !== undefined) this.#clock.clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: SupervisorError) => {
        finish();
        // Nobody waits for the answer any more.
        withdraw();
        reject(error);
      };
      const onAbort = () => {
        fail(left());
      };
      const expire = () => {
        fail(new SupervisorError('timeout', `actor ${this.id} did not answer within ${timeoutMs} ms`));
      };
      const timer = Number.isFinite(timeoutMs) ? this.#clock.setTimeout(expire, timeoutMs) : undefined;
      signal?.addEventListener('abort', onAbort, { once: true });
      // The question may be given up while it is asked.
      let hasLeft = false;
      let withdraw = () => {
        hasLeft = true;
      };
      try {
        withdraw = this.#ask<Value>(createEvent, (answer) => {
          finish();
          if (answer.kind === 'reply') resolve(answer.value);
          else if (answer.kind === 'error') reject(answer.error);
        });
        if (hasLeft) withdraw();
      } catch (error) {
        finish();
        reject(error);
      }
    });
  }

  /** Asks the actor; the answer is fetched with `wait` or `receive`. Errors are those of `call`, as answers. */
  request<Value>(createEvent: (reply: Reply<Value>) => EventFromLogic<Machine>): Request<Value> {
    return new Request<Value>(this.#clock, (settle) => this.#ask(createEvent, settle));
  }

  onExit(listener: (reason: ExitReason) => void): void {
    if (this.#exit === undefined) this.#exitListeners.add(listener);
    else listener(this.#exit);
  }

  offExit(listener: (reason: ExitReason) => void): void {
    this.#exitListeners.delete(listener);
  }

  suspend(): void {
    this.#isSuspended = true;
  }

  resume(): void {
    this.#isSuspended = false;
    this.#catchUp();
  }

  stop(): Promise<void> {
    this.#end({ kind: 'shutdown' });
    return Promise.resolve();
  }

  kill(): void {
    this.#end({ kind: 'killed' });
  }

  /** Ends the actor as a crash would; for supervisors' tests and for `restart`. */
  crash(error: unknown): void {
    this.#end({ kind: 'error', error });
  }

  #post(event: EventFromLogic<Machine>): Ticket<EventFromLogic<Machine>> | 'handled' | 'refused' {
    if (this.#exit !== undefined) return 'refused';
    if (this.#isIdle && !(isAnyoneHandling() && isBudgetSpent())) {
      this.#handle(event);
      this.#catchUp();
      return this.#hasCrashed ? 'refused' : 'handled';
    }
    const ticket = this.#mailbox.push(event);
    if (!this.#isSuspended && !this.#isBusy) this.#catchUpLater();
    return ticket ?? 'refused';
  }

  /** Whether it would handle an event at once. */
  get #isIdle(): boolean {
    return !this.#isSuspended && !this.#isBusy && this.#mailbox.size === 0;
  }

  get #hasCrashed(): boolean {
    return this.#exit !== undefined && this.#exit.kind !== 'normal';
  }

  /** Tells the answer once; what it gives takes the question back. */
  #ask<Value>(
    createEvent: (reply: Reply<Value>) => EventFromLogic<Machine>,
    settle: (answer: Answer<Value>) => void,
  ): () => void {
    const fail = (error: SupervisorError) => {
      withdraw();
      settle({ kind: 'error', error });
    };
    const onExit = (reason: ExitReason) => {
      fail(new SupervisorError('noproc', `actor ${this.id} ended before it answered`, { cause: reason }));
    };
    let posted: Ticket<EventFromLogic<Machine>> | 'handled' | 'refused' = 'refused';
    const withdraw = () => {
      this.#exitListeners.delete(onExit);
      if (typeof posted === 'object') this.#mailbox.withdraw(posted);
    };
    if (this.#exit !== undefined) onExit(this.#exit);
    else if (isHandling(this)) fail(new SupervisorError('calling-self', `actor ${this.id} cannot wait for itself`));
    else {
      const event = createEvent((value) => {
        this.#exitListeners.delete(onExit);
        settle({ kind: 'reply', value });
      });
      this.#exitListeners.add(onExit);
      posted = this.#post(event);
      if (posted === 'refused' && this.isAlive)
        fail(new SupervisorError('mailbox-full', `the mailbox of actor ${this.id} is full`));
    }
    return withdraw;
  }

  /** What it tells itself meanwhile waits in the mailbox: XState's own queue is lost in a crash. */
  #handle(event: EventFromLogic<Machine>): void {
    this.#isBusy = true;
    handleFor(this, () => {
      this.#root.send(event);
    });
    this.#isBusy = false;
  }

  /**
   * Handles what waits, in order, and what comes of it as long as the turn has room for it. One that crashes the actor is not
   * lost: `#end` hands it on with those behind it.
   */
  #catchUp(): void {
    if (this.#isBusy) return;
    for (let left = this.#mailbox.size; this.isAlive && !this.#isSuspended; left -= 1) {
      if (left <= 0 && isBudgetSpent()) break;
      this.#current = this.#mailbox.shift();
      if (this.#current === undefined) return;
      this.#handle(this.#current);
      this.#current = undefined;
    }
    if (this.isAlive && this.#mailbox.size > 0 && !this.#isSuspended) this.#catchUpLater();
  }

  /** In the next turn of the event loop. */
  #catchUpLater(): void {
    this.#timer ??= this.#clock.setTimeout(() => {
      this.#timer = undefined;
      this.#catchUp();
    }, 0);
  }

  /** XState leaves the children of a root that crashed running. */
  #stopRoot(): void {
    // A machine's snapshot has them; XState types the snapshots of any machine with `any`.
    const { children } = this.#root.getSnapshot() as { readonly children: Readonly<Record<string, AnyActorRef>> };
    this.#root.stop();
    for (const child of Object.values(children)) if (isActive(child)) child.send(STOP);
  }

  #end(reason: ExitReason): void {
    if (this.#exit !== undefined) return;
    this.#exit = reason;
    if (reason.kind === 'error')
      this.#crashReport = { error: reason.error, event: this.#handling, state: this.#root.getSnapshot().value };
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#stopRoot();
    // Callers take their questions back before the rest is handed on.
    tellExit(this.#exitListeners, reason);
    // What it was handling has been handled, unless that is what it crashed on.
    const crashedOn = reason.kind === 'error' ? this.#current : undefined;
    const undelivered = [...(crashedOn === undefined ? [] : [crashedOn]), ...this.#mailbox.drain()];
    if (undelivered.length === 0) return;
    try {
      this.#onUndelivered?.(undelivered, crashedOn);
    } catch {
      // Whoever keeps them answers for them; the actor has ended either way.
    }
  }
}

function isActive(child: AnyActorRef): boolean {
  // As above.
  return (child.getSnapshot() as { readonly status: string }).status === 'active';
}

/**
 * The same machine with `beforeEvent` inside the transition, where XState turns a throw into the actor's error. What is no
 * snapshot would end the actor in XState's own code, outside of that.
 */
function intercept<Machine extends AnyStateMachine>(
  { machine, id, beforeEvent }: ActorOptions<Machine>,
  actor: object,
  note: (type: string | undefined) => void,
): Machine {
  const transition: Machine['transition'] = (snapshot, event: { readonly type: string }, scope) => {
    note(event.type);
    beforeEvent?.(id, event);
    const next: unknown = within(actor, () => machine.transition(snapshot, event, scope));
    if (typeof next !== 'object' || next === null || !('status' in next))
      throw new SupervisorError(
        'bad-return-value',
        `expected actor ${id} to answer ${event.type} with a snapshot, got: ${typeof next}`,
      );
    note(undefined);
    // It is what the machine gave.
    return next as ReturnType<Machine['transition']>;
  };
  // The object differs from the machine in `transition` alone, which has the same type.
  return Object.create(machine, { transition: { value: transition } }) as Machine;
}
