/**
 * What happens to one request at the simulator: it is read, written down, judged as a healthy upstream would, given its
 * fault, and answered.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../contract/clock.ts';
import { readBody, type ReadBody } from './body.ts';
import { answerControl, controlPrefix } from './control.ts';
import { FaultSource } from './fault-source.ts';
import { hashKey, type ParsedPatch, type ParsedStart } from './options.ts';
import { playReply } from './play.ts';
import { createProblem, type Problem } from './problems.ts';
import { createRandom, drawMs } from './random.ts';
import { redirectedPrefix, type Rendering, type Reply } from './reply.ts';
import { RequestLog, type SimulatorRequest } from './request-log.ts';
import { findRoute, parseAsked, refuseModel, renderAsked, type Asked, type Route } from './routes.ts';
import { changeSettings, settingsDefault } from './settings.ts';
import { planReply } from './spoil.ts';

/** Sets the chance of latencies apart from that of failures, so that a change of one leaves the other as it was. */
const latencySeedMask = 0x5bd1e995;

/** Answers the requests of one simulator. */
export class Upstream {
  readonly log = new RequestLog();
  readonly #name: string;
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #faults: FaultSource;
  readonly #drawLatency: () => number;
  /** One per reply that is going on. */
  readonly #open = new Set<AbortController>();
  #isStopped = false;
  #settings = settingsDefault;

  constructor(start: ParsedStart, clock: Clock) {
    this.#name = start.name;
    this.#clock = clock;
    this.#startedMs = clock.nowMs();
    this.#faults = new FaultSource(createRandom(start.seed));
    this.#drawLatency = createRandom(start.seed ^ latencySeedMask);
    this.apply(start);
  }

  /** Changes what is named; null gives an option its default again. */
  apply(patch: ParsedPatch): void {
    this.#settings = changeSettings(this.#settings, patch);
    if (patch.outages !== undefined) this.#faults.plan(patch.outages ?? []);
    if (patch.failures !== undefined) this.#faults.fail(patch.failures ?? []);
    if (patch.script !== undefined) this.#faults.follow(patch.script ?? []);
    if (patch.fault !== undefined) this.#faults.turn(patch.fault, this.#nowMs() + (patch.forMs ?? Infinity));
  }

  /** Whether a new connection is to be closed; writes it down if so. */
  isRefusing(): boolean {
    const fault = this.#faults.ofUpstream(this.#nowMs());
    if (fault?.kind !== 'refuse') return false;
    this.log.open({ method: '', path: '', atMs: this.#nowMs(), headerNames: [], credential: undefined }).fault =
      fault.name;
    return true;
  }

  /** Ends every reply that is still going on. */
  stop(): void {
    this.#isStopped = true;
    for (const reply of this.#open) reply.abort();
  }

  /** Answers one request. Rejects only for a defect. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (path === controlPrefix || path.startsWith(`${controlPrefix}/`))
      return await this.#control(request, response, path);
    const key = readKey(request);
    const entry = this.log.open({
      method: request.method ?? '',
      path,
      atMs: this.#nowMs(),
      headerNames: Object.keys(request.headers),
      credential: key === undefined ? undefined : hashKey(key).slice(0, 8),
    });
    const signal = this.#watch(response, entry);
    const body = await readBody(request);
    entry.bytesReceived = body.bytes;
    if (body.kind === 'gone') return;
    const reply = this.#plan(request, { path, key, body, entry });
    await playReply({ reply, response, clock: this.#clock, signal, now: () => this.#nowMs(), entry });
  }

  /** Aborts when the client has left, which is written down, or when the simulator stops. */
  #watch(response: ServerResponse, entry: SimulatorRequest): AbortSignal {
    const reply = new AbortController();
    this.#open.add(reply);
    response.once('close', () => {
      this.#open.delete(reply);
      const isOwnEnd = response.writableFinished || entry.endedAtMs !== undefined || this.#isStopped;
      if (!isOwnEnd) entry.closedByClientAtMs = this.#nowMs();
      reply.abort();
    });
    return reply.signal;
  }

  #plan(request: IncomingMessage, arrival: Arrival): Reply {
    const { path, key, entry } = arrival;
    const isRedirected = path.startsWith(redirectedPrefix);
    const route = findRoute(
      request.method ?? '',
      isRedirected ? path.slice(redirectedPrefix.length) : path,
      'anthropic-version' in request.headers,
    );
    const asked = this.#judge(request, route, arrival);
    const model = describeAsked(asked, entry);
    entry.wire = route.wire.name;
    const fault = isRedirected
      ? undefined
      : (this.#faults.ofUpstream(entry.atMs) ?? (model === undefined ? undefined : this.#faults.takeFor(model)));
    if (fault !== undefined) entry.fault = fault.name;
    const { latency, tokensPerSecond, outputTokens, models } = this.#settings;
    const circumstances = {
      wire: route.wire,
      fault,
      source: this.#name,
      number: entry.number,
      createdSeconds: Math.floor(this.#clock.wallMs() / 1_000),
      outputTokens,
      models,
    };
    const rendering: Rendering = asked.kind === 'problem' ? asked : renderAsked({ asked, ...circumstances });
    return planReply(rendering, fault, {
      wire: route.wire,
      requestId: `req_${this.#name}_${entry.number}`,
      path,
      key,
      latencyMs: drawMs(latency, this.#drawLatency),
      gapMs: tokensPerSecond === undefined ? 0 : 1_000 / tokensPerSecond,
    });
  }

  /** Finds what a healthy upstream would object to, in the order in which it would look. */
  #judge(request: IncomingMessage, route: Route, { key, body }: Arrival): Asked {
    const { keyHashes, models } = this.#settings;
    if (keyHashes !== undefined && (key === undefined || !keyHashes.includes(hashKey(key))))
      return refuse(createProblem('unauthorized'));
    if (route.kind === 'unknown') return refuse(createProblem('not-found'));
    if (route.wire.name === 'anthropic' && !('anthropic-version' in request.headers)) {
      return refuse(createProblem('invalid-request', { message: 'anthropic-version: header is required' }));
    }
    if (body.kind === 'too-large') return refuse(createProblem('too-large'));
    if (route.kind !== 'models' && body.kind !== 'json')
      return refuse(createProblem('invalid-request', { message: 'The body is not valid JSON.' }));
    const asked = parseAsked(route, body.kind === 'json' ? body.value : undefined);
    const model =
      asked.kind === 'completion'
        ? asked.question.model
        : asked.kind === 'embedding'
          ? asked.embedding.model
          : undefined;
    const problem = model === undefined ? undefined : refuseModel(model, models);
    return problem === undefined ? asked : refuse(problem);
  }

  async #control(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { status, body } = await answerControl(request, path, { log: this.log, apply: (patch) => this.apply(patch) });
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #nowMs(): number {
    return this.#clock.nowMs() - this.#startedMs;
  }
}

interface Arrival {
  readonly path: string;
  readonly key: string | undefined;
  readonly body: ReadBody;
  readonly entry: SimulatorRequest;
}

function refuse(problem: Problem): Asked {
  return { kind: 'problem', problem };
}

/** Writes down what was asked, and names the model if one is to answer. */
function describeAsked(asked: Asked, entry: SimulatorRequest): string | undefined {
  if (asked.kind === 'embedding') entry.model = asked.embedding.model;
  if (asked.kind === 'completion') {
    const { model, isStream, maxTokens } = asked.question;
    Object.assign(entry, { model, isStream, ...(maxTokens !== undefined && { maxTokens }) });
  }
  return entry.model;
}

function readKey(request: IncomingMessage): string | undefined {
  const header = request.headers['x-api-key'];
  const bearer = /^Bearer (.+)$/iu.exec(request.headers.authorization ?? '')?.[1];
  return typeof header === 'string' ? header : bearer;
}
