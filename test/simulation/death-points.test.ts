import { expect, test } from 'vitest';
import { livePoints, POINTS_MAX, WORLDS } from './death-points.ts';

test(
  `a process may die before or after any of the first ${POINTS_MAX} operations of its store`,
  { timeout: 600_000 },
  async () => {
    let deaths = 0;
    for (let world = 1; world <= WORLDS; world++) {
      const report = await livePoints(world, true);
      expect(report.violations, `npm run simulate:seeds -- --points ${world} --trace`).toEqual([]);
      deaths += report.counts.get('died at an operation') ?? 0;
    }
    expect(deaths).toBe(POINTS_MAX);
  },
);
