/**
 * Who gives way when memory is full. Whoever would be served last says from which class: nobody more urgent gives way. Of what
 * is held in that class and the more patient ones, the tenant that holds most gives its largest key, so that tenants share
 * memory as they share turns; unless something more patient is due even later, for that goes first. Every operation costs
 * O(log n): for each class it is known at any time who holds most.
 */
import type { Priority } from '../contract/request.ts';
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

/** A class with those that are more patient. */
interface Level {
  readonly classes: readonly Priority[];
  /** Whoever holds most in them first. */
  readonly order: Heap<Holding>;
}

/** What one tenant holds in the classes of a level. */
interface Holding extends Placed {
  readonly level: Level;
  count: number;
  last: Share | undefined;
}

interface Tenant {
  readonly shares: ByClass;
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
  readonly #levels: Readonly<Record<Priority, Level>> = {
    high: createLevel('high'),
    normal: createLevel('normal'),
    low: createLevel('low'),
  };

  /** The largest key. */
  get largest(): QueueKey | undefined {
    return this.#all.last(CLASSES)?.key;
  }

  /** Nothing happens when it is there already. */
  add(id: string, key: QueueKey): void {
    if (this.#places.has(id)) return;
    const share = { id, key };
    const tenant = this.#tenants.get(key.tenant) ?? this.#createTenant();
    this.#tenants.set(key.tenant, tenant);
    this.#places.set(id, { tenant, ofTenant: tenant.shares.add(share), ofAll: this.#all.add(share) });
    follow(tenant, share, 1);
  }

  /** Nothing happens when it is not there. */
  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    const { tenant, ofTenant, ofAll } = place;
    this.#places.delete(id);
    tenant.shares.remove(ofTenant);
    this.#all.remove(ofAll);
    follow(tenant, ofAll.share, -1);
    if (tenant.shares.last(CLASSES) === undefined) this.#tenants.delete(ofAll.share.key.tenant);
  }

  /** Who gives way now. */
  get last(): string | undefined {
    let last: Share | undefined;
    for (let loser = this.#all.last(CLASSES); loser !== undefined; loser = this.#laterThan(last)) {
      last = this.#levels[loser.key.priority].order.first?.last;
    }
    return last?.id;
  }

  /** What is more patient and due later, if anything. */
  #laterThan(share: Share | undefined): Share | undefined {
    if (share === undefined) return undefined;
    const [, ...morePatient] = this.#levels[share.key.priority].classes;
    const last = this.#all.last(morePatient);
    return last !== undefined && isBefore(share.key, last.key) ? last : undefined;
  }

  #createTenant(): Tenant {
    const levels = CLASSES.map((priority) => this.#levels[priority]);
    return {
      shares: new ByClass(),
      holdings: levels.map((level) => ({ level, count: 0, last: undefined, position: 0 })),
    };
  }
}

/** Shares by class and key. */
class ByClass {
  readonly #heaps: Readonly<Record<Priority, Heap<Node>>> = {
    high: new Heap(isLarger),
    normal: new Heap(isLarger),
    low: new Heap(isLarger),
  };

  add(share: Share): Node {
    const node = { share, position: 0 };
    this.#heaps[share.key.priority].add(node);
    return node;
  }

  remove(node: Node): void {
    this.#heaps[node.share.key.priority].remove(node);
  }

  /** The largest key in these classes. */
  last(classes: readonly Priority[]): Share | undefined {
    let last: Share | undefined;
    for (const priority of classes) last = later(last, this.#heaps[priority].first?.share);
    return last;
  }
}

function createLevel(priority: Priority): Level {
  return { classes: CLASSES.slice(CLASSES.indexOf(priority)), order: new Heap(holdsMore) };
}

/** Counts what came or went, in its own class and the more urgent ones. */
function follow({ shares, holdings }: Tenant, { key }: Share, change: 1 | -1): void {
  for (const holding of holdings) {
    const { classes, order } = holding.level;
    if (!classes.includes(key.priority)) continue;
    if (holding.count === 0) order.add(holding);
    holding.count += change;
    holding.last = shares.last(classes);
    if (holding.count === 0) order.remove(holding);
    else order.update(holding);
  }
}

/** Of those who hold as much, whoever has the largest key comes first. */
function holdsMore(left: Holding, right: Holding): boolean {
  if (left.count !== right.count) return left.count > right.count;
  return later(left.last, right.last) === left.last;
}

function isLarger(left: Node, right: Node): boolean {
  return isBefore(right.share.key, left.share.key);
}

function later(left: Share | undefined, right: Share | undefined): Share | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return isBefore(left.key, right.key) ? right : left;
}
