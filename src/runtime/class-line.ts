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
  readonly tenant: Tenant<Entry>;
}

/** A tenant of which something waits, and where it stands in line. */
export interface Tenant<Entry extends Queued> extends Placed {
  readonly waiting: Heap<Waiting<Entry>>;
  /** What goes when it is its turn: its smallest key. */
  first: Entry;
}

export class ClassLine<Entry extends Queued> {
  readonly #tenants = new Map<string, Tenant<Entry>>();
  readonly #turns = new TurnLine<Tenant<Entry>>((left, right) => isBefore(left.first.key, right.first.key));

  /** The smallest key of all that waits. */
  get smallestKey(): QueueKey | undefined {
    return this.#turns.winner?.first.key;
  }

  /** Who is next in line, of the tenants with a key that comes before `bound`. */
  next(bound: QueueKey | undefined): Tenant<Entry> | undefined {
    return this.#turns.find(({ first }) => bound === undefined || isBefore(first.key, bound));
  }

  /** Tenant by tenant, in the order of their turns. */
  entries(): Entry[] {
    return this.#turns.members().flatMap(({ waiting }) => waiting.items().map(({ entry }) => entry));
  }

  /** A tenant that comes, or comes back, is last in line, unless it has kept a place. */
  add(entry: Entry, keptPlace?: number): Waiting<Entry> {
    const known = this.#tenants.get(entry.key.tenant);
    const tenant = known ?? createTenant(entry);
    const added = { entry, tenant, position: 0 };
    tenant.waiting.add(added);
    if (known === undefined) {
      this.#tenants.set(entry.key.tenant, tenant);
      this.#turns.add(tenant, keptPlace);
    } else this.#follow(tenant);
    return added;
  }

  remove(waiting: Waiting<Entry>): void {
    waiting.tenant.waiting.remove(waiting);
    this.#follow(waiting.tenant);
  }

  /** A tenant has had its turn. Gives the place that it had. */
  endTurn(tenant: Tenant<Entry>): number {
    return this.#turns.moveToEnd(tenant);
  }

  /** A tenant has not had its turn after all; nobody has come since, and it may be gone itself. */
  giveBack(tenant: Tenant<Entry>, place: number): void {
    if (tenant.waiting.size > 0) this.#turns.moveBack(tenant, place);
  }

  /** Something of the tenant came or went; nothing stays of one that has nothing. */
  #follow(tenant: Tenant<Entry>): void {
    const first = tenant.waiting.first?.entry;
    if (first === undefined) {
      this.#tenants.delete(tenant.first.key.tenant);
      this.#turns.remove(tenant);
    } else if (first !== tenant.first) {
      tenant.first = first;
      this.#turns.refresh(tenant);
    }
  }
}

function createTenant<Entry extends Queued>(first: Entry): Tenant<Entry> {
  return { waiting: new Heap((left, right) => isBefore(left.entry.key, right.entry.key)), first, position: 0 };
}
