import { expect, test } from 'vitest';
import { endsSupervisor, isRestartedAfter, restartedWith } from '../../src/supervision/restart-rules.ts';
import { Restarts } from '../../src/supervision/restart-intensity.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

const CRASH = { kind: 'error', error: new Error('broke') } as const;
const SIGNIFICANT = { significant: true };

test('which exits a child is restarted after', () => {
  expect(
    [CRASH, { kind: 'killed' }, { kind: 'normal' }, { kind: 'shutdown' }].map((reason) =>
      // Of these kinds every one is an exit.
      (['permanent', 'transient', 'temporary'] as const).map((restart) =>
        isRestartedAfter(restart, reason as typeof CRASH),
      ),
    ),
  ).toEqual([
    [true, true, false],
    [true, true, false],
    [true, false, false],
    [true, false, false],
  ]);
});

test('who is restarted with a child', () => {
  const children = ['a', 'b', 'c'];
  expect(restartedWith('one-for-one', children, 'b')).toEqual(['b']);
  expect(restartedWith('rest-for-one', children, 'b')).toEqual(['b', 'c']);
  expect(restartedWith('one-for-all', children, 'b')).toEqual(children);
});

test('whose end is the supervisor’s', () => {
  const active = { ...SIGNIFICANT, isActive: true };
  const ended = { ...SIGNIFICANT, isActive: false };
  expect(endsSupervisor('never', SIGNIFICANT, [])).toBe(false);
  expect(endsSupervisor('any-significant', {}, [])).toBe(false);
  expect(endsSupervisor('any-significant', SIGNIFICANT, [active])).toBe(true);
  expect(endsSupervisor('all-significant', SIGNIFICANT, [active])).toBe(false);
  expect(endsSupervisor('all-significant', SIGNIFICANT, [ended, { isActive: true }])).toBe(true);
});

test('restarts are counted from none, and a child is healthy from its time of health on', () => {
  const restarts = new Restarts(new VirtualClock(), {
    intensity: { restartsMax: 1, periodMs: 1_000 },
    backoff: { baseMs: 1, capMs: 1, healthyMs: 1_000 },
  });
  expect(restarts.recent).toBe(0);
  expect([restarts.count(), restarts.recent, restarts.count(), restarts.recent]).toEqual([true, 1, false, 2]);
  expect([restarts.isHealthyAfter(999), restarts.isHealthyAfter(1_000)]).toEqual([false, true]);
});
