/**
 * Death at every single operation of the store: the first 500 operations of a story are dealt out to worlds, so that in each
 * of them one operation in 25, counted through all its processes, is the last one of a process.
 */
import type { DeathPoint } from './mortal-host.ts';
import { simulate, type SimulationReport } from './simulation.ts';

/** Every operation up to this one is somewhere the last one of a process. */
export const POINTS_MAX = 500;
export const WORLDS = 25;
/** Seeds of its own, so that these are other worlds than those of the dice. */
const SEED_BASE = 900_000;
/** As long as it takes to live through all of them. */
const HOURS_MAX = 4;

/** Lives one of the worlds. `isEvenBefore`: even operations are died before, odd ones after they had their effect. */
export function livePoints(
  world: number,
  isEvenBefore: boolean,
  print?: (line: string) => void,
): Promise<SimulationReport> {
  const deathPoints = Array.from({ length: POINTS_MAX / WORLDS }, (_, index): DeathPoint => {
    const isEven = (world + index * WORLDS) % 2 === 0;
    return { operation: index === 0 ? world : WORLDS, when: isEven === isEvenBefore ? 'before' : 'after' };
  });
  return simulate({ seed: SEED_BASE + world, hours: HOURS_MAX, deathPoints, ...(print && { print }) });
}
