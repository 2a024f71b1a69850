/** Timers in the order they are due: a binary heap in which each timer knows its place, so that clearing one costs O(log n). */

export interface Timer {
  readonly dueMs: number;
  /** Breaks ties in the order the timers were set. */
  readonly sequence: number;
  readonly callback: () => void;
  /** Where it is in the heap; −1: nowhere. */
  position: number;
}

export class TimerHeap {
  readonly #timers: Timer[] = [];

  get size(): number {
    return this.#timers.length;
  }

  /** The timer that is due first. */
  peek(): Timer | undefined {
    return this.#timers[0];
  }

  add(timer: Timer): void {
    this.#timers.push(timer);
    timer.position = this.#timers.length - 1;
    this.#rise(timer);
  }

  /** Does nothing for a timer that fired or was removed before. */
  remove(timer: Timer): void {
    const last = this.#timers.at(-1);
    if (this.#timers[timer.position] !== timer || last === undefined) return;
    this.#timers.pop();
    if (last !== timer) {
      this.#place(last, timer.position);
      this.#rise(last);
      this.#sink(last);
    }
    timer.position = -1;
  }

  #rise(timer: Timer): void {
    while (timer.position > 0) {
      const parent = this.#timers[(timer.position - 1) >> 1];
      if (parent === undefined || !isBefore(timer, parent)) return;
      this.#swap(timer, parent);
    }
  }

  #sink(timer: Timer): void {
    for (;;) {
      const left = this.#timers[2 * timer.position + 1];
      const right = this.#timers[2 * timer.position + 2];
      const first = right !== undefined && left !== undefined && isBefore(right, left) ? right : left;
      if (first === undefined || !isBefore(first, timer)) return;
      this.#swap(timer, first);
    }
  }

  #swap(one: Timer, other: Timer): void {
    const position = one.position;
    this.#place(one, other.position);
    this.#place(other, position);
  }

  #place(timer: Timer, position: number): void {
    this.#timers[position] = timer;
    timer.position = position;
  }
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.sequence < other.sequence);
}
