/** What supervisors and pools say: to observers, in listings, and in errors. */
import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import type { SupervisorObserver } from '../../src/supervision/child-spec.ts';
import { Pool } from '../../src/supervision/pool.ts';
import { type ExitReason, type Process, SupervisorError } from '../../src/supervision/process.ts';
import { stopProcess } from '../../src/supervision/stop-process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProcess } from '../support/scripted-process.ts';
import { build, run, states } from '../support/supervised.ts';

const WAITING = { baseMs: 1_000, capMs: 1_000, healthyMs: 60_000 } as const;
const forEver = () => new Promise<void>(() => {});

/** Writes down what an observer is told. */
function watch(): { readonly told: unknown[][]; readonly observer: SupervisorObserver } {
  const told: unknown[][] = [];
  return {
    told,
    observer: {
      childStarted: (id, { id: process }, incarnation, restarts) => {
        told.push(['started', id, process, incarnation, restarts]);
      },
      childExited: (id, { id: process }, incarnation, { kind }) => {
        told.push(['exited', id, process, incarnation, kind]);
      },
      startFailed: (id, incarnation, error) => {
        told.push(['failed', id, incarnation, String(error)]);
      },
      gaveUp: (id, restarts) => {
        told.push(['gave up', id, restarts]);
      },
      failed: (error) => {
        told.push(['an observer failed', error]);
      },
    },
  };
}

/** A pool whose children are scripted, and fail to start as often as `failures` says. */
function buildPool(options: Partial<ConstructorParameters<typeof Pool<string>>[0]> = {}, failures = { left: 0 }) {
  const clock = new VirtualClock();
  const made: ScriptedProcess[] = [];
  const slow = new Map<string, Promise<void>>();
  const pool = new Pool<string>({
    id: 'pool',
    clock,
    backoff: 'none',
    intensity: { restartsMax: 3, periodMs: 5_000 },
    ...options,
    template: {
      start: async (args, { incarnation }) => {
        await slow.get(args);
        if (failures.left > 0) {
          failures.left -= 1;
          throw new Error('no start');
        }
        made.push(new ScriptedProcess(args, incarnation));
        return made.at(-1) ?? 'ignore';
      },
      ...options.template,
    },
  });
  const exits: ExitReason[] = [];
  pool.onExit((reason) => exits.push(reason));
  return { clock, pool, made, slow, exits, failures };
}

describe('observers of a supervisor', () => {
  test('are told every start, failure and exit, with incarnations and restarts', async () => {
    const { told, observer } = watch();
    const { factory, clock, supervisor } = await run((made) => [made.spec('a')], { observer });
    factory.beforeStart.set('a', (incarnation) => {
      if (incarnation === 2) throw new Error('no start');
    });
    factory.the('a').crash();
    await clock.advance(1);
    await supervisor.stop();
    expect(told).toEqual([
      ['started', 'a', 'a', 1, 0],
      ['exited', 'a', 'a', 1, 'error'],
      ['failed', 'a', 2, 'Error: no start'],
      ['started', 'a', 'a', 3, 2],
      ['exited', 'a', 'a', 3, 'shutdown'],
    ]);
  });

  test('are told of a kill, of those alone who were alive', async () => {
    const { told, observer } = watch();
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      observer,
      backoff: WAITING,
    });
    factory.the('a').crash();
    await clock.settle();
    told.length = 0;
    supervisor.kill();
    expect(told).toEqual([['exited', 'b', 'b', 1, 'killed']]);
  });

  test('are told how many restarts there were when it gives up', async () => {
    const { told, observer } = watch();
    const { factory, clock } = await run((made) => [made.spec('a')], { observer });
    for (let crash = 0; crash < 4; crash += 1) {
      factory.the('a').crash();
      await clock.advance(1);
    }
    expect(told.at(-1)).toEqual(['gave up', 'root', 3]);
  });

  test('may want to know nothing of it', async () => {
    const failed = vi.fn<(error: unknown) => void>();
    const { factory, clock, exits } = await run((made) => [made.spec('a')], { observer: { failed } });
    factory.beforeStart.set('a', () => {
      throw new Error('no start');
    });
    factory.the('a').crash();
    await clock.advance(10);
    expect([exits, failed.mock.calls]).toEqual([[{ kind: 'shutdown' }], []]);
  });
});

describe('observers of a pool', () => {
  test('are told every start, failure and exit, with incarnations and restarts', async () => {
    const { told, observer } = watch();
    const { clock, pool, made, failures } = buildPool({ observer });
    await pool.startChild('a');
    failures.left = 1;
    made[0]?.crash();
    await clock.settle();
    await pool.stop();
    expect(told).toEqual([
      ['started', 'a', 'a', 1, 0],
      ['exited', 'a', 'a', 1, 'error'],
      ['failed', 'pool', 2, 'Error: no start'],
      ['started', 'a', 'a', 3, 2],
      ['exited', 'a', 'a', 3, 'shutdown'],
    ]);
  });

  test('are told of a kill, and when it gives up', async () => {
    const { told, observer } = watch();
    const killed = buildPool({ observer, backoff: WAITING });
    for (const args of ['a', 'b']) await killed.pool.startChild(args);
    killed.made[0]?.crash();
    await killed.clock.settle();
    told.length = 0;
    killed.pool.kill();
    expect(told).toEqual([['exited', 'b', 'b', 1, 'killed']]);
    expect(killed.clock.pendingTimers).toBe(0);
    const { clock, pool, made } = buildPool({ observer });
    await pool.startChild('a');
    for (let crash = 0; crash < 4; crash += 1) {
      made.at(-1)?.crash();
      await clock.settle();
    }
    expect(told.findLast(([what]) => what === 'gave up')).toEqual(['gave up', 'pool', 3]);
  });

  test('may want to know nothing of it', async () => {
    const failed = vi.fn<(error: unknown) => void>();
    const { clock, pool, made, failures, exits } = buildPool({ observer: { failed } });
    await pool.startChild('a');
    failures.left = 10;
    made[0]?.crash();
    await clock.settle();
    expect([exits, failed.mock.calls]).toEqual([[{ kind: 'shutdown' }], []]);
  });
});

describe('listings', () => {
  test('say who is suspended, as long as it runs', async () => {
    let isSuspended = true;
    const process = () => Object.defineProperty(new ScriptedProcess('a', 1), 'isSuspended', { get: () => isSuspended });
    const { supervisor } = await run((made) => [{ id: 'a', start: process }, made.spec('b')]);
    expect(states(supervisor)).toEqual(['a suspended', 'b running']);
    isSuspended = false;
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    isSuspended = true;
    await supervisor.terminateChild('a');
    expect(states(supervisor)).toEqual(['a stopped', 'b running']);
  });

  test('of a supervisor that has not started say that nobody runs', () => {
    const { supervisor } = build((made) => [made.spec('a')]);
    expect(supervisor.children()).toEqual([{ id: 'a', state: 'stopped', restarts: 0, incarnation: 0 }]);
    expect([supervisor.processOf('a'), supervisor.processOf('nobody')]).toEqual([undefined, undefined]);
  });

  test('of a stopped supervisor say so of a child that crashed meanwhile, too', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')]);
    const slow = Promise.withResolvers<void>();
    factory.onStop.set('b', () => slow.promise);
    const stopped = supervisor.stop();
    await clock.settle();
    factory.the('a').crash();
    slow.resolve();
    await stopped;
    expect(states(supervisor)).toEqual(['a stopped', 'b stopped']);
  });

  test('of a pool say who it is, in which incarnation, and what it does; nobody is left after its end', async () => {
    const { clock, pool, made, failures } = buildPool({ backoff: WAITING });
    await pool.startChild('a');
    expect(pool.children()).toEqual([{ id: 'a', state: 'running', restarts: 0, incarnation: 1 }]);
    failures.left = 1;
    made[0]?.crash();
    await clock.advance(1_000);
    expect(pool.children()).toMatchObject([{ id: 'a', state: 'restarting' }]);
    await pool.stop();
    expect([pool.children(), pool.countChildren().specs, clock.pendingTimers]).toEqual([[], 0, 0]);
    const other = buildPool();
    await other.pool.startChild('a');
    other.pool.kill();
    expect(other.pool.children()).toEqual([]);
  });

  test('of a pool of supervisors count them as such', async () => {
    const { pool } = buildPool({ template: { type: 'supervisor', start: (args) => new ScriptedProcess(args, 1) } });
    await pool.startChild('a');
    expect(pool.countChildren()).toEqual({ specs: 1, active: 1, supervisors: 1, workers: 0 });
  });
});

describe('errors', () => {
  const messageOf = (asked: Promise<unknown>) =>
    asked.then(
      () => 'none',
      (error: unknown) => (error as Error).message,
    );

  test('of a supervisor say whose child it is, what it does and what to do', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')], {
      backoff: WAITING,
    });
    await supervisor.terminateChild('b');
    factory.the('c').crash();
    await clock.settle();
    expect(await messageOf(supervisor.startChild(factory.spec('a')))).toBe('supervisor root has a child a already');
    expect(await messageOf(supervisor.startChild(factory.spec('b')))).toBe(
      'supervisor root keeps a child b that does not run; restart or delete it',
    );
    expect(await messageOf(supervisor.restartChild('nobody'))).toBe('supervisor root has no child nobody');
    expect(await messageOf(supervisor.deleteChild('a'))).toBe('supervisor root runs its child a; terminate it first');
    expect(await messageOf(supervisor.deleteChild('c'))).toBe('supervisor root is restarting its child c');
    expect(await messageOf(supervisor.start())).toBe('supervisor root was started already');
    await supervisor.stop();
    expect(await messageOf(supervisor.restartChild('b'))).toBe('supervisor root is stopping');
  });

  test('of a start say how long it was waited for, or that nobody waits any more', async () => {
    const { factory, clock, supervisor } = await run(() => []);
    factory.beforeStart.set('a', forEver);
    const late = supervisor.startChild(factory.spec('a', { startTimeoutMs: 1_000 })).catch((error: unknown) => error);
    await clock.advance(1_000);
    expect(await late).toMatchObject({ cause: { message: 'child a did not start within 1000 ms' } });
    const given = supervisor.startChild(factory.spec('a')).catch((error: unknown) => error);
    await clock.settle();
    await supervisor.terminateChild('a');
    expect(await given).toMatchObject({ cause: { message: 'child a was stopped while it started' } });
  });

  test('of a pool say which one it is', async () => {
    const { pool, failures, clock, slow } = buildPool({ maxChildren: 1 });
    failures.left = 1;
    expect(await messageOf(pool.startChild('a'))).toBe('a child of pool pool failed to start');
    slow.set('slow', forEver());
    const late = pool.startChild('slow').catch((error: unknown) => error);
    await clock.advance(30_000);
    expect(await late).toMatchObject({ cause: { message: 'child of pool pool did not start within 30000 ms' } });
    await pool.startChild('a');
    expect(await messageOf(pool.startChild('b'))).toBe('pool pool has 1 children, which is its maximum');
    const stranger = new ScriptedProcess('stranger', 1);
    expect(await messageOf(pool.terminateChild(stranger))).toBe('pool pool has no such child');
    await pool.stop();
    expect(await messageOf(pool.terminateChild(stranger))).toBe('pool pool is stopping');
  });

  test.each<[object, string]>([
    [{ id: '' }, 'expected id to be a name, got: '],
    [{ template: null }, 'expected template to be the one spec of all children of the pool'],
    [{ template: {} }, 'expected template.start to be a function, got: nothing'],
    [{ maxChildren: -1 }, 'expected maxChildren to be a number from 0, got: -1'],
    [{ maxChildren: Number.NaN }, 'expected maxChildren to be a number from 0, got: NaN'],
  ])('of a pool built of %j name the field', (changes, message) => {
    const options = { id: 'pool', clock: new VirtualClock(), template: { start: () => 'ignore' }, ...changes };
    // What plain JavaScript may hand in.
    expect(() => new Pool(options as never)).toThrow(expect.objectContaining({ code: 'invalid-spec', message }));
  });

  test('a pool may be full from the beginning', async () => {
    await expect(buildPool({ maxChildren: 0 }).pool.startChild('a')).rejects.toMatchObject({ code: 'max-children' });
  });
});

test('whoever has unsubscribed is not told of an end', async () => {
  const { supervisor } = await run(() => []);
  const { pool } = buildPool();
  const listener = vi.fn<(reason: ExitReason) => void>();
  for (const watched of [supervisor, pool]) {
    watched.onExit(listener);
    watched.offExit(listener);
    await watched.stop();
  }
  expect(listener).not.toHaveBeenCalled();
});

describe('an end', () => {
  test('is the first one: a kill after a stop changes nothing, and a killed supervisor starts nobody', async () => {
    const stopped = await run((made) => [made.spec('a')]);
    await stopped.supervisor.stop();
    stopped.supervisor.kill();
    const late: ExitReason[] = [];
    stopped.supervisor.onExit((reason) => late.push(reason));
    expect([stopped.exits, late]).toEqual([[{ kind: 'shutdown' }], [{ kind: 'shutdown' }]]);
    const killed = await run((made) => [made.spec('a')]);
    killed.supervisor.kill();
    await expect(killed.supervisor.startChild(killed.factory.spec('b'))).rejects.toMatchObject({ code: 'stopped' });
    for (const act of ['renewChild', 'terminateChild', 'deleteChild'] as const)
      await expect(killed.supervisor[act]('a')).rejects.toMatchObject({ code: 'stopped' });
    await expect(build(() => []).supervisor.stop()).resolves.toBeUndefined();
  });

  test('of a boot that failed is final', async () => {
    const { factory, supervisor } = build((made) => [made.spec('a')]);
    factory.beforeStart.set('a', () => {
      throw new Error('no start');
    });
    await expect(supervisor.start()).rejects.toMatchObject({ code: 'failed-to-start' });
    expect(states(supervisor)).toEqual(['a stopped']);
    await expect(supervisor.startChild(factory.spec('b'))).rejects.toMatchObject({ code: 'stopped' });
    await expect(supervisor.start()).rejects.toMatchObject({ code: 'stopped' });
  });
});

test('a child that is said to have ended is not waited for, whatever its stop says', async () => {
  const { told, observer } = watch();
  const listeners: ((reason: ExitReason) => void)[] = [];
  const stop = () => {
    for (const listener of listeners) listener({ kind: 'normal' });
    return forEver();
  };
  const process: Process = { id: 'a', onExit: (listener) => void listeners.push(listener), stop };
  const { supervisor, exits } = await run(() => [{ id: 'a', shutdown: 'infinity', start: () => process }], {
    observer,
  });
  await supervisor.stop();
  expect([exits, told.at(-1)]).toEqual([[{ kind: 'shutdown' }], ['exited', 'a', 'a', 1, 'normal']]);
});

test('a supervisor that was killed in the middle of its stop is told as killed, also later', async () => {
  const { factory, clock, supervisor } = await run((made) => [made.spec('a')]);
  factory.onStop.set('a', forEver);
  const stopped = supervisor.stop();
  await clock.settle();
  supervisor.kill();
  await stopped;
  const late: ExitReason[] = [];
  supervisor.onExit((reason) => late.push(reason));
  expect(late).toEqual([{ kind: 'killed' }]);
});

test('a stop leaves no listener at what may end it', async () => {
  const { signal } = new AbortController();
  const clock = new VirtualClock();
  expect(await stopProcess(new ScriptedProcess('a', 1), 1_000, clock, signal)).toEqual({ kind: 'shutdown' });
  expect([getEventListeners(signal, 'abort'), clock.pendingTimers]).toEqual([[], 0]);
});

test('counts that somebody else keeps are kept for temporary children, too', async () => {
  const history = new Map();
  const { factory, clock } = await run((made) => [made.spec('a', { restart: 'temporary' })], { history });
  factory.the('a').exit({ kind: 'normal' });
  await clock.settle();
  expect([...history]).toEqual([['a', { incarnation: 1, restarts: 0 }]]);
});

describe('stopping', () => {
  test.each<[string, (process: ScriptedProcess) => Process, 'worker' | 'supervisor']>([
    ['a child that is a supervisor by its type', (process) => process, 'supervisor'],
    ['a child that has children', (process) => Object.assign(process, { children: () => [] }), 'worker'],
  ])('%s is waited for as long as it takes', async (_, made, type) => {
    const slow = Promise.withResolvers<void>();
    const process = new ScriptedProcess('a', 1);
    process.onStop = () => slow.promise;
    const { clock, supervisor, exits } = await run(() => [{ id: 'a', type, start: () => made(process) }]);
    const stopped = supervisor.stop();
    await clock.advance(600_000);
    expect([exits, process.isAlive]).toEqual([[], true]);
    slow.resolve();
    await stopped;
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test.each<[string, number | 'brutal-kill', () => Promise<void>, string]>([
    ['hangs', 1_000, forEver, 'killed'],
    ['is ended at once', 'brutal-kill', forEver, 'killed'],
    ['rejects', 1_000, () => Promise.reject(new Error('no stop')), 'error'],
    ['says nothing of its end', 1_000, async () => undefined, 'shutdown'],
  ])('a child that cannot be killed and %s is told as %s %s', async (_, shutdown, onStop, kind) => {
    const { told, observer } = watch();
    const stop = vi.fn<() => Promise<void>>(onStop);
    const process: Process = { id: 'a', onExit: () => undefined, stop };
    const { clock, supervisor } = await run(() => [{ id: 'a', shutdown, start: () => process }], { observer });
    const stopped = supervisor.stop();
    await clock.advance(1_000);
    await stopped;
    expect(told.at(-1)).toEqual(['exited', 'a', 'a', 1, kind]);
    expect(stop).toHaveBeenCalled();
  });
});

describe('a start', () => {
  test('without a limit is waited for as long as it takes', async () => {
    const { factory, clock, supervisor } = await run(() => []);
    const slow = Promise.withResolvers<void>();
    factory.beforeStart.set('a', () => slow.promise);
    const started = supervisor.startChild(factory.spec('a', { startTimeoutMs: 'infinity' }));
    await clock.advance(3_600_000);
    slow.resolve();
    expect(await started).toMatchObject({ id: 'a' });
  });

  test('of a boot is not cut short by whoever ends one of them', async () => {
    const { factory, clock, supervisor } = build((made) => [made.spec('a'), made.spec('b')]);
    const slow = Promise.withResolvers<void>();
    factory.beforeStart.set('a', () => slow.promise);
    const started = supervisor.start();
    await clock.settle();
    const ended = supervisor.terminateChild('a');
    slow.resolve();
    await Promise.all([started, ended]);
    expect(states(supervisor)).toEqual(['a stopped', 'b running']);
  });

  test('is not made any more once somebody has stopped the supervisor', async () => {
    const { factory, supervisor } = build((made) => [made.spec('a'), made.spec('b')], {
      observer: { childStarted: () => void supervisor.stop() },
    });
    await expect(supervisor.start()).rejects.toMatchObject({ code: 'failed-to-start', cause: { code: 'stopped' } });
    expect(factory.journal).not.toContain('start b');
    expect(factory.aliveCount).toBe(0);
  });

  test('that gives nothing when a waiting child is renewed is no failure', async () => {
    const start = ({ incarnation }: { incarnation: number }) =>
      incarnation === 1 ? new ScriptedProcess('a', incarnation) : ('ignore' as const);
    const { clock, supervisor } = await run(() => [{ id: 'a', start }], { backoff: WAITING });
    const process = supervisor.processOf('a');
    if (process instanceof ScriptedProcess) process.crash();
    await clock.settle();
    expect(await supervisor.renewChild('a')).toBeUndefined();
    expect([states(supervisor), clock.pendingTimers]).toEqual([['a stopped'], 0]);
  });

  test('of a child that keeps crashing waits longer each time, whatever the clock shows', async () => {
    const { factory, clock, supervisor } = await run(() => [], {
      backoff: { baseMs: 100, capMs: 100_000, healthyMs: 10_000 },
      intensity: { restartsMax: 100, periodMs: 1 },
    });
    await clock.advance(1_000_000);
    await supervisor.startChild(factory.spec('a'));
    for (const ceilingMs of [100, 200, 400, 800]) {
      factory.the('a').crash();
      await clock.advance(ceilingMs / 2 - 1);
      expect(states(supervisor)).toEqual(['a restarting']);
      await clock.advance(ceilingMs / 2 + 2);
      expect(states(supervisor)).toEqual(['a running']);
    }
  });

  test('before the boot counts as no restart', async () => {
    const { supervisor } = build((made) => [made.spec('a')]);
    await supervisor.restartChild('a');
    expect(supervisor.children()).toMatchObject([{ restarts: 0, incarnation: 1 }]);
  });

  test('that hangs in a restart is given up by renewing the child', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a')]);
    factory.beforeStart.set('a', (incarnation) => (incarnation === 2 ? forEver() : undefined));
    factory.the('a').crash();
    await clock.settle();
    await supervisor.renewChild('a');
    expect([states(supervisor), clock.pendingTimers]).toEqual([['a running'], 0]);
  });

  test('that fails when a waiting child is renewed is told, and tried again', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a')], { backoff: WAITING });
    factory.beforeStart.set('a', (incarnation) => {
      if (incarnation === 2) throw new Error('no start');
    });
    factory.the('a').crash();
    await clock.settle();
    await expect(supervisor.renewChild('a')).rejects.toMatchObject({
      code: 'failed-to-start',
      cause: { code: 'restarting', message: 'it is tried again' },
    });
    await clock.advance(1_000);
    expect(states(supervisor)).toEqual(['a running']);
    expect(clock.pendingTimers).toBe(0);
  });

  test('in a pool that is killed, however late it comes, does not stay alive', async () => {
    for (let ticks = 0; ticks < 12; ticks += 1) {
      const { clock, pool, made, slow } = buildPool();
      const ready = Promise.withResolvers<void>();
      slow.set('a', ready.promise);
      const starting = pool.startChild('a').catch((error: unknown) => error);
      await clock.settle();
      ready.resolve();
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
      pool.kill();
      // It may have been ready just before.
      const answer = await starting;
      if (answer instanceof SupervisorError) expect(answer).toMatchObject({ code: 'failed-to-start' });
      await clock.settle();
      expect(pool.children()).toEqual([]);
      expect(made.filter(({ isAlive }) => isAlive)).toEqual([]);
    }
  });

  test('in a pool that hangs in a restart is given up by ending the child', async () => {
    const { clock, pool, made, slow } = buildPool();
    const former = await pool.startChild('a');
    slow.set('a', forEver());
    made[0]?.crash();
    await clock.settle();
    await pool.terminateChild(former ?? new ScriptedProcess('nobody', 1));
    expect([pool.children(), clock.pendingTimers]).toEqual([[], 0]);
  });
});

describe('a restart in a pool', () => {
  test('leaves the process that was, which ends nobody else any more', async () => {
    const { clock, pool, made } = buildPool();
    const former = await pool.startChild('a');
    made[0]?.crash();
    await clock.settle();
    await pool.terminateChild(former ?? new ScriptedProcess('nobody', 1));
    expect(pool.children()).toMatchObject([{ id: 'a', state: 'running', incarnation: 2 }]);
  });

  test('that waits is over when its child is ended', async () => {
    const { clock, pool, made } = buildPool({ backoff: WAITING });
    const former = await pool.startChild('a');
    made[0]?.crash();
    await clock.settle();
    await pool.terminateChild(former ?? new ScriptedProcess('nobody', 1));
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(60_000);
    expect(made).toHaveLength(1);
  });

  test('waits longer after each crash, and less again after a time of health', async () => {
    const { clock, pool, made } = buildPool({
      backoff: { baseMs: 100, capMs: 100_000, healthyMs: 10_000 },
      intensity: { restartsMax: 100, periodMs: 1 },
    });
    await clock.advance(1_000_000);
    await pool.startChild('a');
    const waitAfterCrash = async () => {
      const crashedAtMs = clock.nowMs();
      const before = made.length;
      made.at(-1)?.crash();
      while (made.length === before) await clock.advance(5);
      return clock.nowMs() - crashedAtMs;
    };
    for (const ceilingMs of [100, 200, 400, 800]) {
      const waitedMs = await waitAfterCrash();
      expect(waitedMs).toBeGreaterThanOrEqual(ceilingMs / 2);
      expect(waitedMs).toBeLessThanOrEqual(ceilingMs + 5);
    }
    await clock.advance(10_000);
    expect(await waitAfterCrash()).toBeLessThanOrEqual(105);
  });

  test('is none for a process that says twice that it ended, and none while the pool stops', async () => {
    const listeners: ((reason: ExitReason) => void)[] = [];
    const process: Process = {
      id: 'a',
      onExit: (listener) => void listeners.push(listener),
      stop: async () => undefined,
    };
    let starts = 0;
    const start = () => {
      starts += 1;
      return starts === 1 ? process : new ScriptedProcess('a', starts);
    };
    const { clock, pool } = buildPool({ template: { start } });
    await pool.startChild('a');
    for (const listener of listeners) for (let time = 0; time < 2; time += 1) listener({ kind: 'killed' });
    await clock.settle();
    expect([starts, pool.countChildren().active]).toEqual([2, 1]);
    const { clock: time, pool: other, made } = buildPool();
    for (const args of ['a', 'b']) await other.startChild(args);
    const slow = Promise.withResolvers<void>();
    for (const child of made) child.onStop = () => slow.promise;
    const stopped = other.stop();
    await time.settle();
    made[0]?.crash();
    slow.resolve();
    await stopped;
    expect(made).toHaveLength(2);
  });
});

test('the defaults are three restarts in five seconds, after waits of twenty milliseconds and twice as many each time', async () => {
  const factory = (await run(() => [])).factory;
  const clock = new VirtualClock();
  const supervisor = new Supervisor({ id: 'root', clock, children: [factory.spec('a')] });
  const exits: ExitReason[] = [];
  supervisor.onExit((reason) => exits.push(reason));
  await supervisor.start();
  for (const ceilingMs of [20, 40, 80]) {
    factory.the('a').crash();
    await clock.advance(ceilingMs / 2 - 1);
    expect(states(supervisor)).toEqual(['a restarting']);
    await clock.advance(ceilingMs / 2 + 2);
    expect(states(supervisor)).toEqual(['a running']);
  }
  factory.the('a').crash();
  await clock.settle();
  expect(exits).toEqual([{ kind: 'shutdown' }]);
});
