/**
 * Who gives way when memory is full. Whoever would be served last says from which class: nobody more urgent gives way. Of what
 * is held in that class and the more patient ones, the tenant that holds most gives its largest key, so that tenants share
 * memory as they share turns; unless something more patient is due even later, for that goes first. Every operation costs
 * O(log n): for each class it is known at any time who holds most.
 */
import { CLASSES, isBefore, type QueueKey } from '../policy/order.ts';
import { Heap, type Placed } from './indexed-heap.ts';

/** A request that can be given up. */
interface Share {
  readonly id: string;
  readonly key: QueueKey;
}

interface Node extends Placed {
  readonly share: Share;
}

/** What one tenant holds in one class and the more patient ones. */
interface Holding extends Placed {
  count: number;
  last: Share | undefined;
}

interface Tenant {
  readonly shares: ByClass;
  /** The most urgent class first. */
  readonly holdings: readonly Holding[];
}

interface Place {
  readonly tenant: Tenant;
  readonly ofTenant: Node;
  readonly ofAll: Node;
}

export class Shares {
  readonly #places = new Map<string, Place>();
  readonly #all = new ByClass();
  readonly #tenants = new Map<string, Tenant>();
  /** By class: whoever holds most in it and the more patient ones first. */
  readonly #orders = CLASSES.map(() => new Heap<Holding>(holdsMore));

  /** The largest key. */
  get largest(): QueueKey | undefined {
    return this.#all.last(0)?.key;
  }

  has(id: string): boolean {
    return this.#places.has(id);
  }

  add(id: string, key: QueueKey): void {
    const share = { id, key };
    const tenant = this.#tenants.get(key.tenant) ?? createTenant();
    this.#tenants.set(key.tenant, tenant);
    this.#places.set(id, { tenant, ofTenant: tenant.shares.add(share), ofAll: this.#all.add(share) });
    this.#follow(tenant, share, 1);
  }

  /** Nothing happens when it is not there. */
  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    const { tenant, ofTenant, ofAll } = place;
    this.#places.delete(id);
    tenant.shares.remove(ofTenant);
    this.#all.remove(ofAll);
    this.#follow(tenant, ofAll.share, -1);
    if (tenant.holdings[0]?.count === 0) this.#tenants.delete(ofAll.share.key.tenant);
  }

  /** Who gives way now. */
  get last(): string | undefined {
    let last = this.#all.last(0);
    let rank = rankOf(last);
    for (;;) {
      last = this.#orders[rank]?.first?.last;
      const later = this.#all.last(rankOf(last) + 1);
      if (last === undefined || later === undefined || isBefore(later.key, last.key)) return last?.id;
      rank = rankOf(later);
    }
  }

  /** Counts what came or went, in its own class and the more urgent ones. */
  #follow({ shares, holdings }: Tenant, share: Share, change: 1 | -1): void {
    for (const [rank, holding] of holdings.slice(0, rankOf(share) + 1).entries()) {
      const order = this.#orders[rank];
      if (holding.count === 0) order?.add(holding);
      holding.count += change;
      holding.last = shares.last(rank);
      if (holding.count === 0) order?.remove(holding);
      else order?.update(holding);
    }
  }
}

/** Shares by class and key. */
class ByClass {
  readonly #heaps = CLASSES.map(() => new Heap<Node>((left, right) => isBefore(right.share.key, left.share.key)));

  add(share: Share): Node {
    const node = { share, position: 0 };
    this.#heaps[rankOf(share)]?.add(node);
    return node;
  }

  remove(node: Node): void {
    this.#heaps[rankOf(node.share)]?.remove(node);
  }

  /** The largest key in the class of this rank and the more patient ones. */
  last(rank: number): Share | undefined {
    let last: Share | undefined;
    for (const { first } of this.#heaps.slice(rank)) {
      if (first !== undefined && (last === undefined || isBefore(last.key, first.share.key))) last = first.share;
    }
    return last;
  }
}

function createTenant(): Tenant {
  return { shares: new ByClass(), holdings: CLASSES.map(() => ({ count: 0, last: undefined, position: 0 })) };
}

/** Of those who hold as much, whoever has the largest key comes first. */
function holdsMore(left: Holding, right: Holding): boolean {
  if (left.count !== right.count) return left.count > right.count;
  return left.last !== undefined && right.last !== undefined && isBefore(right.last.key, left.last.key);
}

/** Past the last class for nothing. */
function rankOf(share: Share | undefined): number {
  return share === undefined ? CLASSES.length : CLASSES.indexOf(share.key.priority);
}
