/** A provider in simulated weather, which lives each call it gets as its fate has it, and notices what it is asked for. */
import type { Adapter, AdapterCall, AdapterPart, AdapterReply, Failure } from '../../src/contract/adapter.ts';
import type { Clock } from '../../src/contract/clock.ts';
import type { ParsedRequest } from '../../src/contract/request.ts';
import type { Usage } from '../../src/contract/response.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import type { MortalClock } from '../support/mortal-clock.ts';
import type { Dice } from './dice.ts';
import type { ProviderPlan } from './plan.ts';
import { ProviderSide, type ProviderSideDeps } from './provider-side.ts';
import type { StoreWatch } from './store-watch.ts';
import type { Ticket } from './tickets.ts';
import { drawFate, type Fate, type Weather } from './weather.ts';

export const INPUT_TOKENS = 10;
export const TOKENS_PER_PART = 3;

/** A whole answer says who gave it to whom, so that a truncated, a glued and a foreign one can be told from it. */
export const ANSWER = /^<(?<provider>\w+) (?<prompt>q\d+) (?<parts>\d+)>(?<body>(?: \d+)*) done$/;

class SimulatedFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** The process that asks. */
export interface Asker {
  readonly life: number;
  /** Nothing happens to a call any more once it is dead. */
  readonly clock: MortalClock;
  /** Told of every call for a request that is stored. */
  readonly watch: StoreWatch | undefined;
  /** Wall clock less monotonic clock, ms. */
  readonly wallOffsetMs: number;
}

interface Call {
  readonly ticket: Ticket | undefined;
  readonly signal: AbortSignal;
}

type UpstreamCall = Pick<AdapterCall, 'requestId' | 'credential' | 'signal'> & {
  readonly request: ParsedRequest;
  readonly asker: Asker;
};

export interface UpstreamDeps extends ProviderSideDeps {
  readonly dice: Dice;
}

export class Upstream {
  readonly plan: ProviderPlan;
  readonly side: ProviderSide;
  /** All is well from now on. */
  isHealed = false;
  calls = 0;
  answers = 0;
  readonly #deps: UpstreamDeps;
  readonly #running = new Set<Call>();

  constructor(plan: ProviderPlan, deps: UpstreamDeps) {
    this.plan = plan;
    this.side = new ProviderSide(plan, deps);
    this.#deps = deps;
  }

  /** What it is going through now. */
  get weather(): Weather {
    if (this.isHealed) return 'fine';
    const nowMs = this.#deps.clock.nowMs();
    return this.plan.episodes.findLast((episode) => episode.fromMs <= nowMs)?.weather ?? 'fine';
  }

  createAdapter(asker: Asker): Adapter {
    return {
      send: (call) => this.#collect({ ...call, asker }),
      stream: (call) => this.#perform({ ...call, asker }),
      embed: async (call) => {
        const reply = await this.#collect({ ...call, asker });
        return { vectors: call.request.input.map(() => [1, 0]), usage: reply.usage };
      },
      check: ({ signal }) => this.#check(signal, asker.clock),
      classify: (error) =>
        error instanceof SimulatedFailure
          ? error.failure
          : { kind: 'adapter-error', message: String(error), cause: error },
      supports: (feature) => !feature.startsWith('wire:'),
    };
  }

  /** The process that asked is gone, and nobody waits for an answer. */
  processEnded(): void {
    this.#running.clear();
  }

  /** To be called after every step: whoever left has stopped the work that was done for them. */
  checkAborts(): void {
    const { clock, chronicle } = this.#deps;
    for (const call of this.#running) {
      const { ticket, signal } = call;
      if (signal.aborted) {
        // A deaf one would stay for ever.
        this.#running.delete(call);
        continue;
      }
      const goneAtMs = ticket?.goneAtMs ?? Number.POSITIVE_INFINITY;
      chronicle.expect(
        goneAtMs >= clock.nowMs(),
        'promise 8: whoever leaves stops the upstream call',
        () => `${this.plan.name} still works for ${ticket?.prompt}, gone since ${goneAtMs}`,
      );
    }
  }

  async *#perform(call: UpstreamCall): AsyncGenerator<AdapterPart, void> {
    const { dice, tickets, chronicle } = this.#deps;
    const { clock, watch, life } = call.asker;
    if (clock.isDead) await new Promise<never>(() => undefined);
    watch?.sent(life, call.requestId, this.plan.name);
    const ticket = tickets.find(promptOf(call.request));
    this.#judge(call, ticket);
    const fate = drawFate(this.weather, dice);
    chronicle.count(`fate: ${fate.kind}`);
    const running = { ticket, signal: call.signal };
    this.#running.add(running);
    try {
      yield* this.#live(fate, call);
      if (fate.kind === 'answer') this.answers += 1;
      if (fate.kind === 'answer' && ticket !== undefined) this.side.answered(ticket, call.credential.id);
    } finally {
      this.#running.delete(running);
    }
  }

  async *#live(fate: Fate, call: UpstreamCall): AsyncGenerator<AdapterPart, void> {
    switch (fate.kind) {
      case 'answer':
        yield* this.#answer(fate, call);
        return;
      case 'fail':
        await this.#pause(fate.afterMs, call);
        if (fate.failure.kind === 'rate-limited' && fate.failure.retryAfterMs !== undefined)
          this.side.asksForPatience(call.credential.id, fate.failure.retryAfterMs);
        throw new SimulatedFailure(fate.failure);
      case 'hang':
        await (fate.isDeaf ? new Promise<never>(() => undefined) : this.#pause(Number.POSITIVE_INFINITY, call));
        return;
      case 'break':
        yield* this.#breakOff(fate, call);
        return;
      case 'nonsense':
        await this.#pause(fate.afterMs, call);
        if (fate.how === 'throws') throw new RangeError('the adapter has a bug');
        // What an adapter in JavaScript may do although the type forbids it.
        if (fate.how === 'malformed') yield { type: 'text' } as unknown as AdapterPart;
        yield { type: 'finish', finishReason: 'stop' };
    }
  }

  async *#answer(fate: Extract<Fate, { kind: 'answer' }>, call: UpstreamCall): AsyncGenerator<AdapterPart, void> {
    await this.#pause(fate.firstMs, call);
    yield { type: 'text', text: `<${this.plan.name} ${promptOf(call.request)} ${fate.parts}>` };
    for (let part = 1; part <= fate.parts; part++) {
      await this.#pause(fate.gapMs, call);
      yield { type: 'text', text: ` ${part}` };
    }
    yield { type: 'text', text: ' done' };
    const usage: Usage = { inputTokens: INPUT_TOKENS, outputTokens: fate.parts * TOKENS_PER_PART };
    if (fate.tellsUsage) yield { type: 'usage', usage };
    yield { type: 'finish', finishReason: 'stop' };
  }

  async *#breakOff(fate: Extract<Fate, { kind: 'break' }>, call: UpstreamCall): AsyncGenerator<AdapterPart, void> {
    await this.#pause(fate.firstMs, call);
    yield { type: 'text', text: `<${this.plan.name} ${promptOf(call.request)} ${fate.parts}>` };
    for (let part = 1; part < fate.parts; part++) {
      await this.#pause(fate.gapMs, call);
      yield { type: 'text', text: ` ${part}` };
    }
    if (fate.how === 'stall') await this.#pause(Number.POSITIVE_INFINITY, call);
    if (fate.how === 'error') throw new SimulatedFailure({ kind: 'broken', message: 'simulated reset' });
  }

  async #collect(call: UpstreamCall): Promise<AdapterReply> {
    let text: string | undefined = '';
    let usage: Usage = {};
    let isFinished = false;
    for await (const part of this.#perform(call)) {
      if (part.type === 'text') text = part.text === undefined ? undefined : `${text}${part.text}`;
      if (part.type === 'usage') usage = part.usage;
      if (part.type === 'finish') isFinished = true;
    }
    if (!isFinished) throw new SimulatedFailure({ kind: 'broken', message: 'ended without a finish reason' });
    // What an adapter in JavaScript may do although the type forbids it.
    return { text, usage, finishReason: 'stop', toolCalls: [] } as unknown as AdapterReply;
  }

  async #check(signal: AbortSignal, clock: Clock): Promise<void> {
    const call = { signal, asker: { clock } };
    const fate = drawFate(this.weather, this.#deps.dice);
    if (fate.kind === 'fail' || fate.kind === 'nonsense') await this.#pause(fate.afterMs, call);
    if (fate.kind === 'fail') throw new SimulatedFailure(fate.failure);
    if (fate.kind === 'nonsense' && fate.how === 'throws') throw new RangeError('the adapter has a bug');
    if (fate.kind === 'hang') await this.#pause(Number.POSITIVE_INFINITY, call);
  }

  async #pause(
    waitMs: number,
    { signal, asker }: { readonly signal: AbortSignal; readonly asker: { readonly clock: Clock } },
  ): Promise<void> {
    signal.throwIfAborted();
    if (Number.isFinite(waitMs)) await sleep(asker.clock, waitMs, signal);
    else await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    signal.throwIfAborted();
  }

  #judge(call: UpstreamCall, ticket: Ticket | undefined): void {
    const { chronicle } = this.#deps;
    this.calls += 1;
    const { name } = this.plan;
    chronicle.note(`${name} is asked ${promptOf(call.request)} with ${call.credential.id}`);
    chronicle.expect(ticket !== undefined, 'nobody is asked for what nobody wants', () => promptOf(call.request));
    if (ticket === undefined) return;
    this.side.judge(ticket, call.credential.id, call.asker.wallOffsetMs);
  }
}

function promptOf(request: ParsedRequest): string {
  if (request.kind === 'embedding') return request.input[0] ?? '';
  const content = request.messages.at(-1)?.content;
  return typeof content === 'string' ? content : '';
}
