/** One child of a pool, over all its incarnations. */
import type { TimerHandle } from '../contract/clock.ts';
import type { ChildState } from '../contract/state.ts';
import type { Process } from './process.ts';

export class PoolMember<Args> {
  /** Undefined once it is never started again. */
  args: Args | undefined;
  state: Exclude<ChildState['state'], 'suspended'> = 'starting';
  process: Process | undefined;
  /** The process that runs or that ran last. */
  last: Process | undefined;
  incarnation = 0;
  startedAtMs = 0;
  /** Since it was healthy last. */
  failures = 0;
  /** What is still to be done about it. Whatever is done instead takes it away. */
  due: object | undefined;
  timer: TimerHandle | undefined;

  constructor(args: Args) {
    this.args = args;
  }

  /** The number of the incarnation that is started now. */
  begin(): number {
    this.state = 'starting';
    this.incarnation += 1;
    return this.incarnation;
  }

  run(process: Process, nowMs: number): void {
    this.process = process;
    this.last = process;
    this.state = 'running';
    this.startedAtMs = nowMs;
  }

  /** Nothing is due for it any more, and its process is nobody's. */
  release(): Process | undefined {
    const { process } = this;
    this.process = undefined;
    this.timer = undefined;
    this.due = undefined;
    this.state = 'stopped';
    return process;
  }

  describe(): ChildState {
    const { incarnation, process, last } = this;
    return {
      id: last?.id ?? '',
      state: this.state === 'running' && process?.isSuspended === true ? 'suspended' : this.state,
      restarts: Math.max(0, incarnation - 1),
      incarnation,
      ...(process?.children !== undefined && { children: process.children() }),
    };
  }
}
