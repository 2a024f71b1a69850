/**
 * The composition root: builds adapters, actors, queue and stores from a config, hands to each actor what must outlive it,
 * and changes the whole while it runs (`reload`, `updateProvider`). Nothing else knows how the parts are put together.
 */
import type { BeforeEvent } from './actors/actor.ts';
import { COST_TRACKER_ID, CostControl } from './actors/cost-tracker.ts';
import { HealthControl } from './actors/health-monitor.ts';
import { ProviderControl } from './actors/provider-control.ts';
import { SupervisorError } from './actors/process.ts';
import { Registry } from './actors/registry.ts';
import { ServiceControl } from './actors/service.ts';
import { Tree } from './actors/tree.ts';
import { buildAdapters } from './build-adapters.ts';
import { createCatalogue } from './catalogue/catalogue.ts';
import { diffConfig } from './config/diff.ts';
import type { ConfigSource } from './config/input.ts';
import { readConfigTree } from './config/load.ts';
import { patchProvider } from './config/patch.ts';
import { type ConfigResolution, resolveConfig } from './config/resolve.ts';
import type { CreateAdapter } from './contract/adapter.ts';
import type { Clock } from './contract/clock.ts';
import type { ProviderConfig, ResolvedConfig } from './contract/config.ts';
import { SwitchgearError } from './contract/errors.ts';
import type { Ledger, RequestStore } from './contract/records.ts';
import type { ProviderPatch, Service, SupervisorView } from './contract/service.ts';
import { Door } from './runtime/admit.ts';
import { checkProvider } from './runtime/diagnose.ts';
import { createIdSource } from './runtime/ids.ts';
import { LiveService, type ServiceOwner } from './runtime/live-service.ts';
import { OpenTable } from './runtime/open-table.ts';
import { RequestQueue } from './runtime/request-queue.ts';
import type { Provider, Runtime } from './runtime/runtime.ts';
import { settledWithin } from './runtime/sleep.ts';
import { systemClock } from './runtime/system-clock.ts';
import { MemoryLedger } from './stores/memory-ledger.ts';
import { MemoryStore } from './stores/memory.ts';
import { Emitter } from './telemetry/emitter.ts';
import { createSilentLogger, type Logger, logEvents } from './telemetry/log.ts';

/** What a caller may put in place of the defaults. */
export interface ServiceDeps {
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** A pino logger. Default: silent. */
  readonly logger?: Logger;
  /** The transport of the built-in adapters. Default: undici's. */
  readonly fetch?: typeof globalThis.fetch;
  /** Adapters by the name that the config calls them. */
  readonly adapters?: Readonly<Record<string, CreateAdapter>>;
  /** A request store and a ledger in place of the configured ones; closed with the service. */
  readonly store?: RequestStore;
  readonly ledger?: Ledger;
  /** Where `${NAME}` in the config comes from. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Sees each event before its actor does; a throw crashes that actor. For fault injection in tests. */
  readonly beforeActorEvent?: BeforeEvent;
}

/** What closing the adapters may take when everything has ended. */
const CLOSE_TIMEOUT_MS = 10_000;

/** What a running adapter cannot take over: a change of these makes a new one. */
const ADAPTER_FIELDS = [
  'adapter',
  'baseURL',
  'credentials',
  'headers',
  'query',
  'proxy',
  'timeouts',
  'options',
  'allowPrivate',
] as const;

/**
 * Starts a service.
 * @throws {SwitchgearError} `invalid-config` that names every mistake; nothing is started then
 */
export async function startService(source: ConfigSource, deps: ServiceDeps = {}): Promise<Service> {
  const { tree } = await readConfigTree(source);
  const composition = new Composition(source, tree, deps);
  return composition.start();
}

class Composition implements ServiceOwner {
  readonly #source: ConfigSource;
  readonly #deps: ServiceDeps;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #emitter = new Emitter();
  readonly #registry = new Registry();
  readonly #providers = new Map<string, Provider>();
  readonly #runtime: Runtime;
  readonly #tree: Tree;
  readonly #closing: (() => Promise<void>)[] = [];
  #written: unknown;
  #config: ResolvedConfig;
  #catalogue: ReturnType<typeof createCatalogue>;
  #changing: Promise<void> = Promise.resolve();
  #isClosed = false;
  readonly #ending = new AbortController();
  readonly nextId: () => string;

  constructor(source: ConfigSource, written: unknown, deps: ServiceDeps) {
    this.#source = source;
    this.#written = written;
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.#logger = deps.logger ?? createSilentLogger();
    this.nextId = createIdSource(this.#clock);
    const resolution = this.#resolve(written);
    this.#config = resolution.config;
    this.#catalogue = createCatalogue(resolution.config.providers);
    this.#runtime = this.#createRuntime(resolution.config);
    const { costs, health, service, announce } = this.#runtime;
    this.#tree = new Tree({ clock: this.#clock, announce, registry: this.#registry, costs, health, service });
    logEvents(this.#emitter, this.#logger);
    for (const notice of resolution.notices) this.#logger.info(notice);
    for (const warning of resolution.warnings) this.#logger.warn(warning);
  }

  async start(): Promise<Service> {
    const { providers } = this.#config;
    const built = this.#createProviders(providers, this.#buildAdapters(providers));
    await this.#tree.start();
    for (const provider of built) await this.#addProvider(provider);
    const service = new LiveService(this.#runtime, new Door(this.#runtime, this.nextId), this);
    this.#tree.onExit(() => {
      this.#isClosed = true;
      service.fail('the root supervisor gave up: its children crashed faster than they may be restarted');
    });
    return service;
  }

  /** From now on nothing is waited for. */
  end(): void {
    this.#ending.abort();
  }

  readonly on: ServiceOwner['on'] = (event, listener) => this.#emitter.on(event, listener);

  get supervisor(): SupervisorView {
    const tree = this.#tree;
    return {
      children: () => tree.children(),
      suspend: (id) =>
        asOperator(() => {
          tree.suspend(id);
        }),
      resume: (id) =>
        asOperator(() => {
          tree.resume(id);
        }),
      restart: (id) => asOperator(() => tree.restart(id)),
    };
  }

  updateProvider(name: string, patch: ProviderPatch): Promise<void> {
    return this.#change(async () => {
      if (!this.#providers.has(name)) {
        const known = [...this.#providers.keys()].join(', ');
        throw new SwitchgearError(
          'invalid-request',
          `expected the name of an active provider (${known}), got: ${name}`,
          { param: 'name' },
        );
      }
      await this.#apply(patchProvider(this.#written, name, patch));
    });
  }

  /** Reads the source again; what `updateProvider` changed is forgotten. */
  reload(): Promise<void> {
    return this.#change(async () => {
      const { tree } = await readConfigTree(this.#source);
      await this.#apply(tree);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#flushCosts();
    await this.#tree.stop();
    const closed = Promise.all([
      ...this.#closing.map((close) => close()),
      ...[...this.#providers.values()].map(({ adapter }) => this.#closeAdapter(adapter)),
    ]);
    if (!(await settledWithin(this.#clock, closed, CLOSE_TIMEOUT_MS)))
      this.#logger.warn('an adapter did not close in time');
    await this.#runtime.store.close();
  }

  /** A tree that gave up has nobody left who could write. */
  async #flushCosts(): Promise<void> {
    if (this.#registry.find(COST_TRACKER_ID) === undefined) return;
    await this.#runtime.costs.flush().catch((error: unknown) => {
      this.#logger.error({ error: String(error) }, 'costs recorded lately are lost');
    });
  }

  #createRuntime(config: ResolvedConfig): Runtime {
    const clock = this.#clock;
    const emitter = this.#emitter;
    const announce: Runtime['announce'] = (name, payload) => {
      emitter.announce(name, payload);
    };
    const shared = { clock, announce, registry: this.#registry, beforeEvent: this.#deps.beforeActorEvent };
    const ledger = this.#deps.ledger ?? new MemoryLedger({ retainDays: config.ledger.retainDays });
    this.#closing.push(() => ledger.close());
    const runtime: Runtime = {
      clock,
      announce,
      config: () => this.#config,
      catalogue: () => this.#catalogue,
      providers: this.#providers,
      queue: new RequestQueue(clock),
      store: this.#deps.store ?? new MemoryStore({ clock, resultTtlMs: config.store.resultTtlMs }),
      costs: new CostControl({ ...shared, ledger }),
      health: new HealthControl({
        ...shared,
        providers: () => this.#watched(),
        check: (provider) => checkProvider(runtime, provider),
      }),
      service: new ServiceControl(shared),
      open: new OpenTable(),
      ending: this.#ending.signal,
    };
    return runtime;
  }

  #watched() {
    return [...this.#providers.values()].map(({ control }) => ({
      name: control.name,
      intervalMs: control.config.health.intervalMs,
      state: () => control.state(),
    }));
  }

  #resolve(written: unknown): ConfigResolution {
    const { env = process.env, adapters = {} } = this.#deps;
    return resolveConfig(written, { env, adapterNames: Object.keys(adapters), source: this.#sourceName });
  }

  get #sourceName(): string {
    const { configFile } = { configFile: undefined, ...this.#source };
    return typeof configFile === 'string' ? configFile : 'the config';
  }

  #createProviders(
    configs: readonly ProviderConfig[],
    adapters: ReturnType<typeof buildAdapters>,
  ): readonly Provider[] {
    return configs.flatMap((config) => {
      const adapter = adapters.get(config.name);
      return adapter === undefined ? [] : [{ control: this.#createControl(config), adapter }];
    });
  }

  #createControl(config: ProviderConfig): ProviderControl {
    const { announce } = this.#runtime;
    const beforeEvent = this.#deps.beforeActorEvent;
    return new ProviderControl({ config, clock: this.#clock, registry: this.#registry, announce, beforeEvent });
  }

  #buildAdapters(configs: readonly ProviderConfig[]): ReturnType<typeof buildAdapters> {
    const { fetch, adapters = {} } = this.#deps;
    return buildAdapters(configs, { fetch, adapters, clock: this.#clock }, this.#sourceName);
  }

  /** A tree that ends meanwhile takes no more; what was built for it is closed. */
  async #addProviders(newcomers: readonly Provider[]): Promise<void> {
    try {
      for (const provider of newcomers) await this.#addProvider(provider);
    } catch (error) {
      for (const { adapter } of newcomers) this.#retire(adapter);
      throw new SwitchgearError('shutting-down', 'the service ended while its config was changed', { cause: error });
    }
  }

  async #addProvider(provider: Provider): Promise<void> {
    await this.#tree.addProvider(provider.control);
    this.#providers.set(provider.control.name, provider);
    this.#runtime.queue.addLane(provider.control);
  }

  async #removeProvider(name: string): Promise<void> {
    const provider = this.#providers.get(name);
    provider?.control.retire();
    this.#providers.delete(name);
    this.#runtime.queue.removeLane(name);
    await this.#tree.removeProvider(name);
    this.#retire(provider?.adapter);
  }

  /** Changes are made one after another. */
  #change(make: () => Promise<void>): Promise<void> {
    const change = this.#changing.then(() => {
      if (this.#isClosed) throw new SwitchgearError('shutting-down', 'the service has ended; start a new one');
      return make();
    });
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /** Everything that can fail comes before the first change. */
  async #apply(written: unknown): Promise<void> {
    const { config } = this.#resolve(written);
    const { added, removed, changed } = diffConfig(this.#config, config);
    const isNamed = (names: readonly string[]) => config.providers.filter(({ name }) => names.includes(name));
    const rebuilt = isNamed(changed).filter((provider) => this.#needsAdapter(provider));
    const adapters = this.#buildAdapters([...isNamed(added), ...rebuilt]);
    const newcomers = this.#createProviders(isNamed(added), adapters);
    const changes = isNamed(changed).map((provider) => this.#prepareChange(provider, adapters.get(provider.name)));
    this.#written = written;
    this.#config = config;
    this.#catalogue = createCatalogue(config.providers);
    for (const change of changes) change();
    for (const name of removed) await this.#removeProvider(name);
    await this.#addProviders(newcomers);
    this.#runtime.announce('config.reloaded', { added, removed, changed });
  }

  /** What the config in force says, not what the actor knows: it may be down and hear of the last change later. */
  #needsAdapter(config: ProviderConfig): boolean {
    const before = this.#config.providers.find(({ name }) => name === config.name);
    return ADAPTER_FIELDS.some((field) => JSON.stringify(before?.[field]) !== JSON.stringify(config[field]));
  }

  /** Breaker, queue and requests in flight are kept; a new adapter, where there is one, serves the attempts to come. */
  #prepareChange(config: ProviderConfig, adapter: Provider['adapter'] | undefined): () => void {
    const provider = this.#providers.get(config.name);
    if (provider === undefined) throw new TypeError(`expected provider ${config.name} to be running`);
    return () => {
      provider.control.configure(config);
      if (adapter === undefined) return;
      this.#providers.set(config.name, { control: provider.control, adapter });
      this.#retire(provider.adapter);
    };
  }

  /** Closes an adapter once its requests in flight are over, which `close` waits for. */
  #retire(adapter: Provider['adapter'] | undefined): void {
    if (adapter === undefined) return;
    const closed = this.#closeAdapter(adapter);
    this.#closing.push(() => closed);
  }

  /** An adapter of a user may throw here, at once or later. Never rejects. */
  async #closeAdapter(adapter: Provider['adapter']): Promise<void> {
    try {
      await adapter.close?.();
    } catch (error) {
      this.#logger.warn({ error: String(error) }, 'closing an adapter failed');
    }
  }
}

/** What the tree cannot do is told in the one error type that leaves the package. */
async function asOperator(act: () => void | Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof SupervisorError)) throw error;
    if (error.code === 'stopped') throw new SwitchgearError('shutting-down', error.message, { cause: error });
    throw new SwitchgearError('invalid-request', error.message, { param: 'id', cause: error });
  }
}
