import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type ConcurrencyLimit, growLimit, interruptGrowth, shrinkLimit } from '../../src/policy/limit.ts';
import { propertyRuns } from '../support/properties.ts';

type Report = 'success' | 'failure' | 'complaint';

const lives = fc.record({
  max: fc.integer({ min: 1, max: 64 }),
  startShare: fc.double({ min: 0, max: 1, noNaN: true }),
  // Runs, because single draws would hardly ever make a whole round of successes.
  runs: fc.array(
    fc.record({
      report: fc.constantFrom<Report>('success', 'success', 'success', 'failure', 'complaint'),
      count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 130 })),
    }),
    { maxLength: 30, size: 'max' },
  ),
});

/** Additive increase, multiplicative decrease, as a list of the successes since anything else happened. */
class LimitModel {
  limit: number;
  readonly #max: number;
  #row: Report[] = [];

  constructor(limit: number, max: number) {
    this.limit = limit;
    this.#max = max;
  }

  report(report: Report): void {
    this.#row = report === 'success' ? [...this.#row, report] : [];
    // Seven tenths in integers: as a float 0.7 · 90 is less than 63.
    if (report === 'complaint') this.limit = Math.max(1, Math.trunc((this.limit * 7) / 10));
    if (this.#row.length < this.limit) return;
    this.limit = Math.min(this.#max, this.limit + 1);
    this.#row = [];
  }
}

const CHANGES: Readonly<Record<Report, (current: ConcurrencyLimit, max: number) => ConcurrencyLimit>> = {
  success: growLimit,
  failure: interruptGrowth,
  complaint: shrinkLimit,
};

describe('the concurrency limit against its law', () => {
  test('is from one to the configured one, one more per unbroken round of successes, three tenths fewer per complaint', () => {
    fc.assert(
      fc.property(lives, ({ max, startShare, runs }) => {
        const start = 1 + Math.floor(startShare * (max - 1));
        const model = new LimitModel(start, max);
        let current: ConcurrencyLimit = { limit: start, successesInRow: 0 };
        for (const { report, count } of runs) {
          for (let index = 0; index < count; index += 1) {
            current = CHANGES[report](current, max);
            model.report(report);
            assert.equal(current.limit, model.limit);
            assert.ok(current.limit >= 1 && current.limit <= max, 'the limit is from one to the configured one');
            assert.ok(current.successesInRow < current.limit, 'a round of successes is at most as long as the limit');
          }
        }
      }),
      propertyRuns(1_000),
    );
  });

  test('shrinks by exactly three tenths, rounded down, whatever it was', () => {
    for (let limit = 1; limit <= 10_000; limit += 1) {
      const shrunk = shrinkLimit({ limit, successesInRow: 0 }).limit;
      assert.ok(shrunk * 10 <= limit * 7 || shrunk === 1, `${limit} shrinks by three tenths at least, to ${shrunk}`);
      assert.ok((shrunk + 1) * 10 > limit * 7, `${limit} shrinks by no slot more, to ${shrunk}`);
    }
  });

  test('that was shrunk by one complaint is back after as many successes as the slots that it passes', () => {
    for (const max of [2, 10, 32]) {
      let current = shrinkLimit({ limit: max, successesInRow: 0 });
      const slots = Array.from({ length: max - current.limit }, (_, index) => max - 1 - index);
      const successes = slots.reduce((sum, each) => sum + each, 0);
      for (let index = 1; index < successes; index += 1) current = growLimit(current, max);
      expect(current.limit).toBe(max - 1);
      expect(growLimit(current, max).limit).toBe(max);
    }
  });
});
