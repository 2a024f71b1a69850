/**
 * An OTP supervisor for one Node process. It starts its children in order; when one ends that should not have, it starts it
 * again, alone or with its siblings as the strategy says, waits longer before each further try, and gives up when restarts
 * come faster than its intensity allows: then it stops its children in reverse order and exits with `shutdown`, which its own
 * supervisor sees. Like its model it does one thing after another; while a child waits for its restart every other call is
 * answered. The algorithm is that of `supervisor.erl`: `restart/2`, `try_again_restart/1`, `do_auto_shutdown/2`.
 */
import type { Clock } from '../contract/clock.ts';
import { systemClock } from '../runtime/system-clock.ts';
import type { ChildState } from '../contract/state.ts';
import { type ChildSpec, checkOptions, checkSpec, type SupervisorOptions } from './child-spec.ts';
import { type Child, type ChildCounts, ChildTable } from './child-table.ts';
import { launch } from './launch.ts';
import { Lifespan } from './lifespan.ts';
import { Observers } from './observers.ts';
import { type ExitReason, type Process, SupervisorError } from './process.ts';
import { Restarts } from './restart-intensity.ts';
import { endsSupervisor, isRestartedAfter, restartedWith } from './restart-rules.ts';
import { defaultLimit, endProcess, stopProcess } from './stop-process.ts';

export class Supervisor implements Process {
  readonly id: string;
  readonly #options: SupervisorOptions;
  readonly #children: ChildTable;
  readonly #clock: Clock;
  readonly #restarts: Restarts;
  readonly #observers: Observers;
  readonly #life: Lifespan;
  #starting: { readonly child: Child; readonly giveUp: AbortController; readonly isOfGroup: boolean } | undefined;
  #hasStarted = false;

  /** @throws {SupervisorError} `invalid-spec` naming the field at fault, also when two children share an id */
  constructor(options: SupervisorOptions) {
    checkOptions(options);
    this.id = options.id;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#children = new ChildTable(options.id, options.history);
    this.#restarts = new Restarts(this.#clock, options);
    this.#observers = new Observers(options.observer);
    this.#life = new Lifespan(`supervisor ${options.id}`);
    for (const spec of options.children) {
      checkSpec(spec, options.autoShutdown);
      if (this.#children.get(spec.id) !== undefined)
        throw new SupervisorError(
          'invalid-spec',
          `expected child ids of supervisor ${this.id} to be unique, got: ${spec.id} twice`,
        );
      this.#children.add(spec);
    }
  }

  /**
   * Starts the children one after another. When one fails, those already started are stopped in reverse.
   * @throws {SupervisorError} `failed-to-start` with the child's error as its cause; `already-started`, `stopped`
   */
  start(): Promise<void> {
    return this.#life.run(async () => {
      this.#life.assertRunning();
      if (this.#hasStarted) throw new SupervisorError('already-started', `supervisor ${this.id} was started already`);
      this.#hasStarted = true;
      for (const child of this.#children.list()) {
        // Somebody was faster.
        if (child.process !== undefined) continue;
        try {
          await this.#launch(child, true);
        } catch (error) {
          await this.#life.stopInTurn(() => this.#stopAll());
          throw this.#startError(child, error);
        }
      }
    });
  }

  /**
   * Adds a child and starts it; one that is ignored is kept, unless it is temporary. Undefined when it is ignored.
   * @throws {SupervisorError} `already-started`, `already-present`, `failed-to-start`, `invalid-spec`, `stopped`
   */
  async startChild(spec: ChildSpec): Promise<Process | undefined> {
    checkSpec(spec, this.#options.autoShutdown);
    return this.#life.run(async () => {
      this.#life.assertRunning();
      const child = this.#children.add(spec);
      try {
        return await this.#launch(child);
      } catch (error) {
        this.#children.delete(spec.id);
        throw this.#startError(child, error);
      }
    });
  }

  /**
   * Stops a child and keeps its spec, unless it is temporary. Ends its restarts, and a `startChild` that is under way. Siblings
   * that were to start again with it stay stopped.
   * @throws {SupervisorError} `not-found`, `stopped`
   */
  terminateChild(id: string): Promise<void> {
    const isGivenUp = this.#giveUpStart(id);
    return this.#life.run(async () => {
      this.#life.assertRunning();
      if (isGivenUp && this.#children.get(id) === undefined) return;
      const child = this.#children.find(id);
      await this.#stopChild(child);
      if (child.spec.restart === 'temporary') this.#children.delete(id);
    });
  }

  /**
   * Starts a child that was stopped, or that was ignored; not counted against the intensity. Undefined when it is ignored.
   * @throws {SupervisorError} `not-found`, `running`, `restarting`, `failed-to-start`, `stopped`
   */
  restartChild(id: string): Promise<Process | undefined> {
    return this.#life.run(async () => {
      this.#life.assertRunning();
      return this.#startAnew(this.#children.findStopped(id));
    });
  }

  /**
   * Stops a child if it runs, and starts it as `restartChild` does; one that waits for its restart is started with all that
   * wait with it. @throws {SupervisorError} `not-found`, `failed-to-start`, `stopped`
   */
  renewChild(id: string): Promise<Process | undefined> {
    this.#giveUpStart(id);
    return this.#life.run(async () => {
      this.#life.assertRunning();
      const child = this.#children.find(id);
      if (child.state === 'restarting') return this.#startWaiting(child);
      await this.#stopChild(child);
      return this.#startAnew(child);
    });
  }

  /** Forgets a child that does not run. @throws {SupervisorError} `not-found`, `running`, `restarting`, `stopped` */
  deleteChild(id: string): Promise<void> {
    return this.#life.run(() => {
      this.#life.assertRunning();
      this.#children.findStopped(id);
      this.#children.delete(id);
    });
  }

  /** The living process of a child. */
  processOf(id: string): Process | undefined {
    return this.#children.get(id)?.process;
  }

  children(): readonly ChildState[] {
    return this.#children.states();
  }

  countChildren(): ChildCounts {
    return this.#children.counts();
  }

  onExit(listener: (reason: ExitReason) => void): void {
    this.#life.onExit(listener);
  }

  offExit(listener: (reason: ExitReason) => void): void {
    this.#life.offExit(listener);
  }

  /** Stops the children in reverse order, each within its own limit, then exits with `shutdown`. Idempotent. */
  stop(): Promise<void> {
    this.#starting?.giveUp.abort();
    return this.#life.stop(() => this.#stopAll());
  }

  /** Ends all children at once, and itself with `killed`. */
  kill(): void {
    this.#starting?.giveUp.abort();
    this.#life.kill(() => {
      for (const child of this.#children.list().toReversed()) {
        const process = this.#release(child);
        if (process === undefined) continue;
        endProcess(process);
        this.#tellExited(child, process, { kind: 'killed' });
      }
    });
  }

  #startError(child: Child, cause: unknown): SupervisorError {
    const message = `child ${child.spec.id} of supervisor ${this.id} failed to start`;
    return new SupervisorError('failed-to-start', message, { cause });
  }

  /** A start may hang; whoever ends the child does not wait for it, unless others start with it. */
  #giveUpStart(id: string): boolean {
    const starting = this.#starting;
    if (starting?.child.spec.id !== id || starting.isOfGroup) return false;
    starting.giveUp.abort();
    return true;
  }

  async #startAnew(child: Child): Promise<Process | undefined> {
    child.failures = 0;
    const history = this.#children.historyOf(child.spec.id);
    history.restarts += history.incarnation > 0 ? 1 : 0;
    try {
      return await this.#launch(child);
    } catch (error) {
      child.state = 'down';
      throw this.#startError(child, error);
    }
  }

  /** One that fails is tried again all the same, as its restart would have been. */
  async #startWaiting(child: Child): Promise<Process | undefined> {
    child.failures = 0;
    await this.#startWith(child);
    if (child.process === undefined && child.due !== undefined)
      throw this.#startError(child, new SupervisorError('restarting', 'it is tried again'));
    return child.process;
  }

  /** Starts the next incarnation; undefined when it is ignored. Rejects when it fails. */
  async #launch(child: Child, isOfGroup = false): Promise<Process | undefined> {
    const { spec } = child;
    const history = this.#children.historyOf(spec.id);
    history.incarnation += 1;
    const { incarnation } = history;
    this.#release(child);
    child.state = 'starting';
    const giveUp = new AbortController();
    this.#starting = { child, giveUp, isOfGroup };
    try {
      // A supervisor that was told to stop meanwhile starts nobody any more.
      this.#life.assertRunning();
      const { id, start, startTimeoutMs } = spec;
      const started = await launch({ id, incarnation, start, startTimeoutMs }, giveUp, this.#clock);
      if (this.#life.hasEnded) {
        endProcess(started);
        this.#life.assertRunning();
      }
      if (started === 'ignore') {
        child.state = 'stopped';
        if (spec.restart === 'temporary') this.#children.delete(id);
        return undefined;
      }
      this.#run(child, started, incarnation);
      return started;
    } catch (error) {
      this.#observers.tell((observer) => observer.startFailed?.(spec.id, incarnation, error));
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  #run(child: Child, process: Process, incarnation: number): void {
    const { id } = child.spec;
    child.process = process;
    child.state = 'running';
    child.startedAtMs = this.#clock.nowMs();
    const { restarts } = this.#children.historyOf(id);
    this.#observers.tell((observer) => observer.childStarted?.(id, process, incarnation, restarts));
    process.onExit((reason) => {
      this.#childExited(child, process, reason);
    });
  }

  #childExited(child: Child, process: Process, reason: ExitReason): void {
    if (child.process !== process) return;
    this.#release(child);
    this.#tellExited(child, process, reason);
    const { restart = 'permanent', id } = child.spec;
    if (isRestartedAfter(restart, reason)) child.state = 'restarting';
    else if (restart === 'temporary') this.#children.delete(id);
    else if (process.children !== undefined) child.state = 'down';
    if (this.#restarts.isHealthyAfter(this.#clock.nowMs() - child.startedAtMs)) child.failures = 0;
    this.#life.runDue(child, () => this.#answerExit(child));
  }

  #answerExit(child: Child): void | Promise<void> {
    if (child.state === 'restarting') return this.#restart(child);
    const others = this.#children.list().map(({ spec, process, state }) => ({
      ...spec,
      isActive: process !== undefined || state === 'restarting',
    }));
    if (endsSupervisor(this.#options.autoShutdown ?? 'never', child.spec, others)) void this.stop();
  }

  /** Counts one restart, stops who is restarted with the child, and starts them after a while. */
  async #restart(child: Child): Promise<void> {
    if (!this.#restarts.count()) {
      this.#giveUp(child);
      return;
    }
    await this.#stopWith(child);
    if (this.#life.isStopping) return;
    child.state = 'restarting';
    const delayMs = this.#restarts.delayMs(child.failures);
    child.failures += 1;
    if (delayMs === 0) return this.#startWith(child);
    child.timer = this.#clock.setTimeout(() => {
      child.timer = undefined;
      this.#life.runDue(child, () => this.#startWith(child));
    }, delayMs);
  }

  /** Those that are restarted with `pivot`, in reverse. Temporary ones are not started again. */
  async #stopWith(pivot: Child): Promise<void> {
    const affected = restartedWith(this.#options.strategy ?? 'one-for-one', this.#children.list(), pivot);
    for (const child of affected.toReversed()) {
      if (child === pivot) continue;
      await this.#stopChild(child);
      if (child.spec.restart === 'temporary') this.#children.delete(child.spec.id);
    }
  }

  /** Who was started by somebody else meanwhile is stopped once more: all of them begin together. */
  async #startWith(pivot: Child): Promise<void> {
    await this.#stopWith(pivot);
    const affected = restartedWith(this.#options.strategy ?? 'one-for-one', this.#children.list(), pivot);
    for (const child of affected) {
      this.#children.historyOf(child.spec.id).restarts += 1;
      try {
        await this.#launch(child, affected.length > 1);
      } catch {
        // The one that failed is tried again, and with it those that its own restart concerns.
        if (pivot.state === 'restarting' && pivot.due === undefined) pivot.state = 'stopped';
        child.state = 'restarting';
        this.#life.runDue(child, () => this.#restart(child));
        return;
      }
    }
  }

  #giveUp(child: Child): void {
    child.state = 'down';
    this.#observers.tell((observer) => observer.gaveUp?.(this.id, this.#restarts.recent - 1));
    // `stop` never rejects.
    void this.stop();
  }

  async #stopAll(): Promise<void> {
    for (const child of this.#children.list().toReversed()) await this.#stopChild(child);
  }

  /** Never rejects and never waits longer than the child's limit. */
  async #stopChild(child: Child): Promise<void> {
    const { spec } = child;
    const process = this.#release(child);
    if (process === undefined) return;
    const limit = spec.shutdown ?? defaultLimit(process, spec.type);
    const reason = await stopProcess(process, limit, this.#clock, this.#life.killed);
    this.#tellExited(child, process, reason);
  }

  /** Nothing is due for it any more, and its process is nobody's. */
  #release(child: Child): Process | undefined {
    const { process } = child;
    if (child.timer !== undefined) this.#clock.clearTimeout(child.timer);
    child.timer = undefined;
    child.due = undefined;
    child.process = undefined;
    if (child.state !== 'down') child.state = 'stopped';
    return process;
  }

  #tellExited({ spec }: Child, process: Process, reason: ExitReason): void {
    const { incarnation } = this.#children.historyOf(spec.id);
    this.#observers.tell((observer) => observer.childExited?.(spec.id, process, incarnation, reason));
  }
}
