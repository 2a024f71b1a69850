/** The clock of one process of many that come one after the other in virtual time: once it is dead none of its timers fires. */
import type { Clock, TimerHandle } from '../../src/contract/clock.ts';

export class MortalClock implements Clock {
  readonly #clock: Clock;
  readonly #timers = new Set<TimerHandle>();
  isDead = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs = (): number => this.#clock.nowMs();
  wallMs = (): number => this.#clock.wallMs();
  random = (): number => this.#clock.random();
  randomBytes = (size: number): Uint8Array => this.#clock.randomBytes(size);

  /** Timers that have not fired yet. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    if (this.isDead) return 0;
    const handle = this.#clock.setTimeout(() => {
      this.#timers.delete(handle);
      callback();
    }, delayMs);
    this.#timers.add(handle);
    return handle;
  }

  clearTimeout(handle: TimerHandle): void {
    this.#timers.delete(handle);
    this.#clock.clearTimeout(handle);
  }

  die(): void {
    this.isDead = true;
    for (const handle of this.#timers) this.#clock.clearTimeout(handle);
    this.#timers.clear();
  }
}
