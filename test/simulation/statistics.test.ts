import { expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { SteadyWorld } from './steady-world.ts';

const HEALTHY_MS = 600_000;

const SEEDS = Array.from({ length: propertyRuns(4).numRuns }, (_, index) => index + 1);

test.each(SEEDS)('a total outage is seen within ten calls (seed %d)', { timeout: 120_000 }, async (seed) => {
  await using world = await SteadyWorld.create({
    seed,
    ratePerSecond: 1,
    luck: (nowMs) => (nowMs < HEALTHY_MS ? 'answer' : 'fail'),
  });
  await world.clock.advance(HEALTHY_MS + 60_000);
  const opened = world.openings[0] ?? Number.POSITIVE_INFINITY;
  const ended = world.calls.filter(({ endedAtMs = Number.POSITIVE_INFINITY }) => endedAtMs <= opened);
  const answers = ended.filter(({ isAnswered }) => isAnswered).map(({ endedAtMs = 0 }) => endedAtMs);
  const lastAnswerAtMs = Math.max(...answers);
  expect(ended.filter(({ endedAtMs = 0 }) => endedAtMs > lastAnswerAtMs).length).toBeLessThanOrEqual(10);
  expect(opened).toBeLessThan(HEALTHY_MS + 30_000);
});

test('one call in five that fails opens nothing in two hours', { timeout: 120_000 }, async () => {
  await using world = await SteadyWorld.create({
    seed: 1,
    ratePerSecond: 1,
    luck: (_nowMs, dice) => (dice.chance(0.2) ? 'fail' : 'answer'),
  });
  await world.clock.advance(7_200_000);
  expect(world.calls.length).toBeGreaterThan(7_000);
  expect(world.openings).toEqual([]);
});

test(
  'after an outage of a minute the first answer comes within the open time and two probes, and load ramps up',
  { timeout: 120_000 },
  async () => {
    const healthyAtMs = HEALTHY_MS + 60_000;
    await using world = await SteadyWorld.create({
      seed: 1,
      ratePerSecond: 20,
      luck: (nowMs) => (nowMs >= HEALTHY_MS && nowMs < healthyAtMs ? 'fail' : 'answer'),
    });
    await world.clock.advance(healthyAtMs + 30_000);
    const closedAtMs = world.closings.find((atMs) => atMs > healthyAtMs) ?? Number.POSITIVE_INFINITY;
    // The longest of the first four openings, and two probes of at most four seconds.
    expect(closedAtMs - healthyAtMs).toBeLessThan(15_000 * 1.2 + 8_000);
    const underWay = (atMs: number) =>
      world.calls.filter((call) => call.atMs <= atMs && (call.endedAtMs ?? Number.POSITIVE_INFINITY) > atMs).length;
    const peaks = [0, 1_000, 2_000, 3_000].map((afterMs) => underWay(closedAtMs + afterMs));
    // A quarter of what the provider may be asked at once, while ten calls a second and more would come.
    expect(Math.max(...peaks)).toBeLessThanOrEqual(64);
    expect(underWay(closedAtMs)).toBeLessThanOrEqual(1);
  },
);
