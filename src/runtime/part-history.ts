/**
 * What readers of a request may see of it: the parts of the attempt that is under way, or that answered. A failed attempt is
 * taken back at once, so that whoever comes later sees nothing of it; those who are reading it keep it until another one
 * begins. Nothing is copied and nobody is waited for: a reader has a place in the parts, and is woken when there is more.
 */
import type { StreamPart } from '../contract/response.ts';
import { type AnswerParts, BEGINNING, type Place } from './answer-parts.ts';

export class PartHistory {
  readonly #waiting = new Set<() => void>();
  #current: AnswerParts | undefined;
  #isClosed = false;

  get current(): AnswerParts | undefined {
    return this.#current;
  }

  /** Nothing more will come of this request here: it is settled and may be told so, or has left memory. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Another attempt begins. */
  begin(parts: AnswerParts): void {
    this.#current = parts;
    this.wake();
  }

  /** The attempt has failed, or its answer does not count: what it produced is no part of any answer. */
  takeBack(): void {
    if (this.#current !== undefined) this.#current.isWhole = false;
    this.#current = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.wake();
  }

  /** Tells those who wait that there is something new. */
  wake(): void {
    // Called for every piece of every answer, most of which nobody reads along with.
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next change, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        this.#waiting.delete(finish);
        signal.removeEventListener('abort', finish);
        resolve();
      };
      if (signal.aborted) {
        resolve();
        return;
      }
      this.#waiting.add(finish);
      signal.addEventListener('abort', finish, { once: true });
    });
  }
}

/** One reader: from the beginning of whichever attempt is under way, and over again when another one takes its place. */
export class PartReader {
  #parts: AnswerParts | undefined;
  #place: Place = BEGINNING;
  #hasRead = false;

  /** Whether it has been given content of an attempt that it was not told to discard. */
  get hasRead(): boolean {
    return this.#hasRead;
  }

  /** Whether what it reads is the whole answer. */
  get isWhole(): boolean {
    return this.#parts?.isWhole === true;
  }

  /** The next part, as far as there is one. */
  next({ current }: PartHistory): StreamPart | undefined {
    if (current !== undefined && current !== this.#parts) {
      this.#parts = current;
      this.#place = BEGINNING;
      if (this.#hasRead) return this.restart();
    }
    const read = this.#parts?.read(this.#place);
    if (read === undefined) return undefined;
    this.#place = read.next;
    this.#hasRead = true;
    return read.part;
  }

  /** Says that what was given is to be discarded. */
  restart(): StreamPart {
    this.#hasRead = false;
    return { type: 'restart' };
  }
}
