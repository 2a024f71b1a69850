/**
 * Notices to deliver in memory. A notice goes with the result that it tells of, so that there are never more of them than
 * records: the store that settles adds it, and the store that forgets takes it away.
 */
import type { Clock } from '../contract/clock.ts';
import { steadyWall } from '../contract/clock.ts';
import type { RequestId } from '../contract/response.ts';
import type { ExpiredDelivery, SettlementNotice, WebhookDelivery, WebhookOutbox } from '../contract/storage.ts';
import { IndexedHeap } from '../runtime/indexed-heap.ts';

const EXPIRED_MAX = 100_000;

interface Waiting {
  readonly id: RequestId;
  /** In the order they came; tells those apart that are due together. */
  readonly sequence: number;
  readonly delivery: WebhookDelivery;
  /** When its result expires, steady wall clock. */
  readonly expiresAt: number;
}

export interface MemoryOutboxOptions {
  readonly clock: Clock;
  readonly resultTtlMs: number;
  /** How many notices of expired results are kept to be told of. Default 100,000: as many as there are records at most. */
  readonly expiredMax?: number;
}

export class MemoryOutbox implements WebhookOutbox {
  readonly #nowMs: () => number;
  readonly #resultTtlMs: number;
  readonly #expiredMax: number;
  /** Those whose results the store does not have any more, oldest first. */
  readonly #expired = new Set<RequestId>();
  readonly #waiting = new Map<RequestId, Waiting>();
  readonly #byDue = new IndexedHeap<Waiting>(isBefore);
  #sequence = 0;

  constructor({ clock, resultTtlMs, expiredMax = EXPIRED_MAX }: MemoryOutboxOptions) {
    this.#nowMs = steadyWall(clock);
    this.#resultTtlMs = resultTtlMs;
    this.#expiredMax = expiredMax;
  }

  /** Notes a settlement, due at once. For the store that writes it, in the same turn. */
  add(requestId: RequestId, settlement: SettlementNotice, settledAt: number): void {
    this.#sequence += 1;
    const nowMs = this.#nowMs();
    const delivery = { requestId, settlement: withoutAnswer(settlement), settledAt, tries: 0, dueAt: nowMs };
    this.#keep({ id: requestId, sequence: this.#sequence, delivery, expiresAt: nowMs + this.#resultTtlMs });
  }

  async due(nowMs: number, max: number): Promise<readonly (WebhookDelivery | ExpiredDelivery)[]> {
    const taken: Waiting[] = [];
    for (let first = this.#byDue.first; first !== undefined && taken.length < max; first = this.#byDue.first) {
      if (first.delivery.dueAt > nowMs) break;
      taken.push(first);
      this.#byDue.remove(first.id);
    }
    for (const waiting of taken) this.#byDue.add(waiting);
    return taken.map(({ delivery, expiresAt }) => (expiresAt <= nowMs ? withoutSettlement(delivery) : delivery));
  }

  async nextDueAt(): Promise<number | undefined> {
    return this.#byDue.first?.delivery.dueAt;
  }

  async postpone(requestId: RequestId, tries: number, dueAt: number): Promise<void> {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#byDue.remove(requestId);
    this.#keep({ ...waiting, delivery: { ...waiting.delivery, tries, dueAt: Math.min(dueAt, waiting.expiresAt) } });
  }

  async remove(requestId: RequestId): Promise<void> {
    this.#expired.delete(requestId);
    this.#waiting.delete(requestId);
    this.#byDue.remove(requestId);
  }

  /** For the store: the result may not be read any more, whether its time is over or it had to make room. */
  expire(requestId: RequestId): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    const { delivery } = waiting;
    const expiresAt = Math.min(waiting.expiresAt, this.#nowMs());
    this.#byDue.remove(requestId);
    this.#keep({ ...waiting, expiresAt, delivery: { ...delivery, dueAt: Math.min(delivery.dueAt, expiresAt) } });
    this.#expired.add(requestId);
    const [oldest] = this.#expired;
    // A receiver that wants to be left alone for a day leaves more than can be kept.
    if (this.#expired.size > this.#expiredMax && oldest !== undefined) void this.remove(oldest);
  }

  #keep(waiting: Waiting): void {
    this.#waiting.set(waiting.id, waiting);
    this.#byDue.add(waiting);
  }
}

function isBefore({ delivery: left, sequence }: Waiting, { delivery: right, sequence: other }: Waiting): boolean {
  return left.dueAt < right.dueAt || (left.dueAt === right.dueAt && sequence < other);
}

/** An answer is kept by its record, for as long as that may be read, and not here for as long as a receiver is down. */
function withoutAnswer(settlement: SettlementNotice): SettlementNotice {
  if (settlement.status === 'succeeded') return { status: settlement.status };
  const { code, message } = settlement.error;
  return { status: settlement.status, error: { code, message } };
}

function withoutSettlement({ requestId, tries, dueAt }: WebhookDelivery): ExpiredDelivery {
  return { requestId, tries, dueAt, settlement: undefined };
}
