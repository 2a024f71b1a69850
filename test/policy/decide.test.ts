import { describe, expect, test } from 'vitest';

import type { Failure } from '../../src/contract/adapter.ts';
import { FAILURE_POLICY, type FailureKind } from '../../src/contract/failures.ts';
import { ATTEMPTS_MAX, decide, type Decision, type FailedAttempt } from '../../src/policy/decide.ts';

const kinds = Object.keys(FAILURE_POLICY) as FailureKind[]; // Its keys are exactly the kinds.

const failed = (
  kind: FailureKind,
  changes: Partial<FailedAttempt> = {},
  failure: Partial<Failure> = {},
): FailedAttempt => ({
  failure: { kind, message: 'went wrong', ...failure },
  attemptsHere: 1,
  attemptsTotal: 1,
  retry: { maxRetries: 2, baseMs: 500, factor: 2, capMs: 8_000 },
  hasOtherCredential: false,
  hasOtherCandidate: true,
  hasDelivered: false,
  delivery: 'live',
  remainingMs: 600_000,
  random: 0.5,
  ...changes,
});

const next: Decision = { kind: 'next', isTooLong: false };
const giveUp: Decision = { kind: 'give-up' };
const retry = (waitMs: number): Decision => ({ kind: 'retry', waitMs, isFree: false });
const otherKey: Decision = { kind: 'retry', waitMs: 0, isFree: true };

/** What follows a first failure: with another candidate, without one, and with another credential of this provider. */
const FIRST: Readonly<Record<FailureKind, readonly [Decision, Decision, Decision]>> = {
  connection: [retry(250), retry(250), retry(250)],
  'connect-timeout': [retry(250), retry(250), retry(250)],
  'upstream-error': [retry(250), retry(250), retry(250)],
  overloaded: [retry(250), retry(250), retry(250)],
  silent: [next, next, next],
  broken: [next, next, next],
  'false-success': [next, next, next],
  'adapter-error': [next, next, next],
  'deadline-overdue': [giveUp, giveUp, giveUp],
  deadline: [giveUp, giveUp, giveUp],
  abandoned: [giveUp, giveUp, giveUp],
  'rate-limited': [retry(750), retry(750), otherKey],
  'quota-exhausted': [next, next, otherKey],
  unauthorized: [next, next, otherKey],
  'model-not-found': [next, next, next],
  'context-too-long': [
    { kind: 'next', isTooLong: true },
    { kind: 'next', isTooLong: true },
    { kind: 'next', isTooLong: true },
  ],
  'content-filtered': [giveUp, giveUp, giveUp],
  'invalid-request': [giveUp, giveUp, giveUp],
};

describe('after a first failure', () => {
  test.each(kinds)('%s: the same target, the next candidate or the end, as the failure table says', (kind) => {
    const [withOther, alone, withKey] = FIRST[kind];
    expect(decide(failed(kind))).toStrictEqual(withOther);
    expect(decide(failed(kind, { hasOtherCandidate: false }))).toStrictEqual(alone);
    expect(decide(failed(kind, { hasOtherCredential: true }))).toStrictEqual(withKey);
  });

  test.each(kinds)('%s: never a second answer glued to what a live or whole caller has already read', (kind) => {
    for (const delivery of ['live', 'whole'] as const) {
      expect(decide(failed(kind, { hasDelivered: true, delivery, hasOtherCredential: true }))).toEqual(giveUp);
    }
  });

  test.each(kinds)('%s: no ninth attempt', (kind) => {
    for (const hasOtherCredential of [false, true]) {
      expect(decide(failed(kind, { attemptsTotal: ATTEMPTS_MAX, hasOtherCredential }))).toEqual(giveUp);
    }
    expect(ATTEMPTS_MAX).toBe(8);
  });

  test.each(kinds)('%s: whatever follows fits into the time that is left', (kind) => {
    for (const remainingMs of [0, 1, 249, 250, 251, 749, 750, 751]) {
      for (const hasOtherCandidate of [false, true]) {
        const decision = decide(failed(kind, { remainingMs, hasOtherCandidate }));
        expect(decision.kind === 'retry' ? decision.waitMs : -1).toBeLessThan(remainingMs);
      }
    }
  });
});

describe('a transient failure', () => {
  test.each([
    [1, retry(250)],
    [2, retry(500)],
    [3, next],
    [4, next],
  ])('after %d attempts here, with two retries allowed', (attemptsHere, expected) => {
    expect(decide(failed('upstream-error', { attemptsHere, attemptsTotal: attemptsHere }))).toEqual(expected);
  });

  test('is not retried where retries are switched off', () => {
    expect(decide(failed('connection', { retry: { maxRetries: 0, baseMs: 500, factor: 2, capMs: 8_000 } }))).toEqual(
      next,
    );
  });

  test.each([
    ['a Retry-After of 2 s is waited for', 2_000, true, retry(2_000)],
    ['a Retry-After of 5 s is waited for', 5_000, true, retry(5_000)],
    ['a longer one sends the request on', 5_001, true, next],
    ['a longer one is waited for where there is nowhere else to go', 60_000, false, retry(60_000)],
    ['a Retry-After of 0 leaves the backoff as it is', 0, true, retry(250)],
  ])('%s', (_name, retryAfterMs, hasOtherCandidate, expected) => {
    expect(decide(failed('overloaded', { hasOtherCandidate }, { retryAfterMs }))).toEqual(expected);
  });

  test('whose wait does not fit the deadline goes on at once, or fails with the time the provider named', () => {
    const short = { remainingMs: 3_000 };
    expect(decide(failed('upstream-error', short, { retryAfterMs: 3_000 }))).toEqual(next);
    expect(decide(failed('upstream-error', { ...short, hasOtherCandidate: false }, { retryAfterMs: 3_000 }))).toEqual({
      kind: 'give-up',
      retryAfterMs: 3_000,
    });
  });

  test('in the middle of a restart stream goes to the next candidate: what was read is discarded only once', () => {
    expect(decide(failed('upstream-error', { hasDelivered: true, delivery: 'restart' }))).toEqual(next);
    expect(decide(failed('broken', { hasDelivered: true, delivery: 'restart' }))).toEqual(next);
  });
});

describe('a 429', () => {
  test('with Retry-After: 2 (S01) is waited for here, not shorter than told, though another candidate is ready', () => {
    for (const random of [0, 0.5, 0.999]) {
      const decision = decide(failed('rate-limited', { random }, { retryAfterMs: 2_000 }));
      expect(decision).toEqual(retry(2_000));
    }
  });

  test('without Retry-After (S02) is tried here once more, then the fallback is asked', () => {
    expect(decide(failed('rate-limited', { attemptsHere: 1, attemptsTotal: 1 }))).toEqual(retry(750));
    expect(decide(failed('rate-limited', { attemptsHere: 2, attemptsTotal: 2 }))).toEqual(next);
  });

  test('without Retry-After and without a fallback is tried three times and then given up, not for ever', () => {
    const alone = { hasOtherCandidate: false };
    expect(decide(failed('rate-limited', { ...alone, attemptsHere: 2 }))).toEqual(retry(1_500));
    expect(decide(failed('rate-limited', { ...alone, attemptsHere: 3 }))).toEqual(giveUp);
  });

  test.each([
    [5_000, true, retry(5_000)],
    [5_001, true, next],
    [3_600_000, true, next],
    [61_000, false, retry(61_000)],
    [3_600_000, false, { kind: 'give-up', retryAfterMs: 3_600_000 }],
  ] as const)(
    'with a Retry-After of %d ms, another candidate ready: %s',
    (retryAfterMs, hasOtherCandidate, expected) => {
      expect(decide(failed('rate-limited', { hasOtherCandidate }, { retryAfterMs }))).toEqual(expected);
    },
  );

  test('whose short wait does not fit the deadline goes to the next candidate at once', () => {
    expect(decide(failed('rate-limited', { remainingMs: 1_000 }, { retryAfterMs: 2_000 }))).toEqual(next);
  });

  test('of one key costs no wait and no retry while another key is free', () => {
    expect(decide(failed('rate-limited', { hasOtherCredential: true }, { retryAfterMs: 3_600_000 }))).toEqual(otherKey);
  });
});

describe('a request that may begin another round', () => {
  const alone = { hasOtherCandidate: false, canRest: true };

  test.each([
    ['waits here for a short Retry-After of a transient failure', 'overloaded', 5_000, retry(5_000)],
    ['rests instead of waiting here for a longer one', 'overloaded', 5_001, next],
    ['waits here for a short Retry-After of a 429', 'rate-limited', 5_000, retry(5_000)],
    ['rests instead of waiting here for a longer one of a 429', 'rate-limited', 5_001, next],
  ] as const)('%s', (_name, kind, retryAfterMs, expected) => {
    expect(decide(failed(kind, alone, { retryAfterMs }))).toEqual(expected);
  });

  test('rests after the second 429 without a Retry-After', () => {
    expect(decide(failed('rate-limited', { ...alone, attemptsHere: 1 }))).toEqual(retry(750));
    expect(decide(failed('rate-limited', { ...alone, attemptsHere: 2 }))).toEqual(next);
  });

  test('gives up when what is left of its time is too short even for a short wait', () => {
    const short = { ...alone, remainingMs: 3_000 };
    expect(decide(failed('upstream-error', short, { retryAfterMs: 3_000 }))).toEqual({
      kind: 'give-up',
      retryAfterMs: 3_000,
    });
  });
});
