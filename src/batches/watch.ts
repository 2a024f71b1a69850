/**
 * What one reader of a batch is told while it runs: which lines have ended since it last asked, and whether any may have
 * ended without a word. It keeps line numbers only; results are read from the store.
 */
export interface News {
  readonly ended: readonly number[];
  /** Lines may have ended that nobody named: look at all of them. */
  readonly hasMissed: boolean;
}

export class Watch {
  #ended: number[] = [];
  #hasMissed = false;
  #end: Error | undefined;
  #wake: (() => void) | undefined;

  lineEnded(index: number): void {
    this.#ended.push(index);
    this.#wake?.();
  }

  missed(): void {
    this.#hasMissed = true;
    this.#wake?.();
  }

  /** Nothing further will come. */
  end(reason: Error): void {
    this.#end ??= reason;
    this.#wake?.();
  }

  /** Resolves when there are any. Rejects when there will be none. */
  async news(): Promise<News> {
    while (this.#ended.length === 0 && !this.#hasMissed) {
      if (this.#end !== undefined) throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const news = { ended: this.#ended, hasMissed: this.#hasMissed };
    this.#ended = [];
    this.#hasMissed = false;
    return news;
  }
}
