/**
 * The order of a lane: priority as a virtual deadline. A request's key is when it was enqueued plus its class's offset; the
 * smallest key goes first. At equal ageing rates this is linear ageing without a scan: `low` waits at most 600 s longer
 * than a `high` that came at the same moment.
 */
import type { Priority } from '../contract/request.ts';

const OFFSET_MS: Readonly<Record<Priority, number>> = { high: 0, normal: 30_000, low: 600_000 };

export interface QueueKey {
  readonly keyMs: number;
  /** Breaks ties in order of arrival. */
  readonly sequence: number;
}

export function queueKey(priority: Priority, enqueuedAtMs: number, sequence: number): QueueKey {
  return { keyMs: enqueuedAtMs + OFFSET_MS[priority], sequence };
}

export function compareKeys(left: QueueKey, right: QueueKey): number {
  return left.keyMs - right.keyMs || left.sequence - right.sequence;
}
