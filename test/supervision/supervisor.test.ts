/** Numbers such as `actors 15` are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';

import type { ExitReason } from '../../src/supervision/process.ts';
import { SupervisorError } from '../../src/supervision/process.ts';
import type { ChildSpec, RestartType } from '../../src/supervision/child-spec.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ProcessFactory } from '../support/scripted-process.ts';
import { build, incarnations, PERIOD_MS, run, type Scene, states } from '../support/supervised.ts';

const EXITS: readonly ExitReason[] = [
  { kind: 'normal' },
  { kind: 'shutdown' },
  { kind: 'killed' },
  { kind: 'error', error: new Error('went wrong') },
];
const remove = async (supervisor: Supervisor, id: string): Promise<void> => {
  await supervisor.terminateChild(id);
  await supervisor.deleteChild(id);
};

/** A promise that a test settles. */
const hold = () => Promise.withResolvers<void>();

describe('start', () => {
  test('actors 1: children start in listed order, each after the one before has started', async () => {
    const { factory } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')]);
    expect(factory.journal).toEqual(['start a', 'started a', 'start b', 'started b', 'start c', 'started c']);
  });

  test('actors 1: a child that takes its time keeps the next one waiting', async () => {
    const slow = hold();
    const { factory, supervisor, clock } = build((made) => [made.spec('a'), made.spec('b')]);
    factory.beforeStart.set('a', () => slow.promise);
    const started = supervisor.start();
    await clock.advance(20_000);
    expect(factory.journal).toEqual(['start a']);
    slow.resolve();
    await started;
    expect(states(supervisor)).toEqual(['a running', 'b running']);
  });

  test('actors 2: a child that fails at boot stops those before it in reverse, and nobody is left alive', async () => {
    const { factory, supervisor, exits } = build((made) => [
      made.spec('a'),
      made.spec('b'),
      made.spec('c'),
      made.spec('d'),
    ]);
    const cause = new Error('no file');
    factory.beforeStart.set('c', () => {
      throw cause;
    });
    const failure = await supervisor.start().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SupervisorError);
    expect(failure).toMatchObject({
      code: 'failed-to-start',
      cause,
      message: 'child c of supervisor root failed to start',
    });
    expect(factory.journal.slice(5)).toEqual(['stop b', 'stop a']);
    expect(factory.aliveCount).toBe(0);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('actors 4: two children of one id are refused before any of them starts', () => {
    const factory = new ProcessFactory();
    const children = [factory.spec('a'), factory.spec('b'), factory.spec('a')];
    expect(() => new Supervisor({ id: 'root', clock: new VirtualClock(), children })).toThrow(
      expect.objectContaining({
        code: 'invalid-spec',
        message: 'expected child ids of supervisor root to be unique, got: a twice',
      }),
    );
    expect(factory.journal).toEqual([]);
  });

  test('actors 43: a running id cannot be started again, and the running one is not disturbed', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a')]);
    await expect(supervisor.startChild(factory.spec('a'))).rejects.toMatchObject({ code: 'already-started' });
    expect(factory.the('a').incarnation).toBe(1);
  });

  test('actors 9: after a failed start the id is free at once', async () => {
    const { factory, supervisor } = await run(() => []);
    factory.beforeStart.set('a', (incarnation) => {
      if (incarnation === 1) throw new Error('not yet');
    });
    await expect(supervisor.startChild(factory.spec('a'))).rejects.toMatchObject({ code: 'failed-to-start' });
    await supervisor.startChild(factory.spec('a'));
    expect(states(supervisor)).toEqual(['a running']);
  });

  test('a child that arrives after its supervisor has stopped is stopped too', async () => {
    const slow = hold();
    const { factory, supervisor, clock } = build((made) => [made.spec('a')]);
    factory.beforeStart.set('a', () => slow.promise);
    const started = supervisor.start();
    await clock.settle();
    const stopped = supervisor.stop();
    await expect(started).rejects.toMatchObject({ code: 'failed-to-start', cause: { code: 'stopped' } });
    await stopped;
    slow.resolve();
    await clock.settle();
    expect(factory.aliveCount).toBe(0);
  });
});

describe('restart types', () => {
  const EXPECTED: Readonly<Record<RestartType, readonly ExitReason['kind'][]>> = {
    permanent: ['normal', 'shutdown', 'killed', 'error'],
    transient: ['killed', 'error'],
    temporary: [],
  };
  const cells = (Object.keys(EXPECTED) as RestartType[]).flatMap((restart) =>
    EXITS.map((reason) => [restart, reason.kind, reason] as const),
  );

  test.each(cells)(
    'actors 10–12: a %s child that exits %s is restarted exactly if its type says so',
    async (restart, kind, reason) => {
      const { factory, supervisor, clock } = await run((made) => [made.spec('a', { restart }), made.spec('b')]);
      factory.the('a').exit(reason);
      await clock.advance(1_000);
      const isRestarted = EXPECTED[restart].includes(kind);
      expect(factory.living('a').map(({ incarnation }) => incarnation)).toEqual(isRestarted ? [2] : []);
      const kept = restart === 'transient' ? ['a stopped', 'b running'] : ['b running'];
      expect(states(supervisor)).toEqual(isRestarted ? ['a running', 'b running'] : kept);
    },
  );

  test('actors 12: a temporary child leaves no trace, and its id can be started again', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a', { restart: 'temporary' })]);
    factory.the('a').crash();
    expect(supervisor.children()).toEqual([]);
    await supervisor.startChild(factory.spec('a', { restart: 'temporary' }));
    expect(states(supervisor)).toEqual(['a running']);
  });

  test('actors 14: a restarted child is a new process of the next incarnation, the old one is dead', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const before = factory.the('a');
    before.crash();
    expect(supervisor.processOf('a')).toBeUndefined();
    await clock.advance(1);
    expect(supervisor.processOf('a')).toBe(factory.the('a'));
    expect(factory.the('a')).not.toBe(before);
    expect(supervisor.children()).toEqual([{ id: 'a', state: 'running', restarts: 1, incarnation: 2 }]);
  });

  test('actors 15: only the crashed child changes its incarnation, its siblings never notice', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')]);
    const [siblingA, siblingC] = [factory.the('a'), factory.the('c')];
    factory.the('b').crash();
    await clock.advance(1);
    expect(incarnations(supervisor)).toEqual([1, 2, 1]);
    expect([siblingA.isAlive, siblingC.isAlive]).toEqual([true, true]);
    expect([siblingA.isStopped, siblingC.isStopped]).toEqual([false, false]);
  });

  test('a process that says twice that it ended is restarted once', async () => {
    const { factory, clock } = await run((made) => [made.spec('a')]);
    const process = factory.the('a');
    process.crash();
    process.crash();
    await clock.advance(1_000);
    expect(factory.started).toHaveLength(2);
  });
});

describe('intensity', () => {
  /** Crashes `a` that many times, each a moment after it runs again. */
  const crash = async ({ factory, clock }: Scene, times: number, gapMs = 10): Promise<void> => {
    for (let count = 0; count < times; count += 1) {
      factory.the('a').crash();
      await clock.advance(gapMs);
    }
  };

  test.each([1, 3, 5])('actors 20: %d restarts within the period succeed', async (restartsMax) => {
    const scene = await run((made) => [made.spec('a'), made.spec('b')], {
      intensity: { restartsMax, periodMs: PERIOD_MS },
    });
    await crash(scene, restartsMax);
    expect(states(scene.supervisor)).toEqual(['a running', 'b running']);
    expect(scene.exits).toEqual([]);
  });

  test.each([0, 1, 3, 5])(
    'actors 20: one more than %d ends everything in reverse and exits with shutdown',
    async (restartsMax) => {
      const given: string[] = [];
      const scene = await run((made) => [made.spec('z'), made.spec('a'), made.spec('b')], {
        intensity: { restartsMax, periodMs: PERIOD_MS },
        observer: { gaveUp: (id, restarts) => given.push(`${id} after ${restarts}`) },
      });
      await crash(scene, restartsMax + 1);
      expect(scene.exits).toEqual([{ kind: 'shutdown' }]);
      expect(scene.factory.aliveCount).toBe(0);
      expect(scene.factory.journal.slice(-2)).toEqual(['stop b', 'stop z']);
      expect(states(scene.supervisor)).toEqual(['z stopped', 'a down', 'b stopped']);
      expect(given).toEqual([`root after ${restartsMax}`]);
    },
  );

  test('actors 21: crashes further apart than the period never exhaust it', async () => {
    const scene = await run((made) => [made.spec('a')], { intensity: { restartsMax: 1, periodMs: 1_000 } });
    await crash(scene, 50, 2_100);
    expect(scene.exits).toEqual([]);
    expect(scene.supervisor.children()).toEqual([{ id: 'a', state: 'running', restarts: 50, incarnation: 51 }]);
  });

  test('actors 20: crashes of all children count together', async () => {
    const { factory, exits, clock } = await run((made) => [made.spec('a'), made.spec('b')]);
    for (const id of ['a', 'b', 'a']) {
      factory.the(id).crash();
      await clock.advance(1);
    }
    expect(exits).toEqual([]);
    factory.the('b').crash();
    await clock.advance(1);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('actors 22: failed restarts count too: a child that cannot start ends the supervisor after as many attempts', async () => {
    const { factory, exits, clock } = await run((made) => [made.spec('a')]);
    factory.beforeStart.set('a', () => {
      throw new Error('the port is taken');
    });
    factory.the('a').crash();
    await clock.advance(PERIOD_MS);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
    expect(factory.journal.filter((line) => line === 'start a')).toHaveLength(1 + 3);
  });

  test('actors 24: the wall clock may jump a day in either direction without changing what counts', async () => {
    const forward = await run((made) => [made.spec('a')]);
    for (let count = 0; count < 4; count += 1) {
      forward.clock.jumpWall(86_400_000);
      await crash(forward, 1);
    }
    expect(forward.exits).toHaveLength(1);
    const back = await run((made) => [made.spec('a')]);
    for (let count = 0; count < 10; count += 1) {
      back.clock.jumpWall(-86_400_000);
      await crash(back, 1, PERIOD_MS + 1);
    }
    expect(back.exits).toEqual([]);
  });

  test('actors 25: a permanent sub-supervisor that gave up is started anew by its parent', async () => {
    const inner = new ProcessFactory();
    const clock = new VirtualClock();
    const made: Supervisor[] = [];
    const parent = new Supervisor({
      id: 'root',
      clock,
      children: [
        {
          id: 'inner',
          start: async () => {
            const supervisor = new Supervisor({
              id: 'inner',
              clock,
              children: [inner.spec('a')],
              intensity: { restartsMax: 0, periodMs: PERIOD_MS },
            });
            await supervisor.start();
            made.push(supervisor);
            return supervisor;
          },
        },
      ],
    });
    await parent.start();
    await made[0]!.startChild(inner.spec('dynamic'));
    inner.the('a').crash();
    await clock.advance(1_000);
    expect(made).toHaveLength(2);
    expect(made[1]!.children().map(({ id }) => id)).toEqual(['a']);
    expect(parent.children()).toMatchObject([
      { id: 'inner', state: 'running', incarnation: 2, children: [{ id: 'a', state: 'running' }] },
    ]);
  });

  test('actors 26: a transient sub-supervisor that gave up stays down, its siblings live, and it can be revived', async () => {
    const inner = new ProcessFactory();
    const { factory, supervisor, clock, exits } = await run((made) => [
      made.spec('sibling'),
      {
        id: 'inner',
        restart: 'transient',
        start: async () => {
          const sub = new Supervisor({
            id: 'inner',
            clock: new VirtualClock(),
            children: [inner.spec('a')],
            intensity: { restartsMax: 0, periodMs: PERIOD_MS },
          });
          await sub.start();
          return sub;
        },
      },
    ]);
    inner.the('a').crash();
    await clock.advance(60_000);
    expect(states(supervisor)).toEqual(['sibling running', 'inner down']);
    expect([inner.started.length, factory.the('sibling').incarnation, exits.length]).toEqual([1, 1, 0]);
    await supervisor.renewChild('inner');
    expect(states(supervisor)).toEqual(['sibling running', 'inner running']);
  });
});

describe('the wait before a restart', () => {
  const backoff = { baseMs: 100, capMs: 1_000, healthyMs: 60_000 };
  const plenty = { restartsMax: 1_000, periodMs: 1 };

  test('actors 27: while a child waits for its restart every other call is answered', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a'), made.spec('b')], {
      backoff: { ...backoff, baseMs: 1_000_000, capMs: 1_000_000 },
    });
    factory.the('a').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a restarting', 'b running']);
    await supervisor.startChild(factory.spec('c'));
    await remove(supervisor, 'c');
    await supervisor.renewChild('b');
    expect(incarnations(supervisor)).toEqual([1, 2]);
    await supervisor.stop();
    expect(factory.aliveCount).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  test('actors 27: removing a child ends its retry loop for good', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')], { backoff, intensity: plenty });
    factory.the('a').crash();
    await remove(supervisor, 'a');
    await clock.advance(60_000);
    expect(factory.started).toHaveLength(1);
    expect(supervisor.children()).toEqual([]);
  });

  test('actors 28: attempt k waits between half and all of base·2^k, up to the cap', async () => {
    const { factory, clock } = await run((made) => [made.spec('a')], { backoff, intensity: plenty });
    const attemptsAtMs: number[] = [];
    factory.beforeStart.set('a', () => {
      attemptsAtMs.push(clock.nowMs());
      throw new Error('not yet');
    });
    factory.the('a').crash();
    await clock.advance(10_000);
    const waits = attemptsAtMs.slice(0, 8).map((atMs, index) => atMs - (attemptsAtMs[index - 1] ?? 0));
    for (const [index, waitMs] of waits.entries()) {
      const ceilingMs = Math.min(1_000, 100 * 2 ** index);
      expect(waitMs).toBeGreaterThanOrEqual(ceilingMs / 2);
      expect(waitMs).toBeLessThanOrEqual(ceilingMs);
    }
    expect(waits).toHaveLength(8);
  });

  test('actors 28: after a healthy period the waits start over', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')], { backoff, intensity: plenty });
    const waitAfterCrash = async (): Promise<number> => {
      const crashedAtMs = clock.nowMs();
      factory.the('a').crash();
      while (states(supervisor)[0] !== 'a running') await clock.advance(10);
      return clock.nowMs() - crashedAtMs;
    };
    for (let count = 0; count < 6; count += 1) await waitAfterCrash();
    expect(await waitAfterCrash()).toBeGreaterThanOrEqual(500);
    await clock.advance(backoff.healthyMs);
    expect(await waitAfterCrash()).toBeLessThanOrEqual(110);
  });
});

describe('operators', () => {
  test('a restart on request stops the child, starts the next incarnation and does not count', async () => {
    const { factory, supervisor, exits } = await run((made) => [made.spec('a')], {
      intensity: { restartsMax: 0, periodMs: PERIOD_MS },
    });
    for (let count = 0; count < 10; count += 1) await supervisor.renewChild('a');
    expect(supervisor.children()).toEqual([{ id: 'a', state: 'running', restarts: 10, incarnation: 11 }]);
    expect([factory.aliveCount, exits.length]).toEqual([1, 0]);
  });

  test('actors 44, 45: an unknown id is not found', async () => {
    const { supervisor } = await run(() => []);
    await expect(supervisor.renewChild('nobody')).rejects.toMatchObject({ code: 'not-found' });
    await expect(remove(supervisor, 'nobody')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('two restarts at once leave one process alive, however slowly the old one stops', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const slow = hold();
    factory.onStop.set('a', () => slow.promise);
    const both = Promise.all([supervisor.renewChild('a'), supervisor.renewChild('a')]);
    await clock.advance(100);
    factory.onStop.delete('a');
    slow.resolve();
    await both;
    expect(supervisor.processOf('a')).toBe(factory.the('a'));
  });

  test('a restart on request while an automatic one is starting leaves one process alive', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const slow = hold();
    factory.beforeStart.set('a', (incarnation) => (incarnation === 2 ? slow.promise : undefined));
    factory.the('a').crash();
    await clock.advance(100);
    const restarted = supervisor.renewChild('a');
    slow.resolve();
    await restarted;
    await clock.advance(10_000);
    expect(supervisor.processOf('a')).toBe(factory.the('a'));
    expect(factory.the('a').incarnation).toBe(3);
  });

  test('a slow restart that was overtaken schedules no restart of its own', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const [slow, slower] = [hold(), hold()];
    factory.beforeStart.set('a', (incarnation) => ({ 2: slow.promise, 3: slower.promise })[incarnation]);
    factory.the('a').crash();
    await clock.advance(100);
    const restarted = supervisor.renewChild('a');
    await clock.settle();
    slow.resolve();
    await clock.advance(1_000);
    slower.resolve();
    await restarted;
    await clock.advance(10_000);
    expect(factory.the('a').incarnation).toBe(3);
    expect(supervisor.children()[0]).toMatchObject({ state: 'running', incarnation: 3 });
  });

  test('a child that is removed while it starts does not come to life afterwards', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const slow = hold();
    factory.beforeStart.set('a', () => slow.promise);
    factory.the('a').crash();
    await clock.advance(100);
    await remove(supervisor, 'a');
    slow.resolve();
    await clock.advance(10_000);
    expect(factory.aliveCount).toBe(0);
  });

  test('a child that is removed while it is being restarted stays away', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')]);
    const slow = hold();
    factory.onStop.set('a', () => slow.promise);
    const restarted = supervisor.renewChild('a');
    const removed = remove(supervisor, 'a');
    slow.resolve();
    await Promise.allSettled([restarted, removed]);
    await clock.advance(10_000);
    expect([factory.aliveCount, supervisor.children().length]).toEqual([0, 0]);
  });
});

describe('shutdown', () => {
  test('actors 29: children stop in reverse order, each only after the one before has fully stopped', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')]);
    const slow = hold();
    factory.onStop.set('b', () => slow.promise);
    const stopped = supervisor.stop();
    await clock.advance(1_000);
    expect(factory.journal.slice(6)).toEqual(['stop c', 'stop b']);
    slow.resolve();
    await stopped;
    expect(factory.journal.slice(6)).toEqual(['stop c', 'stop b', 'stop a']);
  });

  const stopReasons = async (
    shutdown: ChildSpec['shutdown'],
    onStop: (clock: VirtualClock) => Promise<void>,
  ): Promise<{ reasons: string[]; tookMs: number }> => {
    const reasons: string[] = [];
    const { factory, supervisor, clock } = await run(
      (made) => [made.spec('a', shutdown === undefined ? {} : { shutdown })],
      {
        observer: { childExited: (_id, _process, _incarnation, reason) => reasons.push(reason.kind) },
      },
    );
    factory.onStop.set('a', () => onStop(clock));
    const startedAtMs = clock.nowMs();
    await clock.waitFor(supervisor.stop());
    return { reasons, tookMs: clock.nowMs() - startedAtMs };
  };
  const after = (ms: number) => (clock: VirtualClock) =>
    new Promise<void>((resolve) => {
      clock.setTimeout(resolve, ms);
    });
  const never = () => new Promise<void>(() => {});

  test('actors 30: a child that stops in time has exited with shutdown', async () => {
    expect(await stopReasons(1_000, after(999))).toEqual({ reasons: ['shutdown'], tookMs: 999 });
  });

  test('actors 30: a child that does not is given up at its limit and counted as killed', async () => {
    expect(await stopReasons(1_000, never)).toEqual({ reasons: ['killed'], tookMs: 1_000 });
    expect(await stopReasons(undefined, never)).toEqual({ reasons: ['killed'], tookMs: 5_000 });
  });

  test('actors 31: a brutal kill waits for nothing, and is told as killed', async () => {
    expect(await stopReasons('brutal-kill', never)).toEqual({ reasons: ['killed'], tookMs: 0 });
  });

  test('actors 32: infinity waits as long as it takes', async () => {
    expect(await stopReasons('infinity', after(3_600_000))).toEqual({ reasons: ['shutdown'], tookMs: 3_600_000 });
  });

  test('actors 34: a child that throws while it stops is told as an error and holds nobody up', async () => {
    expect(await stopReasons(1_000, () => Promise.reject(new Error('no')))).toEqual({ reasons: ['error'], tookMs: 0 });
  });

  test('actors 34: a child whose stop throws synchronously cannot keep its siblings from stopping', async () => {
    const { factory, supervisor } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')]);
    factory.the('b').stop = () => {
      throw new Error('not even a promise');
    };
    await supervisor.stop();
    expect([factory.living('a'), factory.living('c')]).toEqual([[], []]);
  });

  test('actors 35: what a process that was given up on does later is nobody’s business', async () => {
    const { factory, supervisor, clock, exits } = await run((made) => [made.spec('a', { shutdown: 1_000 })]);
    const old = factory.the('a');
    factory.onStop.set('a', () => new Promise(() => {}));
    await clock.waitFor(supervisor.renewChild('a'));
    old.crash();
    await clock.advance(10_000);
    expect(supervisor.children()).toEqual([{ id: 'a', state: 'running', restarts: 1, incarnation: 2 }]);
    expect(exits).toEqual([]);
  });

  test('actors 36: stopping twice, at once or later, is one success', async () => {
    const { factory, supervisor, exits } = await run((made) => [made.spec('a')]);
    await Promise.all([supervisor.stop(), supervisor.stop()]);
    await supervisor.stop();
    expect(factory.journal.filter((line) => line === 'stop a')).toHaveLength(1);
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('actors 36: a supervisor that gave up can be stopped, and does nothing any more', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')], {
      intensity: { restartsMax: 0, periodMs: 1 },
    });
    factory.the('a').crash();
    await clock.settle();
    await supervisor.stop();
    await expect(supervisor.startChild(factory.spec('b'))).rejects.toMatchObject({ code: 'stopped' });
    expect([factory.aliveCount, clock.pendingTimers]).toEqual([0, 0]);
  });

  test('who asks after the end for the exit is told at once', async () => {
    const { supervisor } = await run(() => []);
    await supervisor.stop();
    const exits: ExitReason[] = [];
    supervisor.onExit((reason) => exits.push(reason));
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });
});

describe('observers', () => {
  const broken = (): never => {
    throw new Error('the observer is broken');
  };

  test('actors 65: one that throws at every turn changes nothing of what is supervised, and is told of', async () => {
    const failures: unknown[] = [];
    const { factory, supervisor, clock, exits } = await run((made) => [made.spec('a'), made.spec('b')], {
      observer: { childStarted: broken, childExited: broken, gaveUp: broken, failed: (error) => failures.push(error) },
    });
    factory.the('a').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    // Started twice, exited once, started once more.
    expect(failures).toHaveLength(4);
    for (let count = 0; count < 3; count += 1) {
      factory.the('a').crash();
      await clock.advance(10);
    }
    expect(exits).toEqual([{ kind: 'shutdown' }]);
    expect(factory.aliveCount).toBe(0);
  });

  test('actors 65: one that throws even when told of its failure changes nothing either', async () => {
    const { factory, supervisor, clock } = await run((made) => [made.spec('a')], {
      observer: { childStarted: broken, childExited: broken, failed: broken },
    });
    factory.the('a').crash();
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running']);
    await supervisor.stop();
  });

  test('actors 65: an exit listener that throws keeps nobody else from hearing it', async () => {
    const { supervisor } = await run(() => []);
    const heard: ExitReason[] = [];
    supervisor.onExit(broken);
    supervisor.onExit((reason) => heard.push(reason));
    await supervisor.stop();
    expect(heard).toEqual([{ kind: 'shutdown' }]);
  });
});
