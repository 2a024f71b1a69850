/** Lines of a batch on their way into the store and back: gathered into groups that are small enough to be written at once. */
import type { BatchId, BatchStore, WaitingLine } from '../contract/batches.ts';
import type { Clock } from '../contract/clock.ts';
import { askStore } from '../runtime/ask-store.ts';

const GROUP_LINES_MAX = 500;
const GROUP_LENGTH_MAX = 262_144;

/** Writes the lines of a batch that is to be created. */
export class LineWriter {
  readonly #batchId: BatchId;
  readonly #store: Pick<BatchStore, 'appendLines'>;
  readonly #clock: Clock;
  #group: string[] = [];
  #groupLength = 0;
  #written = 0;

  constructor(batchId: BatchId, store: Pick<BatchStore, 'appendLines'>, clock: Clock) {
    this.#batchId = batchId;
    this.#store = store;
    this.#clock = clock;
  }

  /** How many lines there were. */
  get total(): number {
    return this.#written + this.#group.length;
  }

  async write(line: WaitingLine): Promise<void> {
    const text = JSON.stringify(line);
    const isFull = this.#group.length === GROUP_LINES_MAX || this.#groupLength + text.length > GROUP_LENGTH_MAX;
    if (isFull) await this.flush();
    this.#group.push(text);
    this.#groupLength += text.length;
  }

  async flush(): Promise<void> {
    if (this.#group.length === 0) return;
    const lines = { first: this.#written, lines: this.#group };
    await askStore(this.#clock, this.#store.appendLines(this.#batchId, lines));
    this.#written += this.#group.length;
    this.#group = [];
    this.#groupLength = 0;
  }
}

/** What `LineWriter` was given. */
export function decodeLine(text: string): WaitingLine {
  // Only `LineWriter` makes these texts.
  return JSON.parse(text) as WaitingLine;
}
