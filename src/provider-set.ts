/**
 * The providers of a running service: each with its control, its actor in the tree, its lane and its adapter. They come, go
 * and are changed while requests are in flight: an adapter is closed once what it serves is over.
 */
import type { BeforeEvent } from './supervision/actor.ts';
import type { Announce } from './actors/announce.ts';
import { ProviderControl } from './actors/provider-control.ts';
import type { Registry } from './supervision/registry.ts';
import type { Tree } from './actors/tree.ts';
import { buildAdapters, type AdapterParts } from './build-adapters.ts';
import type { Clock } from './contract/clock.ts';
import type { ProviderConfig } from './contract/config.ts';
import { SwitchgearError } from './contract/errors.ts';
import type { ProviderStates } from './runtime/provider-states.ts';
import type { RequestQueue } from './runtime/request-queue.ts';
import type { Provider } from './runtime/runtime.ts';
import { settledWithin } from './runtime/sleep.ts';
import type { Logger } from './telemetry/log.ts';

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

export interface ProviderSetDeps {
  /** By name, in config order; the path of a request reads it. */
  readonly providers: Map<string, Provider>;
  readonly tree: Tree;
  readonly queue: RequestQueue;
  readonly states: ProviderStates;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly announce: Announce;
  readonly beforeEvent: BeforeEvent | undefined;
  readonly logger: Logger;
  readonly adapters: AdapterParts;
  /** What to call the config in errors. */
  readonly sourceName: string;
}

export class ProviderSet {
  readonly #deps: ProviderSetDeps;
  /** Adapters that nobody is sent to any more. */
  readonly #retired: Promise<void>[] = [];

  constructor(deps: ProviderSetDeps) {
    this.#deps = deps;
  }

  /** Builds what can be wrong with a config. @throws {SwitchgearError} `invalid-config` */
  buildAdapters(configs: readonly ProviderConfig[]): ReturnType<typeof buildAdapters> {
    return buildAdapters(configs, this.#deps.adapters, this.#deps.sourceName);
  }

  /** `isReturning`: it comes by a reload, so that it may have been here before. */
  create(
    configs: readonly ProviderConfig[],
    adapters: ReturnType<typeof buildAdapters>,
    isReturning: boolean,
  ): readonly Provider[] {
    const { clock, registry, announce, beforeEvent, states } = this.#deps;
    return configs.flatMap((config) => {
      const adapter = adapters.get(config.name);
      if (adapter === undefined) return [];
      const keeper = states.keeper(config.name);
      const shared = { clock, registry, announce, beforeEvent };
      return [{ control: new ProviderControl({ ...shared, config, keeper, isReturning }), adapter }];
    });
  }

  async add(provider: Provider): Promise<void> {
    await this.#deps.tree.addProvider(provider.control);
    this.#deps.providers.set(provider.control.name, provider);
    this.#deps.queue.addLane(provider.control);
  }

  /** A tree that ends meanwhile takes no more; what was built for it is closed. */
  async addAll(newcomers: readonly Provider[]): Promise<void> {
    try {
      for (const provider of newcomers) await this.add(provider);
    } catch (error) {
      for (const { adapter } of newcomers) this.#retire(adapter);
      throw new SwitchgearError('shutting-down', 'the service ended while its config was changed', { cause: error });
    }
  }

  async remove(name: string): Promise<void> {
    const { providers, queue, tree } = this.#deps;
    const provider = providers.get(name);
    provider?.control.retire();
    providers.delete(name);
    queue.removeLane(name);
    await tree.removeProvider(name);
    this.#retire(provider?.adapter);
  }

  /** Breaker, queue and requests in flight are kept; a new adapter, where there is one, serves the attempts to come. */
  prepareChange(config: ProviderConfig, adapter: Provider['adapter'] | undefined): () => void {
    const { providers } = this.#deps;
    const provider = providers.get(config.name);
    if (provider === undefined) throw new TypeError(`expected provider ${config.name} to be running`);
    return () => {
      provider.control.configure(config);
      if (adapter === undefined) return;
      providers.set(config.name, { control: provider.control, adapter });
      this.#retire(provider.adapter);
    };
  }

  /** Closes every adapter; one that takes too long is left. Never rejects. */
  async close(): Promise<void> {
    const { providers, clock, logger } = this.#deps;
    const closed = Promise.all([
      ...this.#retired,
      ...[...providers.values()].map(({ adapter }) => this.#closeAdapter(adapter)),
    ]);
    if (!(await settledWithin(clock, closed, CLOSE_TIMEOUT_MS))) logger.warn('an adapter did not close in time');
  }

  #retire(adapter: Provider['adapter'] | undefined): void {
    if (adapter !== undefined) this.#retired.push(this.#closeAdapter(adapter));
  }

  /** An adapter of a user may throw here, at once or later. Never rejects. */
  async #closeAdapter(adapter: Provider['adapter']): Promise<void> {
    try {
      await adapter.close?.();
    } catch (error) {
      this.#deps.logger.warn({ error: String(error) }, 'closing an adapter failed');
    }
  }
}

/** What the config in force says, not what the actor knows: it may be down and hear of the last change later. */
export function needsAdapter(before: ProviderConfig | undefined, config: ProviderConfig): boolean {
  return ADAPTER_FIELDS.some((field) => JSON.stringify(before?.[field]) !== JSON.stringify(config[field]));
}
