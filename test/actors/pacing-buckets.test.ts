import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { PacingBuckets } from '../../src/actors/pacing-buckets.ts';
import type { RateLimitConfig } from '../../src/contract/config.ts';
import { BucketModel, type Taken } from '../support/pacing-model.ts';
import { propertyRuns } from '../support/properties.ts';

const limits: fc.Arbitrary<RateLimitConfig> = fc.record(
  {
    requestsPerMinute: fc.integer({ min: 1, max: 5_000 }),
    tokensPerMinute: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 200_000 })),
  },
  { requiredKeys: [] },
);

type Step =
  /** Asks for a share of the token bucket; above one it is more than the whole. */
  | { readonly type: 'ask'; readonly share: number; readonly isPatient: boolean }
  /** An attempt ends and has used this share of what it took. */
  | { readonly type: 'end'; readonly pick: number; readonly usedShare: number }
  | { readonly type: 'give.back'; readonly pick: number }
  /** Now and then time stands still. */
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'change'; readonly limits: RateLimitConfig };

const share = fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(3));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ type: fc.constant('ask' as const), share, isPatient: fc.boolean() }) },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('end' as const),
        pick: fc.nat(),
        usedShare: fc.oneof(fc.constantFrom(0, 1, 2, 1_000), fc.double({ min: 0, max: 2, noNaN: true })),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('give.back' as const), pick: fc.nat() }) },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('wait' as const),
        ms: fc.oneof(fc.constant(0), fc.nat(500), fc.nat(10_000), fc.nat(200_000)),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('change' as const), limits }) },
  ),
  { maxLength: 60, size: 'max' },
);

interface Attempt {
  readonly request: Taken;
  readonly tokens: Taken;
}

/** The buckets of a provider and a model of each, which have to tell the same waits and to keep the law. */
class Comparison {
  #buckets: PacingBuckets;
  #requests: BucketModel;
  #tokens: BucketModel;
  readonly #inFlight: Attempt[] = [];
  #nowMs = 0;

  constructor(start: RateLimitConfig) {
    this.#buckets = new PacingBuckets(start);
    this.#requests = new BucketModel(start.requestsPerMinute);
    this.#tokens = new BucketModel(start.tokensPerMinute);
  }

  apply(step: Step): void {
    switch (step.type) {
      case 'ask': {
        const tokens = Math.ceil(step.share * this.#tokens.burst);
        const waitMs = this.#ask(tokens);
        if (!step.isPatient || waitMs === 0) return;
        this.#nowMs += Math.max(0, waitMs - 1);
        if (waitMs > 1)
          assert.ok(this.#ask(tokens) > 0, 'nobody is admitted a millisecond before the time that was told');
        this.#nowMs += Math.min(1, waitMs);
        assert.equal(this.#ask(tokens), 0, 'whoever waits as long as told is admitted');
        return;
      }
      case 'end': {
        const attempt = this.#pick(step.pick);
        if (attempt === undefined) return;
        const unused = attempt.tokens.quantity - Math.round(attempt.tokens.quantity * step.usedShare);
        this.#buckets.correct(unused);
        this.#tokens.correct(attempt.tokens, unused, this.#nowMs);
        return;
      }
      case 'give.back': {
        const attempt = this.#pick(step.pick);
        if (attempt === undefined) return;
        this.#buckets.giveBack({ tokens: attempt.tokens.quantity });
        this.#requests.correct(attempt.request, 1, this.#nowMs);
        this.#tokens.correct(attempt.tokens, attempt.tokens.quantity, this.#nowMs);
        return;
      }
      case 'wait':
        this.#nowMs += step.ms;
        return;
      case 'change':
        this.assertLaw();
        this.#buckets = this.#buckets.change(step.limits, this.#nowMs);
        this.#requests = this.#requests.change(step.limits.requestsPerMinute, this.#nowMs);
        this.#tokens = this.#tokens.change(step.limits.tokensPerMinute, this.#nowMs);
    }
  }

  assertLaw(): void {
    this.#requests.assertLaw();
    this.#tokens.assertLaw();
  }

  /** Returns the wait in ms, 0 when it was admitted. */
  #ask(tokens: number): number {
    const expectedMs = Math.max(this.#requests.waitMs(1, this.#nowMs), this.#tokens.waitMs(tokens, this.#nowMs));
    const waitMs = this.#buckets.take({ tokens }, this.#nowMs);
    assert.ok(Math.abs(waitMs - expectedMs) <= 0.01 + expectedMs * 1e-9, `${waitMs} ms instead of ${expectedMs}`);
    if (waitMs > 0) return waitMs;
    const attempt = { request: { quantity: 1 }, tokens: { quantity: tokens } };
    this.#inFlight.push(attempt);
    this.#requests.take(attempt.request, this.#nowMs);
    this.#tokens.take(attempt.tokens, this.#nowMs);
    return 0;
  }

  #pick(pick: number): Attempt | undefined {
    return this.#inFlight.splice(pick % Math.max(1, this.#inFlight.length), 1)[0];
  }
}

describe('the pacing of a provider', () => {
  test('tells the waits of two leaking vessels, both or neither, and admits no more than flows in any stretch of time', () => {
    fc.assert(
      fc.property(limits, steps, (start, sequence) => {
        const comparison = new Comparison(start);
        for (const step of sequence) comparison.apply(step);
        comparison.assertLaw();
      }),
      propertyRuns(1_000),
    );
  });

  test('without limits admits everything at once and gives nothing back to anybody', () => {
    const buckets = new PacingBuckets({});
    for (let count = 0; count < 1_000; count += 1) expect(buckets.take({ tokens: 1e9 }, 0)).toBe(0);
    buckets.giveBack({ tokens: 1e9 });
    buckets.correct(-1e9);
    expect(buckets.take({ tokens: 1e9 }, 0)).toBe(0);
  });

  test.each<[RateLimitConfig, number]>([
    [{ requestsPerMinute: 600 }, 54],
    [{ tokensPerMinute: 600 }, 54],
    [{ requestsPerMinute: 600, tokensPerMinute: 300 }, 27],
    [{ requestsPerMinute: 300, tokensPerMinute: 600 }, 27],
  ])('under %j admits, of attempts of one token, %d at once: the scarcer of both decides', (config, most) => {
    const buckets = new PacingBuckets(config);
    const waits = Array.from({ length: most + 1 }, () => buckets.take({ tokens: 1 }, 0));
    expect(waits.slice(0, most).every((waitMs) => waitMs === 0)).toBe(true);
    expect(waits[most]).toBeGreaterThan(0);
  });

  test('what is refused by one bucket takes nothing from the other', () => {
    const buckets = new PacingBuckets({ requestsPerMinute: 600, tokensPerMinute: 600 });
    expect(buckets.take({ tokens: 54 }, 0)).toBe(0);
    for (let count = 0; count < 100; count += 1) expect(buckets.take({ tokens: 54 }, 0)).toBeGreaterThan(0);
    expect(Array.from({ length: 53 }, () => buckets.take({ tokens: 0 }, 0)).every((waitMs) => waitMs === 0)).toBe(true);
    expect(buckets.take({ tokens: 0 }, 0)).toBeGreaterThan(0);
  });

  test('limits that are set for the first time hold from then on, whatever was sent before without any', () => {
    const buckets = new PacingBuckets({});
    buckets.take({ tokens: 1_000 }, 60_000);
    const limited = buckets.change({ requestsPerMinute: 600, tokensPerMinute: 6_000 }, 60_000);
    const waits = Array.from({ length: 55 }, () => limited.take({ tokens: 10 }, 60_000));
    expect(waits.findIndex((waitMs) => waitMs > 0)).toBe(54);
  });

  test('an attempt that was sent without limits and ends under some is charged to them for what it used beyond', () => {
    const limited = new PacingBuckets({}).change({ tokensPerMinute: 600 }, 60_000);
    limited.correct(-54);
    expect(limited.take({ tokens: 54 }, 60_000)).toBeCloseTo(6_000, 6);
  });
});
