/**
 * The order of a lane: priority as a virtual deadline. A request's key is when it was enqueued plus its class's offset; between
 * classes the smallest key goes first, inside a class tenants take turns. At equal ageing rates this is linear ageing without
 * a scan: `low` waits at most 600 s longer than a `high` that came at the same moment.
 */
import type { Priority } from '../contract/request.ts';

/** The most urgent first. */
export const CLASSES: readonly Priority[] = ['high', 'normal', 'low'];

const OFFSET_MS: Readonly<Record<Priority, number>> = { high: 0, normal: 30_000, low: 600_000 };

/** What a request is ordered by. */
export interface QueueKey {
  readonly priority: Priority;
  readonly tenant: string;
  readonly keyMs: number;
  /** Breaks ties in order of arrival. */
  readonly sequence: number;
}

export interface QueuePlace {
  readonly priority: Priority;
  readonly tenant: string;
  readonly enqueuedAtMs: number;
  readonly sequence: number;
}

export function queueKey({ priority, tenant, enqueuedAtMs, sequence }: QueuePlace): QueueKey {
  return { priority, tenant, keyMs: enqueuedAtMs + OFFSET_MS[priority], sequence };
}

/** Negative when `left` has the smaller key. No two keys are equal. */
export function compareKeys(left: QueueKey, right: QueueKey): number {
  return left.keyMs - right.keyMs || left.sequence - right.sequence;
}

export function isBefore(left: QueueKey, right: QueueKey): boolean {
  return compareKeys(left, right) < 0;
}

/** How much later than a `high` of the same moment a request of this class is due. */
export function keyOffsetMs(priority: Priority): number {
  return OFFSET_MS[priority];
}
