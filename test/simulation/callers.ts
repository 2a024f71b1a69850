/**
 * Programs that use the service: they ask in every way the library offers, leave early, come back with the same idempotency
 * key, poll what they submitted, and check what they get. Whatever is not a `SwitchgearError` is a bug.
 */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Priority } from '../../src/contract/request.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import type { Service } from '../../src/contract/service.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import type { VirtualClock } from '../../src/testing/virtual-clock.ts';
import type { Chronicle } from './chronicle.ts';
import type { Dice } from './dice.ts';
import { endTicket, judgeAnswer, noteFailure, stackOf } from './judge-answers.ts';
import type { TrafficPlan } from './plan.ts';
import { keyedRequest, keyOf, Keys, modelOf, optionsOf, requestOf } from './requests.ts';
import type { StoreWatch } from './store-watch.ts';
import { Submissions } from './submissions.ts';
import type { Ticket, Tickets } from './tickets.ts';

const ROUNDING_MS = 1;
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

export class Callers {
  readonly #deps: CallersDeps;
  readonly submissions: Submissions;
  readonly #keys: Keys;

  constructor(deps: CallersDeps) {
    this.#deps = deps;
    this.submissions = new Submissions(deps);
    this.#keys = new Keys(deps);
  }

  /** One program asks once. Never rejects; while no process runs nobody answers. */
  async arrive(): Promise<void> {
    const { dice, chronicle, traffic, watch } = this.#deps;
    if (this.#deps.service() === undefined) {
      chronicle.count('nobody answers');
      return;
    }
    if (watch !== undefined && dice.chance(RECALL_LIKELIHOOD)) void this.submissions.recall();
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
      if (ticket.mode !== 'async' && !ticket.hasKey) endTicket(this.#deps, ticket);
    }
  }

  /** Only for whoever knows that one runs. */
  get #service(): Service {
    const service = this.#deps.service();
    if (service === undefined) throw new TypeError('expected a process to run');
    return service;
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
    const use = this.#keys.draw(ticket);
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
    judgeAnswer(this.#deps, response, ticket);
    chronicle.expect(
      response.text === text,
      'parts and response are the same answer',
      () => `${ticket.prompt}: ${text} / ${response.text}`,
    );
    await stream.response;
  };

  readonly #submit = async (ticket: Ticket): Promise<void> => {
    const { chronicle, watch } = this.#deps;
    const use = ticket.hasKey ? this.#keys.draw(ticket) : undefined;
    const request = use === undefined ? requestOf(ticket) : keyedRequest(use);
    const options = { ...optionsOf(ticket), ...(use && keyOf(use)) };
    let requestId: string;
    try {
      requestId = await this.#service.completionAsync(request, options);
    } catch (error) {
      // Another request may be known by this prompt's record, so only what has no key is surely over; and what a durable
      // store could not answer for may be in it.
      const isUnsure = watch !== undefined && error instanceof SwitchgearError && error.code === 'store-unavailable';
      if (use === undefined && !isUnsure) endTicket(this.#deps, ticket);
      noteFailure(this.#deps, error, ticket);
      return;
    }
    chronicle.note(`${ticket.prompt} is acknowledged as ${requestId}`);
    watch?.acknowledged(requestId);
    if (use !== undefined) this.#keys.note(use, requestId);
    await this.submissions.follow(requestId, ticket);
  };

  async #outcome(asked: Promise<CompletionResponse>, ticket: Ticket): Promise<CompletionResponse | undefined> {
    const response = await this.#settled(asked, ticket, (answer) => {
      judgeAnswer(this.#deps, answer, ticket);
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
      noteFailure(this.#deps, error, ticket);
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
      endTicket(this.#deps, ticket);
    }
  }

  async #keyed(ticket: Ticket, asked: Promise<CompletionResponse>): Promise<void> {
    try {
      judgeAnswer(this.#deps, await asked, ticket);
    } catch (error) {
      noteFailure(this.#deps, error, ticket);
    }
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
}
