/**
 * One request sent once to one target. The outcome is a value: this never rejects (R2), whatever the adapter, the socket or
 * the provider does. It knows limits and aborts, and nothing of retries.
 */
import type { Adapter, AdapterCall, AdapterPart, AdapterReply, Failure } from '../contract/adapter.ts';
import type { Clock } from '../contract/clock.ts';
import type { Credential, ProviderConfig } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { ParsedCompletion, ParsedEmbedding } from '../contract/request.ts';
import type { AttemptOutcome } from './attempt-outcome.ts';
import { classifySafely } from './classify.ts';
import { Collector } from './collect.ts';
import { isEmbedReply, isEmpty, isReply, visiblePart } from './judge-reply.ts';
import { type AttemptLimit, LIMIT_FAILURE, LimitTimer } from './limits.ts';
import type { OpenRequest } from './open-request.ts';
import { scrubFailure } from './scrub.ts';

/** What usage and the end of a stream may take after its finish reason. */
const TAIL_MS = 2_000;

export interface AttemptContext {
  readonly open: OpenRequest;
  readonly adapter: Adapter;
  readonly config: ProviderConfig;
  readonly model: string;
  readonly credential: Credential;
  readonly maxTokensDefault: number;
  /** Whether no other candidate is ready now: then first-token and unstreamed limits do not bind, the deadline does. */
  readonly isLast: () => boolean;
  /** How long an attempt may last that no limit binds; undefined: until the deadline. */
  readonly patienceMs: number | undefined;
  readonly clock: Clock;
  /** Called once when the attempt has outlived its own limit. */
  readonly overdue: () => void;
}

/** The own limit of an attempt: what it may take until the first content, or in whole when it is not streamed. */
export function attemptLimitMs(open: OpenRequest, config: ProviderConfig): number {
  return open.init.mode === 'stream' ? config.timeouts.firstTokenMs : config.timeouts.unstreamedMs;
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
  try {
    return await run.outcome();
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
    this.#limits.start(this.#firstLimit());
    try {
      return await this.#raceAbort(() => this.#ask());
    } catch (error) {
      // The answer was whole; what broke off was only to follow it.
      const reply = this.#context.open.stopReason === undefined ? this.#collector.reply() : undefined;
      return reply === undefined ? this.#failed(this.#explain(error)) : this.#answered(reply);
    }
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
    const { request } = this.#context.open.init;
    if (request.kind === 'embedding') return this.#embed(request);
    return this.#context.open.init.mode === 'stream' ? this.#stream(request) : this.#send(request);
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
    if (!isEmbedReply(reply)) return this.#failed(this.#malformed('embedding'));
    return { kind: 'embedded', reply, durationMs: clock.nowMs() - this.#startedAtMs };
  }

  async #stream(request: ParsedCompletion): Promise<AttemptOutcome> {
    for await (const part of this.#context.adapter.stream(this.#call(request))) {
      // Given up meanwhile: an adapter that ignores its signal must reach nobody.
      if (this.#aborting.signal.aborted) break;
      this.#collector.add(part);
      this.#noteProgress(part);
      await this.#deliver(part);
    }
    const reply = this.#collector.reply();
    if (reply !== undefined) return this.#answered(reply);
    return this.#failed({
      kind: 'broken',
      message: `${this.#context.config.name} ended the stream without a finish reason`,
      isMaybeBilled: true,
    });
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

  #firstLimit(): AttemptLimit {
    const { open, config, isLast, patienceMs } = this.#context;
    return { name: 'first', limitMs: attemptLimitMs(open, config), isBinding: () => !isLast(), patienceMs };
  }

  #stallLimit(): AttemptLimit {
    const { open, config, isLast } = this.#context;
    const isLive = open.init.delivery === 'live';
    return { name: 'stall', limitMs: config.timeouts.stallMs, isBinding: () => isLive || !isLast() };
  }

  #answered(reply: AdapterReply): AttemptOutcome {
    if (!isReply(reply)) return this.#failed(this.#malformed('reply'));
    if (isEmpty(reply))
      return this.#failed({
        kind: 'false-success',
        message: `${this.#context.config.name} answered with nothing at all`,
        isMaybeBilled: true,
      });
    const durationMs = this.#context.clock.nowMs() - this.#startedAtMs;
    return {
      kind: 'answered',
      reply,
      reasoning: this.#collector.reasoning,
      firstTokenMs: this.#firstTokenMs,
      durationMs,
    };
  }

  #malformed(what: string): Failure {
    return {
      kind: 'adapter-error',
      message: `expected adapter ${this.#context.config.adapter} to give a whole ${what}, got: one with fields missing`,
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
    if (open.stopReason === 'deadline') {
      const kind = this.#isOverdue && !this.#collector.hasContent ? 'deadline-overdue' : 'deadline';
      return {
        kind,
        message: `the deadline of ${open.init.timeoutMs} ms passed while ${config.name} was answering`,
        isMaybeBilled: this.#isAsked,
      };
    }
    if (open.stopReason !== undefined)
      return { kind: 'abandoned', message: `stopped: ${open.stopReason}`, isMaybeBilled: this.#isAsked };
    const { passed } = this.#limits;
    if (passed !== undefined && passed.name !== 'tail') {
      const what = passed.name === 'stall' ? 'sent nothing more' : 'sent no answer';
      return {
        kind: LIMIT_FAILURE[passed.name],
        message: `${config.name} ${what} for ${passed.limitMs} ms`,
        isMaybeBilled: true,
      };
    }
    if (error instanceof SwitchgearError && error.code === 'invalid-request')
      return { kind: 'invalid-request', message: error.message, cause: error };
    return classifySafely(adapter, config, error);
  }
}
