/**
 * A crash at every single event: the first 2,000 events of each actor are dealt out to worlds, so that in each of them every
 * actor crashes at one of its events in 200, while callers come and providers misbehave.
 */
import { simulate, type SimulationReport } from './simulation.ts';

/** Every event up to this one is somewhere the one that its actor crashes at. */
export const CRASH_POINTS_MAX = 2_000;
export const CRASH_WORLDS = 200;
/** Seeds of its own, so that these are other worlds than those of the dice. */
const SEED_BASE = 800_000;
/** As long as it takes to live through all of them. */
const HOURS_MAX = 4;

/** Lives one of the worlds. */
export function liveCrashes(world: number, print?: (line: string) => void): Promise<SimulationReport> {
  const crashPoints = { first: world, every: CRASH_WORLDS, last: CRASH_POINTS_MAX };
  return simulate({ seed: SEED_BASE + world, hours: HOURS_MAX, crashPoints, ...(print && { print }) });
}
