/**
 * Programs that use the service: they ask in every way the library offers, leave early, come back with the same idempotency
 * key, poll what they submitted, and check what they get. Whatever is not a `SwitchgearError` is a bug.
 */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { CompletionRequest, Priority, RequestOptions } from '../../src/contract/request.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import type { VirtualClock } from '../../src/testing/virtual-clock.ts';
import type { Chronicle } from './chronicle.ts';
import type { Dice } from './dice.ts';
import type { TrafficPlan } from './plan.ts';
import type { StoreWatch } from './store-watch.ts';
import type { Ticket, Tickets } from './tickets.ts';
import { ANSWER, INPUT_TOKENS, TOKENS_PER_PART } from './upstream.ts';

const ROUNDING_MS = 1;
/** Keys that may be used again. */
const KEYS_KEPT = 50;
/** Ends that may be asked for again. */
const TOLD_KEPT = 100;
/** How likely somebody who comes also asks for an end that was told before. */
const RECALL_LIKELIHOOD = 0.3;

export interface CallersDeps {
  /** The process that runs; undefined: none. */
  readonly service: () => Service | undefined;
  /** Wall clock less monotonic clock of that process, ms. */
  readonly wallOffsetMs: () => number;
  /** What a durable store holds. */
  readonly watch: StoreWatch | undefined;
  readonly clock: VirtualClock;
  readonly dice: Dice;
  readonly chronicle: Chronicle;
  readonly tickets: Tickets;
  readonly traffic: TrafficPlan;
  readonly providers: readonly string[];
}

/** An idempotency key, and what it stands for. */
interface KeyUse {
  readonly key: string;
  readonly content: string;
  readonly model: string;
  readonly tenant: string | undefined;
  requestId?: string;
}

/** A submitted request that was acknowledged. */
interface Acknowledged {
  readonly requestId: string;
  readonly ticket: Ticket;
}

/** An end that was told, word by word. */
interface Told {
  readonly requestId: string;
  readonly end: string;
  /** The process that told it. */
  readonly by: Service | undefined;
}

export class Callers {
  readonly #deps: CallersDeps;
  readonly #keys: KeyUse[] = [];
  /** Not known to have ended yet. */
  readonly #acknowledged = new Map<string, Acknowledged>();
  /** The ends that were told lately: every process tells them alike. */
  readonly #told: Told[] = [];
  #keySequence = 0;
  /** From now on nobody asks for anything. */
  isOver = false;

  constructor(deps: CallersDeps) {
    this.#deps = deps;
  }

  /** Submitted, acknowledged, and not seen ended. */
  get unsettled(): number {
    return this.#acknowledged.size;
  }

  /** One program asks once. Never rejects; while no process runs nobody answers. */
  async arrive(): Promise<void> {
    const { dice, chronicle, traffic, watch } = this.#deps;
    if (this.#deps.service() === undefined) {
      chronicle.count('nobody answers');
      return;
    }
    if (watch !== undefined && dice.chance(RECALL_LIKELIHOOD)) void this.#recall();
    const mode = dice.weighted(traffic.modes);
    chronicle.count(`mode: ${mode}`);
    const act = { sync: this.#ask, stream: this.#stream, async: this.#submit, embedding: this.#embed }[mode];
    try {
      await act(this.#ticket(mode));
    } catch (error) {
      chronicle.expect(false, 'nothing but a SwitchgearError leaves the service', () => stackOf(error));
    }
  }

  /** One more request, so that there is traffic. */
  async probe(pin: string): Promise<void> {
    const ticket = this.#deps.tickets.issue({
      mode: 'sync',
      priority: 'high',
      pin,
      hasKey: false,
      tenant: undefined,
      isAtMostOnce: false,
      wallOffsetMs: this.#deps.wallOffsetMs(),
      submittedAtMs: this.#deps.clock.nowMs(),
      timeoutMs: 60_000,
    });
    await this.#outcome(this.#service.completion(requestOf(ticket), optionsOf(ticket)), ticket);
  }

  /** The process has ended: whoever held on to it is let go, and what was submitted goes on without them. */
  processEnded(): void {
    for (const ticket of [...this.#deps.tickets.list()]) {
      // Another process counts its attempts anew.
      ticket.calls.length = 0;
      if (ticket.mode !== 'async' && !ticket.hasKey) this.#end(ticket);
    }
  }

  /** Only for whoever knows that one runs. */
  get #service(): Service {
    const service = this.#deps.service();
    if (service === undefined) throw new TypeError('expected a process to run');
    return service;
  }

  /** Everything that was acknowledged must end. */
  async collect(): Promise<void> {
    for (const { requestId, ticket } of [...this.#acknowledged.values()]) await this.#readResult(requestId, ticket, 0);
  }

  #ticket(mode: Ticket['mode']): Ticket {
    const { dice, tickets, traffic, clock, providers } = this.#deps;
    const timeoutMs = dice.pick(traffic.timeoutsMs);
    const isAtMostOnce = mode === 'async' && dice.chance(traffic.atMostOnce);
    if (isAtMostOnce) this.#deps.chronicle.count('recovery: atMostOnce');
    return tickets.issue({
      isAtMostOnce,
      tenant: dice.pick(traffic.tenants),
      wallOffsetMs: this.#deps.wallOffsetMs(),
      mode,
      priority: dice.pick<Priority>(['high', 'normal', 'normal', 'low']),
      pin: dice.chance(0.4) ? dice.pick(providers) : undefined,
      hasKey: (mode === 'sync' || mode === 'async') && dice.chance(traffic.repeating),
      submittedAtMs: clock.nowMs(),
      timeoutMs: timeoutMs ?? (mode === 'async' ? traffic.asyncTimeoutMs : 600_000),
    });
  }

  readonly #ask = async (ticket: Ticket): Promise<void> => {
    const leaving = this.#mayLeave(ticket);
    const options = { ...optionsOf(ticket), ...(leaving && { signal: leaving.signal }) };
    if (!ticket.hasKey) {
      await this.#outcome(this.#service.completion(requestOf(ticket), options), ticket);
      return;
    }
    const use = this.#key(ticket);
    // Whoever comes back with a key is answered by another request's work, and leaving does not stop it.
    await this.#keyed(ticket, this.#service.completion(keyedRequest(use), { ...options, ...keyOf(use) }));
  };

  readonly #embed = async (ticket: Ticket): Promise<void> => {
    const { chronicle } = this.#deps;
    const leaving = this.#mayLeave(ticket);
    const options = { ...optionsOf(ticket), ...(leaving && { signal: leaving.signal }) };
    const response = this.#service.embedding({ model: modelOf(ticket), input: ticket.prompt }, options);
    await this.#settled(response, ticket, (embedded) => {
      chronicle.expect(embedded.vectors.length === 1, 'an embedding has a vector for each input', () => ticket.prompt);
    });
  };

  readonly #stream = async (ticket: Ticket): Promise<void> => {
    const { dice, clock, chronicle } = this.#deps;
    const delivery = dice.pick(['live', 'live', 'whole', 'restart'] as const);
    chronicle.count(`delivery: ${delivery}`);
    const leaving = this.#mayLeave(ticket);
    const isSlow = dice.chance(0.1);
    const breaksAt = dice.chance(this.#deps.traffic.leaving) ? dice.integer(1, 3) : Number.POSITIVE_INFINITY;
    const stream = this.#service.completionStream(requestOf(ticket), {
      ...optionsOf(ticket),
      delivery,
      ...(leaving && { signal: leaving.signal }),
    });
    let text = '';
    let parts = 0;
    const read = async (): Promise<CompletionResponse | undefined> => {
      for await (const part of stream) {
        if (part.type === 'restart') text = '';
        if (part.type === 'restart')
          chronicle.expect(delivery === 'restart', 'only `restart` streams restart', () => ticket.prompt);
        if (part.type === 'text') text += part.text;
        if (part.type === 'finish') return part.response;
        parts += 1;
        if (isSlow) await sleep(clock, 300);
        if (parts >= breaksAt) {
          ticket.goneAtMs = clock.nowMs();
          chronicle.count('left: in the middle of a stream');
          return undefined;
        }
      }
      throw new TypeError('the stream ended without a finish and without an error');
    };
    // A slow reader ends later than its request.
    const response = await this.#settled(read(), ticket, () => undefined, isSlow);
    if (response === undefined || response === 'failed') return;
    this.#judgeAnswer(response, ticket);
    chronicle.expect(
      response.text === text,
      'parts and response are the same answer',
      () => `${ticket.prompt}: ${text} / ${response.text}`,
    );
    await stream.response;
  };

  readonly #submit = async (ticket: Ticket): Promise<void> => {
    const { chronicle, watch } = this.#deps;
    const use = ticket.hasKey ? this.#key(ticket) : undefined;
    const request = use === undefined ? requestOf(ticket) : keyedRequest(use);
    const options = { ...optionsOf(ticket), ...(use && keyOf(use)) };
    let requestId: string;
    try {
      requestId = await this.#service.completionAsync(request, options);
    } catch (error) {
      // Another request may be known by this prompt's record, so only what has no key is surely over; and what a durable
      // store could not answer for may be in it.
      const isUnsure = watch !== undefined && error instanceof SwitchgearError && error.code === 'store-unavailable';
      if (use === undefined && !isUnsure) this.#end(ticket);
      this.#noteFailure(error, ticket);
      return;
    }
    chronicle.note(`${ticket.prompt} is acknowledged as ${requestId}`);
    watch?.acknowledged(requestId);
    if (use !== undefined) this.#noteKey(use, requestId);
    this.#acknowledged.set(requestId, { requestId, ticket });
    await this.#follow(requestId, ticket);
  };

  async #follow(requestId: string, ticket: Ticket): Promise<void> {
    const { dice, clock, traffic } = this.#deps;
    await sleep(clock, dice.logUniform(1, 120_000));
    if (dice.chance(traffic.cancelling)) await this.#cancel(requestId, ticket);
    for (let polls = 0; polls < 3 && this.#acknowledged.has(requestId) && !this.isOver; polls++) {
      await this.#readResult(requestId, ticket, dice.pick([0, 1_000, 60_000]));
      await sleep(clock, dice.logUniform(100, 300_000));
    }
  }

  async #cancel(requestId: string, ticket: Ticket): Promise<void> {
    const { chronicle, clock } = this.#deps;
    const cancelled = await this.#deps
      .service()
      ?.cancel(requestId)
      .catch((error: unknown) => {
        this.#noteFailure(error, ticket);
        return undefined;
      });
    if (cancelled === undefined) return;
    chronicle.count(`cancel: ${cancelled}`);
    if (!cancelled) return;
    if (!ticket.hasKey) ticket.goneAtMs ??= clock.nowMs();
    const result = await this.#readResult(requestId, ticket, 0);
    chronicle.expect(
      result === undefined || result.status === 'cancelled',
      'promise 12: what was cancelled is cancelled',
      () => `${requestId} is ${result?.status}`,
    );
  }

  /** Reads again when it has ended: an end does not change. */
  async #readResult(requestId: string, ticket: Ticket, waitMs: number): Promise<RequestResult | undefined> {
    const { chronicle, clock } = this.#deps;
    const result = await this.#read(requestId, ticket, waitMs);
    if (result === undefined || result.status === 'queued' || result.status === 'running') return result;
    if (!this.#acknowledged.delete(requestId)) return result;
    chronicle.note(`${requestId} ${result.status}`);
    if (result.status === 'succeeded') this.#judgeAnswer(result.response, ticket);
    else if ('error' in result) this.#noteFailure(result.error, ticket);
    if (!ticket.hasKey) this.#end(ticket);
    const told = { requestId, end: JSON.stringify(result), by: this.#deps.service() };
    this.#told.push(told);
    if (this.#told.length > TOLD_KEPT) this.#told.shift();
    await sleep(clock, 10_000);
    if (!this.isOver) await this.#compare(told, ticket);
    return result;
  }

  /** Somebody asks once more for what was told, perhaps by an earlier process. */
  async #recall(): Promise<void> {
    const { dice, chronicle } = this.#deps;
    if (this.#told.length === 0) return;
    const told = dice.pick(this.#told);
    if (told.by !== this.#deps.service()) chronicle.count('told again by another process');
    await this.#compare(told, undefined);
  }

  async #compare({ requestId, end }: Told, ticket: Ticket | undefined): Promise<void> {
    const again = await this.#read(requestId, ticket, 0);
    this.#deps.chronicle.expect(
      again === undefined || JSON.stringify(again) === end,
      'promise 12: an end does not change',
      () => `${requestId} was ${end} and is ${JSON.stringify(again)}`,
    );
  }

  /** Undefined: nobody runs who could be asked, the store cannot be read, or the result has been kept for its time. */
  async #read(requestId: string, ticket: Ticket | undefined, waitMs: number): Promise<RequestResult | undefined> {
    const { chronicle } = this.#deps;
    try {
      return await this.#deps.service()?.getResult(requestId, { waitMs });
    } catch (error) {
      if (ticket !== undefined) this.#noteFailure(error, ticket);
      const isGone = error instanceof SwitchgearError && this.#isGone(requestId, error.code);
      chronicle.expect(
        isGone || (error instanceof SwitchgearError && error.code === 'store-unavailable'),
        'what was acknowledged can be read',
        () => stackOf(error),
      );
      if (isGone) this.#acknowledged.delete(requestId);
      return undefined;
    }
  }

  /** Whether its time is over, and the code says so. */
  #isGone(requestId: string, code: SwitchgearError['code']): boolean {
    const { watch, clock } = this.#deps;
    const readable = watch?.isReadable(requestId, clock.nowMs() + this.#deps.wallOffsetMs());
    return code === (readable === 'expired' ? 'request-expired' : 'request-not-found') && readable !== 'found';
  }

  async #outcome(asked: Promise<CompletionResponse>, ticket: Ticket): Promise<CompletionResponse | undefined> {
    const response = await this.#settled(asked, ticket, (answer) => {
      this.#judgeAnswer(answer, ticket);
    });
    return response === 'failed' ? undefined : response;
  }

  /** Waits for the end of an unkeyed request and judges when it came. */
  async #settled<Response>(
    asked: Promise<Response>,
    ticket: Ticket,
    judge: (response: Response) => void,
    isLate = false,
  ): Promise<Response | 'failed'> {
    const { clock, chronicle } = this.#deps;
    try {
      const response = await asked;
      chronicle.note(`${ticket.prompt} is answered`);
      judge(response);
      return response;
    } catch (error) {
      this.#noteFailure(error, ticket);
      return 'failed';
    } finally {
      const tookMs = clock.nowMs() - ticket.submittedAtMs;
      chronicle.expect(
        isLate || tookMs <= ticket.timeoutMs + ROUNDING_MS,
        'promise 8: everything ends by its deadline',
        () => `${ticket.prompt} took ${tookMs} ms of ${ticket.timeoutMs}`,
      );
      const goneAtMs = ticket.goneAtMs ?? clock.nowMs();
      chronicle.expect(
        isLate || goneAtMs >= clock.nowMs() - ROUNDING_MS,
        'promise 8: whoever leaves is let go at once',
        () => `${ticket.prompt} was held for ${clock.nowMs() - goneAtMs} ms`,
      );
      this.#end(ticket);
    }
  }

  async #keyed(ticket: Ticket, asked: Promise<CompletionResponse>): Promise<void> {
    try {
      this.#judgeAnswer(await asked, ticket);
    } catch (error) {
      this.#noteFailure(error, ticket);
    }
  }

  #judgeAnswer(response: CompletionResponse, ticket: Ticket): void {
    const { chronicle } = this.#deps;
    const answer = ANSWER.exec(response.text)?.groups;
    chronicle.expect(
      answer !== undefined &&
        answer['provider'] === response.provider &&
        (ticket.hasKey || answer['prompt'] === ticket.prompt) &&
        answer['body']?.trim().split(' ').length === Number(answer['parts']),
      'an answer is whole, and the one that was asked for',
      () => `${ticket.prompt} got from ${response.provider}: ${response.text}`,
    );
    const outputTokens = Number(answer?.['parts']) * TOKENS_PER_PART;
    const { usage, cost } = response;
    chronicle.expect(
      usage.outputTokens === undefined
        ? cost === undefined
        : usage.outputTokens === outputTokens && cost?.usdNanos === INPUT_TOKENS * 1_000 + outputTokens * 2_000,
      'an answer costs what its provider says was used',
      () => `${ticket.prompt}: ${JSON.stringify({ usage, cost, outputTokens })}`,
    );
  }

  #noteFailure(error: unknown, ticket: Ticket): void {
    const { chronicle } = this.#deps;
    if (!(error instanceof SwitchgearError)) throw error;
    chronicle.count(`error: ${error.code}`);
    chronicle.note(`${ticket.prompt} fails: ${error.code} (${error.attempts.length} attempts)`);
    const isNews = ticket.mode !== 'async' && !ticket.hasKey;
    if (error.code === 'providers-unavailable' && isNews) this.#judgeRetryAfter(error, ticket);
  }

  /** When all that could serve are open, the first of them to re-open says when to come back. */
  #judgeRetryAfter(error: SwitchgearError, ticket: Ticket): void {
    const { clock, chronicle, providers } = this.#deps;
    const states = Object.entries(this.#deps.service()?.providerStates() ?? {}).filter(
      ([name]) => providers.includes(name) && (ticket.pin === undefined || ticket.pin === name),
    );
    const areAllOpen = states.every(
      ([, { breaker, credentials, isDown, isSuspended, quarantinedModels }]) =>
        breaker.state === 'open' &&
        !isDown &&
        !isSuspended &&
        quarantinedModels.length === 0 &&
        credentials.every(({ state }) => state === 'usable'),
    );
    const isAnyTried = error.attempts.length > 0;
    if (!areAllOpen || isAnyTried || states.length === 0) return;
    const firstMs = Math.min(...states.map(([, { breaker }]) => (breaker.nextProbeAt ?? 0) - clock.wallMs()));
    chronicle.count('retry-after judged');
    chronicle.expect(
      Math.abs((error.retryAfterMs ?? Number.NaN) - Math.max(1_000, firstMs)) <= 2,
      'a Retry-After is true',
      () =>
        `${ticket.prompt} is told ${error.retryAfterMs} ms, the first breaker half-opens in ${firstMs} ms: ${error.message}`,
    );
  }

  #mayLeave(ticket: Ticket): AbortController | undefined {
    const { dice, clock, traffic, chronicle } = this.#deps;
    if (!dice.chance(traffic.leaving)) return undefined;
    const leaving = new AbortController();
    clock.setTimeout(
      () => {
        if (this.#deps.tickets.find(ticket.prompt) !== ticket) return;
        if (!ticket.hasKey) ticket.goneAtMs ??= clock.nowMs();
        chronicle.count('left: by signal');
        leaving.abort();
      },
      dice.logUniform(1, 60_000),
    );
    return leaving;
  }

  #key(ticket: Ticket): KeyUse {
    const { dice } = this.#deps;
    if (this.#keys.length > 0 && dice.chance(0.6)) return dice.pick(this.#keys);
    const { prompt: content, tenant } = ticket;
    const use = { key: `k${++this.#keySequence}`, content, model: modelOf(ticket), tenant };
    this.#keys.push(use);
    if (this.#keys.length > KEYS_KEPT) this.#keys.shift();
    return use;
  }

  #noteKey(use: KeyUse, requestId: string): void {
    const { watch, clock } = this.#deps;
    const nowMs = clock.nowMs() + this.#deps.wallOffsetMs();
    const isFree =
      use.requestId === undefined || (watch !== undefined && watch.isReadable(use.requestId, nowMs) !== 'found');
    this.#deps.chronicle.expect(
      isFree || use.requestId === requestId,
      'promise 15: one idempotency key, one request',
      () => `${use.key} stands for ${use.requestId} and ${requestId}`,
    );
    use.requestId = requestId;
  }

  #end(ticket: Ticket): void {
    ticket.goneAtMs ??= this.#deps.clock.nowMs();
    this.#deps.tickets.forget(ticket);
  }
}

function modelOf(ticket: Ticket): string {
  return ticket.pin === undefined ? 'any' : `${ticket.pin}/m`;
}

function requestOf(ticket: Ticket): CompletionRequest {
  return { model: modelOf(ticket), messages: [{ role: 'user', content: ticket.prompt }] };
}

function keyedRequest({ model, content }: KeyUse): CompletionRequest {
  return { model, messages: [{ role: 'user', content }] };
}

function optionsOf(ticket: Ticket): RequestOptions {
  const { priority, timeoutMs, tenant, isAtMostOnce } = ticket;
  return {
    priority,
    timeoutMs,
    ...(tenant !== undefined && { tenant }),
    ...(isAtMostOnce && { recovery: 'atMostOnce' as const }),
  };
}

/** A key means what its first user meant by it, for that tenant. */
function keyOf({ key, tenant }: KeyUse): RequestOptions {
  return { idempotencyKey: key, ...(tenant !== undefined && { tenant }) };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
