/**
 * What `resultStream` gives: the answer of a submitted request from its beginning, and on as it grows. A reader goes through
 * the history that the request keeps in memory anyway, at its own pace; it holds up nobody, and leaving it ends nothing but
 * itself (R8). A request that is not in memory has either ended, and its record has the answer, or waits in the store; then
 * the reader waits until it comes into memory or ends.
 */
import { SwitchgearError } from '../contract/errors.ts';
import type { Settlement } from '../contract/records.ts';
import type { AnyResponse, CompletionResponse, RequestId, ResultStream, StreamPart } from '../contract/response.ts';
import type { OpenRequest } from './open-request.ts';
import { checkRequestId, parseReading } from './parse-arguments.ts';
import { PartReader } from './part-history.ts';
import { loadRecord } from './results.ts';
import type { Runtime } from './runtime.ts';

/** How long a request is looked out for before the store is asked again. */
const LOOKOUT_MS = 86_400_000;

type Source = Pick<Runtime, 'clock' | 'open' | 'store' | 'lookouts' | 'service' | 'ending'>;

/** Where the request is found: in memory, or ended, with the error and its cause where they are still known. */
type Found =
  | { readonly kind: 'open'; readonly open: OpenRequest }
  | { readonly kind: 'ended'; readonly settlement: Settlement; readonly error?: SwitchgearError | undefined };

export class LiveResult implements ResultStream {
  readonly requestId: RequestId;
  readonly #source: Source;
  readonly #options: { readonly signal?: AbortSignal };
  #target: ResultStream['target'];
  #response: Promise<CompletionResponse> | undefined;

  /** `signal` ends the readers and not the request. What is wrong with the arguments is told to the reader. */
  constructor(source: Source, requestId: RequestId, options: { readonly signal?: AbortSignal }) {
    this.requestId = requestId;
    this.#source = source;
    this.#options = options;
  }

  get target(): ResultStream['target'] {
    return this.#target;
  }

  get response(): Promise<CompletionResponse> {
    if (this.#response === undefined) {
      this.#response = this.#awaitFinish();
      // Whoever drops it must not be told of its rejection.
      this.#response.catch(() => undefined);
    }
    return this.#response;
  }

  /** Reads from the beginning, each time. @throws {SwitchgearError} what the request ended with, or why it cannot be read */
  [Symbol.asyncIterator](): AsyncIterator<StreamPart> {
    const leaving = new AbortController();
    const parts = this.#read(leaving);
    let hasReturned = false;
    return {
      next: async () => {
        try {
          return await parts.next();
        } catch (error) {
          if (hasReturned) return { done: true, value: undefined };
          throw error;
        }
      },
      return: () => {
        hasReturned = true;
        // The generator would end only after the part that is being waited for, which may never come.
        leaving.abort();
        return parts.return();
      },
    };
  }

  async #awaitFinish(): Promise<CompletionResponse> {
    for await (const part of this) if (part.type === 'finish') return part.response;
    throw new TypeError(`expected the parts of ${this.requestId} to end with a finish`);
  }

  async *#read(leaving: AbortController): AsyncGenerator<StreamPart, void> {
    checkRequestId(this.requestId);
    const { signal } = parseReading(this.#options);
    const leave = () => {
      leaving.abort();
    };
    if (signal?.aborted === true) leave();
    signal?.addEventListener('abort', leave, { once: true });
    const reader = new PartReader();
    try {
      for (;;) {
        const found = await this.#find(leaving.signal);
        if (found.kind === 'ended') return yield* this.#end(reader, found);
        yield* this.#follow(reader, found.open, leaving.signal);
        const { settlement, error, isReleased } = found.open;
        if (settlement !== undefined && !isReleased)
          return yield* this.#end(reader, { kind: 'ended', settlement, error });
        // It waits in the store, and comes back from there unless the service ends.
        if (this.#source.service.isDraining) throw error ?? endingError(this.requestId);
      }
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  async #find(signal: AbortSignal): Promise<Found> {
    for (;;) {
      if (signal.aborted) throw leftError(this.requestId);
      const open = this.#source.open.find(this.requestId);
      if (open !== undefined) return { kind: 'open', open };
      const settlement = await this.#lookOut(signal);
      if (settlement !== undefined) return { kind: 'ended', settlement };
    }
  }

  /** How the request ended; undefined when something has happened to it meanwhile. */
  async #lookOut(signal: AbortSignal): Promise<Settlement | undefined> {
    const { lookouts, ending, open: table } = this.#source;
    const over = new AbortController();
    const finish = () => {
      over.abort();
    };
    for (const ender of [signal, ending]) ender.addEventListener('abort', finish, { once: true });
    try {
      // It is begun before the store is asked, so that nothing happens unseen in between.
      const seen = lookouts.wait(this.requestId, LOOKOUT_MS, over.signal);
      const { settlement } = await loadRecord(this.#source, this.requestId);
      if (settlement !== undefined || table.find(this.requestId) !== undefined || signal.aborted) return settlement;
      if (ending.aborted) throw endingError(this.requestId);
      await seen;
      return undefined;
    } finally {
      finish();
      for (const ender of [signal, ending]) ender.removeEventListener('abort', finish);
    }
  }

  /** Gives what there is and what comes, until nothing more will come from here. Meanwhile the request is not given up for others. */
  async *#follow(reader: PartReader, open: OpenRequest, signal: AbortSignal): AsyncGenerator<StreamPart, void> {
    if (open.init.request.kind === 'embedding') throw embeddingError(this.requestId);
    const unwatch = this.#source.open.watch(open);
    try {
      for (;;) {
        if (signal.aborted) throw leftError(this.requestId);
        const part = reader.next(open.history);
        if (part !== undefined) {
          this.#target = reader.hasRead ? open.asked : undefined;
          yield part;
        } else if (open.history.isClosed) return;
        else await open.history.changed(signal);
      }
    } finally {
      unwatch();
    }
  }

  /** The rest, once it is known how the request ended. */
  async *#end(
    reader: PartReader,
    { settlement, error }: Extract<Found, { kind: 'ended' }>,
  ): AsyncGenerator<StreamPart, void> {
    if (settlement.status !== 'succeeded') throw error ?? SwitchgearError.fromReport(settlement.error);
    const response = onlyCompletion(settlement.response);
    if (!reader.isWhole && reader.hasRead) yield reader.restart();
    this.#target = { provider: response.provider, model: response.model };
    if (!reader.isWhole) yield* wholeParts(response);
    yield { type: 'finish', response };
  }
}

/** The parts of an answer that nobody saw growing. */
function* wholeParts({ text, toolCalls }: CompletionResponse): Generator<StreamPart, void> {
  if (text !== '') yield { type: 'text', text };
  for (const call of toolCalls) yield { type: 'toolCall', ...call };
}

/** The response as its record has it, whoever reads when. */
function onlyCompletion(response: AnyResponse): CompletionResponse {
  if (response.kind !== 'completion') throw embeddingError(response.requestId);
  const { wireBody: _, ...kept } = response;
  return kept;
}

function embeddingError(requestId: RequestId): SwitchgearError {
  return new SwitchgearError(
    'request-not-found',
    `expected the id of a completion, got: ${requestId} of an embedding, which has no parts`,
    { requestId },
  );
}

function leftError(requestId: RequestId): SwitchgearError {
  return new SwitchgearError(
    'cancelled',
    `nobody reads request ${requestId} here any more; the request itself goes on`,
    {
      requestId,
    },
  );
}

function endingError(requestId: RequestId): SwitchgearError {
  return new SwitchgearError(
    'shutting-down',
    `the service is shutting down before request ${requestId} has ended; it goes on at the next start, read it then`,
    { requestId },
  );
}
