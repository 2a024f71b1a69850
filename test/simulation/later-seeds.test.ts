import { expect, test } from 'vitest';
import { HOURS, liveSeeds } from './seeds.ts';
import { simulate } from './simulation.ts';

test('another sixty worlds keep every promise', { timeout: 600_000 }, async () => {
  expect(await liveSeeds(101, 60)).toHaveLength(60);
});

test('the same seed is the same story, to the last line', { timeout: 600_000 }, async () => {
  for (let seed = 201; seed <= 215; seed++) {
    const [once, again] = [await simulate({ seed, hours: HOURS }), await simulate({ seed, hours: HOURS })];
    expect(again.digest, `seed ${seed}`).toBe(once.digest);
  }
});

test('two seeds are two stories', async () => {
  const [one, other] = [await simulate({ seed: 301, hours: 0.1 }), await simulate({ seed: 302, hours: 0.1 })];
  expect(one.digest).not.toBe(other.digest);
});
