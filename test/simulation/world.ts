/** What a simulated world consists of, whichever process runs in it. */
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { BreakerWatch } from './breaker-watch.ts';
import { Callers } from './callers.ts';
import { Chronicle } from './chronicle.ts';
import { Dice } from './dice.ts';
import { CrashInjector } from './disturbances.ts';
import { Illness } from './faulty-stores.ts';
import type { Life } from './life.ts';
import { HOUR_MS, isCalm, type Plan } from './plan.ts';
import { ScratchFile } from './scratch-file.ts';
import { StoreWatch } from './store-watch.ts';
import { StoryWatch } from './story-watch.ts';
import { Tickets } from './tickets.ts';
import { Upstream } from './upstream.ts';

export class World implements Disposable {
  readonly plan: Plan;
  readonly clock: VirtualClock;
  readonly dice: Dice;
  readonly chronicle: Chronicle;
  readonly tickets = new Tickets();
  readonly upstreams: readonly Upstream[];
  readonly illness: Illness;
  readonly injector: CrashInjector;
  readonly story: StoryWatch;
  readonly callers: Callers;
  readonly breakers: ReadonlyMap<string, BreakerWatch>;
  /** Providers whose actor was told something since the last check. */
  readonly touched = new Set<string>();
  /** What the durable store holds, where there is one. */
  readonly watch: StoreWatch | undefined;
  readonly file: ScratchFile | undefined;
  /** Monotonic ms after which nothing is done to it any more. */
  readonly untilMs: number;
  /** The process that runs. */
  life: Life | undefined;
  /** Nothing is done to it any more. */
  isHealed = false;
  /** How many timers have fired. */
  steps = 0;

  constructor(plan: Plan, print: ((line: string) => void) | undefined) {
    const { seed, disturbances, durability, providers } = plan;
    this.plan = plan;
    this.untilMs = plan.hours * HOUR_MS;
    this.clock = new VirtualClock({ seed });
    this.dice = new Dice(`world/${seed}`);
    this.chronicle = new Chronicle(this.clock, print);
    const shared = { clock: this.clock, chronicle: this.chronicle, tickets: this.tickets };
    const { slowMs, hanging, failing } = disturbances.store;
    // What is paced is sent at once, and what is owed is saved.
    const isPacingExact = slowMs === 0 && (durability === undefined || (hanging === 0 && failing === 0));
    this.upstreams = providers.map((provider) => {
      const dice = this.dice.fork(provider.name);
      return new Upstream(provider, { ...shared, dice, isPacingExact, isCalmWorld: isCalm(plan) });
    });
    this.illness = new Illness(disturbances.store, this.clock, this.dice.fork('store'), this.chronicle);
    this.injector = new CrashInjector(plan, this.clock, this.dice.fork('crashes'), this.chronicle);
    this.story = new StoryWatch(this.chronicle, this.clock, (requestId) => this.watch?.find(requestId)?.attempts);
    this.breakers = new Map(providers.map(({ name }) => [name, new BreakerWatch(name, this.clock, this.chronicle)]));
    if (durability !== undefined) {
      this.watch = new StoreWatch(this.chronicle, durability.resultTtlMs);
      this.file = new ScratchFile();
    }
    this.callers = new Callers({
      ...shared,
      service: () => this.life?.service,
      wallOffsetMs: () => this.life?.wallOffsetMs ?? 0,
      watch: this.watch,
      dice: this.dice.fork('callers'),
      traffic: plan.traffic,
      providers: providers.map(({ name }) => name),
    });
  }

  get isClean(): boolean {
    return this.chronicle.violations.length === 0;
  }

  upstream(name: string): Upstream {
    const upstream = this.upstreams.find(({ plan }) => plan.name === name);
    if (upstream === undefined) throw new TypeError(`expected ${name} to be planned`);
    return upstream;
  }

  [Symbol.dispose](): void {
    this.life?.die();
    this.file?.[Symbol.dispose]();
  }
}
