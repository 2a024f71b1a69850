/** Counts what happened in the last while, in buckets of monotonic time. */
const BUCKETS = 12;

export class RecentCount {
  readonly #bucketMs: number;
  readonly #counts = Array.from({ length: BUCKETS }, () => 0);
  #newest = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / BUCKETS;
  }

  add(count: number, nowMs: number): void {
    this.#roll(nowMs);
    const slot = this.#newest % BUCKETS;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + count;
  }

  total(nowMs: number): number {
    this.#roll(nowMs);
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  #roll(nowMs: number): void {
    const newest = Math.floor(nowMs / this.#bucketMs);
    const stale = Math.min(BUCKETS, newest - this.#newest);
    for (let age = 0; age < stale; age++) this.#counts[(newest - age) % BUCKETS] = 0;
    this.#newest = newest;
  }
}
