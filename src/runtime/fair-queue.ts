/**
 * The order of a lane. Between classes the keys decide: nobody goes before a more patient request whose key is smaller, so
 * that each class waits for the others no longer than its offset says. Inside a class tenants take turns, each with its
 * smallest key first, so that nobody's backlog is anybody else's delay. Where the two disagree, because the request whose
 * turn it is came so late that a more patient one has waited its time, the turn is spent on that one. A more urgent request is
 * not kept waiting by turns: of the requests that are due before it, and of no others, the next in line goes.
 * Every operation costs O(log n), and of a tenant or class without requests nothing is kept.
 */
import { CLASSES, isBefore, type QueueKey } from '../policy/order.ts';
import { ClassLine, type Queued, type Waiting } from './class-line.ts';

interface Place<Entry extends Queued> {
  readonly line: ClassLine<Entry>;
  readonly waiting: Waiting<Entry>;
}

/** Whose turn it is in one class: the request that is to go, or one that gives way to a more patient one. */
interface Turn<Entry extends Queued> {
  readonly line: ClassLine<Entry>;
  readonly entry: Entry;
}

interface SpentTurn<Entry extends Queued> extends Turn<Entry> {
  /** Where the tenant stood before. */
  readonly place: number;
}

export class FairQueue<Entry extends Queued> {
  /** The most urgent class first. */
  readonly #lines = CLASSES.map(() => new ClassLine<Entry>());
  readonly #places = new Map<string, Place<Entry>>();
  /** What the last one that was taken has cost; the last turn is its own. Forgotten as soon as something is taken or comes. */
  #spent: readonly SpentTurn<Entry>[] = [];
  /** The last one that was taken, if it did not use its turn. */
  #unserved: SpentTurn<Entry> | undefined;

  get size(): number {
    return this.#places.size;
  }

  /** Who would be taken now. */
  get next(): Entry | undefined {
    return this.#turns().at(-1)?.entry;
  }

  /** All entries, in no order. */
  entries(): Entry[] {
    return Array.from(this.#places.values(), ({ waiting }) => waiting.entry);
  }

  add(entry: Entry): void {
    const keptPlace = this.#unserved?.entry.id === entry.id ? this.#unserved.place : undefined;
    this.#forgetLast();
    const line = this.#lines[CLASSES.indexOf(entry.key.priority)];
    if (line !== undefined) this.#places.set(entry.id, { line, waiting: line.add(entry, keptPlace) });
  }

  /** Takes out who is next; its tenant's turn is over. */
  takeNext(): Entry | undefined {
    this.#forgetLast();
    const turns = this.#turns();
    const spent = turns.map((turn) => ({ ...turn, place: turn.line.endTurn(turn.entry.key.tenant) ?? 0 }));
    const taken = turns.at(-1)?.entry;
    if (taken === undefined) return undefined;
    this.remove(taken.id);
    // Of those who are gone, nothing is kept in an empty queue.
    if (this.size > 0) this.#spent = spent;
    return taken;
  }

  /**
   * The request that was taken last has not been served: the turns that it cost are given back, and it finds its tenant's
   * place if it is the next to be added. Nothing happens when others were taken or added since.
   */
  giveBack(id: string): void {
    const own = this.#spent.at(-1);
    if (own?.entry.id !== id) return;
    for (const { line, entry, place } of this.#spent) line.giveBack(entry.key.tenant, place);
    this.#forgetLast();
    this.#unserved = own;
  }

  /** Nothing happens when it is not there. */
  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    place.line.remove(place.waiting);
  }

  #forgetLast(): void {
    this.#spent = [];
    this.#unserved = undefined;
  }

  /** The turn in the class that is due first and, while the request whose turn it is has to give way, those in more patient ones. */
  #turns(): readonly Turn<Entry>[] {
    const turns: Turn<Entry>[] = [];
    let rank = this.#dueFirst(0);
    // What is more urgent is not passed by what is due after it.
    let bound = this.#smallestKey(0, rank);
    for (;;) {
      const line = this.#lines[rank];
      const entry = line?.next(bound);
      if (line === undefined || entry === undefined) return turns;
      turns.push({ line, entry });
      const patient = this.#dueFirst(rank + 1);
      const patientKey = this.#lines[patient]?.smallestKey;
      if (patientKey === undefined || isBefore(entry.key, patientKey)) return turns;
      bound = earlier(entry.key, this.#smallestKey(rank + 1, patient));
      rank = patient;
    }
  }

  /** Which class, of those from `rank` on, has the smallest key; past the last one when all are empty. */
  #dueFirst(rank: number): number {
    const key = this.#smallestKey(rank, CLASSES.length);
    return key === undefined ? CLASSES.length : CLASSES.indexOf(key.priority);
  }

  #smallestKey(from: number, to: number): QueueKey | undefined {
    let smallest: QueueKey | undefined;
    for (let rank = from; rank < to; rank += 1) smallest = earlier(smallest, this.#lines[rank]?.smallestKey);
    return smallest;
  }
}

function earlier(left: QueueKey | undefined, right: QueueKey | undefined): QueueKey | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return isBefore(right, left) ? right : left;
}
