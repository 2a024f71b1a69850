/**
 * A whole service for one test: virtual time, scripted providers, every event and log line kept, and a switch that crashes
 * any actor at any event. Nothing is shared between two of them, so tests run in parallel.
 */
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startService } from '../../src/compose.ts';
import type { ModelInput, ProviderInput, SwitchgearConfig } from '../../src/config/input.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { EventName, Events } from '../../src/contract/events.ts';
import type { CompletionRequest, RequestOptions } from '../../src/contract/request.ts';
import type { CompletionResponse } from '../../src/contract/response.ts';
import type { RequestResult, Service } from '../../src/contract/service.ts';
import type { ChildState } from '../../src/contract/state.ts';
import { EVENT_NAMES } from '../../src/runtime/parse-arguments.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProvider } from './scripted-provider.ts';

type ScriptedInput = Omit<ProviderInput, 'adapter'>;
type ScriptedModels = Readonly<Record<string, ModelInput | null>>;

export interface TestRuntimeOptions extends Partial<Omit<SwitchgearConfig, 'providers'>> {
  /** By name; `{}` is a provider of model `m` without a key. */
  readonly providers: Readonly<Record<string, ScriptedInput>>;
  readonly seed?: number;
}

/** One dollar for a million input tokens, two for a million output tokens: 10 in, 5 out is 20,000 nano-dollars. */
export const PRICE = { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 2 };
/** What `USAGE` costs at `PRICE`. */
export const ANSWER_NANOS = 20_000;

/** Model `m` with `PRICE`. */
export const PRICED: ScriptedModels = { m: { price: PRICE } };

export const HELLO: CompletionRequest = { model: 'm', messages: [{ role: 'user', content: 'hello' }] };

/** A request to `model` that says `content`. */
export function ask(content: string, model = 'm'): CompletionRequest {
  return { model, messages: [{ role: 'user', content }] };
}

/** A virtual clock that can be late: `lag` moves the time and fires no timer, as a blocked event loop does. */
class LaggingClock extends VirtualClock {
  lagMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.lagMs;
  }
}

type Told = { readonly [Name in EventName]: { readonly name: Name; readonly payload: Events[Name] } }[EventName];

export class TestRuntime {
  readonly clock: VirtualClock;
  readonly service: Service;
  readonly configFile: string;
  readonly events: Told[];
  readonly lines: string[];
  readonly #providers: ReadonlyMap<string, ScriptedProvider>;
  readonly #injection: Injection;
  readonly #lagging: LaggingClock;
  readonly #options: TestRuntimeOptions;

  constructor(parts: {
    readonly options: TestRuntimeOptions;
    readonly configFile: string;
    readonly clock: LaggingClock;
    readonly service: Service;
    readonly lines: string[];
    readonly providers: ReadonlyMap<string, ScriptedProvider>;
    readonly injection: Injection;
  }) {
    this.clock = parts.clock;
    this.#lagging = parts.clock;
    this.#options = parts.options;
    this.configFile = parts.configFile;
    this.service = parts.service;
    this.lines = parts.lines;
    this.#providers = parts.providers;
    this.#injection = parts.injection;
    this.events = [];
    // The keys of the record above are exactly the event names.
    for (const name of Object.keys(EVENT_NAMES) as EventName[]) {
      // Name and payload come from the same subscription.
      this.service.on(name, (payload) => this.events.push({ name, payload } as Told));
    }
  }

  provider(name: string): ScriptedProvider {
    const provider = this.#providers.get(name);
    if (provider === undefined) throw new Error(`no scripted provider ${name}`);
    return provider;
  }

  /** Moves virtual time until the promise settles. */
  run<Value>(promise: Promise<Value>): Promise<Value> {
    return this.clock.waitFor(promise);
  }

  complete(request: CompletionRequest = HELLO, options: RequestOptions = {}): Promise<CompletionResponse> {
    return this.run(this.service.completion(request, options));
  }

  /** Moves virtual time until the promise has rejected; gives its error. */
  async failure(promise: Promise<unknown>): Promise<SwitchgearError> {
    return this.run(rejection(promise));
  }

  /** Waits for an async request to settle. */
  async result(requestId: string): Promise<RequestResult> {
    return this.run(this.service.getResult(requestId, { waitMs: 86_400_000 }));
  }

  eventsOf<Name extends EventName>(name: Name): readonly Events[Name][] {
    // The filter leaves only this name, whose payload it is.
    return this.events.filter((event) => event.name === name).map((event) => event.payload as Events[Name]);
  }

  /** Log lines as objects. */
  get log(): readonly Readonly<Record<string, unknown>>[] {
    // pino writes one JSON object per line.
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Throws inside actors: `crashes` sees every event before its actor does. */
  inject(crashes: (actor: string, event: { readonly type: string }) => boolean): void {
    this.#injection.crashes = crashes;
  }

  /** Lets `byMs` pass without any timer firing. */
  lag(byMs: number): void {
    this.#lagging.lagMs += byMs;
  }

  /** Puts other providers, and other sections where given, into the config file and reloads it. */
  async reload(providers: TestRuntimeOptions['providers'], rest: Partial<TestRuntimeOptions> = {}): Promise<void> {
    await writeConfig(this.configFile, { ...this.#options, ...rest, providers });
    await this.service.reload();
  }

  /** The tree, flat, by id. */
  actors(): Readonly<Record<string, ChildState>> {
    const flat = (children: readonly ChildState[]): readonly ChildState[] =>
      children.flatMap((child) => [child, ...flat(child.children ?? [])]);
    return Object.fromEntries(flat(this.service.supervisor.children()).map((child) => [child.id, child]));
  }

  /** What a request that is over must not leave behind. */
  leftovers(): Readonly<Record<string, unknown>> {
    return leftoversOf(this.service);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.inject(() => false);
    await this.run(this.service.stop({ graceMs: 0 }));
    await rm(this.configFile, { force: true });
  }
}

/** The error that a promise rejects with; moves no time. */
export async function rejection(promise: Promise<unknown>): Promise<SwitchgearError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof SwitchgearError) return error;
  throw new Error(`expected a SwitchgearError, got: ${String(error)}`);
}

/** `leftovers` of a service at rest. */
export const NOTHING_LEFT = { open: 0, openRequests: 0, waiting: 0, running: 0, inFlight: 0 };

/** Counts what is open, queued and running in a service. */
export function leftoversOf(service: Service): typeof NOTHING_LEFT {
  const { lanes, open } = service.queueStatus();
  return {
    open,
    openRequests: service.openRequests().length,
    waiting: lanes.reduce((sum, lane) => sum + lane.waiting, 0),
    running: lanes.reduce((sum, lane) => sum + lane.running, 0),
    inFlight: Object.values(service.providerStates()).reduce((sum, state) => sum + state.concurrency.inFlight, 0),
  };
}

interface Injection {
  crashes: (actor: string, event: { readonly type: string }) => boolean;
}

/** Starts a service whose providers are scripted and whose time stands still until it is moved. */
export async function createTestRuntime(options: TestRuntimeOptions): Promise<TestRuntime> {
  const clock = new LaggingClock({ seed: options.seed ?? 1 });
  const lines: string[] = [];
  const providers = new Map<string, ScriptedProvider>();
  const injection: Injection = { crashes: () => false };
  const configFile = join(tmpdir(), `switchgear-${crypto.randomUUID()}.json`);
  await writeConfig(configFile, options);
  const logger = pino(
    { level: 'trace', base: null, timestamp: false },
    { write: (line: string) => void lines.push(line) },
  );
  const service = await startService(
    { configFile },
    {
      clock,
      logger,
      env: {},
      adapters: {
        scripted: (config, deps) => {
          const provider = providers.get(config.name) ?? new ScriptedProvider(config.name, clock);
          providers.set(config.name, provider);
          return provider.createAdapter(config, deps);
        },
      },
      beforeActorEvent: (actor, event) => {
        if (injection.crashes(actor, event)) throw new Error(`injected into ${actor} at ${event.type}`);
      },
    },
  );
  return new TestRuntime({ options, configFile, clock, service, lines, providers, injection });
}

/** JSON is YAML, so the file is read as the config of a daemon would be. */
async function writeConfig(file: string, { providers, seed: _, ...rest }: TestRuntimeOptions): Promise<void> {
  const scripted = Object.entries(providers).map(([name, input]) => [
    name,
    { adapter: 'scripted', models: ['m'], health: { intervalMs: 86_400_000 }, ...input },
  ]);
  await writeFile(file, JSON.stringify({ ...rest, providers: Object.fromEntries(scripted) }));
}
