/** Numbers such as `actors 49` are those of the semantics checklist of supervision. */
import { afterEach, describe, expect, test, vi } from 'vitest';

import { Actor, type ActorOptions } from '../../src/supervision/actor.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { type CounterEvent, type CounterMachine, createCounterMachine, TICK_MS } from '../support/counter-machine.ts';

interface Scene {
  readonly clock: VirtualClock;
  readonly actor: Actor<CounterMachine>;
  readonly exits: ExitReason[];
}

const start = (options: Partial<ActorOptions<CounterMachine>> = {}): Scene => {
  const clock = new VirtualClock();
  const actor = new Actor<CounterMachine>({
    id: 'counter',
    incarnation: 1,
    machine: createCounterMachine(),
    clock,
    ...options,
  });
  const exits: ExitReason[] = [];
  actor.onExit((reason) => exits.push(reason));
  return { clock, actor, exits };
};

const counted = (by: number): CounterEvent => ({ type: 'counted', by });
const ask = (reply: (count: number) => void): CounterEvent => ({ type: 'asked', reply });
const askLate = (reply: (count: number) => void): CounterEvent => ({ type: 'asked.late', reply });

afterEach(() => {
  vi.restoreAllMocks();
});

describe('calls', () => {
  test('a call is answered by the machine', async () => {
    const { actor } = start();
    actor.cast(counted(5));
    expect(await actor.call<number>(ask)).toBe(5);
  });

  test('actors 49: a call that is not answered times out after 5 s, the actor lives on', async () => {
    const { actor, clock } = start();
    const asked = actor.call<number>(askLate);
    const outcome = asked.catch((error: unknown) => error);
    await clock.advance(4_999);
    expect(await Promise.race([outcome, Promise.resolve('waiting')])).toBe('waiting');
    await clock.advance(1);
    expect(await outcome).toMatchObject({ code: 'timeout', message: 'actor counter did not answer within 5000 ms' });
    expect(actor.isAlive).toBe(true);
  });

  test('actors 49: a late answer reaches no later call', async () => {
    const { actor, clock } = start();
    const first = actor.call<number>(askLate, { timeoutMs: 10 }).catch((error: unknown) => error);
    await clock.advance(10);
    expect(await first).toMatchObject({ code: 'timeout' });
    const second = actor.call<number>(ask);
    actor.cast({ type: 'answered.late' });
    expect(await second).toBe(0);
  });

  test('actors 51: a call to a dead actor fails at once with noproc', async () => {
    const { actor } = start();
    await actor.stop();
    await expect(actor.call<number>(ask)).rejects.toMatchObject({ code: 'noproc' });
  });

  test('actors 51: an actor that dies before it answers fails its callers at once, with why it died', async () => {
    const { actor, clock } = start();
    const asked = actor.call<number>(askLate, { timeoutMs: 60_000 });
    const outcome = asked.catch((error: unknown) => error);
    actor.cast({ type: 'broke' });
    expect(await outcome).toMatchObject({ code: 'noproc', cause: { kind: 'error', error: new Error('broke') } });
    expect(clock.pendingTimers).toBe(0);
  });

  test('actors 51, 53: a call whose own event crashes the actor fails at once', async () => {
    const { actor, exits } = start();
    await expect(actor.call<number>(() => ({ type: 'broke' }))).rejects.toMatchObject({ code: 'noproc' });
    expect(exits).toEqual([{ kind: 'error', error: new Error('broke') }]);
  });

  test('a call whose caller leaves fails at once, also when the caller had left before', async () => {
    const { actor, clock } = start();
    const leaving = new AbortController();
    const asked = actor.call<number>(askLate, { signal: leaving.signal }).catch((error: unknown) => error);
    leaving.abort(new Error('gone'));
    expect(await asked).toMatchObject({ code: 'aborted', cause: new Error('gone') });
    await expect(actor.call<number>(askLate, { signal: leaving.signal })).rejects.toMatchObject({ code: 'aborted' });
    // The machine's own tick.
    expect(clock.pendingTimers).toBe(1);
  });

  test('an answered call leaves no timer and no listener behind', async () => {
    const { actor, clock } = start();
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, 'removeEventListener');
    await actor.call<number>(ask, { signal });
    expect(clock.pendingTimers).toBe(1);
    expect(removed).toHaveBeenCalledTimes(1);
  });

  test.each(['timeout', 'abort'] as const)(
    'actors 50: a call that ended by %s before it was taken is not in the mailbox any more',
    async (how) => {
      const { actor, clock } = start();
      actor.suspend();
      const leaving = new AbortController();
      const answered = vi.fn<(count: number) => void>();
      const asked = actor.call<number>(
        (reply) =>
          ask((count) => {
            answered(count);
            reply(count);
          }),
        { timeoutMs: 10, signal: leaving.signal },
      );
      const outcome = asked.catch((error: unknown) => error);
      if (how === 'abort') leaving.abort();
      await clock.advance(10);
      expect(await outcome).toMatchObject({ code: how === 'abort' ? 'aborted' : 'timeout' });
      actor.resume();
      expect(answered).not.toHaveBeenCalled();
    },
  );
});

describe('casts', () => {
  test('actors 55: a cast never throws, also to a dead actor or into a crash', async () => {
    const { actor } = start();
    expect(actor.cast(counted(1))).toBe(true);
    expect(actor.cast({ type: 'broke' })).toBe(false);
    expect(actor.cast(counted(1))).toBe(false);
    await actor.stop();
    expect(actor.cast(counted(1))).toBe(false);
  });

  test('actors 57: what one sender tells arrives in the order it was told, also around a suspension', () => {
    const { actor } = start();
    const numbers = Array.from({ length: 300 }, (_, index) => index);
    for (const by of numbers) {
      if (by === 100) actor.suspend();
      if (by === 200) actor.resume();
      actor.cast(counted(by));
    }
    expect(actor.read().context.seen).toEqual(numbers);
  });
});

describe('exits', () => {
  test('actors 53: a throw in the machine is one exit with its error', () => {
    const { actor, exits } = start();
    actor.cast({ type: 'broke' });
    expect(exits).toEqual([{ kind: 'error', error: new Error('broke') }]);
    expect(actor.isAlive).toBe(false);
  });

  test('actors 53: its crash report names the event and the state, and holds nothing of what was in them', () => {
    const { actor } = start();
    expect(actor.crashReport).toBeUndefined();
    actor.cast(counted(5));
    actor.cast({ type: 'broke' });
    actor.cast(counted(6));
    expect(actor.crashReport).toEqual({ error: new Error('broke'), event: 'broke', state: 'counting' });
    const { actor: orderly } = start();
    orderly.cast({ type: 'finished' });
    expect(orderly.crashReport).toBeUndefined();
  });

  test('a machine that finishes exits normally', () => {
    const { actor, exits } = start();
    actor.cast({ type: 'finished' });
    expect(exits).toEqual([{ kind: 'normal' }]);
  });

  test('a machine that throws while it starts is an exit too, not a throw at whoever started it', () => {
    const { exits, actor } = start({ machine: createCounterMachine({ isBrokenAtStart: true }) });
    expect(exits).toEqual([{ kind: 'error', error: new Error('broken at start') }]);
    expect(actor.isAlive).toBe(false);
  });

  test('actors 36: stopping twice, or after a crash, is one exit', async () => {
    const { actor, exits } = start();
    await Promise.all([actor.stop(), actor.stop()]);
    actor.crash(new Error('too late'));
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('who asks after the end for the exit is told at once', async () => {
    const { actor } = start();
    await actor.stop();
    const late: ExitReason[] = [];
    actor.onExit((reason) => late.push(reason));
    expect(late).toEqual([{ kind: 'shutdown' }]);
  });

  test('actors 65: an exit listener that throws keeps nobody else from hearing it, callers included', async () => {
    const { actor, exits } = start();
    actor.onExit(() => {
      throw new Error('broken listener');
    });
    const later = vi.fn<(reason: ExitReason) => void>();
    actor.onExit(later);
    const asked = actor.call<number>(askLate).catch((error: unknown) => error);
    actor.cast({ type: 'broke' });
    expect(exits).toHaveLength(1);
    expect(later).toHaveBeenCalledTimes(1);
    expect(await asked).toMatchObject({ code: 'noproc' });
  });

  test.each<[string, (scene: Scene) => void]>([
    [
      'throws in a transition',
      ({ actor }) => {
        actor.cast({ type: 'broke' });
      },
    ],
    [
      'is crashed',
      ({ actor }) => {
        actor.crash(new Error('crashed'));
      },
    ],
    [
      'throws while it resumes',
      ({ actor }) => {
        actor.suspend();
        actor.cast({ type: 'broke' });
        actor.resume();
      },
    ],
  ])('an actor that %s ends no process: XState is left nothing to rethrow in a timer', async (_name, act) => {
    // XState reports an error that nobody observes by throwing it in a `setTimeout`.
    const timeouts = vi.spyOn(globalThis, 'setTimeout');
    const scene = start();
    act(scene);
    await scene.clock.settle();
    expect(scene.exits).toHaveLength(1);
    expect(timeouts).not.toHaveBeenCalled();
  });
});

describe('time', () => {
  test('actors 62: a timer of a machine fires by the injected clock, and never after its actor has ended', async () => {
    const onTick = vi.fn<() => void>();
    const { actor, clock } = start({ machine: createCounterMachine({ onTick }) });
    await clock.advance(3 * TICK_MS);
    expect(onTick).toHaveBeenCalledTimes(3);
    actor.crash(new Error('over'));
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(10 * TICK_MS);
    expect(onTick).toHaveBeenCalledTimes(3);
  });

  test('actors 35: nothing that reaches a dead incarnation is kept as its memory', () => {
    const onSnapshot = vi.fn<() => void>();
    const { actor } = start({ onSnapshot });
    actor.cast(counted(1));
    actor.crash(new Error('over'));
    const { length } = onSnapshot.mock.calls;
    actor.cast(counted(1));
    expect(onSnapshot.mock.calls).toHaveLength(length);
  });
});

describe('suspension', () => {
  test('actors 64: a suspended actor works at nothing told meanwhile, answers its state, and catches up when resumed', async () => {
    const { actor } = start();
    actor.cast(counted(1));
    actor.suspend();
    const asked = actor.call<number>(ask);
    actor.cast(counted(10));
    expect(actor.isSuspended).toBe(true);
    expect(actor.read().context.count).toBe(1);
    actor.resume();
    // It was asked before it was told of the ten.
    expect(await asked).toBe(1);
    expect(actor.read().context.count).toBe(11);
  });

  test('suspending and resuming twice is the same as once', () => {
    const { actor } = start();
    actor.suspend();
    actor.suspend();
    actor.cast(counted(1));
    actor.resume();
    actor.resume();
    expect(actor.read().context.seen).toEqual([1]);
  });

  test('actors 66: its mailbox is bounded: one more than fits is refused, a call fails with mailbox-full, stopping still works', async () => {
    const { actor, exits } = start();
    actor.suspend();
    for (let count = 0; count < 10_000; count += 1) expect(actor.cast(counted(1))).toBe(true);
    expect(actor.cast(counted(1))).toBe(false);
    await expect(actor.call<number>(ask)).rejects.toMatchObject({ code: 'mailbox-full' });
    await actor.stop();
    expect(exits).toEqual([{ kind: 'shutdown' }]);
  });

  test('what waited in the mailbox of an actor that ended is handed back, in order', async () => {
    const undelivered: CounterEvent[] = [];
    const { actor } = start({ onUndelivered: (events) => undelivered.push(...events) });
    actor.suspend();
    actor.cast(counted(1));
    actor.cast(counted(2));
    await actor.stop();
    expect(undelivered).toEqual([counted(1), counted(2)]);
  });

  test('an actor that crashes while it catches up hands back the event it crashed at and all behind it', () => {
    const undelivered: CounterEvent[] = [];
    let isBroken = true;
    const { actor, exits } = start({
      onUndelivered: (events) => undelivered.push(...events),
      beforeEvent: (_id, event) => {
        if (event.type === 'finished' && isBroken) throw new Error('not yet');
      },
    });
    actor.suspend();
    for (const event of [counted(1), { type: 'finished' } as const, counted(3)]) actor.cast(event);
    actor.resume();
    isBroken = false;
    expect(exits).toHaveLength(1);
    expect(undelivered).toEqual([{ type: 'finished' }, counted(3)]);
  });
});

describe('the fault seam', () => {
  test('an exception before any event is an exception of the actor, told with its id', () => {
    const seen: string[] = [];
    const { actor, exits } = start({
      beforeEvent: (id, event) => {
        seen.push(`${id} ${event.type}`);
        if (event.type === 'finished') throw new Error('injected');
      },
    });
    actor.cast(counted(1));
    actor.cast({ type: 'finished' });
    expect(seen.slice(-2)).toEqual(['counter counted', 'counter finished']);
    expect(exits).toEqual([{ kind: 'error', error: new Error('injected') }]);
  });
});
