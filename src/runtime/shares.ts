/**
 * Who gives way when memory is full. Whoever would be served last says from which class: nobody more urgent goes before that.
 * Of that class and the more patient ones, the tenant that holds most gives its largest key, so that tenants share what they
 * take up as they share turns. Every operation costs O(log n): who holds most is known for each class at any time.
 */
import { CLASSES, isBefore, type QueueKey } from '../policy/order.ts';
import { IndexedHeap } from './indexed-heap.ts';

interface Share {
  readonly id: string;
  readonly key: QueueKey;
}

/** What one tenant holds. */
interface Holding {
  /** The tenant. */
  readonly id: string;
  readonly shares: IndexedHeap<Share>;
}

export class Shares {
  readonly #all = new Map<string, QueueKey>();
  readonly #byKey = largestFirst();
  /** By class: what is held in it and in the more patient ones. */
  readonly #holdings = CLASSES.map(() => new Holdings());

  has(id: string): boolean {
    return this.#all.has(id);
  }

  /** The largest key. */
  get largest(): QueueKey | undefined {
    return this.#byKey.first?.key;
  }

  add(id: string, key: QueueKey): void {
    this.#all.set(id, key);
    this.#byKey.add({ id, key });
    for (const holdings of this.#above(key)) holdings.add({ id, key });
  }

  /** Nothing happens when it is not there. */
  remove(id: string): void {
    const key = this.#all.get(id);
    if (key === undefined) return;
    this.#all.delete(id);
    this.#byKey.remove(id);
    for (const holdings of this.#above(key)) holdings.remove({ id, key });
  }

  /** Who gives way now. */
  get last(): string | undefined {
    const { largest } = this;
    return largest && this.#holdings[CLASSES.indexOf(largest.priority)]?.last;
  }

  /** The classes in whose holdings a request counts: its own, and the more urgent ones. */
  #above({ priority }: QueueKey): readonly Holdings[] {
    return this.#holdings.slice(0, CLASSES.indexOf(priority) + 1);
  }
}

class Holdings {
  readonly #tenants = new Map<string, Holding>();
  /** Whoever holds most first; of those who hold as much, whoever has the largest key. */
  readonly #order = new IndexedHeap<Holding>((left, right) => {
    const more = left.shares.size - right.shares.size;
    return more > 0 || (more === 0 && isAfter(left.shares.first, right.shares.first));
  });

  get last(): string | undefined {
    return this.#order.first?.shares.first?.id;
  }

  add(share: Share): void {
    const { tenant } = share.key;
    const holding = this.#tenants.get(tenant) ?? { id: tenant, shares: largestFirst() };
    // Those who are in order do not change.
    this.#order.remove(tenant);
    holding.shares.add(share);
    this.#tenants.set(tenant, holding);
    this.#order.add(holding);
  }

  remove({ id, key }: Share): void {
    const holding = this.#tenants.get(key.tenant);
    if (holding === undefined) return;
    this.#order.remove(key.tenant);
    holding.shares.remove(id);
    if (holding.shares.size === 0) this.#tenants.delete(key.tenant);
    else this.#order.add(holding);
  }
}

function largestFirst(): IndexedHeap<Share> {
  return new IndexedHeap((left, right) => isBefore(right.key, left.key));
}

function isAfter(left: Share | undefined, right: Share | undefined): boolean {
  return left !== undefined && right !== undefined && isBefore(right.key, left.key);
}
