/**
 * A clock that moves only when told. Time jumps from timer to timer, and between two timers everything that promises have
 * made ready is run, so that a test or a simulation sees the order a real clock would have given, without waiting for it.
 * Wall clock and monotonic clock are apart; chance comes from a seed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock, TimerHandle } from '../contract/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** Mulberry32, by Tommy Ettinger (public domain): 32 bits of state, enough for schedules and jitter. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs: number;
  #sequence = 0;
  readonly #timers = new Map<TimerHandle, Timer>();
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
    const handle = {};
    this.#timers.set(handle, { dueMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, callback });
    return handle;
  }

  clearTimeout(handle: TimerHandle): void {
    this.#timers.delete(handle);
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

  /** Moves time forward by `byMs`, firing each timer at its own moment. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      await this.settle();
      const next = this.#earliest(untilMs);
      if (next === undefined) break;
      const [handle, timer] = next;
      this.#timers.delete(handle);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.callback();
    }
    this.#nowMs = untilMs;
    await this.settle();
  }

  /** Moves time from timer to timer until `promise` settles. Rejects when `limitMs` pass or no timer is left. */
  async waitFor<T>(promise: Promise<T>, limitMs = 86_400_000): Promise<T> {
    let isSettled = false;
    const mark = () => (isSettled = true);
    promise.then(mark, mark);
    const untilMs = this.#nowMs + limitMs;
    for (;;) {
      await this.settle();
      if (isSettled) return promise;
      const next = this.#earliest(untilMs);
      if (next === undefined)
        throw new Error(`expected the promise to settle within ${limitMs} virtual ms, got: nothing left to fire`);
      await this.advance(Math.max(0, next[1].dueMs - this.#nowMs));
    }
  }

  #earliest(untilMs: number): [TimerHandle, Timer] | undefined {
    let first: [TimerHandle, Timer] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].dueMs > untilMs) continue;
      if (
        first === undefined ||
        entry[1].dueMs < first[1].dueMs ||
        (entry[1].dueMs === first[1].dueMs && entry[1].sequence < first[1].sequence)
      ) {
        first = entry;
      }
    }
    return first;
  }
}
