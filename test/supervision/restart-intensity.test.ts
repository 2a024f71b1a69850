import { describe, expect, test } from 'vitest';

import { countRestart, restartDelayMs } from '../../src/supervision/restart-intensity.ts';

/** Whether each of the restarts at these moments exceeds the intensity. */
const exceeded = (restartsMax: number, periodMs: number, atMs: readonly number[]): readonly boolean[] => {
  let restartsAtMs: readonly number[] = [];
  return atMs.map((nowMs) => {
    const counted = countRestart(restartsAtMs, { restartsMax, periodMs }, nowMs);
    ({ restartsAtMs } = counted);
    return counted.isExceeded;
  });
};

describe('restart intensity', () => {
  test.each([
    ['the restart after the last allowed one', 3, [0, 1, 2, 3], [false, false, false, true]],
    ['the first restart when none is allowed', 0, [0], [true]],
    ['a restart exactly at the end of the period', 1, [0, 5_000], [false, true]],
    ['no restart after the period', 1, [0, 5_001, 10_002, 15_003], [false, false, false, false]],
    ['restarts of a sliding window, not of a fixed one', 2, [0, 4_000, 6_000, 8_000], [false, false, false, true]],
  ])('is exceeded by %s', (_name, restartsMax, atMs, expected) => {
    expect(exceeded(restartsMax, 5_000, atMs)).toEqual(expected);
  });

  test('remembers no more than what lies within the period', () => {
    let restartsAtMs: readonly number[] = [];
    for (let nowMs = 0; nowMs < 1e6; nowMs += 1_000)
      ({ restartsAtMs } = countRestart(restartsAtMs, { restartsMax: 3, periodMs: 5_000 }, nowMs));
    expect(restartsAtMs).toHaveLength(6);
  });
});

describe('the wait before a restart', () => {
  const backoff = { baseMs: 20, capMs: 5_000, healthyMs: 60_000 };

  test.each([
    [0, 10, 20],
    [1, 20, 40],
    [4, 160, 320],
    [8, 2_500, 5_000],
    [1_000, 2_500, 5_000],
  ])('at attempt %d is between %d and %d ms', (attempt, leastMs, mostMs) => {
    expect(restartDelayMs(attempt, backoff, 0)).toBe(leastMs);
    expect(restartDelayMs(attempt, backoff, 1)).toBe(mostMs);
  });
});
