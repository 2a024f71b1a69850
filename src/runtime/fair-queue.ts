/**
 * The order of a lane. Between classes the keys decide: nobody goes before a more patient request whose key is smaller, so
 * that each class waits for the others no longer than its offset says. Inside a class tenants take turns, each with its
 * smallest key first, so that nobody's backlog is anybody else's delay. Where the two disagree, because the request whose
 * turn it is came so late that a more patient one has waited its time, the turn is spent on that one. More urgent requests are
 * not kept waiting by turns: of those that are due before them, and of no others, the next in line goes.
 * Every operation costs O(log n), and of a tenant or class without requests nothing is kept.
 */
import type { Priority } from '../contract/request.ts';
import { CLASSES, isBefore, type QueueKey } from '../policy/order.ts';
import { ClassLine, type Queued, type Tenant, type Waiting } from './class-line.ts';

/** Whose turn it is in one class: the one that goes, or one that gives way to a more patient one. */
interface Turn<Entry extends Queued> {
  readonly line: ClassLine<Entry>;
  readonly tenant: Tenant<Entry>;
}

/** A turn that was taken, and where the tenant stood in line before. */
interface SpentTurn<Entry extends Queued> extends Turn<Entry> {
  readonly place: number;
}

/** What was taken last. */
interface Taken<Entry extends Queued> {
  readonly id: string;
  /** What it has cost, its own turn included. */
  readonly spent: readonly SpentTurn<Entry>[];
  /** Where its own tenant stood. */
  readonly place: number;
  isGivenBack: boolean;
}

export class FairQueue<Entry extends Queued> {
  readonly #lines: Readonly<Record<Priority, ClassLine<Entry>>> = {
    high: new ClassLine(),
    normal: new ClassLine(),
    low: new ClassLine(),
  };
  /** The most urgent first. */
  readonly #ranks = CLASSES.map((priority) => this.#lines[priority]);
  readonly #waiting = new Map<string, Waiting<Entry>>();
  /** Kept while turns can be given back: until something comes or is taken, and not in an empty queue. */
  #taken: Taken<Entry> | undefined;

  get size(): number {
    return this.#waiting.size;
  }

  /** Who would be taken now. */
  get next(): Entry | undefined {
    return this.#turns().at(-1)?.tenant.first;
  }

  /** All entries, in no order. */
  entries(): Entry[] {
    return Array.from(this.#waiting.values(), ({ entry }) => entry);
  }

  /** All entries, in the order in which they would be taken if nothing came. */
  inOrder(): Entry[] {
    const copy = new FairQueue<Entry>();
    for (const line of this.#ranks) for (const entry of line.entries()) copy.add(entry);
    const entries: Entry[] = [];
    for (let entry = copy.takeNext(); entry !== undefined; entry = copy.takeNext()) entries.push(entry);
    return entries;
  }

  add(entry: Entry): void {
    const line = this.#lines[entry.key.priority];
    this.#waiting.set(entry.id, line.add(entry, this.#placeKeptFor(entry)));
    this.#taken = undefined;
  }

  /** Takes out who is next; its tenant's turn is over. */
  takeNext(): Entry | undefined {
    const spent = this.#turns().map((turn) => ({ ...turn, place: turn.line.endTurn(turn.tenant) }));
    const own = spent.at(-1);
    this.#taken = undefined;
    if (own === undefined) return undefined;
    const taken = own.tenant.first;
    this.remove(taken.id);
    if (this.size > 0) this.#taken = { id: taken.id, spent, place: own.place, isGivenBack: false };
    return taken;
  }

  /**
   * The request that was taken last has not been served: the turns that it cost are given back, and it finds its tenant's
   * place if it is the next to be added. Nothing happens when others were taken or added since.
   */
  giveBack(id: string): void {
    const taken = this.#taken;
    if (taken?.id !== id || taken.isGivenBack) return;
    for (const { line, tenant, place } of taken.spent) line.giveBack(tenant, place);
    taken.isGivenBack = true;
  }

  /** Nothing happens when it is not there. */
  remove(id: string): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#lines[waiting.entry.key.priority].remove(waiting);
  }

  #placeKeptFor({ id }: Entry): number | undefined {
    return this.#taken?.id === id && this.#taken.isGivenBack ? this.#taken.place : undefined;
  }

  /** The turn in the class that is due first and, while the one whose turn it is has to give way, those in more patient ones. */
  #turns(): readonly Turn<Entry>[] {
    const turns: Turn<Entry>[] = [];
    let lines = this.#ranks;
    let bound: QueueKey | undefined;
    for (;;) {
      const dueFirst = smallestKey(lines);
      const rank = lines.findIndex((line) => line.smallestKey === dueFirst);
      const line = lines[rank];
      // Neither what is more urgent nor what has to give way is passed by what is due after it.
      const tenant = line?.next(smallestKey(lines.slice(0, rank), bound));
      if (line === undefined || tenant === undefined) return turns;
      turns.push({ line, tenant });
      bound = tenant.first.key;
      lines = lines.slice(rank + 1);
    }
  }
}

function smallestKey(
  lines: readonly Pick<ClassLine<Queued>, 'smallestKey'>[],
  atMost?: QueueKey,
): QueueKey | undefined {
  let smallest = atMost;
  for (const { smallestKey: key } of lines) {
    if (smallest === undefined || (key !== undefined && isBefore(key, smallest))) smallest = key;
  }
  return smallest;
}
