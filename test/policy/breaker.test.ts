import { describe, expect, test } from 'vitest';

import { openDurationMs, probeLeaseMs, tripReason } from '../../src/policy/breaker.ts';
import { type CallWindow, createWindow, recordFailure, recordSuccess, rollWindow } from '../../src/policy/window.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';

const { breaker: config } = createProviderConfig({ adapter: 'mock' });

/** A window after calls that ended now: `s` success, `f` failure. */
const windowOf = (calls: string, nowMs = 0): CallWindow => {
  let window = createWindow(config.windowMs, nowMs);
  for (const call of calls) window = call === 's' ? recordSuccess(window, nowMs) : recordFailure(window, nowMs);
  return window;
};

describe('rule B', () => {
  test.each([
    ['nine calls at 55 % failures', 'sfsfsfsff', false],
    ['ten calls at 50 % failures', 'sfsfsfsfsf', true],
    ['ten calls at 40 % failures', 'sfsfsfsfss', false],
    ['eleven calls of which five failed', 'sfsfsfsfsfs', false],
    ['twenty calls of which nine failed, five of them at the end', 'ffffsssssssssssfffff', false],
    ['twenty calls of which ten failed, the last a success', 'fsfsfsfsfsfsfsfsfsfs', true],
    ['four failures in a row and nothing else', 'ffff', false],
    ['five failures in a row and nothing else', 'fffff', true],
    ['five failures in a row after four successes', 'ssssfffff', true],
    ['five failures in a row after five successes: ten calls, half of them failed', 'sssssfffff', true],
    ['five failures in a row after six successes', 'ssssssfffff', false],
    ['nine failures in a row after ten successes', 'ssssssssssfffffffff', false],
    ['ten failures in a row after twenty successes', `${'s'.repeat(20)}${'f'.repeat(10)}`, true],
    ['nine failures in a row after twenty successes', `${'s'.repeat(20)}${'f'.repeat(9)}`, false],
    ['four failures, a success, four failures', 'ffffsffff', false],
    ['one failure', 'f', false],
    ['nothing', '', false],
  ])('%s: trips is %3$s', (_name, calls, isTripped) => {
    expect(tripReason(windowOf(calls), config) !== undefined).toBe(isTripped);
  });

  test('says how many calls failed, for people', () => {
    expect(tripReason(windowOf('sfsfsfsfsf'), config)).toBe('5 of 10 calls failed within 60000 ms');
    expect(tripReason(windowOf('fffff'), config)).toBe('5 calls in a row failed');
    const manyInRow = windowOf(`${'s'.repeat(20)}${'f'.repeat(10)}`);
    expect(tripReason(manyInRow, config)).toBe('10 calls in a row failed');
  });

  test('each number of the rule comes from the config', () => {
    const strict = { ...config, minimumCalls: 4, failureRate: 0.25, consecutiveFailures: 3 };
    expect(tripReason(windowOf('sss'), strict)).toBeUndefined();
    expect(tripReason(windowOf('sssf'), strict)).toBeDefined();
    expect(tripReason(windowOf('ff'), strict)).toBeUndefined();
    expect(tripReason(windowOf('fff'), strict)).toBeDefined();
  });

  test('five in a row are enough below the minimum of calls, and not at it', () => {
    const patient = { ...config, failureRate: 0.9 };
    expect(tripReason(windowOf('ssssfffff'), patient)).toBe('5 calls in a row failed');
    expect(tripReason(windowOf('sssssfffff'), patient)).toBeUndefined();
  });

  test('nine failures, an idle hour and one failure do not open a breaker whose window is a minute', () => {
    const afterAnHour = recordFailure(rollWindow(windowOf('fff'), 3_600_000), 3_600_000);
    expect(tripReason(afterAnHour, config)).toBeUndefined();
    expect(afterAnHour.failuresInRow).toBe(1);
  });
});

describe('how long a breaker stays open', () => {
  test.each([
    [1, 15_000],
    [2, 15_000],
    [3, 15_000],
    [4, 15_000],
    [5, 30_000],
    [6, 60_000],
    [7, 120_000],
    [8, 240_000],
    [9, 300_000],
    [10, 300_000],
    [1_000, 300_000],
  ])('opening %d in a row lasts %d ms, give or take a fifth', (openings, nominalMs) => {
    expect(openDurationMs(openings, config, 0.5)).toBeCloseTo(nominalMs, 6);
    expect(openDurationMs(openings, config, 0)).toBeCloseTo(nominalMs * 0.8, 6);
    expect(openDurationMs(openings, config, 1)).toBeCloseTo(nominalMs * 1.2, 6);
  });
});

describe('the lease of a probe', () => {
  test.each([
    [1_000, 6_000],
    [12_000, 17_000],
    [54_999, 59_999],
    [55_000, 60_000],
    [60_000, 60_000],
    [3_600_000, 60_000],
  ])('is, for an attempt limited to %d ms, %d ms', (limitMs, leaseMs) => {
    expect(probeLeaseMs(limitMs)).toBe(leaseMs);
  });
});
