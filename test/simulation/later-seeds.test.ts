import { expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { HOURS, liveSeeds } from './seeds.ts';
import { simulate } from './simulation.ts';

test('another twenty-five worlds keep every promise', { timeout: 600_000 }, async () => {
  const { numRuns } = propertyRuns(25);
  expect(await liveSeeds(101, numRuns)).toHaveLength(numRuns);
});

test('the same seed is the same story, to the last line', { timeout: 600_000 }, async () => {
  for (let seed = 201; seed <= 207; seed++) {
    const [once, again] = [await simulate({ seed, hours: HOURS }), await simulate({ seed, hours: HOURS })];
    expect(again.digest, `seed ${seed}`).toBe(once.digest);
  }
});

test('two seeds are two stories', async () => {
  const [one, other] = [await simulate({ seed: 301, hours: 0.1 }), await simulate({ seed: 302, hours: 0.1 })];
  expect(one.digest).not.toBe(other.digest);
});
