import { describe, expect, test } from 'vitest';

import { type Admission, type CandidateFacts, rankCandidates } from '../../src/policy/rank.ts';
import { planRoute, type RouteQuestion } from '../../src/policy/route.ts';

type Wait = Extract<Admission, { kind: 'wait' }>;

const ready: Admission = { kind: 'ready', isRamping: false };
const ramping: Admission = { kind: 'ready', isRamping: true };
const never: Admission = { kind: 'never', reason: 'no usable credential' };
const waiting = (reason: Wait['reason'], retryAfterMs: number, canForceProbe = false): Wait => ({
  kind: 'wait',
  reason,
  retryAfterMs,
  canForceProbe,
});

/** Candidates a, b, c, … with these admissions. */
const question = (
  admissions: readonly Admission[],
  changes: Partial<RouteQuestion> = {},
  facts: Partial<CandidateFacts> = {},
): RouteQuestion => ({
  model: 'smart',
  ranked: rankCandidates(
    admissions.map((admission, index) => ({
      candidate: { provider: 'abc'.charAt(index), model: 'm', origin: 'alias' },
      admission,
      missingFeatures: [],
      contextWindow: undefined,
      ...facts,
    })),
    { inputTokens: 100, spent: new Set(), tooLong: undefined },
  ),
  canWaitForRecovery: false,
  remainingMs: 600_000,
  wireFieldNames: [],
  ...changes,
});

const planned = (admissions: readonly Admission[], changes: Partial<RouteQuestion> = {}): string => {
  const plan = planRoute(question(admissions, changes));
  switch (plan.kind) {
    case 'enter':
      return `enter ${plan.candidate.provider}${plan.isForced ? ' forced' : ''}`;
    case 'park':
      return `park ${plan.candidates.map(({ provider }) => provider).join(' ')}`;
    case 'fail':
      return `fail ${plan.code}${plan.retryAfterMs === undefined ? '' : ` ${plan.retryAfterMs}`}`;
  }
};

const open = (ms: number) => waiting('open', ms, true);
const openSpent = (ms: number) => waiting('open', ms, false);
const held = (ms: number) => waiting('held', ms);

describe('the route', () => {
  test.each<[string, readonly Admission[], string]>([
    ['the first that is ready', [ready, ready], 'enter a'],
    ['the next while the first is open', [open(9_000), ready], 'enter b'],
    ['the next while the first is held', [held(1_000), ready], 'enter b'],
    ['the next while the first is probing', [waiting('probing', 17_000), ready], 'enter b'],
    ['the next while the first is down', [never, ready, ready], 'enter b'],
    ['the only one that is ready, knowing that no other is left', [ready, open(1), never], 'enter a'],
    ['past one that ramps up and is full', [ramping, ready], 'enter b'],
    ['one that ramps up where there is no other', [ramping, open(1)], 'enter a'],
    ['the first of those that all ramp up', [ramping, ramping], 'enter a'],
  ])('is: %s', (_name, admissions, expected) => {
    expect(planned(admissions)).toBe(expected);
    expect(planned(admissions, { canWaitForRecovery: true })).toBe(expected);
  });

  test.each<[string, readonly Admission[], string, string]>([
    [
      'everybody open: one forced probe to the one that re-opens first',
      [open(9_000), open(4_000), open(6_000)],
      'enter b forced',
      'enter b forced',
    ],
    [
      'everybody open, the earliest has had its forced probe',
      [open(9_000), openSpent(4_000)],
      'fail providers-unavailable 4000',
      'park a b',
    ],
    ['open and down: the open one is forced', [never, open(4_000)], 'enter b forced', 'enter b forced'],
    ['open and held: waiting for the held one, no forced probe', [open(9_000), held(2_000)], 'park b', 'park a b'],
    [
      'open and probing: nobody is forced beside a probe',
      [open(9_000), waiting('probing', 3_000)],
      'fail providers-unavailable 3000',
      'park a b',
    ],
    ['restarting', [waiting('restarting', 1_000)], 'park a', 'park a'],
    ['suspended by an operator', [waiting('suspended', 1_000)], 'fail providers-unavailable 1000', 'park a'],
    [
      'a probe that ends at once: never told to come back in no time',
      [waiting('probing', 0)],
      'fail providers-unavailable 1000',
      'park a',
    ],
  ])('where nobody is ready: %s', (_name, admissions, sync, asynchronous) => {
    expect(planned(admissions)).toBe(sync);
    expect(planned(admissions, { canWaitForRecovery: true })).toBe(asynchronous);
  });

  test('a sync request waits for a gate within its deadline, and learns the true time beyond it', () => {
    expect(planned([held(5_000)], { remainingMs: 5_001 })).toBe('park a');
    expect(planned([held(5_000)], { remainingMs: 5_000 })).toBe('fail rate-limited 5000');
    expect(planned([held(3_600_000), held(90_000)], { remainingMs: 60_000 })).toBe('fail rate-limited 90000');
    expect(planned([held(3_600_000), openSpent(7_000)], { remainingMs: 60_000 })).toBe(
      'fail providers-unavailable 7000',
    );
  });

  test('an async request waits for a gate however long it is held', () => {
    expect(planned([held(3_600_000)], { remainingMs: 1_000, canWaitForRecovery: true })).toBe('park a');
  });
});

describe('where nothing can help', () => {
  test('no candidate at all is no outage: nobody offers the model, and the message says what to do', () => {
    const plan = planRoute(question([]));
    expect(plan).toMatchObject({ kind: 'fail', code: 'unknown-model', param: 'model' });
    expect(plan.kind === 'fail' && plan.message).toContain('set an API key or enable one');
  });

  test('candidates that are all left out of the config are no outage: waiting does not help', () => {
    const leftOut: Admission = { kind: 'never', reason: 'left out: its key is empty', isLeftOut: true };
    for (const canWaitForRecovery of [false, true]) {
      const plan = planRoute(question([leftOut, leftOut], { canWaitForRecovery }));
      expect(plan).toMatchObject({ kind: 'fail', code: 'unknown-model', param: 'model' });
      expect(plan.kind === 'fail' && plan.message).toBe(
        'no provider of smart is active (a: left out: its key is empty; b: left out: its key is empty): set an API key or enable one and reload, or ask for another model',
      );
      expect(planned([leftOut, never], { canWaitForRecovery })).toBe('fail providers-unavailable');
    }
  });

  test('candidates that are all down fail at once, also for an async request', () => {
    expect(planned([never, never])).toBe('fail providers-unavailable');
    expect(planned([never, never], { canWaitForRecovery: true })).toBe('fail providers-unavailable');
  });

  test('a feature that no candidate has is the request at fault', () => {
    const plan = planRoute(question([ready, ready], {}, { missingFeatures: ['images'] }));
    expect(plan).toMatchObject({ kind: 'fail', code: 'invalid-request' });
    expect(plan.kind === 'fail' && plan.message).toContain('cannot serve images');
  });

  test('fields of another wire are named, the first one as the parameter at fault', () => {
    const plan = planRoute(
      question([ready], { wireFieldNames: ['logit_bias', 'n'] }, { missingFeatures: ['wire:openai'] }),
    );
    expect(plan).toMatchObject({ kind: 'fail', code: 'invalid-request', param: 'logit_bias' });
    expect(plan.kind === 'fail' && plan.message).toContain('logit_bias, n');
  });

  test('an input that is too long for every window is told so', () => {
    expect(planRoute(question([ready, ready], {}, { contextWindow: 99 }))).toMatchObject({
      kind: 'fail',
      code: 'context-too-long',
    });
  });
});
