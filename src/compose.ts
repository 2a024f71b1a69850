/**
 * The composition root: builds adapters, actors, queue and stores from a config, hands to each actor what must outlive it,
 * and changes the whole while it runs (`reload`, `updateProvider`). Nothing else knows how the parts are put together.
 */
import { dirname } from 'node:path';

import type { BeforeEvent } from './supervision/actor.ts';
import { COST_TRACKER_ID, CostControl } from './actors/cost-tracker.ts';
import { HealthControl } from './actors/health-monitor.ts';
import { Registry } from './supervision/registry.ts';
import { ServiceControl } from './actors/service.ts';
import { Tree } from './actors/tree.ts';
import { createDesk } from './batches/create-desk.ts';
import type { LiveDesk } from './batches/desk.ts';
import { createCatalogue } from './catalogue/catalogue.ts';
import { diffConfig } from './config/diff.ts';
import type { ConfigSource } from './config/input.ts';
import { readConfigTree } from './config/load.ts';
import { patchProvider } from './config/patch.ts';
import { type ConfigResolution, resolveConfig } from './config/resolve.ts';
import type { CreateAdapter } from './contract/adapter.ts';
import { type Clock, steadyWall } from './contract/clock.ts';
import type { ResolvedConfig } from './contract/config.ts';
import { SwitchgearError } from './contract/errors.ts';
import type { Events } from './contract/events.ts';
import type { ProviderPatch, Service, SupervisorView } from './contract/service.ts';
import type { Storage } from './contract/storage.ts';
import { openStorage } from './open-storage.ts';
import { needsAdapter, ProviderSet } from './provider-set.ts';
import { Door } from './runtime/admit.ts';
import { checkProvider } from './runtime/diagnose.ts';
import { Feeder } from './runtime/feed.ts';
import { createIdSource } from './runtime/ids.ts';
import { LiveService, type ServiceOwner } from './runtime/live-service.ts';
import { Lookouts } from './runtime/lookouts.ts';
import { OpenTable } from './runtime/open-table.ts';
import { runRequest } from './runtime/path.ts';
import { Departures } from './runtime/queue-retry.ts';
import { ProviderStates } from './runtime/provider-states.ts';
import { RequestQueue } from './runtime/request-queue.ts';
import type { Provider, Runtime } from './runtime/runtime.ts';
import { createSupervisorView } from './runtime/supervisor-view.ts';
import { systemClock } from './runtime/system-clock.ts';
import { Emitter } from './telemetry/emitter.ts';
import { createSilentLogger, type Logger, logEvents } from './telemetry/log.ts';
import { Deliverer } from './webhooks/deliverer.ts';
import { openEndpoint } from './webhooks/endpoint.ts';

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
  /** Parts of the storage in place of the configured ones. `close` closes what was given. */
  readonly storage?: Partial<Storage>;
  /** The kind of store where the config names none. Default `memory`. */
  readonly storeDefault?: 'memory' | 'sqlite';
  /** Where `${NAME}` in the config comes from. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Sees each event before its actor does; a throw crashes that actor. For fault injection in tests. */
  readonly beforeActorEvent?: BeforeEvent;
}

/** What a config is called that came without a file. */
const OBJECT_NAME = 'the config';

/**
 * Starts a service.
 * @throws {SwitchgearError} `invalid-config` that names every mistake; nothing is started then
 */
export async function startService(source: ConfigSource, deps: ServiceDeps = {}): Promise<Service> {
  const { tree } = await readConfigTree(source);
  const resolution = resolve(source, tree, deps);
  const begun: { composition?: Composition } = {};
  // Nobody can listen before there is a service, and nothing is swept or folded before then.
  const report = (failure: Events['store.failed']) => {
    begun.composition?.storeFailed(failure);
  };
  const storage = { ...(await openStorage(resolution.config, deps.clock ?? systemClock, report)), ...deps.storage };
  const composition = new Composition({ source, tree, deps, resolution, storage });
  begun.composition = composition;
  try {
    return await composition.start();
  } catch (error) {
    composition.end();
    await composition.close();
    throw error;
  }
}

interface CompositionParts {
  readonly source: ConfigSource;
  /** The config as it was written. */
  readonly tree: unknown;
  readonly deps: ServiceDeps;
  readonly resolution: ConfigResolution;
  readonly storage: Storage;
}

class Composition implements ServiceOwner {
  readonly #source: ConfigSource;
  readonly #deps: ServiceDeps;
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #emitter = new Emitter();
  readonly #registry = new Registry();
  readonly #providers = new Map<string, Provider>();
  readonly #providerSet: ProviderSet;
  readonly #runtime: Runtime;
  readonly #door: Door;
  readonly #feeder: Feeder;
  readonly batches: LiveDesk;
  readonly #states: ProviderStates;
  readonly #tree: Tree;
  /** Undefined: webhooks are off. */
  readonly #deliverer: Deliverer | undefined;
  #written: unknown;
  #config: ResolvedConfig;
  #catalogue: ReturnType<typeof createCatalogue>;
  #changing: Promise<void> = Promise.resolve();
  #isClosed = false;
  readonly #ending = new AbortController();
  readonly nextId: () => string;

  constructor({ source, tree, deps, resolution, storage }: CompositionParts) {
    this.#source = source;
    this.#written = tree;
    this.#storage = storage;
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.#logger = deps.logger ?? createSilentLogger();
    this.nextId = createIdSource(this.#clock);
    this.#config = resolution.config;
    this.#catalogue = createCatalogue(resolution.config.providers);
    this.#runtime = this.#createRuntime();
    this.#door = new Door(this.#runtime, this.nextId);
    // It never rejects.
    this.#feeder = new Feeder(this.#runtime, this.#door, (open) => void runRequest(this.#runtime, open));
    const isKept = deps.storage?.requests === undefined || deps.storage.batches !== undefined;
    this.batches = createDesk({
      runtime: this.#runtime,
      door: this.#door,
      storage,
      nextRequestId: this.nextId,
      isKept,
    });
    const { costs, health, service, announce, steadyWallMs } = this.#runtime;
    this.#states = new ProviderStates({ store: storage.states, clock: this.#clock, steadyMs: steadyWallMs, announce });
    this.#tree = new Tree({ clock: this.#clock, announce, registry: this.#registry, costs, health, service });
    this.#providerSet = this.#createProviderSet();
    this.#deliverer = this.#createDeliverer(resolution.config.webhooks);
    logEvents(this.#emitter, this.#logger);
    for (const notice of resolution.notices) this.#logger.info(notice);
    for (const warning of resolution.warnings) this.#logger.warn(warning);
  }

  async start(): Promise<Service> {
    const { providers } = this.#config;
    const adapters = this.#providerSet.buildAdapters(providers);
    await this.#states.load();
    const built = this.#providerSet.create(providers, adapters, false);
    await this.#tree.start();
    for (const provider of built) await this.#providerSet.add(provider);
    await this.batches.start();
    await this.#feeder.recover();
    // What a process before has left, and the ends of what it was running.
    this.#deliverer?.wake();
    const service = new LiveService(this.#runtime, this.#door, this);
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
    return createSupervisorView(this.#tree);
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
    this.#feeder.close();
    await this.#flushCosts();
    await this.#tree.stop();
    await this.#states.close();
    await this.#providerSet.close();
    await this.#deliverer?.stop();
    await this.batches.close();
    await this.#storage.close();
  }

  /** At work that nobody waits for, and that is tried again. */
  storeFailed(failure: Events['store.failed']): void {
    this.#runtime.announce('store.failed', failure);
  }

  /** A tree that gave up has nobody left who could write. */
  async #flushCosts(): Promise<void> {
    if (this.#registry.find(COST_TRACKER_ID) === undefined) return;
    await this.#runtime.costs.flush().catch((error: unknown) => {
      this.#logger.error({ error: String(error) }, 'costs recorded lately are lost');
    });
  }

  #createRuntime(): Runtime {
    const clock = this.#clock;
    const emitter = this.#emitter;
    const announce: Runtime['announce'] = (name, payload) => {
      emitter.announce(name, payload);
    };
    const shared = { clock, announce, registry: this.#registry, beforeEvent: this.#deps.beforeActorEvent };
    const { requests: store, ledger } = this.#storage;
    const runtime: Runtime = {
      clock,
      announce,
      config: () => this.#config,
      catalogue: () => this.#catalogue,
      providers: this.#providers,
      queue: new RequestQueue(clock),
      store,
      costs: new CostControl({ ...shared, ledger }),
      health: new HealthControl({
        ...shared,
        providers: () => this.#watched(),
        check: (provider) => checkProvider(runtime, provider),
      }),
      service: new ServiceControl(shared),
      open: new OpenTable(),
      lookouts: new Lookouts(clock),
      endings: new Set(),
      departures: new Departures(),
      steadyWallMs: steadyWall(clock),
      feed: () => {
        this.#feeder.nudge();
      },
      noteLineEnded: (line) => {
        this.batches.lineEnded(line);
      },
      wakeWebhooks: () => {
        this.#deliverer?.wake();
      },
      ending: this.#ending.signal,
    };
    return runtime;
  }

  /** Whether notices are written is settled when the store is opened. */
  #configureWebhooks(config: ResolvedConfig['webhooks']): void {
    if (config !== undefined) this.#deliverer?.configure(config);
    if ((config === undefined) !== (this.#deliverer === undefined))
      this.#logger.warn('webhooks are turned on or off by a restart');
  }

  #createDeliverer(config: ResolvedConfig['webhooks']): Deliverer | undefined {
    if (config === undefined) return undefined;
    const { clock, announce, steadyWallMs: steadyNowMs } = this.#runtime;
    return new Deliverer(config, {
      clock,
      steadyNowMs,
      announce,
      outbox: this.#storage.webhooks,
      openEndpoint: (webhooks) => openEndpoint(webhooks, { clock }),
    });
  }

  #createProviderSet(): ProviderSet {
    const { fetch, adapters = {}, beforeActorEvent: beforeEvent } = this.#deps;
    const { queue, announce } = this.#runtime;
    const clock = this.#clock;
    return new ProviderSet({
      providers: this.#providers,
      tree: this.#tree,
      queue,
      states: this.#states,
      clock,
      registry: this.#registry,
      announce,
      beforeEvent,
      logger: this.#logger,
      adapters: { fetch, adapters, clock },
      sourceName: sourceName(this.#source),
    });
  }

  #watched() {
    return [...this.#providers.values()].map(({ control }) => ({
      name: control.name,
      intervalMs: control.config.health.intervalMs,
      state: () => control.state(),
    }));
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
    const { config } = resolve(this.#source, written, this.#deps);
    const { added, removed, changed } = diffConfig(this.#config, config);
    const isNamed = (names: readonly string[]) => config.providers.filter(({ name }) => names.includes(name));
    const before = new Map(this.#config.providers.map((provider) => [provider.name, provider]));
    const rebuilt = isNamed(changed).filter((provider) => needsAdapter(before.get(provider.name), provider));
    const set = this.#providerSet;
    const adapters = set.buildAdapters([...isNamed(added), ...rebuilt]);
    const newcomers = set.create(isNamed(added), adapters, true);
    const changes = isNamed(changed).map((provider) => set.prepareChange(provider, adapters.get(provider.name)));
    this.#written = written;
    this.#config = config;
    this.#catalogue = createCatalogue(config.providers);
    for (const change of changes) change();
    this.#configureWebhooks(config.webhooks);
    for (const name of removed) await set.remove(name);
    await set.addAll(newcomers);
    // The queue in memory may have become longer.
    this.#feeder.nudge();
    this.#runtime.announce('config.reloaded', { added, removed, changed });
  }
}

function resolve(source: ConfigSource, written: unknown, deps: ServiceDeps): ConfigResolution {
  const { env = process.env, adapters = {}, storeDefault = 'memory' } = deps;
  const adapterNames = Object.keys(adapters);
  const name = sourceName(source);
  const folder = name === OBJECT_NAME ? '.' : dirname(name);
  return resolveConfig(written, { env, adapterNames, storeDefault, folder, source: name });
}

function sourceName(source: ConfigSource): string {
  const { configFile } = { configFile: undefined, ...source };
  return typeof configFile === 'string' ? configFile : OBJECT_NAME;
}
