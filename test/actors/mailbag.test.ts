import { describe, expect, test } from 'vitest';

import { Actor, type ActorOptions } from '../../src/supervision/actor.ts';
import { Mailbag } from '../../src/actors/mailbag.ts';
import { Registry } from '../../src/supervision/registry.ts';
import type { EventName } from '../../src/contract/events.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { type CounterEvent, type CounterMachine, createCounterMachine } from '../support/counter-machine.ts';

const counted = (by: number): CounterEvent => ({ type: 'counted', by });

const build = () => {
  const registry = new Registry();
  const announced: EventName[] = [];
  const mailbag = new Mailbag<CounterMachine>('counter', registry, (name) => {
    announced.push(name);
  });
  const start = (options: Partial<ActorOptions<CounterMachine>> = {}) => {
    const actor = new Actor<CounterMachine>({
      id: 'counter',
      incarnation: 1,
      machine: createCounterMachine(),
      clock: new VirtualClock(),
      onUndelivered: mailbag.keep,
      ...options,
    });
    registry.register(actor);
    mailbag.deliver();
    return actor;
  };
  return { registry, mailbag, announced, start };
};

const seenBy = (actor: Actor<CounterMachine>) => actor.read().context.seen;

describe('the way to an actor by its name', () => {
  test('what is told goes to whoever has the name at that moment', () => {
    const { mailbag, start } = build();
    const first = start();
    mailbag.tell(counted(1));
    const second = start();
    mailbag.tell(counted(2));
    expect([seenBy(first), seenBy(second)]).toEqual([[1], [2]]);
  });

  test('what is told while nobody lives is delivered to the next, in order and once', () => {
    const { mailbag, start } = build();
    for (const by of [1, 2, 3]) mailbag.tell(counted(by));
    expect(mailbag.actor()).toBeUndefined();
    expect(seenBy(start())).toEqual([1, 2, 3]);
    expect(seenBy(start())).toEqual([]);
  });

  test('what is told now or never is not kept', () => {
    const { mailbag, start } = build();
    expect(mailbag.tellNow(counted(1))).toBe(false);
    expect(seenBy(start())).toEqual([]);
    expect(mailbag.tellNow(counted(2))).toBe(true);
  });

  test('a dead actor that still has the name counts as nobody', async () => {
    const { mailbag, start } = build();
    await start().stop();
    mailbag.tell(counted(1));
    expect(seenBy(start())).toEqual([1]);
  });

  test('actors 53: the event at which an actor crashed, and those behind it, reach the next incarnation', () => {
    const { mailbag, start } = build();
    for (const by of [1, 2, 3]) mailbag.tell(counted(by));
    let events = 0;
    start({
      beforeEvent: (_id, { type }) => {
        if (type === 'counted' && ++events === 2) throw new Error('injected');
      },
    });
    expect(seenBy(start())).toEqual([2, 3]);
  });

  test('what waited in the mailbox of a suspended actor that ended comes first, then what was told afterwards', async () => {
    const { mailbag, start } = build();
    const actor = start();
    actor.suspend();
    mailbag.tell(counted(1));
    await actor.stop();
    mailbag.tell(counted(2));
    expect(seenBy(start())).toEqual([1, 2]);
  });

  test('actors 55, 66: it keeps ten thousand and tells of each one it drops', () => {
    const { mailbag, announced, start } = build();
    for (let count = 0; count < 10_003; count += 1) mailbag.tell(counted(count));
    expect(announced).toEqual(['actor.crashed', 'actor.crashed', 'actor.crashed']);
    expect(seenBy(start())).toHaveLength(10_000);
  });

  test('an event that crashes every incarnation is dropped after three and told, and what is behind it arrives', () => {
    const { mailbag, announced, start } = build();
    const poison = counted(2);
    const beforeEvent = (_id: string, event: { readonly type: string }) => {
      if (event === poison) throw new Error('injected');
    };
    for (const event of [counted(1), poison, counted(3)]) mailbag.tell(event);
    const [first, second, third] = [start({ beforeEvent }), start({ beforeEvent }), start({ beforeEvent })];
    expect([first, second, third].map(({ isAlive }) => isAlive)).toEqual([false, false, false]);
    expect(announced).toEqual(['actor.crashed']);
    const last = start({ beforeEvent });
    expect(last.isAlive).toBe(true);
    expect([first, second, third, last].map(seenBy)).toEqual([[1], [], [], [3]]);
  });

  test('an event that crashes two incarnations reaches the third', () => {
    const { mailbag, announced, start } = build();
    let crashes = 0;
    const beforeEvent = (_id: string, { type }: { readonly type: string }) => {
      if (type === 'counted' && ++crashes <= 2) throw new Error('injected');
    };
    mailbag.tell(counted(1));
    for (let incarnation = 1; incarnation <= 2; incarnation += 1) expect(start({ beforeEvent }).isAlive).toBe(false);
    expect(seenBy(start({ beforeEvent }))).toEqual([1]);
    expect(announced).toEqual([]);
  });

  test('each event has crashes of its own: three events that crash one incarnation each are all delivered', () => {
    const { mailbag, announced, start } = build();
    const crashed = new Set<unknown>();
    const beforeEvent = (_id: string, event: { readonly type: string }) => {
      if (event.type !== 'counted' || crashed.has(event)) return;
      crashed.add(event);
      throw new Error('injected');
    };
    for (const by of [1, 2, 3]) mailbag.tell(counted(by));
    const seen = Array.from({ length: 4 }, () => seenBy(start({ beforeEvent })));
    expect(seen.flat()).toEqual([1, 2, 3]);
    expect(announced).toEqual([]);
  });
});
