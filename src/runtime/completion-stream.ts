/** What `completionStream` gives: an async iterable over the parts, the whole response as a promise, and a way out. */
import { SwitchgearError } from '../contract/errors.ts';
import type { CompletionResponse, CompletionStream, RequestId, StreamPart } from '../contract/response.ts';
import type { PartSink } from './part-sink.ts';

export interface StreamSource {
  readonly requestId: RequestId;
  readonly sink: PartSink;
  /** How the request ended. */
  readonly response: Promise<CompletionResponse>;
  /** Who is being asked. */
  readonly asked: () => CompletionStream['target'];
  /** The caller has left. */
  readonly leave: () => void;
}

export class LiveStream implements CompletionStream {
  readonly #source: StreamSource;
  #isRead = false;
  /** The reader has all there is. */
  #isDone = false;

  constructor(source: StreamSource) {
    this.#source = source;
    // Whoever never looks at `response` must not be told of its rejection.
    source.response.catch(() => undefined);
  }

  get requestId(): RequestId {
    return this.#source.requestId;
  }

  get target(): CompletionStream['target'] {
    return this.#source.sink.hasDelivered ? this.#source.asked() : undefined;
  }

  get response(): Promise<CompletionResponse> {
    this.#source.sink.allowDrain();
    return this.#source.response;
  }

  cancel(): void {
    this.#source.leave();
    this.#source.sink.discard();
  }

  /** Iterates the parts; leaving the loop early cancels the request. @throws {SwitchgearError} what the request ended with */
  [Symbol.asyncIterator](): AsyncIterator<StreamPart> {
    if (this.#isRead)
      throw new SwitchgearError('invalid-request', 'expected a stream to be read once, got: a second reader');
    this.#isRead = true;
    const parts = this.#parts();
    return {
      next: () => parts.next(),
      return: () => {
        // The generator would end only after the part that is being waited for, which may never come.
        if (!this.#isDone) this.cancel();
        return parts.return();
      },
    };
  }

  async *#parts(): AsyncGenerator<StreamPart, void> {
    try {
      for (;;) {
        const part = await this.#source.sink.next();
        if (part === undefined || part.type === 'finish') this.#isDone = true;
        if (part === undefined) return;
        yield part;
      }
    } finally {
      if (!this.#isDone) this.cancel();
    }
  }
}

/** A stream that never began. */
export function failedStream(requestId: RequestId, sink: PartSink, error: SwitchgearError): CompletionStream {
  sink.end({ kind: 'error', error });
  return new LiveStream({
    requestId,
    sink,
    response: Promise.reject(error),
    asked: () => undefined,
    leave: () => undefined,
  });
}
