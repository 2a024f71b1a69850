/** Questions whose answers are fetched later, and watching. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test, vi } from 'vitest';
import { assign, setup } from 'xstate';
import { Actor, type Reply } from '../../src/supervision/actor.ts';
import { type Down, monitor } from '../../src/supervision/monitor.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { type CounterMachine, createCounterMachine } from '../support/counter-machine.ts';

function start() {
  const clock = new VirtualClock();
  const actor = new Actor<CounterMachine>({ id: 'counter', incarnation: 1, machine: createCounterMachine(), clock });
  return { clock, actor };
}

const ask = (reply: Reply<number>) => ({ type: 'asked', reply }) as const;
const askLate = (reply: Reply<number>) => ({ type: 'asked.late', reply }) as const;

describe('a request', () => {
  test('actors 56: lives on after a wait that was too short, and a later wait gets the answer', async () => {
    const { clock, actor } = start();
    const request = actor.request<number>(askLate);
    expect(await clock.waitFor(request.wait(100))).toEqual({ kind: 'timeout' });
    actor.cast({ type: 'answered.late' });
    expect(await request.wait(100)).toEqual({ kind: 'reply', value: -1 });
    expect(await request.wait(0)).toEqual({ kind: 'reply', value: -1 });
  });

  test('actors 56: is abandoned by a receive that was too short: a late answer reaches nobody', async () => {
    const { clock, actor } = start();
    const request = actor.request<number>(askLate);
    expect(await clock.waitFor(request.receive(100))).toEqual({ kind: 'timeout' });
    actor.cast({ type: 'answered.late' });
    expect(await request.wait(100)).toEqual({ kind: 'abandoned' });
    expect(actor.isAlive).toBe(true);
  });

  test('actors 50, 56: one that was abandoned before it was taken is not in the mailbox any more', async () => {
    const { actor } = start();
    const answered = vi.fn<(value: number) => void>();
    actor.suspend();
    actor.request<number>(() => ask(answered)).abandon();
    actor.resume();
    expect(answered).not.toHaveBeenCalled();
  });

  test('actors 51: to a dead actor, or one that dies meanwhile, is answered with why', async () => {
    const { actor } = start();
    const request = actor.request<number>(askLate);
    actor.cast({ type: 'broke' });
    const cause = { kind: 'error', error: new Error('broke') };
    expect(await request.wait(100)).toMatchObject({ kind: 'error', error: { code: 'noproc', cause } });
    expect(await actor.request<number>(ask).wait(100)).toMatchObject({ kind: 'error', error: { code: 'noproc' } });
  });

  test('leaves no timer behind once it is answered', async () => {
    const { clock, actor } = start();
    const timers = clock.pendingTimers;
    expect(await actor.request<number>(ask).receive(1_000)).toEqual({ kind: 'reply', value: 0 });
    expect(clock.pendingTimers).toBe(timers);
  });
});

describe('an actor that asks itself', () => {
  type Asking = { readonly type: 'asked.itself' } | { readonly type: 'asked'; readonly reply: Reply<number> };

  test('actors 52: is told at once that it cannot, and goes on', async () => {
    const clock = new VirtualClock();
    const started: { own?: Actor<ReturnType<typeof createMachine>> } = {};
    let answer: Promise<unknown> | undefined;
    function createMachine() {
      return setup({
        types: {} as { context: { asked: number }; events: Asking },
        actions: {
          askItself: () => {
            answer = started.own?.call<number>((reply) => ({ type: 'asked', reply })).catch((error: unknown) => error);
          },
          answer: ({ context, event }) => {
            if (event.type === 'asked') event.reply(context.asked);
          },
        },
      }).createMachine({
        context: { asked: 0 },
        on: {
          'asked.itself': { actions: [assign({ asked: ({ context }) => context.asked + 1 }), 'askItself'] },
          asked: { actions: 'answer' },
        },
      });
    }
    const own = new Actor({ id: 'own', incarnation: 1, machine: createMachine(), clock });
    started.own = own;
    own.cast({ type: 'asked.itself' });
    expect(await answer).toMatchObject({ code: 'calling-self', message: 'actor own cannot wait for itself' });
    expect(await own.call<number>((reply) => ({ type: 'asked', reply }))).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a machine that gives no snapshot', () => {
  test('actors 54: has crashed, and says so', () => {
    const machine = createCounterMachine();
    // What a hand-written machine may do.
    const broken = Object.create(machine, { transition: { value: () => undefined } }) as CounterMachine;
    const actor = new Actor<CounterMachine>({
      id: 'counter',
      incarnation: 1,
      machine: broken,
      clock: new VirtualClock(),
    });
    const exits: ExitReason[] = [];
    actor.onExit((reason) => exits.push(reason));
    actor.cast({ type: 'counted', by: 1 });
    expect(exits).toMatchObject([{ kind: 'error', error: { code: 'bad-return-value' } }]);
    expect(actor.isAlive).toBe(false);
  });
});

describe('a monitor', () => {
  test.each<[string, (actor: Actor<CounterMachine>) => void, ExitReason]>([
    ['a crash', (actor) => actor.cast({ type: 'broke' }), { kind: 'error', error: new Error('broke') }],
    ['a normal end', (actor) => actor.cast({ type: 'finished' }), { kind: 'normal' }],
    ['a stop', (actor) => actor.stop(), { kind: 'shutdown' }],
    ['a kill', (actor) => actor.kill(), { kind: 'killed' }],
  ])('actors 58: tells %s exactly once, with its reason', async (_, end, reason) => {
    const { clock, actor } = start();
    const downs: Down[] = [];
    monitor(actor, (down) => downs.push(down));
    end(actor);
    await actor.stop();
    actor.kill();
    await clock.settle();
    expect(downs).toEqual([{ id: 'counter', reason }]);
  });

  test('actors 58: of a dead actor tells that nobody is there, after it has returned', async () => {
    const { clock, actor } = start();
    await actor.stop();
    const downs: Down[] = [];
    monitor(actor, (down) => downs.push(down));
    expect(downs).toEqual([]);
    await clock.settle();
    expect(downs).toEqual([{ id: 'counter', reason: { kind: 'noproc' } }]);
  });

  test('actors 58: that was ended tells nothing, also of an end that has been', async () => {
    const { clock, actor } = start();
    const downs: Down[] = [];
    const endWatch = monitor(actor, (down) => downs.push(down));
    actor.kill();
    endWatch();
    monitor(actor, (down) => downs.push(down))();
    await clock.settle();
    expect(downs).toEqual([]);
  });
});
