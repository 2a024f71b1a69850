/**
 * One request sent once to one target. The outcome is a value: this never rejects (R2), whatever the adapter, the socket or
 * the provider does. It knows limits and aborts, and nothing of retries.
 */
import type { Adapter, AdapterCall, AdapterPart, AdapterReply, Failure } from '../contract/adapter.ts';
import type { Clock } from '../contract/clock.ts';
import type { Credential, ProviderConfig } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { ParsedCompletion, ParsedEmbedding } from '../contract/request.ts';
import type { AnswerParts } from './answer-parts.ts';
import { endless, limitPassed, malformed, nothingSaid, stopped, unfinished } from './attempt-failures.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import { classifySafely } from './classify.ts';
import { Collector } from './collect.ts';
import { isEmbedReply, isEmpty, isReply, visiblePart } from './judge-reply.ts';
import { type AttemptLimit, LimitTimer } from './limits.ts';
import type { OpenRequest } from './open-request.ts';
import { scrubFailure } from './scrub.ts';
import { isStreamed, noteRefusal } from './streaming.ts';

/** What usage and the end of a stream may take after its finish reason. */
const TAIL_MS = 2_000;
/** A stream that has said more than this is broken off: whatever it is, nobody can hold it. */
const ANSWER_CHARS_MAX = 16 * 1_048_576;

export interface AttemptContext {
  readonly open: OpenRequest;
  readonly adapter: Adapter;
  readonly config: ProviderConfig;
  readonly model: string;
  readonly credential: Credential;
  readonly maxTokensDefault: number;
  /** Whether no other candidate is ready now: then first-token and unstreamed limits do not bind, the deadline does. */
  readonly isLast: () => boolean;
  /** How long an attempt may be silent that no limit binds; undefined: until the deadline. */
  readonly patienceMs: number | undefined;
  readonly clock: Clock;
  /** Called once when the attempt has outlived its own limit. */
  readonly overdue: () => void;
}

/** The own limit of an attempt: what it may take until the first content, or in whole when it is not streamed. */
export function attemptLimitMs(
  open: OpenRequest,
  { adapter, config, model }: Pick<AttemptContext, 'adapter' | 'config' | 'model'>,
): number {
  return isStreamed(open, adapter, model) ? config.timeouts.firstTokenMs : config.timeouts.unstreamedMs;
}

/** Asks one provider once. Never rejects. */
export async function attempt(context: AttemptContext): Promise<AttemptOutcome> {
  const { open, clock } = context;
  const startedAtMs = clock.nowMs();
  const aborting = new AbortController();
  const stop = () => {
    aborting.abort(open.signal.reason);
  };
  // A blocked event loop, or a slow store, lets time pass before the deadline's timer fires.
  if (open.remainingMs <= 0) open.stop('deadline');
  if (open.signal.aborted) stop();
  open.signal.addEventListener('abort', stop, { once: true });
  const run = new AttemptRun(context, aborting, startedAtMs);
  open.history.begin(run.parts);
  try {
    const outcome = await run.outcome();
    if (outcome.kind === 'failed') open.history.takeBack();
    return outcome;
  } finally {
    open.signal.removeEventListener('abort', stop);
    run.close();
    // Whatever the adapter left running has no reader any more.
    aborting.abort(new Error('the attempt is over'));
  }
}

class AttemptRun {
  readonly #context: AttemptContext;
  readonly #aborting: AbortController;
  readonly #startedAtMs: number;
  readonly #limits: LimitTimer;
  readonly #collector = new Collector();
  #isOverdue = false;
  #isAsked = false;
  #isInTail = false;
  #firstTokenMs: number | undefined;

  constructor(context: AttemptContext, aborting: AbortController, startedAtMs: number) {
    this.#context = context;
    this.#aborting = aborting;
    this.#startedAtMs = startedAtMs;
    this.#limits = new LimitTimer(context.clock, aborting, () => {
      this.#isOverdue = true;
      context.overdue();
    });
  }

  async outcome(): Promise<AttemptOutcome> {
    this.#limits.start(this.#firstLimit(attemptLimitMs(this.#context.open, this.#context)));
    try {
      return await this.#raceAbort(() => this.#ask());
    } catch (error) {
      // The answer was whole; what broke off was only to follow it.
      const reply = this.#context.open.stopReason === undefined ? this.#collector.reply() : undefined;
      return reply === undefined ? this.#failed(this.#explain(error)) : this.#answered(reply);
    }
  }

  /** What has arrived, for readers. */
  get parts(): AnswerParts {
    return this.#collector.parts;
  }

  close(): void {
    this.#limits.clear();
  }

  /** An adapter that ignores its signal must not keep its caller waiting. */
  #raceAbort(ask: () => Promise<AttemptOutcome>): Promise<AttemptOutcome> {
    const { signal } = this.#aborting;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        const reply = this.#limits.passed?.name === 'tail' ? this.#collector.reply() : undefined;
        if (reply === undefined) reject(signal.reason);
        else resolve(this.#answered(reply));
      };
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      void ask()
        .then(resolve, reject)
        .finally(() => {
          signal.removeEventListener('abort', onAbort);
        });
    });
  }

  #ask(): Promise<AttemptOutcome> {
    this.#isAsked = true;
    const { open, adapter, model } = this.#context;
    const { request, mode } = open.init;
    if (request.kind === 'embedding') return this.#embed(request);
    if (!isStreamed(open, adapter, model)) return this.#send(request);
    return mode === 'stream' ? this.#stream(request) : this.#streamOrSend(request);
  }

  /** The caller has not asked for a stream, and shall have the answer although it cannot be had as one. */
  async #streamOrSend(request: ParsedCompletion): Promise<AttemptOutcome> {
    const { adapter, config, model } = this.#context;
    try {
      return await this.#stream(request);
    } catch (error) {
      const { signal } = this.#aborting;
      if (signal.aborted || this.#collector.hasContent) throw error;
      if (classifySafely(adapter, config, error).isStreamRefused !== true) throw error;
    }
    this.#limits.start(this.#firstLimit(config.timeouts.unstreamedMs));
    const outcome = await this.#send(request);
    if (outcome.kind === 'answered') noteRefusal(adapter, model);
    return outcome;
  }

  async #send(request: ParsedCompletion): Promise<AttemptOutcome> {
    return this.#answered(await this.#context.adapter.send(this.#call(request)));
  }

  async #embed(request: ParsedEmbedding): Promise<AttemptOutcome> {
    const { adapter, model, credential, open, clock } = this.#context;
    if (adapter.embed === undefined)
      throw new TypeError(`expected the adapter of ${this.#context.config.name} to embed`);
    const reply = await adapter.embed({
      requestId: open.requestId,
      model,
      request,
      credential,
      signal: this.#aborting.signal,
    });
    if (!isEmbedReply(reply)) return this.#failed(malformed(this.#context.config, 'embedding'));
    return { kind: 'embedded', reply, durationMs: clock.nowMs() - this.#startedAtMs };
  }

  async #stream(request: ParsedCompletion): Promise<AttemptOutcome> {
    for await (const part of this.#context.adapter.stream(this.#call(request))) {
      // Given up meanwhile: an adapter that ignores its signal must reach nobody.
      if (this.#aborting.signal.aborted) break;
      this.#collector.add(part);
      this.#noteProgress(part);
      this.#context.open.history.wake();
      await this.#deliver(part);
      if (this.parts.length > ANSWER_CHARS_MAX) return this.#failed(endless(this.#context.config, ANSWER_CHARS_MAX));
    }
    const reply = this.#collector.reply();
    if (reply !== undefined) return this.#answered(reply);
    return this.#failed(unfinished(this.#context.config));
  }

  #call(request: ParsedCompletion): AdapterCall {
    const { open, model, credential, maxTokensDefault } = this.#context;
    return {
      requestId: open.requestId,
      model,
      request,
      maxTokens: request.maxTokens,
      maxTokensDefault,
      credential,
      signal: this.#aborting.signal,
    };
  }

  #noteProgress(part: AdapterPart): void {
    if (part.type === 'usage' || part.type === 'reasoningDetails') return;
    if (this.#collector.isFinished) {
      // Whatever a stream goes on saying, its tail is over in time.
      if (!this.#isInTail) this.#limits.start({ name: 'tail', limitMs: TAIL_MS, isBinding: () => true });
      this.#isInTail = true;
      return;
    }
    this.#firstTokenMs ??= this.#context.clock.nowMs() - this.#startedAtMs;
    this.#limits.start(this.#stallLimit());
  }

  /** While the caller is slow to read, the provider's clock stands still. */
  async #deliver(part: AdapterPart): Promise<void> {
    const { open } = this.#context;
    const { sink, delivery } = open.init;
    if (sink === undefined || delivery === 'whole') return;
    const visible = visiblePart(part);
    if (visible === undefined) return;
    const pushed = sink.push(visible, open.signal);
    if (!sink.isFull || this.#isInTail) return;
    this.#limits.clear();
    await pushed;
    this.#limits.start(this.#stallLimit());
  }

  #firstLimit(limitMs: number): AttemptLimit {
    const { isLast, patienceMs } = this.#context;
    return { name: 'first', limitMs, isBinding: () => !isLast(), patienceMs };
  }

  /** Whoever reads along with a submitted request was promised no delivery, and can be told to start over. */
  #stallLimit(): AttemptLimit {
    const { open, config, isLast, patienceMs } = this.#context;
    const isLive = open.init.mode === 'stream' && open.init.delivery === 'live';
    return { name: 'stall', limitMs: config.timeouts.stallMs, isBinding: () => isLive || !isLast(), patienceMs };
  }

  #answered(reply: AdapterReply): AttemptOutcome {
    const { config } = this.#context;
    if (!isReply(reply)) return this.#failed(malformed(config, 'reply'));
    if (isEmpty(reply)) return this.#failed(nothingSaid(config));
    const durationMs = this.#context.clock.nowMs() - this.#startedAtMs;
    // An answer that was not streamed has left nothing here, and readers get it from the response.
    this.parts.isWhole = this.#collector.isFinished;
    return {
      kind: 'answered',
      reply,
      reasoning: this.#collector.reasoning,
      firstTokenMs: this.#firstTokenMs,
      durationMs,
    };
  }

  #failed(failure: Failure): AttemptOutcome {
    const { text, written, usage, hasContent } = this.#collector;
    const durationMs = this.#context.clock.nowMs() - this.#startedAtMs;
    return {
      kind: 'failed',
      failure: scrubFailure(failure, this.#context.credential),
      partial: hasContent ? { text, usage } : undefined,
      written: hasContent ? { text: written, usage } : undefined,
      durationMs,
    };
  }

  /** Our own reasons first: an abort error of an SDK says nothing about who aborted. */
  #explain(error: unknown): Failure {
    const { open, adapter, config } = this.#context;
    if (open.stopReason !== undefined) {
      const isOverdue = this.#isOverdue && !this.#collector.hasContent;
      return stopped(open, config, { isAsked: this.#isAsked, isOverdue });
    }
    const { passed } = this.#limits;
    if (passed !== undefined && passed.name !== 'tail') return limitPassed(config, passed.name, passed.limitMs);
    if (error instanceof SwitchgearError && error.code === 'invalid-request')
      return { kind: 'invalid-request', message: error.message, cause: error };
    return classifySafely(adapter, config, error);
  }
}
