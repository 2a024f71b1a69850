/**
 * One process of a simulated world: a service over the world's store, which may die from one moment to the next. From then on
 * none of its timers fires, its store answers nobody, and what it still says in the same turn is not heard.
 */
import { startService } from '../../src/compose.ts';
import type { ProviderEvent } from '../../src/actors/provider.ts';
import type { SwitchgearConfig } from '../../src/config/input.ts';
import type { Service } from '../../src/contract/service.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { MemoryLedger } from '../../src/stores/memory-ledger.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { MortalClock } from '../support/mortal-clock.ts';
import { createFaultyStore, FaultyLedger } from './faulty-stores.ts';
import { createMortalHost, type DeathPoint } from './mortal-host.ts';
import { HOUR_MS, type Plan } from './plan.ts';
import { readBreaker, UNTOUCHED_BREAKER } from './saved-breaker.ts';
import type { StoreWatch } from './store-watch.ts';
import type { World } from './world.ts';

const ACTOR_PREFIX = 'provider/';
/** How long a result can be read where the plan does not say. */
const RESULT_TTL_MS = 7 * 24 * HOUR_MS;
const RETAIN_DAYS = 30;

export interface LifeOptions {
  /** From 1. */
  readonly number: number;
  readonly deathPoint: DeathPoint | undefined;
  /** It is about to die at operations of its store; false: it is spared. */
  readonly onDeath: (names: readonly string[]) => boolean;
}

export class Life {
  readonly number: number;
  readonly clock: MortalClock;
  /** Wall clock less monotonic clock, as this process took them at its start. */
  readonly wallOffsetMs: number;
  /** Once it has started. */
  service: Service | undefined;
  readonly #world: World;
  readonly #options: LifeOptions;
  #host: Host | undefined;

  constructor(world: World, options: LifeOptions) {
    this.number = options.number;
    this.clock = new MortalClock(world.clock);
    this.wallOffsetMs = world.clock.wallMs() - world.clock.nowMs();
    this.#world = world;
    this.#options = options;
  }

  get isDead(): boolean {
    return this.clock.isDead;
  }

  /** Never settles when it dies meanwhile. @throws {SwitchgearError} `store-unavailable` */
  async start(): Promise<Service> {
    const world = this.#world;
    const { watch } = world;
    const asker = { life: this.number, clock: this.clock, watch, wallOffsetMs: this.wallOffsetMs };
    if (watch !== undefined) for (const breaker of world.breakers.values()) breaker.processStarts(UNTOUCHED_BREAKER);
    this.service = await startService(configOf(world.plan), {
      clock: this.clock,
      env: {},
      storage: this.#openStorage(),
      adapters: { simulated: ({ name }) => world.upstream(name).createAdapter(asker) },
      beforeActorEvent: (actor, event) => {
        if (this.isDead) return;
        const name = actor.startsWith(ACTOR_PREFIX) ? actor.slice(ACTOR_PREFIX.length) : undefined;
        const breaker = name === undefined ? undefined : world.breakers.get(name);
        world.injector.judge(actor, event);
        if (name === undefined) return;
        world.touched.add(name);
        const limit = this.service?.providerStates()[name]?.concurrency.limit ?? Number.POSITIVE_INFINITY;
        // A provider actor is told nothing but its own events and those of XState.
        breaker?.saw(event as ProviderEvent, limit);
      },
    });
    return this.service;
  }

  /** Gone, from one moment to the next. */
  die(): void {
    this.clock.die();
    // It writes nothing that was not written: the file is let go, as the operating system would.
    void this.#host?.close();
  }

  #openStorage(): Partial<Storage> {
    const { watch, file, illness, plan } = this.#world;
    if (watch === undefined || file === undefined || plan.durability === undefined) return this.#memory();
    const { resultTtlMs } = plan.durability;
    const inner = createInlineHost({ path: file.path, resultTtlMs, hasWebhooks: false });
    this.#host = inner;
    const host = createMortalHost(inner, {
      life: this.number,
      watch,
      illness,
      isDead: () => this.isDead,
      die: this.#options.onDeath,
      deathPoint: this.#options.deathPoint,
      clock: this.clock,
      statesTold: (isHeard) => {
        this.#restore(watch, isHeard);
      },
    });
    return createSqliteStorage(host, { clock: this.clock, retainDays: RETAIN_DAYS });
  }

  /** A process that was not told what the last one knew of its providers begins with none of it. */
  #restore({ states }: StoreWatch, isHeard: boolean): void {
    const { upstreams, breakers, clock, chronicle } = this.#world;
    if (!isHeard) for (const upstream of upstreams) upstream.side.processStarts(undefined);
    if (!isHeard) return;
    for (const [name, breaker] of breakers) {
      const saved = readBreaker(states.get(name), this.wallOffsetMs + clock.nowMs());
      breaker.processStarts(saved);
      chronicle.count(`restored: ${saved.state}`);
    }
  }

  #memory(): Partial<Storage> {
    const { clock, illness } = this.#world;
    const store = new MemoryStore({ clock, resultTtlMs: RESULT_TTL_MS });
    const ledger = new MemoryLedger({ retainDays: RETAIN_DAYS });
    return { requests: createFaultyStore(store, illness), ledger: new FaultyLedger(ledger, illness) };
  }
}

function configOf({ traffic, providers }: Plan): SwitchgearConfig {
  return {
    service: { queueDepthMax: traffic.queueDepthMax, asyncTimeoutMs: traffic.asyncTimeoutMs },
    store: { kind: 'memory', resultTtlMs: RESULT_TTL_MS },
    providers: Object.fromEntries(
      providers.map(({ name, keys, priority, concurrency, requestsPerMinute, tokensPerMinute }) => [
        name,
        {
          adapter: 'simulated',
          apiKeys: Array.from({ length: keys }, (_, index) => `key-of-${name}-${index}`),
          models: { m: { price: { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 2 } } },
          priority,
          concurrency,
          rateLimit: {
            ...(requestsPerMinute !== undefined && { requestsPerMinute }),
            ...(tokensPerMinute !== undefined && { tokensPerMinute }),
          },
        },
      ]),
    ),
    models: { any: providers.map(({ name }) => `${name}/m`) },
  };
}
