import { expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { COVERAGE } from './coverage.ts';
import { drawPlan } from './plan.ts';
import { HOURS, liveSeeds } from './seeds.ts';
import { simulate, type SimulationReport } from './simulation.ts';

/** On from the usual ones until everything has happened; in how many worlds that is depends on how their dice fall. */
const SEEDS_MAX = 160;

const lived = new Map<number, SimulationReport>();

/** A world of the usual length, lived once for both tests. */
async function live(seed: number): Promise<SimulationReport> {
  const report = lived.get(seed) ?? (await liveSeeds(seed, 1))[0];
  if (report === undefined) throw new Error(`expected seed ${seed} to be lived, got: no report`);
  lived.set(seed, report);
  return report;
}

test(
  'sixty worlds keep every promise, and everything worth simulating happens in them or the next hundred',
  { timeout: 600_000 },
  async () => {
    const missing = new Set(COVERAGE);
    const { numRuns } = propertyRuns(60);
    for (let seed = 1; seed <= numRuns || (missing.size > 0 && seed <= SEEDS_MAX); seed++) {
      for (const kind of (await live(seed)).counts.keys()) missing.delete(kind);
    }
    expect([...missing]).toEqual([]);
  },
);

test('jumps of the wall clock by up to a day change nothing but the hour', { timeout: 600_000 }, async () => {
  const jumping = Array.from({ length: 60 }, (_, index) => index + 1).filter((seed) => {
    const { disturbances, durability } = drawPlan(seed, HOURS);
    // Of the time between two processes nobody knows more than the wall clock says.
    return disturbances.wallJumpEveryMs !== undefined && durability === undefined;
  });
  for (const seed of jumping) {
    const steady = await simulate({ seed, hours: HOURS, withoutWallJumps: true });
    expect((await live(seed)).digest, `seed ${seed}`).toBe(steady.digest);
  }
  expect(jumping.length).toBeGreaterThan(5);
});
