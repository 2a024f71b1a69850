/**
 * What the queue of a lane has to do, said as plainly as possible: lists that are looked through from end to end at every
 * step. Whoever leaves is found by the rule, whatever that costs.
 */
import type { Priority } from '../../src/contract/request.ts';
import type { QueueKey } from '../../src/policy/order.ts';

export interface Entry {
  readonly id: string;
  readonly key: QueueKey;
}

const PATIENCE: readonly Priority[] = ['high', 'normal', 'low'];

export class FairLine {
  waiting: Entry[] = [];
  /** The tenants of each class in the order of their turns. */
  readonly #turns: Record<Priority, string[]> = { high: [], normal: [], low: [] };

  add(entry: Entry): void {
    const { priority, tenant } = entry.key;
    this.waiting.push(entry);
    if (!this.#turns[priority].includes(tenant)) this.#turns[priority].push(tenant);
  }

  remove(id: string): void {
    this.waiting = this.waiting.filter((entry) => entry.id !== id);
    for (const priority of PATIENCE)
      this.#turns[priority] = this.#turns[priority].filter((tenant) => this.#first(priority, tenant) !== undefined);
  }

  /** Who goes, after those who give way to it. */
  next(): readonly Entry[] {
    const first = smallest(this.waiting);
    if (first === undefined) return [];
    return this.#from(
      first,
      this.#inClasses((patience) => patience < patienceOf(first)),
    );
  }

  take(): Entry | undefined {
    const turns = this.next();
    for (const { key } of turns) {
      const others = this.#turns[key.priority].filter((tenant) => tenant !== key.tenant);
      this.#turns[key.priority] = [...others, key.tenant];
    }
    const taken = turns.at(-1);
    if (taken !== undefined) this.remove(taken.id);
    return taken;
  }

  /** A copy that goes its own way. */
  copy(): FairLine {
    const copy = new FairLine();
    for (const priority of PATIENCE) copy.#turns[priority] = [...this.#turns[priority]];
    copy.waiting = [...this.waiting];
    return copy;
  }

  /** The turn in the class of `due`, of those that come before all of `others`; and in a more patient class if it has to give way. */
  #from(due: Entry, others: readonly Entry[]): readonly Entry[] {
    const { priority } = due.key;
    const [turn] = this.#turns[priority]
      .map((tenant) => this.#first(priority, tenant))
      .filter((first) => first !== undefined)
      .filter((first) => others.every((other) => precedes(first, other)));
    if (turn === undefined) throw new Error(`expected somebody in the class of ${due.id} to be due`);
    const patient = smallest(this.#inClasses((patience) => patience > patienceOf(due)));
    if (patient === undefined || precedes(turn, patient)) return [turn];
    const between = this.#inClasses((patience) => patience > patienceOf(due) && patience < patienceOf(patient));
    return [turn, ...this.#from(patient, [turn, ...between])];
  }

  #inClasses(isMeant: (patience: number) => boolean): readonly Entry[] {
    return this.waiting.filter((entry) => isMeant(patienceOf(entry)));
  }

  #first(priority: Priority, tenant: string): Entry | undefined {
    return smallest(this.waiting.filter(({ key }) => key.priority === priority && key.tenant === tenant));
  }
}

export function patienceOf({ key }: Entry): number {
  return PATIENCE.indexOf(key.priority);
}

export function precedes(left: Entry, right: Entry): boolean {
  if (left.key.keyMs !== right.key.keyMs) return left.key.keyMs < right.key.keyMs;
  return left.key.sequence < right.key.sequence;
}

function smallest(entries: readonly Entry[]): Entry | undefined {
  return entries.find((entry) => entries.every((other) => other === entry || precedes(entry, other)));
}
