/** What waits in one class: a line of tenants that take turns, and the requests of each tenant by key. */
import { isBefore, type QueueKey } from '../policy/order.ts';
import { Heap, type Placed } from './indexed-heap.ts';
import { TurnLine } from './turn-line.ts';

/** What can be queued. */
export interface Queued {
  readonly id: string;
  readonly key: QueueKey;
}

/** An entry and where it stands among those of its tenant. */
export interface Waiting<Entry extends Queued> extends Placed {
  readonly entry: Entry;
}

/** A tenant of which something waits. */
interface Tenant<Entry extends Queued> extends Placed {
  readonly waiting: Heap<Waiting<Entry>>;
  /** The smallest key of what waits. */
  key: QueueKey;
}

export class ClassLine<Entry extends Queued> {
  readonly #tenants = new Map<string, Tenant<Entry>>();
  readonly #turns = new TurnLine<Tenant<Entry>>((left, right) => isBefore(left.key, right.key));

  /** The smallest key of all that waits. */
  get smallestKey(): QueueKey | undefined {
    return this.#turns.winner?.key;
  }

  /** Who is next in line, of those whose smallest key comes before `bound`. */
  next(bound: QueueKey | undefined): Entry | undefined {
    const tenant = this.#turns.find(({ key }) => bound === undefined || isBefore(key, bound));
    return tenant?.waiting.first?.entry;
  }

  /** A tenant that comes, or comes back, is last in line, unless it has kept a place. */
  add(entry: Entry, keptPlace?: number): Waiting<Entry> {
    const added = { entry, position: 0 };
    const tenant = this.#tenants.get(entry.key.tenant);
    if (tenant === undefined) this.#enter(added, keptPlace);
    else {
      tenant.waiting.add(added);
      this.#follow(tenant);
    }
    return added;
  }

  remove(waiting: Waiting<Entry>): void {
    const tenant = this.#tenants.get(waiting.entry.key.tenant);
    tenant?.waiting.remove(waiting);
    if (tenant !== undefined) this.#follow(tenant);
  }

  /** A tenant has had its turn. Gives the place that it had. */
  endTurn(name: string): number | undefined {
    const tenant = this.#tenants.get(name);
    return tenant && this.#turns.moveToEnd(tenant);
  }

  /** A tenant has not had its turn after all; nothing has been added since. */
  giveBack(name: string, place: number): void {
    const tenant = this.#tenants.get(name);
    if (tenant !== undefined) this.#turns.moveBack(tenant, place);
  }

  #enter(first: Waiting<Entry>, place: number | undefined): void {
    const tenant: Tenant<Entry> = {
      waiting: new Heap((left, right) => isBefore(left.entry.key, right.entry.key)),
      key: first.entry.key,
      position: 0,
    };
    tenant.waiting.add(first);
    this.#tenants.set(tenant.key.tenant, tenant);
    this.#turns.add(tenant, place);
  }

  /** Something of the tenant came or went; nothing stays of one that has nothing. */
  #follow(tenant: Tenant<Entry>): void {
    const first = tenant.waiting.first?.entry;
    if (first === undefined) {
      this.#tenants.delete(tenant.key.tenant);
      this.#turns.remove(tenant);
    } else if (first.key !== tenant.key) {
      tenant.key = first.key;
      this.#turns.refresh(tenant);
    }
  }
}
