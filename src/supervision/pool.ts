/**
 * A supervisor of many children of one kind (OTP's `simple_one_for_one`): each is started with arguments of its own, crashes
 * alone, and is restarted with the same arguments. They come and go while it runs, so they have no place in an order: at the
 * end all are stopped at once, within one limit. What it knows of a temporary child is its process.
 */
import type { Clock } from '../contract/clock.ts';
import { systemClock } from '../runtime/system-clock.ts';
import type { ChildState } from '../contract/state.ts';
import {
  checkChild,
  checkOptions,
  type ChildSpec,
  type StartContext,
  type Started,
  type SupervisorObserver,
  type SupervisorOptions,
} from './child-spec.ts';
import type { ChildCounts } from './child-table.ts';
import { launch } from './launch.ts';
import { Lifespan } from './lifespan.ts';
import { Observers } from './observers.ts';
import { PoolMember } from './pool-member.ts';
import { type ExitReason, type Process, SupervisorError } from './process.ts';
import { Restarts } from './restart-intensity.ts';
import { isRestartedAfter } from './restart-rules.ts';
import { defaultLimit, endProcess, stopProcess } from './stop-process.ts';

export interface PoolTemplate<Args> extends Pick<ChildSpec, 'restart' | 'shutdown' | 'type' | 'startTimeoutMs'> {
  /** A throw or rejection is a failed start. */
  readonly start: (args: Args, context: StartContext) => Started | Promise<Started>;
}

export interface PoolOptions<Args> extends Pick<SupervisorOptions, 'id' | 'intensity' | 'backoff'> {
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly template: PoolTemplate<Args>;
  /** Default: as many as are started. */
  readonly maxChildren?: number;
  readonly observer?: SupervisorObserver;
}

export class Pool<Args> implements Process {
  readonly id: string;
  readonly #options: PoolOptions<Args>;
  readonly #members = new Set<PoolMember<Args>>();
  /** Whose process each of them is or was. */
  readonly #byProcess = new WeakMap<Process, PoolMember<Args>>();
  readonly #clock: Clock;
  readonly #restarts: Restarts;
  readonly #observers: Observers;
  readonly #life: Lifespan;
  #starting: { readonly member: PoolMember<Args>; readonly giveUp: AbortController } | undefined;

  /** @throws {SupervisorError} `invalid-spec` naming the field at fault */
  constructor(options: PoolOptions<Args>) {
    checkOptions(options);
    checkTemplate(options);
    this.id = options.id;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#restarts = new Restarts(this.#clock, options);
    this.#observers = new Observers(options.observer);
    this.#life = new Lifespan(`pool ${options.id}`);
  }

  /**
   * Starts one more child. Undefined when it is ignored; then nothing is kept.
   * @throws {SupervisorError} `max-children`, `failed-to-start`, `stopped`
   */
  startChild(args: Args): Promise<Process | undefined> {
    return this.#life.run(async () => {
      this.#life.assertRunning();
      const { maxChildren = Number.POSITIVE_INFINITY } = this.#options;
      if (this.#members.size >= maxChildren)
        throw new SupervisorError('max-children', `pool ${this.id} has ${maxChildren} children, which is its maximum`);
      const member = new PoolMember(args);
      this.#members.add(member);
      try {
        return await this.#launch(member);
      } catch (cause) {
        this.#forget(member);
        throw new SupervisorError('failed-to-start', `a child of pool ${this.id} failed to start`, { cause });
      }
    });
  }

  /**
   * Stops a child and forgets it, also one that is being restarted: the process that it was last
   * names it. Of one that has gone already nothing is left to do. @throws {SupervisorError} `not-found`, `stopped`
   */
  terminateChild(process: Process): Promise<void> {
    const starting = this.#starting;
    if (starting?.member.last === process) starting.giveUp.abort();
    const known = this.#byProcess.get(process);
    // One that has a successor by now names nobody any more.
    const member = known?.last === process ? known : undefined;
    return this.#life.run(async () => {
      this.#life.assertRunning();
      if ((member === undefined || !this.#members.has(member)) && hasEnded(process)) return;
      if (member === undefined) throw new SupervisorError('not-found', `pool ${this.id} has no such child`);
      await this.#stopMember(member);
      this.#forget(member);
    });
  }

  children(): readonly ChildState[] {
    return Array.from(this.#members, (member) => member.describe());
  }

  countChildren(): ChildCounts {
    const specs = this.#members.size;
    const active = [...this.#members].filter(({ process }) => process !== undefined).length;
    const isOfSupervisors = this.#options.template.type === 'supervisor';
    return { specs, active, supervisors: isOfSupervisors ? specs : 0, workers: isOfSupervisors ? 0 : specs };
  }

  onExit(listener: (reason: ExitReason) => void): void {
    this.#life.onExit(listener);
  }

  offExit(listener: (reason: ExitReason) => void): void {
    this.#life.offExit(listener);
  }

  /** Stops all children at once, within one limit, then exits with `shutdown`. Idempotent. */
  stop(): Promise<void> {
    this.#starting?.giveUp.abort();
    return this.#life.stop(() => this.#stopAll());
  }

  /** Ends all children at once, and itself with `killed`. */
  kill(): void {
    this.#starting?.giveUp.abort();
    this.#life.kill(() => {
      for (const member of this.#members) {
        const process = this.#release(member);
        if (process === undefined) continue;
        endProcess(process);
        this.#tellExited(member, process, { kind: 'killed' });
      }
      this.#members.clear();
    });
  }

  /** Starts the next incarnation; undefined when it is ignored, and forgotten. Rejects when it fails. */
  async #launch(member: PoolMember<Args>): Promise<Process | undefined> {
    const { template } = this.#options;
    const giveUp = new AbortController();
    const incarnation = member.begin();
    this.#starting = { member, giveUp };
    try {
      const { startTimeoutMs } = template;
      // Only those that are never started again have lost them.
      const start = (context: StartContext) => template.start(member.args as Args, context);
      const started = await launch(
        { id: `of pool ${this.id}`, incarnation, start, startTimeoutMs },
        giveUp,
        this.#clock,
      );
      if (this.#life.hasEnded) {
        endProcess(started);
        this.#life.assertRunning();
      }
      if (started === 'ignore') {
        this.#forget(member);
        return undefined;
      }
      this.#run(member, started);
      return started;
    } catch (error) {
      this.#observers.tell((observer) => observer.startFailed?.(this.id, incarnation, error));
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  #run(member: PoolMember<Args>, process: Process): void {
    this.#byProcess.set(process, member);
    member.run(process, this.#clock.nowMs());
    if (this.#options.template.restart === 'temporary') member.args = undefined;
    const { incarnation } = member;
    this.#observers.tell((observer) => observer.childStarted?.(process.id, process, incarnation, incarnation - 1));
    process.onExit((reason) => {
      this.#memberExited(member, process, reason);
    });
  }

  #memberExited(member: PoolMember<Args>, process: Process, reason: ExitReason): void {
    if (member.process !== process) return;
    this.#release(member);
    this.#tellExited(member, process, reason);
    if (!isRestartedAfter(this.#options.template.restart ?? 'permanent', reason)) {
      this.#forget(member);
      return;
    }
    if (this.#restarts.isHealthyAfter(this.#clock.nowMs() - member.startedAtMs)) member.failures = 0;
    member.state = 'restarting';
    this.#life.runDue(member, () => this.#restart(member));
  }

  /** Counts one restart, and starts the member again after a while. */
  async #restart(member: PoolMember<Args>): Promise<void> {
    if (!this.#restarts.count()) {
      this.#observers.tell((observer) => observer.gaveUp?.(this.id, this.#restarts.recent - 1));
      // `stop` never rejects.
      void this.stop();
      return;
    }
    const delayMs = this.#restarts.delayMs(member.failures);
    member.failures += 1;
    if (delayMs === 0) return this.#startAgain(member);
    member.timer = this.#clock.setTimeout(() => {
      member.timer = undefined;
      this.#life.runDue(member, () => this.#startAgain(member));
    }, delayMs);
  }

  async #startAgain(member: PoolMember<Args>): Promise<void> {
    try {
      await this.#launch(member);
    } catch {
      member.state = 'restarting';
      this.#life.runDue(member, () => this.#restart(member));
    }
  }

  async #stopAll(): Promise<void> {
    await Promise.all(Array.from(this.#members, (member) => this.#stopMember(member)));
    this.#members.clear();
  }

  async #stopMember(member: PoolMember<Args>): Promise<void> {
    const process = this.#release(member);
    if (process === undefined) return;
    const limit = this.#options.template.shutdown ?? defaultLimit(process, this.#options.template.type);
    this.#tellExited(member, process, await stopProcess(process, limit, this.#clock, this.#life.killed));
  }

  #release(member: PoolMember<Args>): Process | undefined {
    if (member.timer !== undefined) this.#clock.clearTimeout(member.timer);
    return member.release();
  }

  #forget(member: PoolMember<Args>): void {
    this.#members.delete(member);
  }

  #tellExited({ incarnation }: PoolMember<Args>, process: Process, reason: ExitReason): void {
    this.#observers.tell((observer) => observer.childExited?.(process.id, process, incarnation, reason));
  }
}

function checkTemplate<Args>({ template, maxChildren = 1 }: PoolOptions<Args>): void {
  if (typeof template !== 'object' || template === null || Array.isArray(template))
    throw new SupervisorError('invalid-spec', `expected template to be the one spec of all children of the pool`);
  checkChild(template, 'template.');
  if (!(maxChildren >= 0))
    throw new SupervisorError('invalid-spec', `expected maxChildren to be a number from 0, got: ${maxChildren}`);
}

/** Whoever has ended tells so at once. */
function hasEnded(process: Process): boolean {
  let isEnded = false;
  process.onExit(() => {
    isEnded = true;
  });
  return isEnded;
}
