/** How often a child may be restarted before its supervisor gives up, and how long to wait before each restart. */
import type { Clock } from '../contract/clock.ts';

export interface RestartIntensity {
  readonly restartsMax: number;
  readonly periodMs: number;
}

export interface RestartBackoff {
  readonly baseMs: number;
  readonly capMs: number;
  /** After running this long a child's backoff starts over. */
  readonly healthyMs: number;
}

const INTENSITY: RestartIntensity = { restartsMax: 3, periodMs: 5_000 };
const BACKOFF: RestartBackoff = { baseMs: 20, capMs: 5_000, healthyMs: 60_000 };

/** Counts one restart at `nowMs`. With intensity I, the (I+1)th within the period exceeds it. Times are monotonic. */
export function countRestart(
  restartsAtMs: readonly number[],
  intensity: RestartIntensity,
  nowMs: number,
): { readonly restartsAtMs: readonly number[]; readonly isExceeded: boolean } {
  const recent = [...restartsAtMs.filter((atMs) => nowMs - atMs <= intensity.periodMs), nowMs];
  return { restartsAtMs: recent, isExceeded: recent.length > intensity.restartsMax };
}

/** Exponential with equal jitter; `attempt` counts from 0. */
export function restartDelayMs(attempt: number, backoff: RestartBackoff, random: number): number {
  const ceilingMs = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 30));
  return ceilingMs / 2 + (random * ceilingMs) / 2;
}

/** The restarts of one supervisor: all its children count together. */
export class Restarts {
  readonly #clock: Clock;
  readonly #intensity: RestartIntensity;
  readonly #backoff: RestartBackoff | 'none';
  #atMs: readonly number[] = [];

  constructor(
    clock: Clock,
    { intensity = INTENSITY, backoff = BACKOFF }: { intensity?: RestartIntensity; backoff?: RestartBackoff | 'none' },
  ) {
    this.#clock = clock;
    this.#intensity = intensity;
    this.#backoff = backoff;
  }

  /** How many there were within the period. */
  get recent(): number {
    return this.#atMs.length;
  }

  /** Counts one. False when it is one too many. */
  count(): boolean {
    const counted = countRestart(this.#atMs, this.#intensity, this.#clock.nowMs());
    this.#atMs = counted.restartsAtMs;
    return !counted.isExceeded;
  }

  /** How long a child that failed `failures` times since it was healthy waits before it is started again. */
  delayMs(failures: number): number {
    return this.#backoff === 'none' ? 0 : restartDelayMs(failures, this.#backoff, this.#clock.random());
  }

  /** Whether a child that has run for so long has nothing held against it any more. */
  isHealthyAfter(ranMs: number): boolean {
    return this.#backoff === 'none' || ranMs >= this.#backoff.healthyMs;
  }
}
