/**
 * A deterministic simulation in the manner of FoundationDB and TigerBeetle's VOPR: the whole runtime, its real code, under
 * virtual time and seeded chance, with providers, stores, callers and operators that misbehave as the seed has it. After
 * every step the promises are checked. When its time is over everything is healed, and the world has to come to rest:
 * every request ended, every breaker closed, every cent accounted for, nothing left running.
 */
import { startService } from '../../src/compose.ts';
import type { ProviderEvent } from '../../src/actors/provider.ts';
import type { SwitchgearConfig } from '../../src/config/input.ts';
import type { Service } from '../../src/contract/service.ts';
import { EVENT_NAMES } from '../../src/runtime/parse-arguments.ts';
import { MemoryLedger } from '../../src/stores/memory-ledger.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import type { EventName } from '../../src/contract/events.ts';
import { BreakerWatch } from './breaker-watch.ts';
import { Callers } from './callers.ts';
import { Chronicle, type Violation } from './chronicle.ts';
import { Dice } from './dice.ts';
import { CrashInjector, disturb, revive } from './disturbances.ts';
import { createFaultyStore, FaultyLedger, Illness } from './faulty-stores.ts';
import { drawPlan, HOUR_MS, isCalm, type Plan } from './plan.ts';
import { StoryWatch } from './story-watch.ts';
import { Tickets } from './tickets.ts';
import { Upstream } from './upstream.ts';

const ACTOR_PREFIX = 'provider/';
/** Steps between two looks at providers that nothing happened to. */
const FULL_CHECK_EVERY = 500;
const RESULT_TTL_MS = 7 * 86_400_000;
/** Every wait that weather can cause is over after this. */
const HEALING_MS = 24 * HOUR_MS;
const PROBE_EVERY_MS = 2_000;

export interface SimulationOptions {
  readonly seed: number;
  readonly hours: number;
  /** Leaves the wall clock alone although the plan says otherwise. */
  readonly withoutWallJumps?: boolean;
  readonly print?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number;
  readonly hours: number;
  /** Of everything that happened; equal for equal seeds. */
  readonly digest: string;
  readonly steps: number;
  readonly requests: number;
  readonly upstreamCalls: number;
  readonly counts: ReadonlyMap<string, number>;
  readonly violations: readonly Violation[];
  readonly lastLines: readonly string[];
}

/** Lives one seed. */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const plan = drawPlan(options.seed, options.hours);
  const simulation = new Simulation(options.withoutWallJumps === true ? withoutWallJumps(plan) : plan, options.print);
  return simulation.run();
}

function withoutWallJumps(plan: Plan): Plan {
  return { ...plan, disturbances: { ...plan.disturbances, wallJumpEveryMs: undefined } };
}

class Simulation {
  readonly #plan: Plan;
  readonly #clock: VirtualClock;
  readonly #dice: Dice;
  readonly #chronicle: Chronicle;
  readonly #tickets = new Tickets();
  readonly #upstreams: readonly Upstream[];
  readonly #illness: Illness;
  readonly #injector: CrashInjector;
  readonly #story: StoryWatch;
  readonly #breakers = new Map<string, BreakerWatch>();
  /** Providers whose actor was told something since the last check. */
  readonly #touched = new Set<string>();
  #service: Service | undefined;
  #steps = 0;

  constructor(plan: Plan, print: ((line: string) => void) | undefined) {
    const { seed, disturbances } = plan;
    this.#plan = plan;
    this.#clock = new VirtualClock({ seed });
    this.#dice = new Dice(`world/${seed}`);
    this.#chronicle = new Chronicle(this.#clock, print);
    const shared = { clock: this.#clock, chronicle: this.#chronicle, tickets: this.#tickets };
    this.#upstreams = plan.providers.map((provider) => {
      const isCalmWorld = isCalm(disturbances);
      const isPacingExact = disturbances.store.slowMs === 0;
      return new Upstream(provider, { ...shared, dice: this.#dice.fork(provider.name), isPacingExact, isCalmWorld });
    });
    this.#illness = new Illness(disturbances.store, this.#clock, this.#dice.fork('store'), this.#chronicle);
    this.#injector = new CrashInjector(plan, this.#clock, this.#dice.fork('crashes'), this.#chronicle);
    this.#story = new StoryWatch(this.#chronicle);
    for (const { name } of plan.providers)
      this.#breakers.set(name, new BreakerWatch(name, this.#clock, this.#chronicle));
  }

  async run(): Promise<SimulationReport> {
    const service = await this.#start();
    this.#service = service;
    this.#observe(service);
    const untilMs = this.#plan.hours * HOUR_MS;
    const callers = this.#createCallers(service);
    const { clock, plan } = { clock: this.#clock, plan: this.#plan };
    disturb({
      service,
      clock,
      plan,
      untilMs,
      dice: this.#dice.fork('disturbances'),
      chronicle: this.#chronicle,
    });
    this.#open(callers, this.#dice.fork('arrivals'), untilMs);
    await this.#advance(service, untilMs);
    if (this.#isClean) await this.#comeToRest(service, callers);
    return this.#report();
  }

  #start(): Promise<Service> {
    const { traffic, providers } = this.#plan;
    const config: SwitchgearConfig = {
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
    const clock = this.#clock;
    const store = new MemoryStore({ clock, resultTtlMs: RESULT_TTL_MS });
    return startService(config, {
      clock,
      env: {},
      storage: {
        requests: createFaultyStore(store, this.#illness),
        ledger: new FaultyLedger(new MemoryLedger({ retainDays: 30 }), this.#illness),
      },
      adapters: {
        simulated: (provider, deps) => this.#upstream(provider.name).createAdapter(provider, deps),
      },
      beforeActorEvent: (actor, event) => {
        this.#injector.judge(actor, event);
        if (!actor.startsWith(ACTOR_PREFIX)) return;
        const name = actor.slice(ACTOR_PREFIX.length);
        this.#touched.add(name);
        // A provider actor is told nothing but its own events and those of XState.
        this.#breakers.get(name)?.saw(event as ProviderEvent, this.#limitOf(name));
      },
    });
  }

  #limitOf(name: string): number {
    return this.#service?.providerStates()[name]?.concurrency.limit ?? Number.POSITIVE_INFINITY;
  }

  #observe(service: Service): void {
    const story = this.#story;
    const chronicle = this.#chronicle;
    // The keys of the record are exactly the event names.
    for (const name of Object.keys(EVENT_NAMES) as EventName[]) {
      service.on(name, (payload) => {
        chronicle.count(`event: ${name}`);
        chronicle.note(`${name} ${JSON.stringify({ ...payload, attempts: undefined })}`);
        if (this.#plan.disturbances.listenersThrow && name !== 'listener.failed') throw new Error('a listener throws');
      });
    }
    service.on('request.admitted', (payload) => {
      story.admitted(payload);
    });
    service.on('attempt.started', (payload) => {
      story.attemptStarted(payload);
    });
    service.on('attempt.failed', (payload) => {
      story.attemptFailed(payload);
      chronicle.count(`failure: ${payload.kind}`);
    });
    service.on('request.settled', (payload) => {
      story.settled(payload);
    });
    service.on('breaker.opened', ({ provider, openMs }) => this.#breakers.get(provider)?.opened(openMs));
    service.on('breaker.halfOpened', ({ provider }) => this.#breakers.get(provider)?.halfOpened());
    service.on('breaker.closed', ({ provider }) => this.#breakers.get(provider)?.closed());
    service.on('actor.restarted', ({ actor }) => this.#breakers.get(actor)?.restarted());
    service.on('actor.crashed', ({ actor, message }) => {
      chronicle.expect(message.includes('injected'), 'no actor crashes by itself', () => `${actor}: ${message}`);
    });
    service.on('service.failed', ({ reason }) => {
      chronicle.expect(false, 'the root never gives up on what it can bear', () => reason);
    });
  }

  #createCallers(service: Service): Callers {
    return new Callers({
      service,
      clock: this.#clock,
      chronicle: this.#chronicle,
      tickets: this.#tickets,
      dice: this.#dice.fork('callers'),
      traffic: this.#plan.traffic,
      providers: this.#plan.providers.map(({ name }) => name),
    });
  }

  /** Callers arrive one after another, and now and then many at once. */
  #open(callers: Callers, dice: Dice, untilMs: number): void {
    const { ratePerSecond, burstFactor } = this.#plan.traffic;
    let burstUntilMs = 0;
    const next = (): void => {
      const nowMs = this.#clock.nowMs();
      if (dice.chance(0.002)) burstUntilMs = nowMs + 20_000;
      const rate = nowMs < burstUntilMs ? ratePerSecond * burstFactor : ratePerSecond;
      const delayMs = dice.exponential(1_000 / rate);
      if (nowMs + delayMs > untilMs) return;
      this.#clock.setTimeout(() => {
        void callers.arrive();
        next();
      }, delayMs);
    };
    next();
  }

  get #isClean(): boolean {
    return this.#chronicle.violations.length === 0;
  }

  async #advance(service: Service, untilMs: number): Promise<void> {
    while (this.#isClean && (await this.#clock.step(untilMs))) this.#check(service);
    if (this.#isClean) await this.#clock.advance(untilMs - this.#clock.nowMs());
    this.#check(service);
  }

  #check(service: Service): void {
    this.#steps += 1;
    for (const upstream of this.#upstreams) upstream.checkAborts();
    if (this.#steps % FULL_CHECK_EVERY === 0) for (const { plan } of this.#upstreams) this.#touched.add(plan.name);
    if (this.#touched.size === 0) return;
    const states = service.providerStates();
    for (const name of this.#touched) {
      const state = states[name];
      // What it is told while it is down or suspended waits for it.
      if (state === undefined || state.isSuspended || this.#isDead(service, name)) continue;
      this.#breakers.get(name)?.check(state.breaker.state);
    }
    this.#touched.clear();
  }

  #isDead(service: Service, name: string): boolean {
    const providers = service.supervisor.children().find(({ id }) => id === 'providers')?.children ?? [];
    return providers.find(({ id }) => id === name)?.state !== 'running';
  }

  /** Everything is healed: what is open ends, what is down comes back, the books agree, and nothing is left. */
  async #comeToRest(service: Service, callers: Callers): Promise<void> {
    const chronicle = this.#chronicle;
    chronicle.note('everything is healed');
    for (const upstream of this.#upstreams) upstream.isHealed = true;
    this.#illness.heal();
    this.#injector.isHealed = true;
    // An actor that is about to restart cannot be revived yet.
    await this.#advance(service, this.#clock.nowMs() + 120_000);
    await revive({ service, chronicle });
    for (const { name } of this.#plan.providers) await this.#recover(service, callers, name);
    const untilMs = this.#clock.nowMs() + HEALING_MS;
    while (this.#isClean && service.queueStatus().open > 0 && this.#clock.nowMs() < untilMs)
      await this.#advance(service, this.#clock.nowMs() + 60_000);
    if (!this.#isClean) return;
    await this.#clock.waitFor(callers.collect());
    chronicle.expect(
      callers.unsettled === 0,
      'promise 12: everything acknowledged ends',
      () => `${callers.unsettled} do not`,
    );
    chronicle.expect(this.#story.openCount === 0, 'every request ends', () => `${this.#story.openCount} do not`);
    callers.isOver = true;
    await this.#audit(service);
    this.#checkRest(service);
    await this.#clock.waitFor(service.stop());
    await this.#clock.advance(HOUR_MS);
    chronicle.expect(
      this.#clock.pendingTimers === 0,
      'nothing is left',
      () => `${this.#clock.pendingTimers} timers are`,
    );
  }

  /** A healthy provider answers within its open time and two probes, and closes its breaker. */
  async #recover(service: Service, callers: Callers, name: string): Promise<void> {
    const state = service.providerStates()[name];
    const gateMs = Math.min(...(state?.credentials ?? []).map(({ heldForMs = 0 }) => heldForMs));
    const openMs = state?.breaker.nextProbeAt === undefined ? 0 : state.breaker.nextProbeAt - this.#clock.wallMs();
    const quarantineMs = state?.quarantinedModels.length === 0 ? 0 : 600_000;
    // A probe that was under way when all was healed may still fail: a lease and one more opening.
    const untilMs = this.#clock.nowMs() + Math.max(gateMs, openMs, quarantineMs) + 60_000 + 360_000 + 30_000;
    const upstream = this.#upstream(name);
    const { answers } = upstream;
    while (this.#isClean && this.#clock.nowMs() < untilMs) {
      const probe = callers.probe(name);
      await this.#advance(service, this.#clock.nowMs() + PROBE_EVERY_MS);
      await this.#clock.waitFor(probe);
      // Who is answered may be somebody who has waited for longer than the probe.
      if (this.#breakers.get(name)?.state === 'closed' && upstream.answers > answers) return;
    }
    this.#chronicle.expect(
      !this.#isClean,
      'promise 4: a healthy provider is used again',
      () => `${name} is ${JSON.stringify(service.providerStates()[name])}`,
    );
  }

  /** Promise 21: the ledger is the sum of what was attempted, to the nano-dollar. */
  async #audit(service: Service): Promise<void> {
    const { totalCost } = await this.#clock.waitFor(service.costSummary());
    this.#chronicle.expect(
      BigInt(totalCost.usdNanos) === this.#story.spentNanos,
      'promise 21: the ledger is exact',
      () => `the ledger says ${totalCost.usdNanos}, the attempts say ${this.#story.spentNanos}`,
    );
  }

  #checkRest(service: Service): void {
    const { lanes, open } = service.queueStatus();
    const inFlight = Object.values(service.providerStates()).map(({ concurrency }) => concurrency.inFlight);
    const left = [
      open,
      service.openRequests().length,
      ...inFlight,
      ...lanes.flatMap((lane) => [lane.waiting, lane.running]),
    ];
    this.#chronicle.expect(
      left.every((count) => count === 0),
      'nothing is left',
      () => JSON.stringify({ open, lanes, inFlight }),
    );
  }

  #upstream(name: string): Upstream {
    const upstream = this.#upstreams.find(({ plan }) => plan.name === name);
    if (upstream === undefined) throw new TypeError(`expected ${name} to be planned`);
    return upstream;
  }

  #report(): SimulationReport {
    const chronicle = this.#chronicle;
    return {
      seed: this.#plan.seed,
      hours: this.#plan.hours,
      digest: chronicle.digest(),
      steps: this.#steps,
      requests: this.#tickets.issued,
      upstreamCalls: this.#upstreams.reduce((sum, { calls }) => sum + calls, 0),
      counts: chronicle.counts,
      violations: chronicle.violations,
      lastLines: chronicle.lastLines,
    };
  }
}
