import { afterEach, beforeEach, expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import { CRASH_POINTS_MAX, CRASH_WORLDS, liveCrashes } from './crash-points.ts';

/** In the ordinary run three worlds, with the events that are dealt out to them; all of them when it may take longer. */
const STRIDE = propertyRuns(1).numRuns > 1 ? 1 : 67;
const WORLDS = Array.from({ length: CRASH_WORLDS }, (_, index) => index + 1).filter((world) => world % STRIDE === 0);
const CRASHES = CRASH_POINTS_MAX / CRASH_WORLDS;

let stray: StrayErrors;
beforeEach(() => {
  stray = watchStrayErrors();
});
afterEach(() => stray.finish());

test(
  `the service actor may crash at any of ${(WORLDS.length * CRASH_POINTS_MAX) / CRASH_WORLDS} of its first ${CRASH_POINTS_MAX} events, and so may all others: no request is lost, and no sibling starts again`,
  { timeout: 900_000 },
  async () => {
    for (const world of WORLDS) {
      const report = await liveCrashes(world);
      expect(report.violations, `npm run simulate:seeds -- --crashes ${world} --trace`).toEqual([]);
      expect(report.counts.get('crash: service')).toBe(CRASHES);
    }
  },
);

test('crashes at the same events of the same seed are the same story', { timeout: 120_000 }, async () => {
  const [one, other] = [await liveCrashes(50), await liveCrashes(50)];
  expect(one.digest).toBe(other.digest);
});
