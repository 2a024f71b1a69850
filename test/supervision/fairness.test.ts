/** Nobody keeps the event loop for himself. Numbers are those of the semantics checklist of supervision. */
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/contract/clock.ts';
import { setup } from 'xstate';
import { Actor, type Reply } from '../../src/supervision/actor.ts';
import { Mailbox } from '../../src/supervision/mailbox.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createCounterMachine, type CounterMachine } from '../support/counter-machine.ts';

/** Two that answer each other for as long as `isOver` says false. */
function startPingPong(clock: Clock, isOver: () => boolean) {
  const counts = { ping: 0, pong: 0 };
  const actors: Partial<Record<'ping' | 'pong', Actor<ReturnType<typeof createMachine>>>> = {};
  function createMachine(own: 'ping' | 'pong', other: 'ping' | 'pong') {
    return setup({
      types: {} as { events: { readonly type: 'hit' } },
      actions: {
        hitBack: () => {
          counts[own] += 1;
          if (!isOver()) actors[other]?.cast({ type: 'hit' });
        },
      },
    }).createMachine({ on: { hit: { actions: 'hitBack' } } });
  }
  actors.ping = new Actor({ id: 'ping', incarnation: 1, machine: createMachine('ping', 'pong'), clock });
  actors.pong = new Actor({ id: 'pong', incarnation: 1, machine: createMachine('pong', 'ping'), clock });
  actors.ping.cast({ type: 'hit' });
  return counts;
}

describe('two actors that tell each other things for ever', () => {
  test('actors 68: let a timer of 10 ms fire, again and again', async () => {
    let fired = 0;
    const over = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      fired += 1;
      if (fired === 5) over.resolve();
    }, 10);
    const counts = startPingPong(systemClock, () => fired >= 5);
    await over.promise;
    clearInterval(timer);
    expect(counts.ping).toBeGreaterThan(1_000);
  });

  test('actors 68: get a bounded number of messages in each turn, none lost, in order', async () => {
    const clock = new VirtualClock();
    let isOver = false;
    const counts = startPingPong(clock, () => isOver);
    const first = counts.ping + counts.pong;
    expect(first).toBeGreaterThan(100);
    expect(first).toBeLessThanOrEqual(1_000);
    clock.setTimeout(() => {
      isOver = true;
    }, 0);
    await clock.advance(1);
    expect(counts.ping + counts.pong).toBeGreaterThan(first);
    expect(counts.ping + counts.pong).toBeLessThanOrEqual(2 * first + 2);
    expect(Math.abs(counts.ping - counts.pong)).toBeLessThanOrEqual(1);
  });
});

describe('a long queue', () => {
  test('actors 67: is taken from in the same number of steps, however many wait', () => {
    const mailbox = new Mailbox<number>(Number.POSITIVE_INFINITY);
    for (let index = 1; index <= 500_000; index += 1) mailbox.push(index);
    const ticket = mailbox.push(-1);
    if (ticket !== undefined) mailbox.withdraw(ticket);
    let taken = 0;
    for (let event = mailbox.shift(); event !== undefined; event = mailbox.shift()) {
      taken += 1;
      if (event !== taken) throw new Error(`expected ${taken} to be next, got: ${event}`);
    }
    expect([taken, mailbox.size]).toEqual([500_000, 0]);
  });

  test('actors 67: that an actor has does not delay what it asks others', async () => {
    const clock = new VirtualClock();
    const started = (id: string) =>
      new Actor<CounterMachine>({ id, incarnation: 1, machine: createCounterMachine(), clock, mailboxMax: 500_000 });
    const [caller, asked] = [started('caller'), started('asked')];
    caller.suspend();
    for (let index = 0; index < 500_000; index += 1) caller.cast({ type: 'finished' });
    expect(await asked.call<number>((reply: Reply<number>) => ({ type: 'asked', reply }))).toBe(0);
    expect(caller.cast({ type: 'finished' })).toBe(false);
  });
});
