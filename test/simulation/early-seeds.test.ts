import { expect, test } from 'vitest';
import { COVERAGE } from './coverage.ts';
import { drawPlan } from './plan.ts';
import { HOURS, liveSeeds } from './seeds.ts';
import { simulate } from './simulation.ts';

test(
  'a hundred worlds keep every promise, and everything worth simulating happens in them',
  { timeout: 600_000 },
  async () => {
    const reports = await liveSeeds(1, 100);
    const happened = new Set(reports.flatMap(({ counts }) => [...counts.keys()]));
    expect(COVERAGE.filter((kind) => !happened.has(kind))).toEqual([]);
  },
);

test('jumps of the wall clock by up to a day change nothing but the hour', { timeout: 600_000 }, async () => {
  const jumping = Array.from({ length: 90 }, (_, index) => index + 1).filter((seed) => {
    const { disturbances, durability } = drawPlan(seed, HOURS);
    // Of the time between two processes nobody knows more than the wall clock says.
    return disturbances.wallJumpEveryMs !== undefined && durability === undefined;
  });
  for (const seed of jumping) {
    const [jumped, steady] = [
      await simulate({ seed, hours: HOURS }),
      await simulate({ seed, hours: HOURS, withoutWallJumps: true }),
    ];
    expect(jumped.digest, `seed ${seed}`).toBe(steady.digest);
  }
  expect(jumping.length).toBeGreaterThan(10);
});
