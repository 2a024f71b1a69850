/**
 * One thing after another, as a process handles its messages: what is asked for runs when everything asked for before it has
 * ended, however that went.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Rejects like `act`. */
  run<Value>(act: () => Value | Promise<Value>): Promise<Value> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
