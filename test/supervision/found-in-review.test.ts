/** What a review found in supervision: each of these hung, was lost or ended the process once. */
import { describe, expect, test } from 'vitest';
import { setup } from 'xstate';
import { Actor } from '../../src/supervision/actor.ts';
import { Mailbox } from '../../src/supervision/mailbox.ts';
import { monitor } from '../../src/supervision/monitor.ts';
import { Pool } from '../../src/supervision/pool.ts';
import type { ExitReason, Process } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { heapUsed } from '../support/heap.ts';
import { ProcessFactory, ScriptedProcess } from '../support/scripted-process.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { incarnations, run, states } from '../support/supervised.ts';

const forEver = () => new Promise<void>(() => {});

/** Whether a promise has settled by now, with everything that was ready done. */
async function hasSettled(clock: VirtualClock, promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const note = () => {
    isSettled = true;
  };
  promise.then(note, note);
  await clock.settle();
  return isSettled;
}

describe('a kill in the middle of a stop', () => {
  test('ends the child that was being stopped, and the stop', async () => {
    const { factory, clock, supervisor, exits } = await run((made) => [made.spec('a', { shutdown: 'infinity' })]);
    factory.onStop.set('a', forEver);
    const stopped = supervisor.stop();
    await clock.settle();
    supervisor.kill();
    expect([factory.aliveCount, exits]).toEqual([0, [{ kind: 'killed' }]]);
    expect(await hasSettled(clock, stopped)).toBe(true);
    await expect(supervisor.startChild(factory.spec('b'))).rejects.toMatchObject({ code: 'stopped' });
  });

  test('of a pool does, too', async () => {
    const clock = new VirtualClock();
    const child = new ScriptedProcess('a', 1);
    child.onStop = forEver;
    const pool = new Pool<string>({ id: 'pool', clock, template: { shutdown: 'infinity', start: () => child } });
    await pool.startChild('a');
    const stopped = pool.stop();
    await clock.settle();
    pool.kill();
    expect([child.isAlive, await hasSettled(clock, stopped)]).toEqual([false, true]);
  });

  test.each(['by its parent’s limit', 'by somebody else'])(
    'of a sub-supervisor %s leaves nobody alive below it',
    async (by) => {
      const clock = new VirtualClock();
      const factory = new ProcessFactory();
      factory.onStop.set('slow', forEver);
      const children = [factory.spec('a'), factory.spec('slow', { shutdown: 'infinity' })];
      const inner = new Supervisor({ id: 'inner', clock, children });
      const start = async () => {
        await inner.start();
        return inner;
      };
      const shutdown = by.startsWith('by its') ? 1_000 : 'infinity';
      const outer = new Supervisor({ id: 'outer', clock, children: [{ id: 'inner', shutdown, start }] });
      await outer.start();
      const stopped = outer.stop();
      await clock.settle();
      if (shutdown === 'infinity') inner.kill();
      else await clock.advance(1_000);
      expect([factory.aliveCount, await hasSettled(clock, stopped)]).toEqual([0, true]);
    },
  );

  test('while siblings stop for a restart leaves no restart behind', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      strategy: 'one-for-all',
      backoff: { baseMs: 1_000, capMs: 1_000, healthyMs: 1 },
    });
    const slow = Promise.withResolvers<void>();
    factory.onStop.set('b', () => slow.promise);
    factory.the('a').crash();
    await clock.settle();
    supervisor.kill();
    slow.resolve();
    await clock.settle();
    expect([factory.aliveCount, clock.pendingTimers, states(supervisor)]).toEqual([0, 0, ['a stopped', 'b stopped']]);
  });
});

describe('a restart of several', () => {
  test('in which the first crashes again while a later one fails to start brings back both', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      strategy: 'rest-for-one',
      intensity: { restartsMax: 10, periodMs: 1_000 },
    });
    const failing = Promise.withResolvers<void>();
    factory.beforeStart.set('b', (incarnation) => (incarnation === 2 ? failing.promise : undefined));
    factory.the('a').crash();
    await clock.settle();
    factory.the('a').crash();
    failing.reject(new Error('not yet'));
    await clock.advance(10);
    expect(states(supervisor)).toEqual(['a running', 'b running']);
    expect(factory.aliveCount).toBe(2);
  });

  test.each(['terminateChild', 'renewChild'] as const)('is not cut short by %s of one of them', async (act) => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b'), made.spec('c')], {
      strategy: 'one-for-all',
    });
    const slow = Promise.withResolvers<void>();
    factory.beforeStart.set('b', (incarnation) => (incarnation === 2 ? slow.promise : undefined));
    factory.the('a').crash();
    await clock.settle();
    const done = supervisor[act]('b');
    slow.resolve();
    await done;
    expect(states(supervisor)).toEqual(['a running', act === 'renewChild' ? 'b running' : 'b stopped', 'c running']);
  });

  test('that waits is begun for all of them by renewing the one that crashed', async () => {
    const { factory, clock, supervisor } = await run((made) => [made.spec('a'), made.spec('b')], {
      strategy: 'one-for-all',
      backoff: { baseMs: 60_000, capMs: 60_000, healthyMs: 1 },
    });
    factory.the('a').crash();
    await clock.settle();
    await supervisor.renewChild('a');
    expect([states(supervisor), incarnations(supervisor)]).toEqual([
      ['a running', 'b running'],
      [2, 2],
    ]);
    await clock.advance(120_000);
    expect([incarnations(supervisor), clock.pendingTimers]).toEqual([[2, 2], 0]);
  });
});

test('a child that is added before its supervisor starts is started once', async () => {
  const clock = new VirtualClock();
  const factory = new ProcessFactory();
  const supervisor = new Supervisor({ id: 'root', clock, children: [factory.spec('a')] });
  await supervisor.startChild(factory.spec('b'));
  await supervisor.start();
  expect(factory.started.map(({ id }) => id).toSorted()).toEqual(['a', 'b']);
  await supervisor.stop();
  expect(factory.aliveCount).toBe(0);
});

test('ending a child while it is added ends the adding, and both are told', async () => {
  const { factory, clock, supervisor } = await run(() => []);
  factory.beforeStart.set('a', forEver);
  const started = supervisor.startChild(factory.spec('a')).catch((error: unknown) => error);
  await clock.settle();
  await supervisor.terminateChild('a');
  expect(await started).toMatchObject({ code: 'failed-to-start', cause: { code: 'stopped' } });
});

test('a pool that is told to end a child ends it also when it has just been restarted', async () => {
  const clock = new VirtualClock();
  const slow = Promise.withResolvers<void>();
  const made: ScriptedProcess[] = [];
  const pool = new Pool<string>({
    id: 'pool',
    clock,
    backoff: 'none',
    template: {
      start: async (args, { incarnation }) => {
        if (args === 'slow') await slow.promise;
        made.push(new ScriptedProcess(args, incarnation));
        return made.at(-1) ?? 'ignore';
      },
    },
  });
  const former = await pool.startChild('a');
  const other = pool.startChild('slow');
  await clock.settle();
  made[0]?.crash();
  const ended = pool.terminateChild(former ?? new ScriptedProcess('nobody', 1));
  slow.resolve();
  await Promise.all([other, ended]);
  expect(made.filter(({ isAlive }) => isAlive).map(({ id }) => id)).toEqual(['slow']);
});

describe('an actor', () => {
  type Told =
    | { readonly type: 'ran'; readonly act: () => void }
    | { readonly type: 'ended' }
    | { readonly type: 'asked'; readonly reply: (value: number) => void };

  function start(options: { readonly afterMs?: number; readonly onTimer?: () => void } = {}) {
    const clock = new VirtualClock();
    const undelivered: string[][] = [];
    const { afterMs = 1_000_000, onTimer = () => undefined } = options;
    const machine = setup({
      types: {} as { events: Told },
      actions: {
        run: ({ event }) => {
          if (event.type === 'ran') event.act();
        },
        onTimer,
      },
    }).createMachine({
      initial: 'open',
      on: { ran: { actions: 'run' } },
      states: {
        open: { after: { [afterMs]: { actions: 'onTimer' } }, on: { ended: 'over' } },
        over: { type: 'final' },
      },
    });
    const actor = new Actor({
      id: 'actor',
      incarnation: 1,
      machine,
      clock,
      onUndelivered: (events) => undelivered.push(events.map(({ type }) => type)),
    });
    return { clock, actor, undelivered };
  }

  test('actors 68: lets timers fire also when a timer of its own began what never ends', async () => {
    let handled = 0;
    let seen = 0;
    const other = start();
    const first = start({ afterMs: 10, onTimer: () => hit('other') });
    const sides = { first, other };
    function hit(side: 'first' | 'other'): void {
      handled += 1;
      const next = side === 'first' ? 'other' : 'first';
      if (handled < 50_000) sides[side].actor.cast({ type: 'ran', act: () => hit(next) });
    }
    await first.clock.advance(10);
    seen = handled;
    expect(seen).toBeGreaterThan(100);
    expect(seen).toBeLessThan(5_000);
  });

  test('actors 52: is told that it cannot wait for itself also when one of its timers asks', async () => {
    let answer: Promise<unknown> = Promise.resolve();
    const { clock, actor } = start({
      afterMs: 10,
      onTimer: () => {
        answer = actor.call<number>((reply) => ({ type: 'asked', reply })).catch((error: unknown) => error);
      },
    });
    await clock.advance(10);
    expect(await answer).toMatchObject({ code: 'calling-self' });
  });

  test('a call that is given up while it is handled, or that cannot be asked, fails once and leaves nothing behind', async () => {
    const stray = watchStrayErrors();
    const { clock, actor } = start();
    const timers = clock.pendingTimers;
    const leaving = new AbortController();
    const act = () => {
      leaving.abort();
    };
    await expect(actor.call(() => ({ type: 'ran', act }), { signal: leaving.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    const broken = () => {
      throw new Error('no question');
    };
    await expect(actor.call(broken)).rejects.toThrow('no question');
    expect(clock.pendingTimers).toBe(timers);
    await clock.advance(10_000);
    await stray.finish();
  });

  test('what ends it in good order was handled: it is handed to nobody else', () => {
    const { actor, undelivered } = start();
    actor.suspend();
    for (let time = 0; time < 2; time += 1) actor.cast({ type: 'ended' });
    actor.resume();
    expect([actor.isAlive, undelivered]).toEqual([false, [['ended']]]);
    expect(start().actor.cast({ type: 'ended' })).toBe(true);
  });

  test('what it is told while it handles what it crashes on is not lost', () => {
    const { actor, undelivered } = start();
    actor.cast({
      type: 'ran',
      act: () => {
        expect(actor.cast({ type: 'ended' })).toBe(true);
        throw new Error('broke');
      },
    });
    expect([actor.isAlive, undelivered]).toEqual([false, [['ended']]]);
  });
});

describe('whoever watches', () => {
  test('actors 58, 65: and throws harms nobody, at once or later', async () => {
    const stray = watchStrayErrors();
    const failures: unknown[] = [];
    const child: Process = Object.assign(new ScriptedProcess('a', 1), {
      kill: async () => {
        throw new Error('kill');
      },
    });
    const supervisor = new Supervisor({
      id: 'root',
      clock: new VirtualClock(),
      observer: {
        // Its type allows it, as does every callback that returns nothing.
        childStarted: () => Promise.reject(new Error('observer')) as unknown as void,
        failed: (error) => failures.push(error),
      },
      children: [{ id: 'a', shutdown: 'brutal-kill', start: () => child }],
    });
    const other = new ScriptedProcess('b', 1);
    monitor(other, () => {
      throw new Error('down');
    });
    other.crash();
    await supervisor.start();
    await supervisor.stop();
    await stray.finish();
    expect(failures).toEqual([new Error('observer')]);
  });

  test('actors 58: and has stopped watching is not held by whom it watched', () => {
    const listeners = new Set<(reason: ExitReason) => void>();
    const watched: Process = {
      id: 'a',
      onExit: (listener) => void listeners.add(listener),
      offExit: (listener) => void listeners.delete(listener),
      stop: async () => undefined,
    };
    monitor(watched, () => undefined)();
    expect(listeners.size).toBe(0);
  });
});

test('actors 50: what is taken back does not fill a mailbox that nobody takes from', () => {
  const mailbox = new Mailbox<number>(10);
  mailbox.push(0);
  const before = heapUsed();
  for (let index = 1; index <= 500_000; index += 1) {
    const ticket = mailbox.push(index);
    if (ticket !== undefined) mailbox.withdraw(ticket);
  }
  // Half a million that lay there would be 15 MB and more.
  expect(heapUsed() - before).toBeLessThan(5e6);
  expect([mailbox.size, mailbox.shift(), mailbox.shift()]).toEqual([1, 0, undefined]);
});
