/** The children of one supervisor, in the order in which they were listed or added, and what is known of each. */
import type { TimerHandle } from '../contract/clock.ts';
import type { ChildState } from '../contract/state.ts';
import type { ChildHistory, ChildSpec } from './child-spec.ts';
import { type Process, SupervisorError } from './process.ts';

export interface Child {
  readonly spec: ChildSpec;
  state: Exclude<ChildState['state'], 'suspended'>;
  process: Process | undefined;
  startedAtMs: number;
  /** Since it was healthy last. */
  failures: number;
  /** What is still to be done about it: an exit, or a restart that waits. Whatever is done instead takes it away. */
  due: object | undefined;
  timer: TimerHandle | undefined;
}

export interface ChildCounts {
  readonly specs: number;
  /** Those whose process lives. */
  readonly active: number;
  /** Specs by their type, whether they run or not. */
  readonly supervisors: number;
  readonly workers: number;
}

export class ChildTable {
  readonly #supervisorId: string;
  readonly #history: ChildHistory;
  /** Whether nobody else counts in it. */
  readonly #ownsHistory: boolean;
  readonly #children = new Map<string, Child>();

  constructor(supervisorId: string, history: ChildHistory | undefined) {
    this.#supervisorId = supervisorId;
    this.#history = history ?? new Map();
    this.#ownsHistory = history === undefined;
  }

  /** @throws {SupervisorError} `already-started`, `already-present` */
  add(spec: ChildSpec): Child {
    const known = this.#children.get(spec.id);
    if (known?.process !== undefined)
      throw this.#error('already-started', `has a child ${spec.id} already`, known.process);
    if (known !== undefined)
      throw this.#error('already-present', `keeps a child ${spec.id} that does not run; restart or delete it`);
    const child: Child = {
      spec,
      state: 'stopped',
      process: undefined,
      startedAtMs: 0,
      failures: 0,
      due: undefined,
      timer: undefined,
    };
    this.#children.set(spec.id, child);
    return child;
  }

  get(id: string): Child | undefined {
    return this.#children.get(id);
  }

  delete(id: string): void {
    const isTemporary = this.#children.get(id)?.spec.restart === 'temporary';
    this.#children.delete(id);
    // There may be any number of them, each with an id of its own.
    if (isTemporary && this.#ownsHistory) this.#history.delete(id);
  }

  list(): readonly Child[] {
    return [...this.#children.values()];
  }

  /** @throws {SupervisorError} `not-found` */
  find(id: string): Child {
    const child = this.#children.get(id);
    if (child === undefined) throw this.#error('not-found', `has no child ${id}`);
    return child;
  }

  /** @throws {SupervisorError} `not-found`, `running`, `restarting` */
  findStopped(id: string): Child {
    const child = this.find(id);
    if (child.process !== undefined)
      throw this.#error('running', `runs its child ${id}; terminate it first`, child.process);
    if (child.state === 'restarting') throw this.#error('restarting', `is restarting its child ${id}`);
    return child;
  }

  /** Counts that outlive the process, and the child where somebody keeps them. */
  historyOf(id: string): { incarnation: number; restarts: number } {
    const known = this.#history.get(id);
    if (known !== undefined) return known;
    const fresh = { incarnation: 0, restarts: 0 };
    this.#history.set(id, fresh);
    return fresh;
  }

  states(): readonly ChildState[] {
    return this.list().map(({ spec: { id }, state, process }) => ({
      id,
      state: process?.isSuspended === true ? ('suspended' as const) : state,
      ...this.historyOf(id),
      ...(process?.children !== undefined && { children: process.children() }),
    }));
  }

  counts(): ChildCounts {
    const children = this.list();
    const supervisors = children.filter(({ spec }) => spec.type === 'supervisor').length;
    return {
      specs: children.length,
      active: children.filter(({ process }) => process !== undefined).length,
      supervisors,
      workers: children.length - supervisors,
    };
  }

  #error(code: ConstructorParameters<typeof SupervisorError>[0], what: string, process?: Process): SupervisorError {
    return new SupervisorError(code, `supervisor ${this.#supervisorId} ${what}`, { process });
  }
}
