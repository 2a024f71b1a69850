/**
 * Notices to deliver in memory. A notice goes with the result that it tells of, so that there are never more of them than
 * records: the store that settles adds it, and the store that forgets takes it away.
 */
import type { Clock } from '../contract/clock.ts';
import { steadyWall } from '../contract/clock.ts';
import type { RequestId } from '../contract/response.ts';
import type { SettlementNotice, WebhookDelivery, WebhookOutbox } from '../contract/storage.ts';
import { IndexedHeap } from '../runtime/indexed-heap.ts';

interface Waiting {
  readonly id: RequestId;
  /** In the order they came; tells those apart that are due together. */
  readonly sequence: number;
  readonly delivery: WebhookDelivery;
}

export class MemoryOutbox implements WebhookOutbox {
  readonly #nowMs: () => number;
  readonly #waiting = new Map<RequestId, Waiting>();
  readonly #byDue = new IndexedHeap<Waiting>(isBefore);
  #sequence = 0;

  constructor({ clock }: { readonly clock: Clock }) {
    this.#nowMs = steadyWall(clock);
  }

  /** Notes a settlement, due at once. For the store that writes it, in the same turn. */
  add(requestId: RequestId, settlement: SettlementNotice, settledAt: number): void {
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
    this.forget(requestId);
  }

  /** For the store: the result may not be read any more. */
  forget(requestId: RequestId): void {
    this.#waiting.delete(requestId);
    this.#byDue.remove(requestId);
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
