import { describe, expect, test } from 'vitest';

import { type ConcurrencyLimit, growLimit, shrinkLimit } from '../../src/policy/limit.ts';

const grownBy = (start: ConcurrencyLimit, successes: number, max: number): ConcurrencyLimit => {
  let limit = start;
  for (let index = 0; index < successes; index += 1) limit = growLimit(limit, max);
  return limit;
};

describe('the concurrency limit', () => {
  test.each([
    [1, 0, 1],
    [1, 1, 2],
    [1, 2, 2],
    [1, 3, 3],
    [1, 5, 3],
    [1, 6, 4],
    [8, 7, 8],
    [8, 8, 9],
  ])('of %d is after %d successes in a row %d: one more per whole round', (start, successes, after) => {
    expect(grownBy({ limit: start, successesInRow: 0 }, successes, 32).limit).toBe(after);
  });

  test('never grows past the configured one', () => {
    expect(grownBy({ limit: 1, successesInRow: 0 }, 10_000, 5).limit).toBe(5);
  });

  test.each([
    [32, 22],
    [10, 7],
    [3, 2],
    [2, 1],
    [1, 1],
  ])('of %d shrinks to %d', (start, after) => {
    expect(shrinkLimit({ limit: start, successesInRow: 3 })).toEqual({ limit: after, successesInRow: 0 });
  });

  test('starts its row of successes over after a complaint', () => {
    const almost = grownBy({ limit: 10, successesInRow: 0 }, 9, 32);
    expect(grownBy(shrinkLimit(almost), 6, 32).limit).toBe(7);
    expect(grownBy(shrinkLimit(almost), 7, 32).limit).toBe(8);
  });
});
