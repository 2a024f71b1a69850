import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { carryPace, correctPace, type Pace, takePace } from '../../src/policy/pace.ts';
import { propertyRuns } from '../support/properties.ts';

const fresh: Pace = { fullAtMs: 0 };
const minuteMs = 60_000;

/** What a limit comes to with a tenth of headroom, and what may come at once. */
const shapeOf = (perMinute: number) => {
  const paced = Math.max(1, perMinute * 0.9);
  return { rate: paced / minuteMs, burst: Math.max(1, paced / 10) };
};

/** Takes as often as it may at `nowMs`. */
const drain = (pace: Pace, perMinute: number, nowMs: number): { pace: Pace; taken: number; waitMs: number } => {
  let current = pace;
  for (let taken = 0; ; taken += 1) {
    const verdict = takePace(current, { perMinute }, 1, nowMs);
    if (!verdict.isAllowed) return { pace: current, taken, waitMs: verdict.waitMs };
    current = verdict.pace;
  }
};

describe('pacing', () => {
  test('admits a burst of six seconds at once and then says how long to wait for the next', () => {
    // 600 a minute less a tenth: 540, so 54 at once and one more every 111.1 ms.
    const { taken, waitMs } = drain(fresh, 600, 0);
    expect(taken).toBe(54);
    expect(waitMs).toBeCloseTo(minuteMs / 540, 6);
  });

  test('admits after exactly the wait it told, and not a millisecond before', () => {
    const { pace, waitMs } = drain(fresh, 600, 0);
    expect(takePace(pace, { perMinute: 600 }, 1, waitMs - 1).isAllowed).toBe(false);
    expect(takePace(pace, { perMinute: 600 }, 1, waitMs).isAllowed).toBe(true);
  });

  test('a refused take takes nothing', () => {
    const { pace, waitMs } = drain(fresh, 60, 0);
    for (let index = 0; index < 10; index += 1) takePace(pace, { perMinute: 60 }, 1, 0);
    expect(takePace(pace, { perMinute: 60 }, 1, waitMs).isAllowed).toBe(true);
  });

  test('idle time fills the bucket once, not without end', () => {
    const { pace } = drain(fresh, 600, 0);
    expect(drain(pace, 600, 86_400_000).taken).toBe(54);
  });

  test('more than a whole bucket passes when the bucket is full, and is paid for afterwards', () => {
    const verdict = takePace(fresh, { perMinute: 600 }, 540, 0);
    if (!verdict.isAllowed) throw new Error('expected it to pass');
    const next = takePace(verdict.pace, { perMinute: 600 }, 1, 0);
    // A minute's worth is owed, less the bucket of six seconds.
    expect(!next.isAllowed && next.waitMs).toBeCloseTo(minuteMs - 6_000 + minuteMs / 540, 6);
  });

  test('more than a whole bucket does not pass while anything is missing from the bucket', () => {
    const first = takePace(fresh, { perMinute: 600 }, 1, 0);
    if (!first.isAllowed) throw new Error('expected it to pass');
    expect(takePace(first.pace, { perMinute: 600 }, 540, 0).isAllowed).toBe(false);
  });

  test('what was not used can be used by the next, and what was used beyond the estimate is owed', () => {
    const taken = takePace(fresh, { perMinute: 600 }, 54, 0);
    if (!taken.isAllowed) throw new Error('expected it to pass');
    expect(drain(correctPace(taken.pace, { perMinute: 600 }, 44), 600, 0).taken).toBe(44);
    const owed = takePace(correctPace(taken.pace, { perMinute: 600 }, -54), { perMinute: 600 }, 1, 6_000);
    expect(owed.isAllowed).toBe(false);
  });

  test('giving back more than was taken fills the bucket and no more', () => {
    expect(drain(correctPace(fresh, { perMinute: 600 }, 1e9), 600, 0).taken).toBe(54);
  });

  test.each([1, 2, 5, 9, 10, 11, 60, 500, 3_500])(
    'with a limit of %d no minute holds more than the limit',
    (perMinute) => {
      const takenAtMs: number[] = [];
      let pace = fresh;
      for (let nowMs = 0; nowMs < 3 * minuteMs;) {
        const verdict = takePace(pace, { perMinute }, 1, nowMs);
        if (verdict.isAllowed) {
          takenAtMs.push(nowMs);
          ({ pace } = verdict);
        } else {
          nowMs += Math.max(1, verdict.waitMs);
        }
      }
      // Of every admission: how many there were in the minute that ends with it.
      let oldest = 0;
      const within = takenAtMs.map((atMs, index) => {
        while ((takenAtMs[oldest] ?? atMs) <= atMs - minuteMs) oldest += 1;
        return index - oldest + 1;
      });
      const most = Math.max(...within);
      expect(most).toBeLessThanOrEqual(perMinute);
    },
  );

  test('in any window admissions are at most the burst and what flows in its time', () => {
    const asks = fc.array(
      fc.record({
        gapMs: fc.oneof(fc.constant(0), fc.nat(200), fc.nat(20_000)),
        quantity: fc.double({ min: 0.01, max: 1, noNaN: true }),
      }),
      { maxLength: 120, size: 'max' },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), asks, (perMinute, sequence) => {
        const { rate, burst } = shapeOf(perMinute);
        const admitted: { atMs: number; quantity: number }[] = [];
        let pace = fresh;
        let nowMs = 0;
        for (const ask of sequence) {
          nowMs += ask.gapMs;
          const quantity = ask.quantity * burst;
          const verdict = takePace(pace, { perMinute }, quantity, nowMs);
          if (!verdict.isAllowed) continue;
          ({ pace } = verdict);
          admitted.push({ atMs: nowMs, quantity });
        }
        for (const [from, first] of admitted.entries()) {
          let sum = 0;
          for (const { atMs, quantity } of admitted.slice(from)) {
            sum += quantity;
            // A millionth for the rounding that `takePace` allows itself.
            expect(sum).toBeLessThanOrEqual(
              (burst + rate * (atMs - first.atMs)) * (1 + 1e-6) + rate * 0.002 * admitted.length,
            );
          }
        }
      }),
      propertyRuns(300),
    );
  });

  test('whoever waits as long as told is admitted, so that nobody starves', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5_000 }),
        fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 30, size: 'max' }),
        (perMinute, quantities) => {
          let pace = fresh;
          let nowMs = 0;
          for (const quantity of quantities) {
            let verdict = takePace(pace, { perMinute }, quantity, nowMs);
            if (!verdict.isAllowed) {
              nowMs += verdict.waitMs;
              verdict = takePace(pace, { perMinute }, quantity, nowMs);
            }
            expect(verdict.isAllowed).toBe(true);
            if (verdict.isAllowed) ({ pace } = verdict);
          }
        },
      ),
      propertyRuns(300),
    );
  });

  test('a usage that is not a number changes nothing', () => {
    const { pace } = drain(fresh, 600, 0);
    expect(correctPace(pace, { perMinute: 600 }, Number.NaN)).toEqual(pace);
  });

  test('a usage of up to a minute is charged whole, and any beyond it as a minute', () => {
    const charged = (used: number) => correctPace(fresh, { perMinute: 600 }, -used).fullAtMs;
    expect(charged(599)).toBeLessThan(charged(600));
    expect(charged(600)).toBeCloseTo(minuteMs / 0.9, 6);
    for (const used of [601, 9e15, Number.POSITIVE_INFINITY]) expect(charged(used)).toBe(charged(600));
  });

  test('giving back without end fills the bucket and no more', () => {
    expect(drain(correctPace(fresh, { perMinute: 600 }, Number.POSITIVE_INFINITY), 600, 0).taken).toBe(54);
  });

  test.each([
    [600, 600],
    [600, 60],
    [60, 600],
    [1, 5_000],
    [5_000, 1],
  ])('a change of the limit from %d to %d keeps so many requests owed, not so many seconds', (from, to) => {
    const { pace, taken } = drain(fresh, from, 1_000);
    const carried = carryPace(pace, { perMinute: from }, { perMinute: to }, 1_000);
    const { rate } = shapeOf(to);
    expect((carried.fullAtMs - 1_000) * rate).toBeCloseTo(taken, 6);
    expect(drain(carried, to, 1_000).taken).toBe(Math.max(0, Math.floor(shapeOf(to).burst - taken + 1e-6)));
  });

  test('a change of the limit takes no credit from a bucket that has long been full', () => {
    const carried = carryPace({ fullAtMs: 10 }, { perMinute: 600 }, { perMinute: 60 }, 3_600_000);
    expect(drain(carried, 60, 3_600_000).taken).toBe(5);
  });

  test('any number of changes of the limit grants no more than the largest burst', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 }), (limits) => {
        let pace = fresh;
        let sum = 0;
        for (const [index, perMinute] of limits.entries()) {
          const before = limits[index - 1];
          if (before !== undefined) pace = carryPace(pace, { perMinute: before }, { perMinute }, 0);
          const drained = drain(pace, perMinute, 0);
          pace = drained.pace;
          sum += drained.taken;
        }
        expect(sum).toBeLessThanOrEqual(Math.floor(Math.max(...limits.map((limit) => shapeOf(limit).burst)) + 1e-3));
      }),
      propertyRuns(300),
    );
  });
});
