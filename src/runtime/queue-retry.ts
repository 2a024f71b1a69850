/**
 * When it makes sense to come back to a full queue: a place comes free as fast as requests have been ending lately, and not
 * before some provider takes requests again.
 */
import type { Runtime } from './runtime.ts';

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 300_000;
/** How many endings are looked back on. */
const REMEMBERED_MAX = 64;

/** When requests left, monotonic ms. */
export class Departures {
  readonly #moments: number[] = [];

  note(nowMs: number): void {
    this.#moments.push(nowMs);
    if (this.#moments.length > REMEMBERED_MAX) this.#moments.shift();
  }

  /** Ms from one to the next, as it has been lately; undefined when nobody has left. */
  intervalMs(nowMs: number): number | undefined {
    const [first] = this.#moments;
    return first === undefined ? undefined : (nowMs - first) / this.#moments.length;
  }
}

/** Ms from now. */
export function queueRetryMs({
  clock,
  providers,
  departures,
}: Pick<Runtime, 'clock' | 'providers' | 'departures'>): number {
  const waits = [...providers.values()].map(({ control }) => {
    const admission = control.admission('');
    if (admission.kind === 'ready') return 0;
    return admission.kind === 'wait' ? admission.retryAfterMs : RETRY_MAX_MS;
  });
  const waitMs = Math.max(Math.min(RETRY_MAX_MS, ...waits), departures.intervalMs(clock.nowMs()) ?? 0);
  return Math.ceil(Math.min(RETRY_MAX_MS, Math.max(RETRY_MIN_MS, waitMs)));
}
