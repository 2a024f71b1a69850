/**
 * The limits of one attempt: how long until the first content, how long between two pieces of content, and what happens
 * when they pass. A limit that binds aborts the attempt with its own name; one that does not bind tells the breaker once
 * that the attempt is overdue, and is looked at again after the same time: whether anybody else is left changes meanwhile.
 */
import type { FailureKind } from '../contract/failures.ts';
import type { Clock, TimerHandle } from '../contract/clock.ts';

export interface AttemptLimit {
  /** `first`: until the first content, or the whole unstreamed answer. `stall`: between two pieces. `tail`: after a finish reason. */
  readonly name: 'first' | 'stall' | 'tail';
  readonly limitMs: number;
  /** Asked each time that it passes: whether it ends the attempt. */
  readonly isBinding: () => boolean;
  /** What ends the attempt although the limit does not bind, counted like it; undefined: the deadline alone. */
  readonly patienceMs?: number | undefined;
}

export interface LimitPassed {
  readonly name: AttemptLimit['name'];
  readonly limitMs: number;
}

export const LIMIT_FAILURE: Readonly<Record<'first' | 'stall', FailureKind>> = { first: 'silent', stall: 'broken' };

/** One running limit at a time; `start` replaces the one before. */
export class LimitTimer {
  readonly #clock: Clock;
  readonly #aborting: AbortController;
  readonly #overdue: () => void;
  #timer: TimerHandle | undefined;
  #passed: LimitPassed | undefined;
  #isOverdue = false;

  constructor(clock: Clock, aborting: AbortController, overdue: () => void) {
    this.#clock = clock;
    this.#aborting = aborting;
    this.#overdue = overdue;
  }

  /** The limit that ended the attempt. */
  get passed(): LimitPassed | undefined {
    return this.#passed;
  }

  start(limit: AttemptLimit): void {
    this.clear();
    this.#watch(limit, 0);
  }

  #watch(limit: AttemptLimit, elapsedMs: number): void {
    const { limitMs, patienceMs = Number.POSITIVE_INFINITY } = limit;
    const lookMs = Math.min(limitMs, patienceMs - elapsedMs);
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      if (limit.name !== 'tail') this.#tellOverdue();
      const passedMs = elapsedMs + lookMs;
      if (limit.isBinding() || passedMs >= patienceMs) this.#end({ name: limit.name, limitMs: passedMs });
      else this.#watch(limit, passedMs);
    }, lookMs);
  }

  #tellOverdue(): void {
    if (this.#isOverdue) return;
    this.#isOverdue = true;
    this.#overdue();
  }

  #end(passed: LimitPassed): void {
    this.#passed = passed;
    this.#aborting.abort(new Error(`${passed.name} limit of ${passed.limitMs} ms passed`));
  }

  clear(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
