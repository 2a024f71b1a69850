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
  };
  /** Mean time between two jumps of the wall clock; undefined: none. */
  readonly wallJumpEveryMs: number | undefined;
  /** Mean time between two interventions of an operator. */
  readonly operatorEveryMs: number | undefined;
  readonly listenersThrow: boolean;
  /** A time in which every second event crashes the first provider's actor, until it is given up. */
  readonly curse: { readonly fromMs: number; readonly untilMs: number } | undefined;
}

export interface Plan {
  readonly seed: number;
  readonly hours: number;
  readonly providers: readonly ProviderPlan[];
  readonly traffic: TrafficPlan;
  readonly disturbances: DisturbancePlan;
}

/** Draws the world of a seed. */
export function drawPlan(seed: number, hours: number): Plan {
  const dice = new Dice(`plan/${seed}`);
  return {
    seed,
    hours,
    providers: drawProviders(dice.fork('providers'), hours * HOUR_MS),
    traffic: drawTraffic(dice.fork('traffic')),
    disturbances: drawDisturbances(dice.fork('disturbances'), hours * HOUR_MS),
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

function drawTraffic(dice: Dice): TrafficPlan {
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
  };
}

function drawDisturbances(dice: Dice, lengthMs: number): DisturbancePlan {
  const curseMs = dice.between(0, lengthMs * 0.8);
  return {
    crashes: dice.pick([0, 0, 1 / 2_000, 1 / 300, 1 / 50]),
    store: {
      failing: dice.pick([0, 0, 0.1, 0.5, 1]),
      everyMs: dice.pick([300_000, 1_200_000]),
      forMs: dice.pick([1_000, 30_000, 300_000]),
      slowMs: dice.pick([0, 0, 5, 200]),
    },
    wallJumpEveryMs: dice.chance(0.3) ? 600_000 : undefined,
    operatorEveryMs: dice.chance(0.5) ? 300_000 : undefined,
    listenersThrow: dice.chance(0.1),
    curse: dice.chance(0.15) ? { fromMs: curseMs, untilMs: curseMs + 300_000 } : undefined,
  };
}

/** Whether nobody but providers and callers misbehaves, so that what takes turns can be told exactly. */
export function isCalm({ crashes, store, operatorEveryMs, curse }: DisturbancePlan): boolean {
  return crashes === 0 && store.slowMs === 0 && operatorEveryMs === undefined && curse === undefined;
}
