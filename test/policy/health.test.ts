import { describe, expect, test } from 'vitest';

import type { HealthLabel, HealthReason, ProviderState } from '../../src/contract/state.ts';
import {
  appendSegment,
  type HealthEvidence,
  type HealthSegment,
  judgeHealth,
  percentile,
  uptimePercent,
} from '../../src/policy/health.ts';

const dayMs = 86_400_000;

const state = (
  changes: Partial<ProviderState> = {},
  breaker: Partial<ProviderState['breaker']> = {},
): ProviderState => ({
  breaker: {
    state: 'closed',
    failureCount: 0,
    successCount: 0,
    lastFailureAt: undefined,
    lastError: undefined,
    openedAt: undefined,
    nextProbeAt: undefined,
    ...breaker,
  },
  gate: 'clear',
  credentials: [{ id: 'a#1', state: 'usable' }],
  concurrency: { limit: 32, inFlight: 0 },
  quarantinedModels: [],
  isDown: false,
  isSuspended: false,
  ...changes,
});

const nothing: HealthEvidence = { hasEvidence: false, lastCheckPassed: undefined, isThrottled: false };
const seen: HealthEvidence = { ...nothing, hasEvidence: true };
const counts = (failureCount: number, successCount: number) => ({ failureCount, successCount });

describe('the label of a provider', () => {
  test.each<[string, ProviderState, HealthEvidence, HealthLabel]>([
    ['nothing was seen', state(), nothing, 'unknown'],
    ['something was seen and nothing is wrong', state(), seen, 'healthy'],
    ['no call of ten failed', state({}, counts(0, 10)), seen, 'healthy'],
    ['one call of eleven failed', state({}, counts(1, 10)), seen, 'healthy'],
    ['one call of ten failed', state({}, counts(1, 9)), seen, 'degraded'],
    ['half-open', state({}, { state: 'halfOpen' }), seen, 'degraded'],
    ['gated', state({ gate: 'held', credentials: [{ id: 'a#1', state: 'held', heldForMs: 5 }] }), seen, 'degraded'],
    ['open', state({}, { state: 'open' }), seen, 'unhealthy'],
    ['given up', state({ isDown: true }), seen, 'unhealthy'],
    ['given up before anything was seen', state({ isDown: true }), nothing, 'unhealthy'],
    [
      'every credential disabled or exhausted',
      state({
        credentials: [
          { id: 'a#1', state: 'disabled' },
          { id: 'a#2', state: 'exhausted' },
        ],
      }),
      seen,
      'unhealthy',
    ],
    [
      'one of two credentials disabled',
      state({
        credentials: [
          { id: 'a#1', state: 'disabled' },
          { id: 'a#2', state: 'usable' },
        ],
      }),
      seen,
      'healthy',
    ],
    ['throttled a moment ago and answering', state({}, counts(0, 10)), { ...seen, isThrottled: true }, 'degraded'],
    ['throttled a moment ago and open', state({}, { state: 'open' }), { ...seen, isThrottled: true }, 'unhealthy'],
    ['open and gated', state({ gate: 'held' }, { state: 'open' }), seen, 'unhealthy'],
    ['the last check failed and there was no traffic', state(), { ...seen, lastCheckPassed: false }, 'degraded'],
    [
      'the last check failed and calls succeed',
      state({}, counts(0, 3)),
      { ...seen, lastCheckPassed: false },
      'healthy',
    ],
    ['the last check passed', state(), { ...seen, lastCheckPassed: true }, 'healthy'],
    [
      'the last check passed and the breaker is open',
      state({}, { state: 'open' }),
      { ...seen, lastCheckPassed: true },
      'unhealthy',
    ],
  ])('when %s', (_name, provider, evidence, label) => {
    expect(judgeHealth(provider, evidence).label).toBe(label);
  });
});

const segmentsOf = (...changes: readonly (readonly [HealthLabel, number])[]): readonly HealthSegment[] =>
  changes.reduce<readonly HealthSegment[]>((segments, [label, atMs]) => appendSegment(segments, label, atMs), []);

describe('the reason of a label', () => {
  test.each<[string, ProviderState, HealthEvidence, HealthReason | undefined]>([
    ['nothing was seen', state(), nothing, undefined],
    ['all is well', state({}, counts(0, 10)), seen, undefined],
    ['given up', state({ isDown: true }), seen, 'down'],
    ['suspended', state({ isSuspended: true }), seen, 'suspended'],
    ['open', state({}, { state: 'open' }), seen, 'breaker-open'],
    ['half-open', state({}, { state: 'halfOpen' }), seen, 'breaker-half-open'],
    ['without a key', state({ credentials: [{ id: 'a#1', state: 'exhausted' }] }), seen, 'no-usable-key'],
    ['gated', state({ gate: 'held' }), seen, 'rate-limited'],
    ['gated a moment ago', state({}, counts(0, 10)), { ...seen, isThrottled: true }, 'rate-limited'],
    ['failing', state({}, counts(1, 9)), seen, 'failing'],
    ['unreachable for its last check', state(), { ...seen, lastCheckPassed: false }, 'check-failed'],
    ['given up with an open breaker', state({ isDown: true }, { state: 'open' }), seen, 'down'],
  ])('when it is %s', (_name, provider, evidence, reason) => {
    expect(judgeHealth(provider, evidence).reason).toBe(reason);
  });
});

describe('uptime', () => {
  test('is unknown while nothing was seen', () => {
    expect(uptimePercent([], 1_000)).toBeUndefined();
    expect(uptimePercent(segmentsOf(['unknown', 0]), 1_000)).toBeUndefined();
  });

  test('weighs states by their time, not by how often they were seen', () => {
    const segments = segmentsOf(['healthy', 0], ['unhealthy', 9_000], ['healthy', 10_000], ['degraded', 11_000]);
    expect(uptimePercent(segments, 20_000)).toBeCloseTo(95, 9);
  });

  test('leaves out the time before anything was known', () => {
    expect(uptimePercent(segmentsOf(['unknown', 0], ['healthy', 90_000], ['unhealthy', 95_000]), 100_000)).toBeCloseTo(
      50,
      9,
    );
  });

  test('counts a degraded provider as up: it answers', () => {
    expect(uptimePercent(segmentsOf(['degraded', 0]), 1_000)).toBe(100);
  });

  test('answers in the very moment of the first judgement', () => {
    expect(uptimePercent(segmentsOf(['unhealthy', 5]), 5)).toBe(0);
    expect(uptimePercent(segmentsOf(['healthy', 5]), 5)).toBe(100);
  });

  test('looks back one day and no further', () => {
    const segments = segmentsOf(['unhealthy', 0], ['healthy', dayMs]);
    expect(uptimePercent(segments, dayMs)).toBe(0);
    expect(uptimePercent(segments, dayMs * 1.5)).toBeCloseTo(50, 9);
    expect(uptimePercent(segments, dayMs * 2)).toBeCloseTo(100, 9);
  });

  test('a label that stays adds no segment', () => {
    const one = segmentsOf(['healthy', 0]);
    expect(appendSegment(one, 'healthy', 5)).toBe(one);
  });

  test('what is older than a day is forgotten, but for the state the day began in', () => {
    const segments = segmentsOf(['healthy', 0], ['unhealthy', 10], ['healthy', 20], ['unhealthy', dayMs + 30]);
    expect(segments).toEqual([
      { fromMs: 20, label: 'healthy' },
      { fromMs: dayMs + 30, label: 'unhealthy' },
    ]);
  });

  test('a provider that flaps all day is remembered within bounds', () => {
    let segments: readonly HealthSegment[] = [];
    for (let index = 0; index < 10_000; index += 1)
      segments = appendSegment(segments, index % 2 === 0 ? 'healthy' : 'unhealthy', index);
    expect(segments.length).toBeLessThanOrEqual(2_000);
    expect(segments.at(-1)).toEqual({ fromMs: 9_999, label: 'unhealthy' });
  });
});

describe('a percentile', () => {
  test.each([
    [[], 0.5, undefined],
    [[7], 0.5, 7],
    [[7], 0.95, 7],
    [[3, 1, 2], 0.5, 2],
    [[4, 1, 3, 2], 0.5, 2],
    [Array.from({ length: 100 }, (_, index) => index + 1), 0.95, 95],
    [[10, 9], 0, 9],
    [[10, 9], 1, 10],
  ])('of %j at %d is %s', (samples, rank, expected) => {
    expect(percentile(samples, rank)).toBe(expected);
  });
});
