/**
 * A deterministic simulation in the manner of FoundationDB and TigerBeetle's VOPR: the whole runtime, its real code, under
 * virtual time and seeded chance, with providers, stores, callers and operators that misbehave as the seed has it, and in some
 * worlds with processes that die over a store that remains. After every step the promises are checked. When its time is over
 * everything is healed, and the world has to come to rest: every request ended, every breaker closed, every cent accounted for,
 * nothing left running.
 */
import type { Violation } from './chronicle.ts';
import type { Dice } from './dice.ts';
import { disturb } from './disturbances.ts';
import { Mortality } from './mortality.ts';
import type { DeathPoint } from './mortal-host.ts';
import { type CrashPoints, drawPlan, type Plan, withCrashPoints } from './plan.ts';
import { comeToRest } from './rest.ts';
import { advance } from './steps.ts';
import { World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly hours: number;
  /** Leaves the wall clock alone although the plan says otherwise. */
  readonly withoutWallJumps?: boolean;
  /** Its store is a file, and its processes die at these operations, one after the other, and not otherwise. */
  readonly deathPoints?: readonly DeathPoint[];
  /** Its actors crash at these of their events, and nothing else is done to the service. */
  readonly crashPoints?: CrashPoints;
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
  /** How many processes there were. */
  readonly lives: number;
  readonly counts: ReadonlyMap<string, number>;
  readonly violations: readonly Violation[];
  readonly lastLines: readonly string[];
}

/** Steps between two looks at whether the last process of a list has begun. */
const LOOK_MS = 1_000;

/** Lives one seed. */
export async function simulate({
  seed,
  hours,
  withoutWallJumps = false,
  deathPoints,
  crashPoints,
  print,
}: SimulationOptions): Promise<SimulationReport> {
  const drawn = drawPlan(seed, hours, deathPoints !== undefined);
  const plan = crashPoints === undefined ? drawn : withCrashPoints(drawn, crashPoints);
  using world = new World(withoutWallJumps ? withoutJumps(plan) : plan, print);
  const mortality = new Mortality(world, deathPoints);
  // It never rejects.
  void mortality.begin();
  await world.clock.settle();
  const { clock, chronicle, untilMs, dice } = world;
  disturb({
    clock,
    plan: world.plan,
    untilMs,
    chronicle,
    dice: dice.fork('disturbances'),
    isHealed: () => world.isHealed,
    service: () => world.life?.service,
  });
  letCallersIn(world, dice.fork('arrivals'));
  const isThrough = () => mortality.isThrough || world.injector.seen > (crashPoints?.last ?? Number.POSITIVE_INFINITY);
  if (deathPoints === undefined && crashPoints === undefined) await advance(world, untilMs);
  else while (world.isClean && !isThrough() && clock.nowMs() < untilMs) await advance(world, clock.nowMs() + LOOK_MS);
  if (world.isClean) await comeToRest(world, mortality);
  return report(world, mortality.lives);
}

function withoutJumps(plan: Plan): Plan {
  return { ...plan, disturbances: { ...plan.disturbances, wallJumpEveryMs: undefined } };
}

/** Callers arrive one after another, and now and then many at once. */
function letCallersIn(world: World, dice: Dice): void {
  const { plan, clock, callers, untilMs } = world;
  const { ratePerSecond, burstFactor } = plan.traffic;
  let burstUntilMs = 0;
  const next = (): void => {
    const nowMs = clock.nowMs();
    if (dice.chance(0.002)) burstUntilMs = nowMs + 20_000;
    const rate = nowMs < burstUntilMs ? ratePerSecond * burstFactor : ratePerSecond;
    const delayMs = dice.exponential(1_000 / rate);
    if (nowMs + delayMs > untilMs) return;
    clock.setTimeout(() => {
      if (world.isHealed) return;
      void callers.arrive();
      next();
    }, delayMs);
  };
  next();
}

function report({ plan, chronicle, tickets, upstreams, steps }: World, lives: number): SimulationReport {
  return {
    seed: plan.seed,
    hours: plan.hours,
    digest: chronicle.digest(),
    steps,
    requests: tickets.issued,
    upstreamCalls: upstreams.reduce((sum, { calls }) => sum + calls, 0),
    lives,
    counts: chronicle.counts,
    violations: chronicle.violations,
    lastLines: chronicle.lastLines,
  };
}
