/** What waits for an actor: first in, first out, bounded, and each item can be taken back; every step takes the same time however many wait. */

/** So many may lie there without an event before they are cleared away. */
const SLACK = 32;

/** One that waits; without an event once it was taken back. */
export interface Ticket<Event> {
  event: Event | undefined;
}

export class Mailbox<Event> {
  readonly #max: number;
  #tickets: Ticket<Event>[] = [];
  /** Where the first one is; what is before it has been taken. */
  #head = 0;
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Undefined when it is full. */
  push(event: Event): Ticket<Event> | undefined {
    if (this.#size >= this.#max) return undefined;
    const ticket: Ticket<Event> = { event };
    this.#tickets.push(ticket);
    this.#size += 1;
    return ticket;
  }

  /** Takes the first one out. */
  shift(): Event | undefined {
    while (this.#head < this.#tickets.length) {
      const event = this.#tickets[this.#head]?.event;
      this.#advance();
      if (event === undefined) continue;
      this.#size -= 1;
      return event;
    }
    return undefined;
  }

  /** Takes back one that still waits. */
  withdraw(ticket: Ticket<Event>): void {
    if (ticket.event === undefined) return;
    ticket.event = undefined;
    this.#size -= 1;
    // Those that were taken back lie there until somebody takes the first one, who may be long in coming.
    if (this.#tickets.length - this.#head <= 2 * this.#size + SLACK) return;
    this.#tickets = this.#tickets.slice(this.#head).filter(({ event }) => event !== undefined);
    this.#head = 0;
  }

  /** Takes all out, in order. */
  drain(): Event[] {
    const events: Event[] = [];
    for (let event = this.shift(); event !== undefined; event = this.shift()) events.push(event);
    return events;
  }

  /** What was taken lies before the head until it is the larger half: then all move up at once. */
  #advance(): void {
    const ticket = this.#tickets[this.#head];
    if (ticket !== undefined) ticket.event = undefined;
    this.#head += 1;
    if (this.#head * 2 < this.#tickets.length) return;
    this.#tickets = this.#tickets.slice(this.#head);
    this.#head = 0;
  }
}
