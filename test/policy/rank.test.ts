import { describe, expect, test } from 'vitest';

import {
  type Admission,
  type CandidateFacts,
  candidateKey,
  rankCandidates,
  type RequestNeeds,
} from '../../src/policy/rank.ts';

const ready: Admission = { kind: 'ready', isRamping: false };

const fact = (provider: string, changes: Partial<CandidateFacts> = {}): CandidateFacts => ({
  candidate: { provider, model: 'model-1', origin: 'alias' },
  admission: ready,
  missingFeatures: [],
  contextWindow: undefined,
  ...changes,
});

const needs = (changes: Partial<RequestNeeds> = {}): RequestNeeds => ({
  inputTokens: 100,
  spent: new Set(),
  tooLong: undefined,
  ...changes,
});

const judged = (facts: readonly CandidateFacts[], request: RequestNeeds = needs()) =>
  rankCandidates(facts, request).map(({ candidate, state }) => `${candidate.provider} ${state}`);

describe('ranking', () => {
  test('keeps the order that the name of the model gave, whatever the states are', () => {
    const down: Admission = { kind: 'never', reason: 'given up' };
    const held: Admission = { kind: 'wait', reason: 'held', retryAfterMs: 1, canForceProbe: false };
    expect(judged([fact('a', { admission: down }), fact('b', { admission: held }), fact('c')])).toEqual([
      'a never',
      'b wait',
      'c ready',
    ]);
  });

  test('a spent candidate is not asked again, its namesake at another provider is', () => {
    const spent = new Set([candidateKey({ provider: 'a', model: 'model-1' })]);
    expect(judged([fact('a'), fact('b')], needs({ spent }))).toEqual(['a never', 'b ready']);
  });

  test('a missing feature rules a candidate out and is named', () => {
    const [entry] = rankCandidates([fact('a', { missingFeatures: ['tools', 'images'] })], needs());
    expect(entry).toMatchObject({ state: 'never', reasons: ['cannot serve tools', 'cannot serve images'] });
  });

  test.each([
    [99, 'never'],
    [100, 'ready'],
    [undefined, 'ready'],
  ])('a window of %s tokens for an input of 100 is %s', (contextWindow, state) => {
    expect(judged([fact('a', { contextWindow })])).toEqual([`a ${state}`]);
  });

  test.each<[string, readonly [number | undefined, number | undefined], number, string]>([
    ['a larger window, earlier in the list', [8_000, 16_000], 0, 'ready'],
    ['an equal window, later in the list', [8_000, 8_000], 2, 'never'],
    ['a smaller window, later in the list', [8_000, 4_000], 2, 'never'],
    ['an unknown window, later in the list', [8_000, undefined], 2, 'ready'],
    ['an unknown window, earlier in the list', [8_000, undefined], 0, 'never'],
    ['a known window, later than one of unknown size', [undefined, 4_000], 2, 'ready'],
    ['a known window, earlier than one of unknown size', [undefined, 4_000], 0, 'never'],
    ['the candidate itself', [8_000, 8_000], 1, 'never'],
  ])('after a context that was too long, %s: %4$s', (_name, [window, contextWindow], index, state) => {
    const facts = [0, 1, 2].map((place) => fact(`p${place}`, place === index ? { contextWindow } : {}));
    expect(judged(facts, needs({ tooLong: { index: 1, window } }))[index]).toBe(`p${index} ${state}`);
  });

  test.each<[Admission, string]>([
    [ready, 'alias candidate, breaker admits'],
    [{ kind: 'ready', isRamping: true }, 'alias candidate, breaker admits, but its slots are taken while it ramps up'],
    [
      { kind: 'wait', reason: 'open', retryAfterMs: 14_001, canForceProbe: true },
      'breaker is open, next probe in 15 s',
    ],
    [
      { kind: 'wait', reason: 'probing', retryAfterMs: 1, canForceProbe: false },
      'breaker is half-open and its one probe is under way',
    ],
    [
      { kind: 'wait', reason: 'held', retryAfterMs: 2_000, canForceProbe: false },
      'rate limited by the provider for another 2 s',
    ],
    [{ kind: 'wait', reason: 'restarting', retryAfterMs: 1, canForceProbe: false }, 'its actor is restarting'],
    [
      { kind: 'wait', reason: 'suspended', retryAfterMs: 1, canForceProbe: false },
      'its actor is suspended by an operator',
    ],
    [{ kind: 'never', reason: 'no usable credential' }, 'no usable credential'],
  ])('%o is explained as: %s', (admission, reason) => {
    expect(rankCandidates([fact('a', { admission })], needs())[0]?.reasons).toEqual([reason]);
  });
});
