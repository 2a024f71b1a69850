/**
 * The limits of one attempt: how long until the first content, how long between two pieces of content, and what happens
 * when they pass. A limit that binds aborts the attempt with its own name; one that does not bind only tells the breaker
 * that the attempt is overdue.
 */
import type { FailureKind } from '../contract/failures.ts';
import type { Clock, TimerHandle } from '../contract/clock.ts';

export interface AttemptLimit {
  /** `first`: until the first content, or the whole unstreamed answer. `stall`: between two pieces. `tail`: after a finish reason. */
  readonly name: 'first' | 'stall' | 'tail';
  readonly limitMs: number;
  /** Whether passing it ends the attempt. */
  readonly isBinding: boolean;
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
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      if (limit.name !== 'tail') this.#overdue();
      if (!limit.isBinding) return;
      this.#passed = limit;
      this.#aborting.abort(new Error(`${limit.name} limit of ${limit.limitMs} ms passed`));
    }, limit.limitMs);
  }

  clear(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
