import { expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { livePoints, POINTS_MAX, WORLDS } from './death-points.ts';

/** In the ordinary run every third world, with the operations that are dealt out to it; all of them when it may take longer. */
const STRIDE = propertyRuns(1).numRuns > 1 ? 1 : 3;
const SHARES = Array.from({ length: WORLDS }, (_, index) => index + 1).filter((world) => world % STRIDE === 1 % STRIDE);
const POINTS = (SHARES.length * POINTS_MAX) / WORLDS;

test(
  `a process may die before or after any of ${POINTS} of the first ${POINTS_MAX} operations of its store`,
  { timeout: 600_000 },
  async () => {
    let deaths = 0;
    for (const world of SHARES) {
      const report = await livePoints(world, true);
      expect(report.violations, `npm run simulate:seeds -- --points ${world} --trace`).toEqual([]);
      deaths += report.counts.get('died at an operation') ?? 0;
    }
    expect(deaths).toBe(POINTS);
  },
);
