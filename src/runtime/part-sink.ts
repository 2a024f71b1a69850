/**
 * The bounded pipe between an attempt that streams and the caller who reads. The attempt waits while the caller is slow, so
 * that nothing piles up; the caller sees parts in order and then the end or the error.
 */
import type { SwitchgearError } from '../contract/errors.ts';
import type { StreamPart } from '../contract/response.ts';

const PARTS_MAX = 64;

type End = { readonly kind: 'done' } | { readonly kind: 'error'; readonly error: SwitchgearError };

export class PartSink {
  readonly #parts: StreamPart[] = [];
  #end: End | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #isDiscarding = false;
  #isDraining = false;
  #isRead = false;
  #isDrainable = false;
  /** Whether any content reached the pipe. */
  hasDelivered = false;

  /** Whether a writer would have to wait. */
  get isFull(): boolean {
    return this.#parts.length >= PARTS_MAX;
  }

  /** Hands a part to the reader without waiting for room: for the few that end a stream. */
  add(part: StreamPart): void {
    if (this.#end !== undefined || this.#isDiscarding) return;
    if (part.type === 'text' || part.type === 'reasoning' || part.type === 'toolCall') this.hasDelivered = true;
    // Whoever begins to read late gets no middle of an answer, but its end with the whole response.
    if (this.#isDraining && part.type !== 'finish') return;
    this.#parts.push(part);
    this.#wakeReader?.();
    this.#drainIfUnread();
  }

  /** Hands a part to the reader; resolves when there is room for another. */
  async push(part: StreamPart, signal: AbortSignal): Promise<void> {
    this.add(part);
    while (this.#parts.length >= PARTS_MAX && !signal.aborted && this.#end === undefined) await this.#room(signal);
  }

  /** Ends the stream; later calls change nothing. */
  end(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** Somebody waits for the whole response: parts that nobody reads may be dropped. */
  allowDrain(): void {
    this.#isDrainable = true;
    this.#drainIfUnread();
  }

  #drainIfUnread(): void {
    if (!this.#isDrainable || this.#isRead || this.#parts.length < PARTS_MAX) return;
    this.#isDraining = true;
    this.#parts.length = 0;
    this.#wakeWriter?.();
  }

  /** The reader is not interested in parts any more: nothing waits for it from now on. */
  discard(): void {
    this.#isDiscarding = true;
    this.#parts.length = 0;
    this.#wakeWriter?.();
  }

  /** The next part, or undefined at the end. @throws {SwitchgearError} what the stream ended with */
  async next(): Promise<StreamPart | undefined> {
    this.#isRead = true;
    for (;;) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        this.#wakeWriter?.();
        return part;
      }
      if (this.#end?.kind === 'error') throw this.#end.error;
      if (this.#end !== undefined || this.#isDiscarding) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  #room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        signal.removeEventListener('abort', finish);
        this.#wakeWriter = undefined;
        resolve();
      };
      this.#wakeWriter = finish;
      signal.addEventListener('abort', finish, { once: true });
    });
  }
}
