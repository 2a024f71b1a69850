/** Children whose end is the supervisor's. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';
import type { AutoShutdown, ChildSpec } from '../../src/supervision/child-spec.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ProcessFactory } from '../support/scripted-process.ts';
import { run, states } from '../support/supervised.ts';

const SHUTDOWN: readonly ExitReason[] = [{ kind: 'shutdown' }];
const transient = { restart: 'transient', significant: true } as const;
const temporary = { restart: 'temporary', significant: true } as const;

const start = (autoShutdown: AutoShutdown, kinds: Readonly<Record<string, Partial<ChildSpec>>>, more = {}) =>
  run((made) => Object.entries(kinds).map(([id, kind]) => made.spec(id, kind)), { autoShutdown, ...more });

describe('any-significant', () => {
  test.each<ExitReason>([{ kind: 'normal' }, { kind: 'shutdown' }, { kind: 'shutdown', detail: 'done' }])(
    'actors 37: an orderly end (%o) of a significant transient child stops its supervisor and all siblings',
    async (reason) => {
      const { factory, clock, exits } = await start('any-significant', { a: {}, b: transient, c: transient });
      factory.the('b').exit(reason);
      await clock.advance(1);
      expect([exits, factory.aliveCount]).toEqual([SHUTDOWN, 0]);
      expect(factory.journal.slice(-2)).toEqual(['stop c', 'stop a']);
    },
  );

  test.each<ExitReason>([{ kind: 'killed' }, { kind: 'error', error: new Error('broke') }])(
    'actors 38: after %o a transient significant child is restarted, and nothing ends',
    async (reason) => {
      const { factory, clock, supervisor, exits } = await start('any-significant', { a: {}, b: transient });
      factory.the('b').exit(reason);
      await clock.advance(1);
      expect([exits, states(supervisor)]).toEqual([[], ['a running', 'b running']]);
    },
  );

  test.each<ExitReason>([
    { kind: 'normal' },
    { kind: 'shutdown' },
    { kind: 'killed' },
    { kind: 'error', error: new Error('broke') },
  ])('actors 38: any end (%o) of a temporary significant child ends its supervisor', async (reason) => {
    const { factory, clock, exits } = await start('any-significant', { a: {}, b: temporary });
    factory.the('b').exit(reason);
    await clock.advance(1);
    expect([exits, factory.aliveCount]).toEqual([SHUTDOWN, 0]);
  });

  test('the end of a child that is not significant ends nothing', async () => {
    const { factory, clock, exits } = await start('any-significant', { a: { restart: 'transient' }, b: transient });
    factory.the('a').exit({ kind: 'normal' });
    await clock.advance(1);
    expect(exits).toEqual([]);
  });

  test('actors 40: a child that an operator stops ends nothing', async () => {
    const { clock, supervisor, exits } = await start('any-significant', { a: transient, b: temporary });
    await supervisor.terminateChild('a');
    await supervisor.terminateChild('b');
    await clock.advance(1);
    expect(exits).toEqual([]);
  });

  test('actors 40: a child that is stopped because a sibling crashed ends nothing', async () => {
    const { factory, clock, supervisor, exits } = await start(
      'any-significant',
      { a: {}, b: temporary, c: transient },
      { strategy: 'one-for-all' },
    );
    factory.the('a').crash();
    await clock.advance(1);
    expect([exits, states(supervisor)]).toEqual([[], ['a running', 'c running']]);
  });
});

describe('all-significant', () => {
  test('actors 39: only the end of the last one that is active ends the supervisor', async () => {
    const { factory, clock, exits } = await start('all-significant', {
      a: {},
      b: transient,
      c: temporary,
      d: transient,
    });
    factory.the('b').exit({ kind: 'normal' });
    factory.the('c').crash();
    await clock.advance(1);
    expect(exits).toEqual([]);
    factory.the('d').exit({ kind: 'normal' });
    await clock.advance(1);
    expect([exits, factory.aliveCount]).toEqual([SHUTDOWN, 0]);
  });

  test('actors 39: one that waits for its restart is still active', async () => {
    const { factory, clock, exits } = await start(
      'all-significant',
      { a: transient, b: transient },
      { backoff: { baseMs: 1_000, capMs: 1_000, healthyMs: 60_000 } },
    );
    factory.the('a').crash();
    await clock.advance(10);
    factory.the('b').exit({ kind: 'normal' });
    await clock.advance(10);
    expect(exits).toEqual([]);
    await clock.advance(1_000);
    factory.the('a').exit({ kind: 'normal' });
    await clock.advance(10);
    expect(exits).toEqual(SHUTDOWN);
  });
});

describe('a tree', () => {
  test.each([true, false])(
    'actors 41: it goes on upwards only when the inner supervisor is significant: %s',
    async (significant) => {
      const clock = new VirtualClock();
      const factory = new ProcessFactory();
      const outer = new Supervisor({
        id: 'outer',
        clock,
        autoShutdown: 'any-significant',
        children: [
          factory.spec('sibling'),
          {
            id: 'inner',
            type: 'supervisor',
            restart: 'transient',
            significant,
            start: async () => {
              const children = [factory.spec('leaf', transient)];
              const inner = new Supervisor({ id: 'inner', clock, autoShutdown: 'any-significant', children });
              await inner.start();
              return inner;
            },
          },
        ],
      });
      const exits: ExitReason[] = [];
      outer.onExit((reason) => exits.push(reason));
      await outer.start();
      factory.the('leaf').exit({ kind: 'normal' });
      await clock.advance(10);
      expect(exits).toEqual(significant ? SHUTDOWN : []);
      expect(factory.aliveCount).toBe(significant ? 0 : 1);
    },
  );
});

describe('specs that contradict themselves', () => {
  test.each<[string, AutoShutdown, Partial<ChildSpec>]>([
    ['a permanent child is significant', 'any-significant', { significant: true }],
    ['significant children have no say', 'never', transient],
  ])('actors 42: %s', async (_, autoShutdown, kind) => {
    await expect(start(autoShutdown, { a: kind })).rejects.toMatchObject({ code: 'invalid-spec' });
    const { factory, supervisor } = await start(autoShutdown, {});
    await expect(supervisor.startChild(factory.spec('a', kind))).rejects.toMatchObject({ code: 'invalid-spec' });
  });
});
