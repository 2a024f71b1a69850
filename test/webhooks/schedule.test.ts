import { describe, expect, test } from 'vitest';
import { decideNext, RETRY_AFTER_MAX_MS, RETRY_WAITS_MAX_MS } from '../../src/webhooks/schedule.ts';

const answered = (status: number, retryAfterMs?: number) => ({ kind: 'answered' as const, status, retryAfterMs });
const unanswered = { kind: 'unanswered' as const, reason: 'no answer' };
const minutes = (count: number): number => count * 60_000;

test.each([200, 201, 202, 204, 299])('%i is delivered', (status) => {
  expect(decideNext(answered(status), 0, 0.5)).toEqual({ kind: 'done', status });
});

test.each([199, 300, 301, 308, 400, 401, 404, 408, 429, 500, 502, 503, 504])('%i is tried again', (status) => {
  expect(decideNext(answered(status), 0, 0.5)).toMatchObject({ kind: 'retry', holdMs: 0 });
});

test('the waits are those of the specification, each drawn from the whole of its range', () => {
  expect(RETRY_WAITS_MAX_MS).toEqual([5_000, ...[5, 30, 120, 300, 600, 840].map(minutes)]);
  for (const [tries, waitMaxMs] of RETRY_WAITS_MAX_MS.entries()) {
    expect(decideNext(unanswered, tries, 0)).toMatchObject({ kind: 'retry', waitMs: 0 });
    expect(decideNext(unanswered, tries, 0.5)).toMatchObject({ kind: 'retry', waitMs: waitMaxMs / 2 });
    expect(decideNext(unanswered, tries, 0.999_999_999)).toMatchObject({ kind: 'retry', waitMs: waitMaxMs });
  }
});

test('after the eighth try a notice is given up', () => {
  expect(decideNext(unanswered, 6, 0.5)).toMatchObject({ kind: 'retry' });
  expect(decideNext(unanswered, 7, 0.5)).toEqual({ kind: 'give-up', reason: 'no answer' });
  expect(decideNext(answered(500), 7, 0.5)).toEqual({ kind: 'give-up', reason: 'the receiver answered 500' });
  expect(decideNext(answered(200), 7, 0.5)).toEqual({ kind: 'done', status: 200 });
});

test('410 is given up at once', () => {
  const reason = 'the receiver answered 410: it wants no more notices';
  expect(decideNext(answered(410), 0, 0.5)).toEqual({ kind: 'give-up', reason });
});

describe('Retry-After', () => {
  test.each([429, 503])('of a %i is kept to, for this notice and for the others', (status) => {
    expect(decideNext(answered(status, 60_000), 0, 0.5)).toMatchObject({ waitMs: 60_000, holdMs: 60_000 });
  });

  test('does not shorten the wait', () => {
    expect(decideNext(answered(429, 1_000), 1, 0.5)).toMatchObject({ waitMs: 150_000, holdMs: 1_000 });
  });

  test('of any other status is not believed', () => {
    expect(decideNext(answered(500, 60_000), 0, 0.5)).toMatchObject({ waitMs: 2_500, holdMs: 0 });
  });

  test('of more than a day is taken for a day', () => {
    expect(RETRY_AFTER_MAX_MS).toBe(minutes(1_440));
    const step = decideNext(answered(503, 10 * RETRY_AFTER_MAX_MS), 0, 0.5);
    expect(step).toMatchObject({ waitMs: RETRY_AFTER_MAX_MS, holdMs: RETRY_AFTER_MAX_MS });
  });
});

test('a redirect says that it was not followed', () => {
  expect(decideNext(answered(307), 0, 0.5)).toMatchObject({
    reason: 'the receiver answered with a redirect (307), which is never followed',
  });
});
