import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { FailureKind } from '../../src/contract/failures.ts';
import {
  backoffMs,
  chargeFailover,
  createRetryBucket,
  creditFirstAttempt,
  gateHoldMs,
  payForRetry,
  returnRetry,
  throttleMs,
} from '../../src/policy/retry.ts';
import { propertyRuns } from '../support/properties.ts';

const config = { maxRetries: 2, baseMs: 500, factor: 2, capMs: 8_000 };

describe('the backoff of a transient failure', () => {
  test.each([
    [0, 500],
    [1, 1_000],
    [2, 2_000],
    [4, 8_000],
    [5, 8_000],
    [5_000, 8_000],
  ])('before retry %d is anything up to %d ms', (retry, ceilingMs) => {
    expect(backoffMs(retry, config, 0)).toBe(0);
    expect(backoffMs(retry, config, 0.5)).toBe(ceilingMs / 2);
    expect(backoffMs(retry, config, 1 - Number.EPSILON)).toBeLessThan(ceilingMs);
  });
});

describe('the wait after a 429', () => {
  test.each([
    [0, undefined, 500, 1_000],
    [1, undefined, 1_000, 2_000],
    [3, undefined, 4_000, 8_000],
    [6, undefined, 30_000, 60_000],
    [1_000, undefined, 30_000, 60_000],
    [0, 0, 500, 1_000],
    [0, 700, 700, 1_000],
    [0, 2_000, 2_000, 2_000],
    [2, 3_600_000, 3_600_000, 3_600_000],
  ])('on try %d with Retry-After %s is between %d and %d ms', (retry, retryAfterMs, leastMs, mostMs) => {
    expect(throttleMs(retry, retryAfterMs, 0)).toBe(leastMs);
    expect(throttleMs(retry, retryAfterMs, 1)).toBe(mostMs);
  });

  test('is never shorter than what the provider asked for', () => {
    fc.assert(
      fc.property(
        fc.nat(50),
        fc.nat(10_000_000),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (retry, retryAfterMs, random) => {
          expect(throttleMs(retry, retryAfterMs, random)).toBeGreaterThanOrEqual(retryAfterMs);
        },
      ),
      propertyRuns(200),
    );
  });
});

describe('the gate after a failure', () => {
  test.each<[FailureKind, number | undefined, number | undefined]>([
    ['rate-limited', undefined, 1_500],
    ['rate-limited', 0, 1_500],
    ['rate-limited', 61_000, 61_000],
    ['overloaded', 61_000, 61_000],
    ['upstream-error', 100, 100],
    ['upstream-error', undefined, undefined],
    ['silent', 61_000, undefined],
    ['quota-exhausted', 61_000, undefined],
    ['invalid-request', 61_000, undefined],
  ])('of kind %s with Retry-After %s holds for %s ms', (kind, retryAfterMs, holdMs) => {
    const failure = { kind, ...(retryAfterMs !== undefined && { retryAfterMs }) };
    expect(gateHoldMs(failure, 1, 0.5)).toBe(holdMs);
  });
});

describe('the retry bucket', () => {
  /** How many retries can be paid for at `nowMs`. */
  const affordable = (start: ReturnType<typeof createRetryBucket>, nowMs: number): number => {
    let bucket = start;
    for (let count = 0; ; count += 1) {
      const paid = payForRetry(bucket, nowMs);
      if (!paid.isPaid) return count;
      ({ bucket } = paid);
    }
  };

  test('starts with twenty retries and no more', () => {
    expect(affordable(createRetryBucket(0), 0)).toBe(20);
  });

  test('earns one retry from five first attempts', () => {
    let bucket = { tokens: 0, refilledAtMs: 0 };
    for (let index = 0; index < 4; index += 1) bucket = creditFirstAttempt(bucket, 0);
    expect(affordable(bucket, 0)).toBe(0);
    expect(affordable(creditFirstAttempt(bucket, 0), 0)).toBe(1);
  });

  test('earns one retry every ten seconds, so that a quiet provider is retried at all', () => {
    const empty = { tokens: 0, refilledAtMs: 0 };
    expect(affordable(empty, 9_999)).toBe(0);
    expect(affordable(empty, 10_000)).toBe(1);
    expect(affordable(empty, 1e9)).toBe(20);
  });

  test('never holds more than twenty, however many first attempts there are', () => {
    let bucket = createRetryBucket(0);
    for (let index = 0; index < 1_000; index += 1) bucket = creditFirstAttempt(bucket, index);
    expect(affordable(bucket, 1_000)).toBe(20);
  });

  test('a failover is charged and never refused: the bucket runs dry, not into debt', () => {
    let bucket = createRetryBucket(0);
    for (let index = 0; index < 50; index += 1) bucket = chargeFailover(bucket, 0);
    expect(bucket.tokens).toBe(0);
    expect(affordable(bucket, 10_000)).toBe(1);
  });

  test('what was paid for is returned whole, and a full bucket takes no more', () => {
    const paid = payForRetry(createRetryBucket(0), 0).bucket;
    expect(affordable(returnRetry(paid, 0), 0)).toBe(20);
    expect(affordable(returnRetry(createRetryBucket(0), 0), 0)).toBe(20);
    expect(affordable(returnRetry({ tokens: 0, refilledAtMs: 0 }, 10_000), 10_000)).toBe(2);
  });

  test('a refused retry costs nothing, and does not lose the fraction that was earned', () => {
    let bucket = { tokens: 0, refilledAtMs: 0 };
    const paidAtMs: number[] = [];
    for (let nowMs = 0; nowMs <= 20_000; nowMs += 100) {
      const paid = payForRetry(bucket, nowMs);
      ({ bucket } = paid);
      if (paid.isPaid) paidAtMs.push(nowMs);
    }
    expect(paidAtMs).toEqual([10_000, 20_000]);
  });

  test('a clock that was read a moment earlier takes nothing away', () => {
    expect(payForRetry({ tokens: 1, refilledAtMs: 1_000 }, 900)).toEqual({
      bucket: { tokens: 0, refilledAtMs: 1_000 },
      isPaid: true,
    });
  });

  test.each([
    [1, 3],
    [20, 3],
    [1, 8],
  ])(
    '10,000 first attempts at %d per second and %d tries each, all failing, are amplified to at most 1.2 and the floor',
    (perSecond, triesMax) => {
      let bucket = createRetryBucket(0);
      let attempts = 0;
      for (let request = 0; request < 10_000; request += 1) {
        const nowMs = (request * 1_000) / perSecond;
        bucket = creditFirstAttempt(bucket, nowMs);
        attempts += 1;
        for (let retry = 1; retry < triesMax; retry += 1) {
          const paid = payForRetry(bucket, nowMs);
          ({ bucket } = paid);
          if (!paid.isPaid) break;
          attempts += 1;
        }
      }
      const seconds = 10_000 / perSecond;
      expect(attempts).toBeLessThanOrEqual(1.2 * 10_000 + seconds / 10 + 20);
      // And the budget is used: it does not work by refusing every retry.
      expect(attempts).toBeGreaterThan(1.19 * 10_000);
    },
  );
});
