/**
 * Saves the latest state of one thing, never two at once and never in anybody's way: whoever changes something says so and goes
 * on. What was written last is remembered, so that nothing is written twice and no timer runs while there is nothing to
 * write. A store that fails is told once, until it has worked again, and the latest state waits for the next try.
 */
import type { Clock, TimerHandle } from '../contract/clock.ts';

/** What is to be saved soon is saved at most so often. */
const SOON_MS = 1_000;
/** Between two tries of a store that fails. */
const RETRY_MS = 1_000;
/** A store that says nothing for so long has failed. */
const SAVE_WAIT_MS = 10_000;

export interface StateSaverDeps<State> {
  readonly clock: Clock;
  /** The state now. */
  readonly read: () => State;
  /** What makes a state another one than that which was saved last. */
  readonly identify: (state: State) => string;
  /** The identity of what the store holds; undefined: nobody knows. */
  readonly saved: string | undefined;
  readonly save: (state: State) => Promise<void>;
  /** Called once until a save has worked again. */
  readonly onFailed: (error: unknown) => void;
}

export class StateSaver<State> {
  readonly #deps: StateSaverDeps<State>;
  #saved: string | undefined;
  #timer: TimerHandle | undefined;
  #saving: Promise<void> | undefined;
  #isScheduled = false;
  /** What changed while a save was under way has to be saved after it. */
  #pending: 'now' | 'soon' | undefined;
  #isFailing = false;
  #isClosed = false;

  constructor(deps: StateSaverDeps<State>) {
    this.#deps = deps;
    this.#saved = deps.saved;
  }

  /** Says that the state has changed. What changes within one turn is one change. */
  noteChange(urgency: 'now' | 'soon'): void {
    if (this.#isClosed || this.#isScheduled) return;
    if (this.#saving !== undefined) {
      this.#pending = this.#pending === 'now' ? 'now' : urgency;
      return;
    }
    // Whatever is new goes with the next try.
    if (this.#isFailing) return;
    if (urgency === 'soon') {
      this.#timer ??= this.#wait(SOON_MS);
      return;
    }
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#begin();
    });
  }

  /** Saves the last state, with one try, and nothing after it. Resolves when that has ended; never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#clearTimer();
    const underWay = this.#saving;
    await underWay;
    // It has failed this moment.
    if (underWay !== undefined && this.#isFailing) return;
    await this.#save();
  }

  #begin(): void {
    if (this.#isClosed) return;
    this.#clearTimer();
    this.#saving = this.#save().then(() => {
      this.#saving = undefined;
      const urgency = this.#pending;
      this.#pending = undefined;
      if (this.#isClosed) return;
      if (this.#isFailing) this.#timer = this.#wait(RETRY_MS);
      else if (urgency !== undefined) this.noteChange(urgency);
    });
  }

  /** Never rejects. */
  async #save(): Promise<void> {
    const { read, identify, save, onFailed } = this.#deps;
    try {
      const state = read();
      const identity = identify(state);
      if (identity === this.#saved) return;
      // Until it is known what became of it, the store may hold either.
      this.#saved = undefined;
      await this.#within(save(state));
      this.#saved = identity;
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) onFailed(error);
      this.#isFailing = true;
    }
  }

  async #within(saving: Promise<void>): Promise<void> {
    const { clock } = this.#deps;
    const late = Promise.withResolvers<never>();
    const timer = clock.setTimeout(() => {
      late.reject(new Error(`the store did not answer within ${SAVE_WAIT_MS} ms`));
      // It may yet put an old state in the place of a later one.
      const saveAgain = () => {
        this.#saved = undefined;
        this.noteChange('soon');
      };
      saving.then(saveAgain, () => undefined);
    }, SAVE_WAIT_MS);
    try {
      await Promise.race([saving, late.promise]);
    } finally {
      clock.clearTimeout(timer);
    }
  }

  #wait(ms: number): TimerHandle {
    return this.#deps.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#begin();
    }, ms);
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#deps.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
