/**
 * An OTP supervisor (one_for_one) for one Node process. It starts its children in order, restarts the one that crashed and
 * no other, waits longer before each further try, and gives up when restarts come faster than its intensity allows: then it
 * stops its children in reverse order and exits with `shutdown`, which its own supervisor sees. Nothing here blocks: while a
 * child waits for its restart every other call is answered.
 */
import type { Clock, TimerHandle } from '../contract/clock.ts';
import type { ChildState } from '../contract/state.ts';
import {
  countRestart,
  type RestartBackoff,
  restartDelayMs,
  type RestartIntensity,
} from '../policy/restart-intensity.ts';
import { type ExitReason, type Process, SupervisorError, tellExit } from './process.ts';
import { type ShutdownLimit, stopProcess } from './stop-process.ts';

export type RestartType = 'permanent' | 'transient' | 'temporary';

export interface ChildSpec {
  readonly id: string;
  /** Starts incarnation number `incarnation` (from 1). A throw or rejection is a failed start. */
  readonly start: (incarnation: number) => Process | Promise<Process>;
  /** Default `permanent`. */
  readonly restart?: RestartType;
  /** Default 5,000 ms, for supervisors `infinity`. */
  readonly shutdown?: ShutdownLimit;
}

export interface SupervisorOptions {
  readonly id: string;
  readonly children: readonly ChildSpec[];
  readonly clock: Clock;
  /** Default 3 restarts in 5 s. */
  readonly intensity?: RestartIntensity;
  /** Default 20 ms doubling to 5 s, over after 60 s of health. */
  readonly backoff?: RestartBackoff;
  readonly observer?: SupervisorObserver;
  /** Incarnation and restart counts that outlive this supervisor. */
  readonly history?: ChildHistory;
}

export interface SupervisorObserver {
  childStarted?(id: string, process: Process, incarnation: number, restarts: number): void;
  childExited?(id: string, process: Process, incarnation: number, reason: ExitReason): void;
  gaveUp?(id: string, restarts: number): void;
  /** One of the others threw. */
  failed?(error: unknown): void;
}

/** Per child id: how often it was started and restarted. */
export type ChildHistory = Map<string, { incarnation: number; restarts: number }>;

interface Child {
  readonly spec: ChildSpec;
  state: 'starting' | 'running' | 'restarting' | 'stopped' | 'down';
  process: Process | undefined;
  startedAtMs: number;
  failedStarts: number;
  timer: TimerHandle | undefined;
  /** What operators ask of one child is done one after another. */
  turn: Promise<void>;
}

const INTENSITY: RestartIntensity = { restartsMax: 3, periodMs: 5_000 };
const BACKOFF: RestartBackoff = { baseMs: 20, capMs: 5_000, healthyMs: 60_000 };
const SHUTDOWN_MS = 5_000;

export class Supervisor implements Process {
  readonly id: string;
  readonly #options: SupervisorOptions;
  readonly #clock: Clock;
  readonly #children = new Map<string, Child>();
  readonly #history: ChildHistory;
  readonly #exitListeners = new Set<(reason: ExitReason) => void>();
  #restartsAtMs: readonly number[] = [];
  #exit: ExitReason | undefined;
  #stopping: Promise<void> | undefined;

  /** @throws {SupervisorError} `invalid-spec` when two children share an id */
  constructor(options: SupervisorOptions) {
    this.id = options.id;
    this.#options = options;
    this.#clock = options.clock;
    this.#history = options.history ?? new Map();
    for (const spec of options.children) this.#admit(spec);
  }

  /** Starts the children one after another. When one fails, those already started are stopped and this rejects. */
  async start(): Promise<void> {
    for (const child of this.#children.values()) {
      try {
        await this.#startChild(child);
      } catch (error) {
        await this.stop();
        throw new SupervisorError(
          'failed-to-start',
          `child ${child.spec.id} of supervisor ${this.id} failed to start`,
          { cause: error },
        );
      }
    }
  }

  /** Adds a child and starts it. @throws {SupervisorError} `already-started`, `failed-to-start` */
  async startChild(spec: ChildSpec): Promise<void> {
    if (this.#children.has(spec.id))
      throw new SupervisorError('already-started', `supervisor ${this.id} has a child ${spec.id} already`);
    const child = this.#admit(spec);
    try {
      await this.#startChild(child);
    } catch (error) {
      this.#children.delete(spec.id);
      throw new SupervisorError('failed-to-start', `child ${spec.id} of supervisor ${this.id} failed to start`, {
        cause: error,
      });
    }
  }

  /** Stops a child and forgets it. @throws {SupervisorError} `not-found` */
  async removeChild(id: string): Promise<void> {
    await this.#inTurn(id, async (child) => {
      await this.#stopChild(child);
      this.#children.delete(id);
    });
  }

  /** Stops a child if it runs and starts a new incarnation; not counted against the intensity. @throws {SupervisorError} `not-found`, `failed-to-start` */
  async restartChild(id: string): Promise<void> {
    await this.#inTurn(id, async (child) => {
      await this.#stopChild(child);
      child.failedStarts = 0;
      this.#historyOf(id).restarts += this.#historyOf(id).incarnation > 0 ? 1 : 0;
      try {
        await this.#startChild(child);
      } catch (error) {
        child.state = 'down';
        throw new SupervisorError('failed-to-start', `child ${id} of supervisor ${this.id} failed to start`, {
          cause: error,
        });
      }
    });
  }

  /** The living process of a child. */
  processOf(id: string): Process | undefined {
    return this.#children.get(id)?.process;
  }

  children(): readonly ChildState[] {
    return [...this.#children.values()].map((child) => {
      const { incarnation, restarts } = this.#historyOf(child.spec.id);
      const isSuspended = child.state === 'running' && child.process?.isSuspended === true;
      const state = isSuspended ? ('suspended' as const) : child.state;
      const below = child.process instanceof Supervisor ? { children: child.process.children() } : {};
      return { id: child.spec.id, state, restarts, incarnation, ...below };
    });
  }

  onExit(listener: (reason: ExitReason) => void): void {
    if (this.#exit === undefined) this.#exitListeners.add(listener);
    else listener(this.#exit);
  }

  /** Stops the children in reverse order, each within its own limit, then exits with `shutdown`. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  #admit(spec: ChildSpec): Child {
    if (this.#children.has(spec.id))
      throw new SupervisorError(
        'invalid-spec',
        `expected child ids of supervisor ${this.id} to be unique, got: ${spec.id} twice`,
      );
    const child: Child = {
      spec,
      state: 'stopped',
      process: undefined,
      startedAtMs: 0,
      failedStarts: 0,
      timer: undefined,
      turn: Promise.resolve(),
    };
    this.#children.set(spec.id, child);
    return child;
  }

  #find(id: string): Child {
    const child = this.#children.get(id);
    if (child === undefined) throw new SupervisorError('not-found', `supervisor ${this.id} has no child ${id}`);
    return child;
  }

  /** Rejects like `act`, and with `not-found` when the child was removed meanwhile. */
  #inTurn(id: string, act: (child: Child) => Promise<void>): Promise<void> {
    const child = this.#children.get(id);
    const turn = (child?.turn ?? Promise.resolve()).then(() => act(this.#find(id)));
    if (child !== undefined) child.turn = turn.catch(() => undefined);
    return turn;
  }

  #historyOf(id: string): { incarnation: number; restarts: number } {
    const known = this.#history.get(id);
    if (known !== undefined) return known;
    const fresh = { incarnation: 0, restarts: 0 };
    this.#history.set(id, fresh);
    return fresh;
  }

  async #startChild(child: Child): Promise<void> {
    if (this.#stopping !== undefined) throw new SupervisorError('stopped', `supervisor ${this.id} is stopping`);
    const history = this.#historyOf(child.spec.id);
    history.incarnation += 1;
    const { incarnation } = history;
    child.state = 'starting';
    const process = await child.spec.start(incarnation);
    if (this.#stopping !== undefined || child.state !== 'starting' || history.incarnation !== incarnation) {
      await stopProcess(process, 'infinity', this.#clock);
      throw new SupervisorError('stopped', `child ${child.spec.id} was stopped while it started`);
    }
    child.process = process;
    child.state = 'running';
    child.startedAtMs = this.#clock.nowMs();
    this.#tell((observer) => observer.childStarted?.(child.spec.id, process, incarnation, history.restarts));
    process.onExit((reason) => {
      this.#childExited(child, process, incarnation, reason);
    });
  }

  #childExited(child: Child, process: Process, incarnation: number, reason: ExitReason): void {
    if (child.process !== process) return;
    child.process = undefined;
    this.#tell((observer) => observer.childExited?.(child.spec.id, process, incarnation, reason));
    if (this.#stopping !== undefined) return;
    if (!isRestarted(child.spec.restart ?? 'permanent', reason)) {
      child.state = process instanceof Supervisor ? 'down' : 'stopped';
      if (child.spec.restart === 'temporary') this.#children.delete(child.spec.id);
      return;
    }
    const backoff = this.#options.backoff ?? BACKOFF;
    if (this.#clock.nowMs() - child.startedAtMs >= backoff.healthyMs) child.failedStarts = 0;
    this.#scheduleRestart(child);
  }

  #scheduleRestart(child: Child): void {
    const counted = countRestart(this.#restartsAtMs, this.#options.intensity ?? INTENSITY, this.#clock.nowMs());
    this.#restartsAtMs = counted.restartsAtMs;
    if (counted.isExceeded) {
      this.#giveUp(child);
      return;
    }
    child.state = 'restarting';
    const delayMs = restartDelayMs(child.failedStarts, this.#options.backoff ?? BACKOFF, this.#clock.random());
    child.failedStarts += 1;
    child.timer = this.#clock.setTimeout(() => {
      child.timer = undefined;
      const history = this.#historyOf(child.spec.id);
      history.restarts += 1;
      const started = this.#startChild(child);
      const { incarnation } = history;
      // A failed start counts like a crash, unless an operator has stopped or started the child anew meanwhile.
      void started.catch(() => {
        const isLatest = child.state === 'starting' && history.incarnation === incarnation;
        if (this.#stopping === undefined && isLatest) this.#scheduleRestart(child);
      });
    }, delayMs);
  }

  #giveUp(child: Child): void {
    child.state = 'down';
    this.#tell((observer) => observer.gaveUp?.(this.id, this.#restartsAtMs.length - 1));
    // `stop` never rejects.
    void this.stop();
  }

  async #stopAll(): Promise<void> {
    for (const child of [...this.#children.values()].toReversed()) await this.#stopChild(child);
    if (this.#exit !== undefined) return;
    this.#exit = { kind: 'shutdown' };
    tellExit(this.#exitListeners, this.#exit);
  }

  /** Never rejects and never waits longer than the child's limit. */
  async #stopChild(child: Child): Promise<void> {
    if (child.timer !== undefined) this.#clock.clearTimeout(child.timer);
    child.timer = undefined;
    const { process } = child;
    const isGivenUp = child.state === 'down';
    child.process = undefined;
    child.state = isGivenUp ? 'down' : 'stopped';
    if (process === undefined) return;
    const { incarnation } = this.#historyOf(child.spec.id);
    const limit = child.spec.shutdown ?? (process instanceof Supervisor ? 'infinity' : SHUTDOWN_MS);
    const reason = await stopProcess(process, limit, this.#clock);
    this.#tell((observer) => observer.childExited?.(child.spec.id, process, incarnation, reason));
  }

  /** An observer that throws must not stop a restart; it is told so, and what it makes of that is its own affair. */
  #tell(notify: (observer: SupervisorObserver) => void): void {
    const { observer } = this.#options;
    if (observer === undefined) return;
    try {
      notify(observer);
    } catch (error) {
      try {
        observer.failed?.(error);
      } catch {
        // Nobody is left to tell.
      }
    }
  }
}

function isRestarted(restart: RestartType, reason: ExitReason): boolean {
  switch (restart) {
    case 'permanent':
      return true;
    case 'temporary':
      return false;
    case 'transient':
      return reason.kind === 'error' || reason.kind === 'killed';
  }
}
