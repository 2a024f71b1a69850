/**
 * How much one sweep may do. Whoever asks meanwhile travels in the same group or waits for it, so it is bounded in rows,
 * because each page that it changes has to be written and synced, and in time, because a row may lie on one page or on
 * thousands. The first row is always taken, or a slow disk would keep everything that has expired.
 */
import type { Stopwatch } from './engine.ts';

/** After so long the rest is left to the next sweep. */
const SLICE_MAX_MS = 2;

/** Counts the rows of one sweep and says when it may take no more. */
export class SweepSlice {
  readonly #rowsMax: number;
  readonly #stopwatchMs: Stopwatch;
  readonly #endsAtMs: number;
  #rows = 0;

  constructor(rowsMax: number, stopwatchMs: Stopwatch) {
    this.#rowsMax = rowsMax;
    this.#stopwatchMs = stopwatchMs;
    this.#endsAtMs = stopwatchMs() + SLICE_MAX_MS;
  }

  /** How many rows it has taken. */
  get rows(): number {
    return this.#rows;
  }

  /** How many it may take now, as far as is known before they are taken. */
  get room(): number {
    const isTimeOver = this.#rows > 0 && this.#stopwatchMs() >= this.#endsAtMs;
    return isTimeOver ? 0 : this.#rowsMax - this.#rows;
  }

  /** Notes rows that were taken. */
  add(rows: number): void {
    this.#rows += rows;
  }
}
