/**
 * An upstream inside the process that does as it is told: each call takes the next behaviour of its script, and everything
 * it was asked is kept with the moment it was asked. Its waits are on the injected clock, so virtual time drives it.
 */
import type {
  Adapter,
  AdapterCall,
  AdapterPart,
  AdapterReply,
  CreateAdapter,
  Failure,
  Feature,
} from '../../src/contract/adapter.ts';
import type { Clock } from '../../src/contract/clock.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import type { ParsedRequest } from '../../src/contract/request.ts';
import type { FinishReason, Usage } from '../../src/contract/response.ts';
import { sleep } from '../../src/runtime/sleep.ts';

/** What a behaviour may look at. */
export interface ScriptedCall {
  readonly provider: string;
  readonly model: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly request: ParsedRequest;
  readonly apiKey: string | undefined;
  /** Counts the calls of this provider from 1. */
  readonly number: number;
}

/** One way to answer. */
export type Behaviour = (call: ScriptedCall) => AsyncGenerator<AdapterPart, void>;

/** One thing the provider was asked. */
export interface CallRecord {
  readonly kind: 'send' | 'stream' | 'embed' | 'check';
  readonly atMs: number;
  readonly requestId: string;
  readonly model: string;
  readonly credentialId: string;
  readonly prompt: string;
  isAborted: boolean;
}

class ScriptedFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

const USAGE: Usage = { inputTokens: 10, outputTokens: 5 };

interface AnswerOptions {
  readonly afterMs?: number;
  readonly usage?: Usage;
  readonly finishReason?: FinishReason;
}

/** Answers in one piece. */
export function answer(
  text = 'fine',
  { afterMs = 0, usage = USAGE, finishReason = 'stop' }: AnswerOptions = {},
): Behaviour {
  return async function* (call) {
    await pause(call, afterMs);
    yield { type: 'text', text };
    yield { type: 'usage', usage };
    yield { type: 'finish', finishReason };
  };
}

/** Answers with what it was asked, so that answers cannot be mixed up unseen. */
export function echo(afterMs = 0): Behaviour {
  return (call) => answer(`${call.provider}: ${promptOf(call.request)}`, { afterMs })(call);
}

/** Fails before any content. */
export function fail(
  kind: FailureKind,
  details: Partial<Omit<Failure, 'kind'>> & { readonly afterMs?: number } = {},
): Behaviour {
  const { afterMs = 0, ...rest } = details;
  // oxlint-disable-next-line require-yield -- it never comes to content
  return async function* (call) {
    await pause(call, afterMs);
    throw new ScriptedFailure({ message: `scripted ${kind}`, ...rest, kind });
  };
}

/** Says nothing until the caller leaves. */
export function hang(): Behaviour {
  return async function* (call) {
    yield* silence(call);
  };
}

/** Parts `gapMs` apart, then `ending`. */
export function tokens(count: number, gapMs: number, ending: Behaviour): Behaviour {
  return async function* (call) {
    for (let index = 0; index < count; index++) {
      if (index > 0) await pause(call, gapMs);
      yield { type: 'text', text: `t${index} ` };
    }
    yield* ending(call);
  };
}

/** The regular end of a stream. */
export function finish(usage: Usage | undefined = USAGE, finishReason: FinishReason = 'stop'): Behaviour {
  return async function* () {
    if (usage !== undefined) yield { type: 'usage', usage };
    yield { type: 'finish', finishReason };
  };
}

/** The end of the connection, without any word. */
export function cut(): Behaviour {
  return async function* () {};
}

/** Picks a behaviour for each call. */
export function when(pick: (call: ScriptedCall) => Behaviour): Behaviour {
  return (call) => pick(call)(call);
}

/** Waits on the clock; throws as an SDK would when the caller leaves. */
export async function pause({ clock, signal }: Pick<ScriptedCall, 'clock' | 'signal'>, waitMs: number): Promise<void> {
  signal.throwIfAborted();
  if (waitMs > 0) await sleep(clock, waitMs, signal);
  signal.throwIfAborted();
}

// oxlint-disable-next-line require-yield -- silence has no parts
async function* silence({ signal }: ScriptedCall): AsyncGenerator<AdapterPart, void> {
  await new Promise((_resolve, reject) => {
    const leave = () => {
      reject(signal.reason);
    };
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
  });
}

export class ScriptedProvider {
  readonly name: string;
  readonly calls: CallRecord[] = [];
  /** Calls under way, and the most there ever were at once. */
  running = 0;
  peak = 0;
  /** What it does when the script is at its end. */
  always: Behaviour = answer();
  /** What a free check meets. */
  check: Behaviour = cut();
  lacks: ReadonlySet<Feature> = new Set();
  closed = 0;
  readonly #script: Behaviour[] = [];
  readonly #clock: Clock;
  #attemptCount = 0;

  constructor(name: string, clock: Clock) {
    this.name = name;
    this.#clock = clock;
  }

  /** Adds behaviours for the next calls, in order. */
  plan(...behaviours: readonly Behaviour[]): void {
    this.#script.push(...behaviours);
  }

  /** Requests it was sent, without checks. */
  get attempts(): readonly CallRecord[] {
    return this.calls.filter((call) => call.kind !== 'check');
  }

  readonly createAdapter: CreateAdapter = () => {
    const adapter: Adapter = {
      send: async (call) => this.#collect(this.#perform('send', call)),
      stream: (call) => this.#perform('stream', call),
      embed: async (call) => {
        const reply = await this.#collect(this.#perform('embed', call));
        return { vectors: call.request.input.map((text) => [text.length, 1]), usage: reply.usage };
      },
      check: async ({ credential, signal }) => {
        for await (const _ of this.#perform('check', { requestId: '', model: '', credential, signal })) {
          // A check looks at nothing.
        }
      },
      classify: classifyScripted,
      supports: (feature) => !this.lacks.has(feature) && !feature.startsWith('wire:'),
      close: async () => {
        this.closed += 1;
      },
    };
    return adapter;
  };

  async *#perform(
    kind: CallRecord['kind'],
    {
      requestId,
      model,
      credential,
      signal,
      request,
    }: Pick<AdapterCall, 'requestId' | 'model' | 'credential' | 'signal'> & { readonly request?: ParsedRequest },
  ): AsyncGenerator<AdapterPart, void> {
    const asked = request ?? { kind: 'embedding', model, input: [] };
    const record: CallRecord = {
      kind,
      atMs: this.#clock.nowMs(),
      requestId,
      model,
      credentialId: credential.id,
      prompt: promptOf(asked),
      isAborted: false,
    };
    this.calls.push(record);
    const behaviour = kind === 'check' ? this.check : (this.#script.shift() ?? this.always);
    const noteAbort = () => {
      record.isAborted = true;
    };
    signal.addEventListener('abort', noteAbort, { once: true });
    if (kind !== 'check') {
      this.running += 1;
      this.#attemptCount += 1;
    }
    this.peak = Math.max(this.peak, this.running);
    try {
      const { clock, number } = { clock: this.#clock, number: this.#attemptCount };
      yield* behaviour({
        provider: this.name,
        model,
        clock,
        signal,
        request: asked,
        apiKey: credential.apiKey,
        number,
      });
    } finally {
      signal.removeEventListener('abort', noteAbort);
      if (kind !== 'check') this.running -= 1;
    }
  }

  async #collect(parts: AsyncIterable<AdapterPart>): Promise<AdapterReply> {
    let text = '';
    let usage: Usage = {};
    let finishReason: FinishReason | undefined;
    for await (const part of parts) {
      if (part.type === 'text') text += part.text;
      if (part.type === 'usage') usage = part.usage;
      if (part.type === 'finish') finishReason = part.finishReason;
    }
    if (finishReason === undefined)
      throw new ScriptedFailure({ kind: 'broken', message: 'ended without a finish reason' });
    return { text, usage, finishReason, toolCalls: [] };
  }
}

/** The text of the last message. */
function promptOf(request: ParsedRequest): string {
  if (request.kind === 'embedding') return request.input.join('|');
  const content = request.messages.at(-1)?.content;
  return typeof content === 'string' ? content : '';
}

function classifyScripted(error: unknown): Failure {
  if (error instanceof ScriptedFailure) return error.failure;
  return { kind: 'adapter-error', message: error instanceof Error ? error.message : 'unknown', cause: error };
}
