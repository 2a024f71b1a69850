/** Scans may go on side by side; folding moves what they read and goes alone. Whoever comes later waits for both. */
export class LedgerTurns {
  #alone: Promise<unknown> = Promise.resolve();
  readonly #together = new Set<Promise<unknown>>();

  /** Waits for those who go alone and have come before. */
  async together<Value>(act: () => Promise<Value>): Promise<Value> {
    const turn = this.#alone.then(act);
    const settled = turn.catch(() => undefined);
    this.#together.add(settled);
    try {
      return await turn;
    } finally {
      this.#together.delete(settled);
    }
  }

  /** Waits for all who have come before. */
  async alone<Value>(act: () => Promise<Value>): Promise<Value> {
    const turn = Promise.all([this.#alone, ...this.#together]).then(act);
    this.#alone = turn.catch(() => undefined);
    return turn;
  }
}
