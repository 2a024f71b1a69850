/**
 * One pacing bucket written as water in a vessel that leaks, and the law that it has to keep in every stretch of time. The
 * code knows one moment instead, at which the vessel is empty; nothing of that is used here.
 */
import assert from 'node:assert/strict';

const MINUTE_MS = 60_000;
/** What the code allows itself for rounding, in ms of the rate, and a little more for the sums made here. */
const ROUNDING_MS = 0.002;

/** What one attempt put into the bucket. */
export interface Taken {
  readonly quantity: number;
}

type Noted =
  | { readonly kind: 'taken'; readonly atMs: number; readonly taken: Taken }
  | { readonly kind: 'corrected'; readonly taken: Taken; readonly unused: number };

/** A bucket without a limit is an endless one. */
export class BucketModel {
  readonly #perMinute: number | undefined;
  /** Below zero after more was given back than was left; the next attempt begins at zero. */
  #level = 0;
  #sinceMs = 0;
  readonly #noted: Noted[] = [];

  constructor(perMinute: number | undefined) {
    this.#perMinute = perMinute;
  }

  /** The same debt under another limit. */
  change(perMinute: number | undefined, nowMs: number): BucketModel {
    this.#leak(nowMs);
    const changed = new BucketModel(perMinute);
    changed.#sinceMs = nowMs;
    if (this.#perMinute !== undefined && perMinute !== undefined) changed.#level = Math.max(0, this.#level);
    return changed;
  }

  /** A tenth less than the limit, at least one a minute. */
  get #rate(): number {
    return Math.max(1, (this.#perMinute ?? 0) * 0.9) / MINUTE_MS;
  }

  /** What flows in six seconds, at least one. */
  get burst(): number {
    return Math.max(1, this.#rate * 6_000);
  }

  /** How long `quantity` has to wait: until its share, at most a whole bucket, has room above what is still in. */
  waitMs(quantity: number, nowMs: number): number {
    if (this.#perMinute === undefined) return 0;
    this.#leak(nowMs);
    const excess = Math.max(0, this.#level) + Math.min(quantity, this.burst) - this.burst;
    return Math.max(0, excess / this.#rate);
  }

  take(taken: Taken, nowMs: number): void {
    this.#leak(nowMs);
    this.#level = Math.max(0, this.#level) + taken.quantity;
    this.#noted.push({ kind: 'taken', atMs: nowMs, taken });
  }

  /** `unused` is negative when more was used; a minute's worth is charged at most. */
  correct(taken: Taken, unused: number, nowMs: number): void {
    const counted = Math.max(unused, -(this.#perMinute ?? Number.POSITIVE_INFINITY));
    this.#leak(nowMs);
    this.#level -= counted;
    this.#noted.push({ kind: 'corrected', taken, unused: counted });
  }

  /**
   * What was admitted in any stretch of time, by what is known of its use, is at most the burst, what flows in that time and
   * what attempts gave back that were in flight when it began. More than a bucket at once was all that was in it.
   */
  assertLaw(): void {
    if (this.#perMinute === undefined) return;
    for (const [from, first] of this.#noted.entries()) {
      if (first.kind === 'taken') this.#assertSince(first.atMs, this.#noted.slice(from));
    }
  }

  #assertSince(sinceMs: number, noted: readonly Noted[]): void {
    const within = new Set<Taken>();
    let used = 0;
    let returned = 0;
    for (const note of noted) {
      const { taken } = note;
      if (note.kind === 'corrected') {
        if (within.has(taken)) used -= note.unused;
        else returned += Math.max(0, note.unused);
        continue;
      }
      within.add(taken);
      used += taken.quantity;
      const flowed = this.#rate * (note.atMs - sinceMs + ROUNDING_MS * noted.length);
      const most = Math.max(this.burst, taken.quantity) + flowed + returned;
      assert.ok(used <= most * (1 + 1e-9), `${used} of at most ${most} from ${sinceMs} to ${note.atMs} ms`);
    }
  }

  #leak(nowMs: number): void {
    this.#level -= this.#rate * (nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
  }
}
