import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, test } from 'vitest';

import {
  chargeFailover,
  createRetryBucket,
  creditFirstAttempt,
  payForRetry,
  type RetryBucket,
  returnRetry,
} from '../../src/policy/retry.ts';
import { propertyRuns } from '../support/properties.ts';

/** What is booked: a first attempt earns, a failover is charged, a retry is paid for, and may be returned once answered. */
type Booking = 'first' | 'failover' | 'retry' | 'return';

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      // Runs, because single draws would neither empty nor fill a bucket of twenty.
      arbitrary: fc.record({
        booking: fc.constantFrom<Booking>('first', 'retry', 'retry', 'failover', 'return'),
        count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 40 })),
        waitMs: fc.constant(0),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        booking: fc.constantFrom<Booking>('first', 'retry', 'failover', 'return'),
        count: fc.constant(1),
        // Now and then a caller read the clock a moment before the last one did.
        waitMs: fc.oneof(fc.constantFrom(-1, 1, 100, 9_999, 10_000, 10_001), fc.nat(300_000)),
      }),
    },
  ),
  { maxLength: 40, size: 'max' },
);

/** What one retry costs in the unit in which every share is whole: a fifth of it per first attempt, five units per ms. */
const RETRY_UNITS = 50_000;
const BUCKET_UNITS = 20 * RETRY_UNITS;

/** The budget in integers, so that nothing is rounded. */
class BudgetModel {
  units = BUCKET_UNITS;
  /** Retries that were paid for and not returned. */
  #paid = 0;
  #latestMs = 0;

  /** Undefined: there is nothing to return. */
  book(booking: Booking, nowMs: number): boolean | undefined {
    if (booking === 'return' && this.#paid === 0) return undefined;
    this.#earn(5 * Math.max(0, nowMs - this.#latestMs));
    this.#latestMs = Math.max(this.#latestMs, nowMs);
    switch (booking) {
      case 'first':
        this.#earn(RETRY_UNITS / 5);
        return true;
      case 'failover':
        this.units = Math.max(0, this.units - RETRY_UNITS);
        return true;
      case 'retry':
        if (this.units < RETRY_UNITS) return false;
        this.units -= RETRY_UNITS;
        this.#paid += 1;
        return true;
      case 'return':
        this.#paid -= 1;
        this.#earn(RETRY_UNITS);
        return true;
    }
  }

  #earn(units: number): void {
    this.units = Math.min(BUCKET_UNITS, this.units + units);
  }
}

function book(bucket: RetryBucket, booking: Booking, nowMs: number): ReturnType<typeof payForRetry> {
  switch (booking) {
    case 'first':
      return { bucket: creditFirstAttempt(bucket, nowMs), isPaid: true };
    case 'failover':
      return { bucket: chargeFailover(bucket, nowMs), isPaid: true };
    case 'retry':
      return payForRetry(bucket, nowMs);
    case 'return':
      return { bucket: returnRetry(bucket, nowMs), isPaid: true };
  }
}

interface Booked {
  readonly atMs: number;
  readonly booking: Booking;
  readonly count: number;
}

/** Between any two moments: twenty, a fifth of the first attempts, one per ten seconds, and what was returned. */
function assertWithinBudget(booked: readonly Booked[]): void {
  for (const [from, { atMs: sinceMs }] of booked.entries()) {
    let retries = 0;
    let budget = 20;
    for (const { atMs, booking, count } of booked.slice(from)) {
      if (booking === 'retry') retries += count;
      if (booking === 'first') budget += count / 5;
      if (booking === 'return') budget += count;
      // A millisecond for the caller who read the clock before the first of them did.
      const earned = budget + (Math.max(0, atMs - sinceMs) + 1) / 10_000;
      assert.ok(retries <= earned + 1e-6, `${retries} retries from ${sinceMs} to ${atMs} ms, ${earned} were earned`);
    }
  }
}

describe('the retry bucket against a budget in integers', () => {
  test('pays what the budget holds, refuses the next one, and is never overspent in any stretch of time', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const model = new BudgetModel();
        const booked: Booked[] = [];
        let bucket = createRetryBucket(0);
        let nowMs = 0;
        for (const { booking, count: asked, waitMs } of sequence) {
          nowMs = Math.max(0, nowMs + waitMs);
          let count = 0;
          for (let index = 0; index < asked; index += 1) {
            const expected = model.book(booking, nowMs);
            if (expected === undefined) break;
            const paid = book(bucket, booking, nowMs);
            ({ bucket } = paid);
            assert.equal(paid.isPaid, expected);
            assert.ok(Math.abs(bucket.tokens - model.units / RETRY_UNITS) < 1e-6, 'the bucket holds what it earned');
            if (paid.isPaid) count += 1;
          }
          booked.push({ atMs: nowMs, booking, count });
        }
        assertWithinBudget(booked);
      }),
      propertyRuns(1_000),
    );
  });
});
