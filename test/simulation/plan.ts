/**
 * What one seed stands for: which providers there are and what befalls them, who calls how often and how, and what else is
 * done to the service meanwhile. Options are drawn too, not only events (swarm testing: Groce et al., ISSTA 2012): a world
 * without crashes or with a single key reaches states that a world with a bit of everything never does.
 */
import { Dice } from './dice.ts';
import { type Weather, WEATHERS } from './weather.ts';

export const HOUR_MS = 3_600_000;

export interface Episode {
  readonly fromMs: number;
  readonly weather: Weather;
}

export interface ProviderPlan {
  readonly name: string;
  readonly keys: number;
  readonly priority: number;
  readonly concurrency: number;
  readonly requestsPerMinute: number | undefined;
  readonly tokensPerMinute: number | undefined;
  readonly episodes: readonly Episode[];
}

export interface TrafficPlan {
  /** Mean arrivals per second; bursts multiply it. */
  readonly ratePerSecond: number;
  readonly burstFactor: number;
  readonly modes: Readonly<Record<'sync' | 'stream' | 'async' | 'embedding', number>>;
  /** How likely a caller leaves before it has its answer. */
  readonly leaving: number;
  readonly cancelling: number;
  /** How likely a request carries the idempotency key of an earlier one. */
  readonly repeating: number;
  readonly timeoutsMs: readonly (number | undefined)[];
  readonly queueDepthMax: number;
  readonly asyncTimeoutMs: number;
  /** Who asks. */
  readonly tenants: readonly (string | undefined)[];
  /** How likely a submitted request may be sent at most once. */
  readonly atMostOnce: number;
}

export interface DisturbancePlan {
  /** How likely one event crashes its actor. */
  readonly crashes: number;
  /** Store operations: how likely each fails while the store is ill, how often it falls ill, and how slow it is. */
  readonly store: {
    readonly failing: number;
    readonly everyMs: number;
    readonly forMs: number;
    readonly slowMs: number;
    /** How likely an operation hangs while the store is ill. */
    readonly hanging: number;
  };
  /** Mean time between two jumps of the wall clock; undefined: none. */
  readonly wallJumpEveryMs: number | undefined;
  /** Mean time between two interventions of an operator. */
  readonly operatorEveryMs: number | undefined;
  readonly listenersThrow: boolean;
  /** A time in which every second event crashes the first provider's actor, until it is given up. */
  readonly curse: { readonly fromMs: number; readonly untilMs: number } | undefined;
  /** Events at which actors crash, each counting its own; nobody but them does anything to the service then. */
  readonly crashPoints?: CrashPoints;
}

/** Every `every`th event from the `first` on, to the `last`. */
export interface CrashPoints {
  readonly first: number;
  readonly every: number;
  readonly last: number;
}

/** A store that outlives its process, and what ends processes. */
export interface DurabilityPlan {
  /** Mean time between two deaths; undefined: none by time. */
  readonly deathEveryMs: number | undefined;
  /** How likely a process dies at one of its first 500 store operations. */
  readonly deathByOperation: number;
  /** Mean time between two stops, each with a grace of its own. */
  readonly stopEveryMs: number | undefined;
  /** The longest time between the end of a process and the next one. */
  readonly pauseMs: number;
  /** Whether the wall clock may have been moved when the next one starts. */
  readonly clockMoves: boolean;
  readonly resultTtlMs: number;
}

export interface Plan {
  readonly seed: number;
  readonly hours: number;
  /** Undefined: everything is in the memory of one process. */
  readonly durability: DurabilityPlan | undefined;
  readonly providers: readonly ProviderPlan[];
  readonly traffic: TrafficPlan;
  readonly disturbances: DisturbancePlan;
}

const WEEK_MS = 7 * 24 * HOUR_MS;

/** Draws the world of a seed. `isDurable`: its store is a file, whatever the dice say. */
export function drawPlan(seed: number, hours: number, isDurable = false): Plan {
  const dice = new Dice(`plan/${seed}`);
  const durability = drawDurability(dice.fork('durability'), isDurable);
  return {
    seed,
    hours,
    durability,
    providers: drawProviders(dice.fork('providers'), hours * HOUR_MS),
    traffic: isDurable
      ? busy(drawTraffic(dice.fork('traffic'), true))
      : drawTraffic(dice.fork('traffic'), durability !== undefined),
    disturbances: drawDisturbances(dice.fork('disturbances'), hours * HOUR_MS, durability !== undefined),
  };
}

/** A world in which crashes at certain events are the only thing that happens to the service. */
export function withCrashPoints(plan: Plan, crashPoints: CrashPoints): Plan {
  const { disturbances, traffic } = plan;
  return {
    ...plan,
    durability: undefined,
    traffic: busy(traffic),
    disturbances: { ...disturbances, crashes: 0, operatorEveryMs: undefined, curse: undefined, crashPoints },
  };
}

function drawDurability(dice: Dice, isCertain: boolean): DurabilityPlan | undefined {
  if (!dice.chance(0.4) && !isCertain) return undefined;
  return {
    deathEveryMs: dice.pick([undefined, 20_000, 120_000, 600_000]),
    deathByOperation: dice.pick([0, 0.3, 0.9]),
    stopEveryMs: dice.pick([undefined, undefined, 120_000, 600_000]),
    pauseMs: dice.pick([0, 1_000, 30_000, 300_000]),
    clockMoves: dice.chance(0.2),
    resultTtlMs: dice.pick([WEEK_MS, WEEK_MS, 300_000]),
  };
}

function drawProviders(dice: Dice, untilMs: number): ProviderPlan[] {
  return Array.from({ length: dice.integer(1, 4) }, (_, index) => ({
    name: `p${index}`,
    keys: dice.chance(0.7) ? 1 : dice.integer(2, 3),
    priority: dice.integer(1, 3),
    concurrency: dice.pick([1, 2, 4, 8, 32]),
    requestsPerMinute: dice.chance(0.3) ? dice.pick([3, 10, 60]) : undefined,
    tokensPerMinute: dice.chance(0.15) ? dice.pick([20_000, 100_000]) : undefined,
    episodes: drawEpisodes(dice, untilMs),
  }));
}

function drawEpisodes(dice: Dice, untilMs: number): Episode[] {
  const meanMs = dice.logUniform(60_000, HOUR_MS);
  const episodes: Episode[] = [{ fromMs: 0, weather: dice.weighted<Weather>(WEATHERS) }];
  for (let atMs = dice.exponential(meanMs); atMs < untilMs; atMs += dice.exponential(meanMs))
    episodes.push({ fromMs: atMs, weather: dice.weighted<Weather>(WEATHERS) });
  return episodes;
}

function drawTraffic(dice: Dice, isDurable: boolean): TrafficPlan {
  const drawn = drawAnyTraffic(dice);
  if (!isDurable) return drawn;
  const { modes } = drawn;
  return {
    ...drawn,
    // What is submitted is what a durable store is for.
    modes: { ...modes, async: modes.async + 2 },
    queueDepthMax: dice.pick([2, 5, 20, 10_000]),
    tenants: dice.pick([[undefined], ['one', 'two', 'three']]),
    repeating: dice.pick([0.1, 0.3]),
    atMostOnce: dice.pick([0, 0.2]),
  };
}

/** Something is always being written. */
function busy(traffic: TrafficPlan): TrafficPlan {
  return { ...traffic, ratePerSecond: Math.max(0.2, traffic.ratePerSecond) };
}

function drawAnyTraffic(dice: Dice): TrafficPlan {
  return {
    ratePerSecond: dice.logUniform(0.005, 0.6),
    burstFactor: dice.pick([1, 1, 5, 30]),
    modes: {
      sync: dice.pick([0, 1, 3]) + 0.1,
      stream: dice.pick([0, 1, 3]),
      async: dice.pick([0, 1, 3]),
      embedding: dice.pick([0, 0.3]),
    },
    leaving: dice.pick([0, 0.05, 0.4]),
    cancelling: dice.pick([0, 0.05, 0.3]),
    repeating: dice.pick([0, 0.1]),
    timeoutsMs: dice.pick([[undefined], [1_000, 5_000, 30_000, undefined], [200, 1_000], [120_000, 600_000]]),
    queueDepthMax: dice.pick([5, 50, 10_000, 10_000]),
    asyncTimeoutMs: dice.pick([30_000, 600_000, 86_400_000, 86_400_000]),
    tenants: [undefined],
    atMostOnce: 0,
  };
}

function drawDisturbances(dice: Dice, lengthMs: number, isDurable: boolean): DisturbancePlan {
  const curseMs = dice.between(0, lengthMs * 0.8);
  return {
    crashes: dice.pick([0, 0, 1 / 2_000, 1 / 300, 1 / 50]),
    store: {
      failing: dice.pick([0, 0, 0.1, 0.5, 1]),
      everyMs: dice.pick([300_000, 1_200_000]),
      forMs: dice.pick([1_000, 30_000, 300_000]),
      slowMs: dice.pick([0, 0, 5, 200]),
      hanging: isDurable ? dice.fork('hanging').pick([0, 0, 0.05]) : 0,
    },
    wallJumpEveryMs: dice.chance(0.3) ? 600_000 : undefined,
    operatorEveryMs: dice.chance(0.5) ? 300_000 : undefined,
    listenersThrow: dice.chance(0.1),
    curse: dice.chance(0.15) ? { fromMs: curseMs, untilMs: curseMs + 300_000 } : undefined,
  };
}

/** Whether nobody but providers and callers misbehaves, so that what takes turns can be told exactly. */
export function isCalm({ durability, disturbances: { crashes, store, operatorEveryMs, curse } }: Plan): boolean {
  const isQuiet = crashes === 0 && operatorEveryMs === undefined && curse === undefined;
  return isQuiet && store.slowMs === 0 && durability === undefined;
}
