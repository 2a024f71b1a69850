/**
 * A provider in simulated weather, and the promises that only a provider can see being broken: nothing comes before a
 * Retry-After is over, after a deadline, or for a caller who has left; retries stay within their budget; a paced provider is
 * not asked more often than it allows.
 */
import type { Adapter, AdapterCall, AdapterPart, AdapterReply, Failure } from '../../src/contract/adapter.ts';
import type { Clock } from '../../src/contract/clock.ts';
import type { ParsedRequest } from '../../src/contract/request.ts';
import type { Usage } from '../../src/contract/response.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import type { Chronicle } from './chronicle.ts';
import type { MortalClock } from '../support/mortal-clock.ts';
import type { Dice } from './dice.ts';
import type { ProviderPlan } from './plan.ts';
import type { StoreWatch } from './store-watch.ts';
import type { Ticket, Tickets } from './tickets.ts';
import { drawFate, type Fate, type Weather } from './weather.ts';

export const INPUT_TOKENS = 10;
export const TOKENS_PER_PART = 3;
const CLOCK_ROUNDING_MS = 2;
/** Debts are saved at most once a second, and less than a second's are not. */
const PACE_FORGOTTEN_MS = 2_000;

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

interface CredentialRecord {
  heldFromMs: number;
  heldUntilMs: number;
  /** When it last asked to be left alone. */
  toldAtMs: number;
  firsts: number;
  retries: number;
  /** When the process began that asks now, monotonic ms. */
  sinceMs: number;
}

export interface UpstreamDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly chronicle: Chronicle;
  readonly tickets: Tickets;
  /** Whether calls can be counted on to be sent at the moment they are paced. */
  readonly isPacingExact: boolean;
  /** Whether nothing but its key decides which of two waiting requests goes first. */
  readonly isCalmWorld: boolean;
}

export class Upstream {
  readonly plan: ProviderPlan;
  /** All is well from now on. */
  isHealed = false;
  calls = 0;
  answers = 0;
  /** When the process began that asks now. */
  #sinceMs = 0;
  readonly #deps: UpstreamDeps;
  readonly #running = new Set<Call>();
  readonly #credentials = new Map<string, CredentialRecord>();
  readonly #recent: number[] = [];
  /** When processes ended, each of which may have forgotten what it owed for the last second. */
  readonly #paceSlack: number[] = [];

  constructor(plan: ProviderPlan, deps: UpstreamDeps) {
    this.plan = plan;
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

  /** The process that asked is gone. What it had been told and could not keep it cannot be held to. */
  processEnded(isKept: (toldAtMs: number) => boolean): void {
    this.#running.clear();
    for (const record of this.#credentials.values()) {
      if (!isKept(record.toldAtMs)) record.heldUntilMs = 0;
      record.firsts = 0;
      record.retries = 0;
    }
    this.#paceSlack.push(this.#deps.clock.nowMs());
  }

  /** Another process asks now. `forwardMs`: its clock was set forward by so much; undefined: it knows nothing of the last one. */
  processStarts(forwardMs: number | undefined): void {
    const nowMs = this.#deps.clock.nowMs();
    this.#sinceMs = nowMs;
    for (const record of this.#credentials.values()) {
      record.sinceMs = nowMs;
      record.heldUntilMs -= CLOCK_ROUNDING_MS + (forwardMs ?? Number.POSITIVE_INFINITY);
    }
    if (forwardMs !== 0) this.#recent.length = 0;
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
      // What is answered in the end has not been multiplied.
      if (fate.kind === 'answer' && isRepeat(ticket)) this.#record(call.credential.id).retries -= 1;
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
        this.#noteRetryAfter(call, fate.failure);
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
    const { clock, chronicle } = this.#deps;
    const nowMs = clock.nowMs();
    this.calls += 1;
    const { name } = this.plan;
    chronicle.note(`${name} is asked ${promptOf(call.request)} with ${call.credential.id}`);
    chronicle.expect(ticket !== undefined, 'nobody is asked for what nobody wants', () => promptOf(call.request));
    if (ticket === undefined) return;
    chronicle.expect(
      ticket.goneAtMs === undefined,
      'promise 8: nothing is sent for whoever has left',
      () => `${name} is asked ${ticket.prompt}, gone since ${ticket.goneAtMs}`,
    );
    // A request does not pay for a clock that was set back between two processes.
    const setBackMs = Math.max(0, ticket.wallOffsetMs - call.asker.wallOffsetMs);
    chronicle.expect(
      ticket.hasKey || nowMs < ticket.submittedAtMs + ticket.timeoutMs + setBackMs + CLOCK_ROUNDING_MS,
      'promise 8: nothing is sent after its deadline',
      () => `${name} is asked ${ticket.prompt} ${nowMs - ticket.submittedAtMs} ms after its submission`,
    );
    this.#judgeCredential(call.credential.id, ticket);
    this.#judgePace();
    if (this.#deps.isCalmWorld) this.#judgeOrder(ticket);
    ticket.calls.push({ provider: name, credentialId: call.credential.id, atMs: nowMs });
  }

  #judgeCredential(credentialId: string, ticket: Ticket): void {
    const { clock, chronicle } = this.#deps;
    const nowMs = clock.nowMs();
    const record = this.#record(credentialId);
    // Two that were sent at the moment of the refusal were on their way together.
    const isHeld = nowMs > record.heldFromMs && nowMs < record.heldUntilMs;
    chronicle.expect(
      !isHeld,
      'promise 7: Retry-After is a floor',
      () => `${credentialId} is used ${record.heldUntilMs - nowMs} ms too early`,
    );
    const last = ticket.calls.at(-1);
    if (last === undefined) record.firsts += 1;
    else if (last.credentialId === credentialId) record.retries += 1;
    const allowed = 20 + 0.2 * record.firsts + (nowMs - record.sinceMs) / 10_000;
    chronicle.expect(
      record.retries <= allowed + 1e-6,
      'promise 6: retries stay within their budget',
      () => `${credentialId}: ${record.retries} retries for ${record.firsts} first attempts`,
    );
  }

  /** Those who wait for nobody but this provider, and have not been served, go by their virtual deadlines. */
  #judgeOrder(ticket: Ticket): void {
    const { clock, chronicle, tickets } = this.#deps;
    const waits = (other: Ticket) =>
      other.mode === 'sync' && !other.hasKey && other.pin === this.plan.name && other.calls.length === 0;
    if (!waits(ticket)) return;
    chronicle.count('order judged');
    for (const other of tickets.list()) {
      const isWaiting = other !== ticket && waits(other) && other.goneAtMs === undefined;
      // Within a second it may be on its way into the lane.
      if (!isWaiting || other.submittedAtMs > clock.nowMs() - 1_000) continue;
      chronicle.expect(
        keyMs(ticket) <= keyMs(other),
        'promise 9: the smallest virtual deadline goes first',
        () => `${ticket.prompt} (${ticket.priority}) overtook ${other.prompt} (${other.priority})`,
      );
    }
  }

  #judgePace(): void {
    const { clock, chronicle, isPacingExact } = this.#deps;
    const { name, requestsPerMinute } = this.plan;
    if (requestsPerMinute === undefined || !isPacingExact) return;
    const nowMs = clock.nowMs();
    this.#recent.push(nowMs);
    while ((this.#recent[0] ?? nowMs) <= nowMs - 60_000) this.#recent.shift();
    while ((this.#paceSlack[0] ?? nowMs) <= nowMs - 60_000) this.#paceSlack.shift();
    const forgotten = this.#paceSlack.length * (Math.ceil((PACE_FORGOTTEN_MS * requestsPerMinute) / 60_000) + 1);
    chronicle.expect(
      this.#recent.length <= requestsPerMinute + forgotten,
      'promise 22: pacing holds in any minute',
      () => `${name} was asked ${this.#recent.length} times in a minute, and allows ${requestsPerMinute}`,
    );
  }

  #noteRetryAfter({ credential }: UpstreamCall, failure: Failure): void {
    if (failure.kind !== 'rate-limited' || failure.retryAfterMs === undefined) return;
    const record = this.#record(credential.id);
    const nowMs = this.#deps.clock.nowMs();
    record.toldAtMs = nowMs;
    if (nowMs >= record.heldUntilMs) record.heldFromMs = nowMs;
    record.heldUntilMs = Math.max(record.heldUntilMs, nowMs + failure.retryAfterMs);
  }

  #record(credentialId: string): CredentialRecord {
    const known = this.#credentials.get(credentialId);
    if (known !== undefined) return known;
    const fresh = { heldFromMs: 0, heldUntilMs: 0, toldAtMs: 0, firsts: 0, retries: 0, sinceMs: this.#sinceMs };
    this.#credentials.set(credentialId, fresh);
    return fresh;
  }
}

function keyMs({ submittedAtMs, priority }: Ticket): number {
  return submittedAtMs + { high: 0, normal: 30_000, low: 600_000 }[priority];
}

/** Whether the last call went where the one before it went. */
function isRepeat(ticket: Ticket | undefined): boolean {
  const [before, last] = ticket?.calls.slice(-2) ?? [];
  return last !== undefined && before?.credentialId === last.credentialId;
}

function promptOf(request: ParsedRequest): string {
  if (request.kind === 'embedding') return request.input[0] ?? '';
  const content = request.messages.at(-1)?.content;
  return typeof content === 'string' ? content : '';
}
