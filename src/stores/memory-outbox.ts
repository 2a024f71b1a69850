/**
 * Notices to deliver in memory: gone with the process, as the results are that they tell of. When there are too many, the one
 * that has waited longest gives way, and whoever handed in `onDropped` is told.
 */
import type { Clock } from '../contract/clock.ts';
import { steadyWall } from '../contract/clock.ts';
import type { RequestId } from '../contract/response.ts';
import type { SettlementNotice, WebhookDelivery, WebhookOutbox } from '../contract/storage.ts';
import { IndexedHeap } from '../runtime/indexed-heap.ts';

const DELIVERIES_MAX = 100_000;

export interface MemoryOutboxOptions {
  readonly clock: Clock;
  /** Default 100,000. */
  readonly deliveriesMax?: number;
  readonly onDropped?: (dropped: WebhookDelivery) => void;
}

interface Waiting {
  readonly id: RequestId;
  /** In the order they came; tells those apart that are due together. */
  readonly sequence: number;
  readonly delivery: WebhookDelivery;
}

export class MemoryOutbox implements WebhookOutbox {
  readonly #options: MemoryOutboxOptions;
  readonly #nowMs: () => number;
  /** In the order they came. */
  readonly #waiting = new Map<RequestId, Waiting>();
  readonly #byDue = new IndexedHeap<Waiting>(isBefore);
  #sequence = 0;

  constructor(options: MemoryOutboxOptions) {
    this.#options = options;
    this.#nowMs = steadyWall(options.clock);
  }

  /** Notes a settlement, due at once. For the store that writes it, in the same turn. */
  add(requestId: RequestId, settlement: SettlementNotice, settledAt: number): void {
    const { deliveriesMax = DELIVERIES_MAX, onDropped } = this.#options;
    const oldest = this.#waiting.values().next().value;
    if (oldest !== undefined && this.#waiting.size >= deliveriesMax) {
      this.#forget(oldest.id);
      onDropped?.(oldest.delivery);
    }
    this.#sequence += 1;
    const delivery = { requestId, settlement: withoutAnswer(settlement), settledAt, tries: 0, dueAt: this.#nowMs() };
    this.#keep({ id: requestId, sequence: this.#sequence, delivery });
  }

  async due(nowMs: number, max: number): Promise<readonly WebhookDelivery[]> {
    const taken: Waiting[] = [];
    for (let first = this.#byDue.first; first !== undefined && taken.length < max; first = this.#byDue.first) {
      if (first.delivery.dueAt > nowMs) break;
      taken.push(first);
      this.#byDue.remove(first.id);
    }
    for (const waiting of taken) this.#byDue.add(waiting);
    return taken.map(({ delivery }) => delivery);
  }

  async nextDueAt(): Promise<number | undefined> {
    return this.#byDue.first?.delivery.dueAt;
  }

  async postpone(requestId: RequestId, tries: number, dueAt: number): Promise<void> {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#byDue.remove(requestId);
    this.#keep({ ...waiting, delivery: { ...waiting.delivery, tries, dueAt } });
  }

  async remove(requestId: RequestId): Promise<void> {
    this.#forget(requestId);
  }

  #keep(waiting: Waiting): void {
    this.#waiting.set(waiting.id, waiting);
    this.#byDue.add(waiting);
  }

  #forget(requestId: RequestId): void {
    this.#waiting.delete(requestId);
    this.#byDue.remove(requestId);
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
