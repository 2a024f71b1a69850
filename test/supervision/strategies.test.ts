/** Who is stopped and started with a child that is restarted. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';
import type { Strategy } from '../../src/supervision/child-spec.ts';
import { incarnations, run, states } from '../support/supervised.ts';

const AT_ONCE = { backoff: 'none', intensity: { restartsMax: 10, periodMs: 5_000 } } as const;
const ONE_FOR_ALL = { ...AT_ONCE, strategy: 'one-for-all' } as const;
const REST_FOR_ONE = { ...AT_ONCE, strategy: 'rest-for-one' } as const;

describe('one-for-all', () => {
  test('actors 16: all others stop in reverse before any starts, then all start in order', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c')],
      ONE_FOR_ALL,
    );
    factory.journal.length = 0;
    factory.the('b').crash();
    await clock.advance(1);
    expect(factory.journal).toEqual([
      'stop c',
      'stop a',
      'start a',
      'started a',
      'start b',
      'started b',
      'start c',
      'started c',
    ]);
    expect(incarnations(supervisor)).toEqual([2, 2, 2]);
  });

  test('actors 18: when a sibling cannot start, those that have are stopped, and all are tried again', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c')],
      ONE_FOR_ALL,
    );
    factory.beforeStart.set('c', (incarnation) => {
      if (incarnation === 2) throw new Error('not yet');
    });
    factory.journal.length = 0;
    factory.the('a').crash();
    await clock.advance(10);
    expect(factory.journal).toEqual([
      ...['stop c', 'stop b', 'start a', 'started a', 'start b', 'started b', 'start c'],
      ...['stop b', 'stop a', 'start a', 'started a', 'start b', 'started b', 'start c', 'started c'],
    ]);
    expect(states(supervisor)).toEqual(['a running', 'b running', 'c running']);
  });

  test('siblings do not work on while the one that crashed waits for its restart', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      ...ONE_FOR_ALL,
      backoff: { baseMs: 1_000, capMs: 1_000, healthyMs: 60_000 },
    });
    factory.the('a').crash();
    await clock.advance(100);
    expect(states(supervisor)).toEqual(['a restarting', 'b stopped']);
    await clock.advance(1_000);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
  });

  test('actors 23: one crash counts once, however many siblings start again', async () => {
    const { factory, clock, exits } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')], {
      ...ONE_FOR_ALL,
      intensity: { restartsMax: 1, periodMs: 5_000 },
    });
    factory.the('a').crash();
    await clock.advance(10);
    expect([factory.aliveCount, exits]).toEqual([3, []]);
    factory.the('a').crash();
    await clock.advance(10);
    expect([factory.aliveCount, exits]).toEqual([0, [{ kind: 'shutdown' }]]);
  });

  test('two that crash together are one restart', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      ...ONE_FOR_ALL,
      intensity: { restartsMax: 1, periodMs: 5_000 },
    });
    factory.the('a').crash();
    factory.the('b').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    expect(incarnations(supervisor)).toEqual([2, 2]);
  });
});

describe('rest-for-one', () => {
  test('actors 17: those after it stop in reverse, then it and they start in order; those before never notice', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c'), made.spec('d')],
      REST_FOR_ONE,
    );
    factory.journal.length = 0;
    factory.the('b').crash();
    await clock.advance(1);
    expect(factory.journal).toEqual([
      'stop d',
      'stop c',
      'start b',
      'started b',
      'start c',
      'started c',
      'start d',
      'started d',
    ]);
    expect(incarnations(supervisor)).toEqual([1, 2, 2, 2]);
  });

  test('actors 18: when a later one cannot start, it and those after it are tried again, and nobody else', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c'), made.spec('d')],
      REST_FOR_ONE,
    );
    factory.beforeStart.set('c', (incarnation) => {
      if (incarnation === 2) throw new Error('not yet');
    });
    factory.journal.length = 0;
    factory.the('b').crash();
    await clock.advance(10);
    expect(factory.journal).toEqual([
      ...['stop d', 'stop c', 'start b', 'started b', 'start c'],
      ...['start c', 'started c', 'start d', 'started d'],
    ]);
    expect(incarnations(supervisor)).toEqual([1, 2, 3, 2]);
  });
});

describe.each<Strategy>(['one-for-all', 'rest-for-one'])('siblings under %s', (strategy) => {
  const options = { ...AT_ONCE, strategy };

  test('actors 13: a temporary child that is stopped for a sibling is not started again and does not count', async () => {
    const { factory, clock, supervisor, exits } = await run(
      (made) => [made.spec('a'), made.spec('b', { restart: 'temporary' }), made.spec('c')],
      { ...options, intensity: { restartsMax: 1, periodMs: 5_000 } },
    );
    factory.the('a').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'c running']);
    expect([factory.living('b'), exits]).toEqual([[], []]);
  });

  test('actors 22: a sibling that never starts again ends the supervisor after as many attempts', async () => {
    const { factory, clock, exits } = await run((made) => [made.spec('a'), made.spec('b')], {
      ...options,
      intensity: { restartsMax: 3, periodMs: 5_000 },
    });
    factory.beforeStart.set('b', () => {
      throw new Error('never');
    });
    factory.the('a').crash();
    await clock.advance(100);
    expect(factory.journal.filter((line) => line === 'start b')).toHaveLength(4);
    expect([factory.aliveCount, exits]).toEqual([0, [{ kind: 'shutdown' }]]);
  });

  test('a sibling that an operator had stopped starts with the others, as in OTP', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], options);
    await supervisor.terminateChild('b');
    factory.the('a').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
  });

  test('a sibling that is slow to stop is waited for, up to its limit', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b', { shutdown: 1_000 })],
      options,
    );
    factory.onStop.set('b', () => new Promise(() => {}));
    factory.the('a').crash();
    await clock.advance(999);
    expect(factory.living('a')).toEqual([]);
    factory.onStop.delete('b');
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    expect(factory.aliveCount).toBe(2);
  });

  test('a supervisor that is stopped in the middle of a restart leaves nobody alive', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c')],
      options,
    );
    const slow = Promise.withResolvers<void>();
    factory.beforeStart.set('b', () => slow.promise);
    factory.the('a').crash();
    await clock.advance(10);
    const stopped = supervisor.stop();
    slow.resolve();
    await stopped;
    await clock.advance(10_000);
    expect([factory.aliveCount, clock.pendingTimers]).toEqual([0, 0]);
  });
});
