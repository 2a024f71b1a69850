/**
 * A clock that moves only when told. Time jumps from timer to timer, and between two timers everything that promises have
 * made ready is run, so that a test or a simulation sees the order a real clock would have given, without waiting for it.
 * Wall clock and monotonic clock are apart; chance comes from a seed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock, TimerHandle } from '../contract/clock.ts';
import { IndexedHeap } from '../runtime/indexed-heap.ts';
import { createRandom } from '../simulator/random.ts';

interface Timer {
  /** Counts the timers, so that those due together fire in the order they were set. */
  readonly id: number;
  readonly dueMs: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs: number;
  #sequence = 0;
  readonly #timers = new IndexedHeap<Timer>(
    (one, other) => one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.id < other.id),
  );
  readonly #random: () => number;

  /** `wallMs` is the wall clock's reading at monotonic 0; default 2026-01-01T00:00:00Z. */
  constructor({ seed = 1, wallMs = Date.UTC(2026, 0, 1) }: { seed?: number; wallMs?: number } = {}) {
    this.#random = createRandom(seed);
    this.#wallOffsetMs = wallMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return Math.floor(this.#wallOffsetMs + this.#nowMs);
  }

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    const id = ++this.#sequence;
    this.#timers.add({ id, dueMs: this.#nowMs + Math.max(0, delayMs), callback });
    return id;
  }

  clearTimeout(handle: TimerHandle): void {
    // Only `setTimeout` above makes handles of this clock, and they are numbers.
    this.#timers.remove(handle as number);
  }

  random(): number {
    return this.#random();
  }

  randomBytes(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => Math.floor(this.#random() * 256));
  }

  /** Timers that have not fired yet. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves the wall clock alone, as an operator or NTP would. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Runs everything that is ready now, without moving time. */
  async settle(): Promise<void> {
    await setImmediate();
  }

  /**
   * Moves time to the next timer, fires it and runs everything that it made ready. False: no timer is due by `untilMs`, and
   * time stands still.
   */
  async step(untilMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const timer = this.#timers.first;
    if (timer === undefined || timer.dueMs > untilMs) return false;
    this.#timers.remove(timer.id);
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    timer.callback();
    await this.settle();
    return true;
  }

  /** Moves time forward by `byMs`, firing each timer at its own moment. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await this.settle();
    while (await this.step(untilMs)) {
      // One step fires one timer.
    }
    this.#nowMs = untilMs;
    await this.settle();
  }

  /** Moves time from timer to timer until `promise` settles. Rejects when `limitMs` pass or no timer is left. */
  async waitFor<T>(promise: Promise<T>, limitMs = 86_400_000): Promise<T> {
    const outcome = { isSettled: false };
    const mark = () => (outcome.isSettled = true);
    promise.then(mark, mark);
    const untilMs = this.#nowMs + limitMs;
    await this.settle();
    while (!outcome.isSettled) {
      if (!(await this.step(untilMs)))
        throw new Error(`expected the promise to settle within ${limitMs} virtual ms, got: nothing left to fire`);
    }
    return promise;
  }
}
