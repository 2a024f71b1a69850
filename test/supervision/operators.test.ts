/** What operators and programs ask of a supervisor. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';
import type { ChildSpec, SupervisorOptions } from '../../src/supervision/child-spec.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { ProcessFactory, ScriptedProcess } from '../support/scripted-process.ts';
import { build, run, states } from '../support/supervised.ts';

describe('a start that gives nothing to run', () => {
  test('actors 3: keeps the spec of a permanent child, and no process', async () => {
    const { supervisor } = await run(() => [{ id: 'a', start: () => 'ignore' }]);
    expect(supervisor.countChildren()).toEqual({ specs: 1, active: 0, supervisors: 0, workers: 1 });
    expect([states(supervisor), supervisor.processOf('a')]).toEqual([['a stopped'], undefined]);
  });

  test('actors 3: drops the spec of a temporary child, listed or added', async () => {
    const ignored: ChildSpec = { id: 'a', restart: 'temporary', start: () => 'ignore' };
    const { supervisor } = await run(() => [ignored]);
    expect(await supervisor.startChild({ ...ignored, id: 'b' })).toBeUndefined();
    expect(supervisor.countChildren().specs).toBe(0);
  });

  test('actors 3: may give something when it is restarted', async () => {
    const { factory, supervisor } = await run((made) => [
      made.spec('a', {
        start: ({ incarnation }) => (incarnation === 1 ? 'ignore' : new ScriptedProcess('a', incarnation)),
      }),
    ]);
    expect(await supervisor.restartChild('a')).toMatchObject({ id: 'a', incarnation: 2 });
    expect([states(supervisor), factory.started]).toEqual([['a running'], []]);
  });
});

describe('options that cannot be', () => {
  const clock = new VirtualClock();
  const start = () => new ScriptedProcess('a', 1);

  test.each<[string, unknown]>([
    ['strategy', { strategy: 'one_for_some' }],
    ['intensity.restartsMax', { intensity: { restartsMax: -1, periodMs: 1 } }],
    ['intensity.restartsMax', { intensity: { restartsMax: 1.5, periodMs: 1 } }],
    ['intensity.periodMs', { intensity: { restartsMax: 1, periodMs: 0 } }],
    ['intensity.periodMs', { intensity: { restartsMax: 1, periodMs: Number.NaN } }],
    ['backoff.baseMs', { backoff: { baseMs: -1, capMs: 1, healthyMs: 1 } }],
    ['autoShutdown', { autoShutdown: 'sometimes' }],
    ['id', { id: '' }],
    ['child a: restart', { children: [{ id: 'a', start, restart: 'always' }] }],
    ['child a: shutdown', { children: [{ id: 'a', start, shutdown: -1 }] }],
    ['child a: shutdown', { children: [{ id: 'a', start, shutdown: 'brutal_kill' }] }],
    ['child a: type', { children: [{ id: 'a', start, type: 'boss' }] }],
    ['child a: start', { children: [{ id: 'a', start: 'now' }] }],
    ['child a: startTimeoutMs', { children: [{ id: 'a', start, startTimeoutMs: 0 }] }],
    ['child a: significant', { children: [{ id: 'a', start, significant: 1 }] }],
    ['id', { children: [{ start }] }],
  ])('actors 5: %s is named', (field, changes) => {
    // What plain JavaScript may hand in.
    const options = { id: 'root', clock, children: [], ...(changes as object) } as SupervisorOptions;
    expect(() => new Supervisor(options)).toThrow(
      expect.objectContaining({ code: 'invalid-spec', message: expect.stringContaining(`expected ${field} to be `) }),
    );
  });

  test('actors 5: what it does not know is ignored', async () => {
    const options = { id: 'root', clock, children: [{ id: 'a', start, nice: true }], colour: 'red' };
    const supervisor = new Supervisor(options);
    await supervisor.start();
    expect(states(supervisor)).toEqual(['a running']);
  });

  test('actors 6: nothing but what has to be said needs to be', async () => {
    const time = new VirtualClock();
    const factory = new ProcessFactory();
    const supervisor = new Supervisor({ id: 'root', clock: time, children: [factory.spec('a')] });
    const exits: ExitReason[] = [];
    supervisor.onExit((reason) => exits.push(reason));
    await supervisor.start();
    for (let crash = 0; crash < 3; crash += 1) {
      factory.the('a').crash();
      await time.advance(200);
    }
    expect([states(supervisor), exits]).toEqual([['a running'], []]);
    factory.onStop.set('a', () => new Promise(() => {}));
    void supervisor.stop();
    await time.advance(4_999);
    expect(exits).toEqual([]);
    await time.advance(1);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });
});

describe('a start that takes too long', () => {
  test('actors 8: is given up: its signal aborts, whoever asked hears of it, and what comes of it later is ended', async () => {
    const { factory, clock, supervisor } = await run(() => []);
    const slow = Promise.withResolvers<void>();
    let signal: AbortSignal | undefined;
    const spec = factory.spec('a', { startTimeoutMs: 1_000 });
    factory.beforeStart.set('a', () => slow.promise);
    const starting = supervisor
      .startChild({
        ...spec,
        start: (context) => {
          ({ signal } = context);
          return spec.start(context);
        },
      })
      .catch((error: unknown) => error);
    await clock.advance(999);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(signal?.aborted).toBe(true);
    expect(await starting).toMatchObject({ code: 'failed-to-start', cause: { code: 'timeout' } });
    slow.resolve();
    await clock.settle();
    expect([factory.aliveCount, supervisor.children()]).toEqual([0, []]);
  });

  test('actors 8, 9: the id is free as soon as it has failed', async () => {
    const { factory, clock, supervisor } = await run(() => []);
    factory.beforeStart.set('a', (incarnation) => (incarnation === 1 ? new Promise(() => {}) : undefined));
    const spec = factory.spec('a', { startTimeoutMs: 10 });
    const again = supervisor.startChild(spec).catch(() => supervisor.startChild(spec));
    await clock.advance(10);
    expect(await again).toMatchObject({ id: 'a' });
  });

  test('actors 8: counts as a failed restart, and holds up its siblings no longer', async () => {
    const { factory, clock, supervisor } = await run((made) => [
      made.spec('a', { startTimeoutMs: 1_000 }),
      made.spec('b'),
    ]);
    factory.beforeStart.set('a', (incarnation) => (incarnation === 2 ? new Promise(() => {}) : undefined));
    factory.the('a').crash();
    await clock.advance(1);
    factory.the('b').crash();
    await clock.advance(1_100);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    expect(supervisor.children().map(({ incarnation }) => incarnation)).toEqual([3, 2]);
  });
});

describe('operators', () => {
  test('actors 43: an id that runs is already started, and the error has its process', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a')]);
    await expect(supervisor.startChild(factory.spec('a'))).rejects.toMatchObject({
      code: 'already-started',
      process: factory.the('a'),
    });
  });

  test('actors 43: an id that was stopped and is kept is already present', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a')]);
    await supervisor.terminateChild('a');
    await expect(supervisor.startChild(factory.spec('a'))).rejects.toMatchObject({ code: 'already-present' });
  });

  test('actors 44: stopping a child keeps its spec, and may be said twice', async () => {
    const { factory, clock, supervisor } = await run((made) => [
      made.spec('a'),
      made.spec('b', { restart: 'temporary' }),
    ]);
    await supervisor.terminateChild('a');
    await supervisor.terminateChild('a');
    await supervisor.terminateChild('b');
    await clock.advance(60_000);
    expect([states(supervisor), factory.aliveCount]).toEqual([['a stopped'], 0]);
    await supervisor.restartChild('a');
    expect(states(supervisor)).toEqual(['a running']);
  });

  test('actors 45: what runs is neither restarted nor deleted, what is restarting neither', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a')], {
      backoff: { baseMs: 1_000, capMs: 1_000, healthyMs: 1 },
    });
    for (const act of ['restartChild', 'deleteChild'] as const)
      await expect(supervisor[act]('a')).rejects.toMatchObject({ code: 'running' });
    factory.the('a').crash();
    await clock.advance(1);
    for (const act of ['restartChild', 'deleteChild'] as const)
      await expect(supervisor[act]('a')).rejects.toMatchObject({ code: 'restarting' });
  });

  test('actors 44, 45: an id that is nobody’s is not found', async () => {
    const { supervisor } = await run(() => []);
    for (const act of ['terminateChild', 'restartChild', 'deleteChild', 'renewChild'] as const)
      await expect(supervisor[act]('nobody')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a restart on request that fails leaves the child down, and it can be asked for again', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a')]);
    await supervisor.terminateChild('a');
    factory.beforeStart.set('a', (incarnation) => {
      if (incarnation === 2) throw new Error('not yet');
    });
    await expect(supervisor.restartChild('a')).rejects.toMatchObject({ code: 'failed-to-start' });
    expect(states(supervisor)).toEqual(['a down']);
    await supervisor.restartChild('a');
    expect(states(supervisor)).toEqual(['a running']);
  });

  test('actors 46: children are counted in every state', async () => {
    const { factory, clock, supervisor } = await run(
      (made) => [made.spec('a'), made.spec('b'), made.spec('c', { type: 'supervisor' }), made.spec('d')],
      { backoff: { baseMs: 1_000, capMs: 1_000, healthyMs: 1 } },
    );
    const counts = () => Object.values(supervisor.countChildren());
    expect(counts()).toEqual([4, 4, 1, 3]);
    factory.the('a').crash();
    await clock.advance(1);
    expect(counts()).toEqual([4, 3, 1, 3]);
    await supervisor.terminateChild('c');
    expect(counts()).toEqual([4, 2, 1, 3]);
    await supervisor.deleteChild('c');
    expect(counts()).toEqual([3, 2, 0, 3]);
    const hanging = Promise.withResolvers<void>();
    factory.beforeStart.set('a', () => hanging.promise);
    await clock.advance(1_000);
    expect([states(supervisor)[0], counts()]).toEqual(['a starting', [3, 2, 0, 3]]);
    hanging.resolve();
    await clock.settle();
    expect(counts()).toEqual([3, 3, 0, 3]);
  });

  test('a supervisor is started once', async () => {
    const { supervisor } = build((made) => [made.spec('a')]);
    const first = supervisor.start();
    await expect(supervisor.start()).rejects.toMatchObject({ code: 'already-started' });
    await first;
    expect(states(supervisor)).toEqual(['a running']);
  });

  test.each(Array.from({ length: 12 }, (_, ticks) => ticks))(
    'whoever starts while its supervisor is killed, %d ticks after it was ready, does not stay alive',
    async (ticks) => {
      const { factory, clock, supervisor } = await run(() => []);
      const slow = Promise.withResolvers<void>();
      factory.beforeStart.set('a', () => slow.promise);
      const starting = supervisor.startChild(factory.spec('a')).catch((error: unknown) => error);
      await clock.settle();
      slow.resolve();
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
      supervisor.kill();
      await starting;
      await clock.settle();
      expect(factory.aliveCount).toBe(0);
      expect(supervisor.processOf('a')).toBeUndefined();
    },
  );

  test('a supervisor that is killed ends all below it at once, and none of them cleans up', async () => {
    const { factory, clock, supervisor, exits } = await run((made) => [
      made.spec('a'),
      {
        id: 'inner',
        start: async () => {
          const inner = new Supervisor({ id: 'inner', clock: new VirtualClock(), children: [made.spec('leaf')] });
          await inner.start();
          return inner;
        },
        shutdown: 'brutal-kill',
      },
    ]);
    await supervisor.terminateChild('inner');
    expect([factory.living('leaf'), factory.journal.includes('stop leaf')]).toEqual([[], false]);
    supervisor.kill();
    supervisor.kill();
    await clock.settle();
    expect([factory.aliveCount, exits, clock.pendingTimers]).toEqual([0, [{ kind: 'killed' }], 0]);
    await supervisor.stop();
    await expect(supervisor.restartChild('a')).rejects.toMatchObject({ code: 'stopped' });
    expect(exits).toHaveLength(1);
  });
});
