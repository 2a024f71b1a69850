/**
 * What XState, and actor libraries that are built like it, do when something breaks, and ours does not. Each defect is shown
 * first, so that a release that mends it is noticed.
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createActor, fromCallback, setup } from 'xstate';
import { Actor } from '../../src/supervision/actor.ts';
import type { ExitReason } from '../../src/supervision/process.ts';
import { Supervisor } from '../../src/supervision/supervisor.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createCounterMachine, type CounterMachine } from '../support/counter-machine.ts';

/** A child of XState's own that says when it is let go. */
function createParent(journal: string[]) {
  const ticking = fromCallback(() => {
    journal.push('child began');
    return () => journal.push('child ended');
  });
  return setup({
    types: {} as { events: { readonly type: 'broke' } },
    actors: { ticking },
    actions: {
      break: () => {
        throw new Error('parent broke');
      },
    },
  }).createMachine({ invoke: { src: 'ticking' }, on: { broke: { actions: 'break' } } });
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('orphans', () => {
  test('XState leaves the children of a crashed parent running', () => {
    const journal: string[] = [];
    const parent = createActor(createParent(journal));
    parent.subscribe({ error: () => undefined });
    parent.start();
    parent.send({ type: 'broke' });
    expect(parent.getSnapshot().status).toBe('error');
    expect(journal).toEqual(['child began']);
  });

  test('actors 69: an actor that crashes leaves no child of its machine running', () => {
    const journal: string[] = [];
    const actor = new Actor({
      id: 'parent',
      incarnation: 1,
      machine: createParent(journal),
      clock: new VirtualClock(),
    });
    actor.cast({ type: 'broke' });
    expect(actor.isAlive).toBe(false);
    expect(journal).toEqual(['child began', 'child ended']);
  });

  test('actors 69: a supervisor that gives up leaves no descendant, timer or listener behind', async () => {
    const clock = new VirtualClock();
    const actors: Actor<CounterMachine>[] = [];
    const start = ({ incarnation }: { incarnation: number }) => {
      const actor = new Actor({ id: 'counter', incarnation, machine: createCounterMachine(), clock });
      actors.push(actor);
      return actor;
    };
    const inner = async () => {
      const supervisor = new Supervisor({ id: 'inner', clock, children: [{ id: 'deep', start }] });
      await supervisor.start();
      return supervisor;
    };
    const root = new Supervisor({
      id: 'root',
      clock,
      backoff: 'none',
      intensity: { restartsMax: 0, periodMs: 1_000 },
      children: [
        { id: 'inner', start: inner },
        { id: 'counter', start },
      ],
    });
    await root.start();
    expect(clock.pendingTimers).toBe(2);
    actors[1]?.cast({ type: 'broke' });
    await clock.settle();
    expect(actors.map(({ isAlive }) => isAlive)).toEqual([false, false]);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('inspectors', () => {
  test('XState’s actor is deaf for ever after an inspector that threw', () => {
    let isBroken = true;
    const inspect = (event: { readonly type: string }) => {
      if (isBroken && event.type === '@xstate.snapshot') throw new Error('inspector broke');
    };
    const actor = createActor(createCounterMachine(), { inspect });
    actor.subscribe({ error: () => undefined });
    expect(() => actor.start()).toThrow('inspector broke');
    isBroken = false;
    actor.send({ type: 'counted', by: 1 });
    expect([actor.getSnapshot().status, actor.getSnapshot().context.count]).toEqual(['active', 0]);
  });

  test('actors 65: whoever watches an actor and throws is an exit of the actor, and its supervisor starts the next one', async () => {
    const clock = new VirtualClock();
    const actors: Actor<CounterMachine>[] = [];
    let isBroken = true;
    const supervisor = new Supervisor({
      id: 'root',
      clock,
      backoff: 'none',
      children: [
        {
          id: 'counter',
          start: ({ incarnation }) => {
            const onSnapshot = () => {
              if (isBroken && incarnation === 1 && actors.length > 0) throw new Error('watcher broke');
            };
            const actor = new Actor({ id: 'counter', incarnation, machine: createCounterMachine(), clock, onSnapshot });
            actors.push(actor);
            return actor;
          },
        },
      ],
    });
    await supervisor.start();
    actors[0]?.cast({ type: 'counted', by: 1 });
    isBroken = false;
    await clock.advance(1);
    const living = actors.find(({ isAlive }) => isAlive);
    living?.cast({ type: 'counted', by: 2 });
    expect(living?.read().context.count).toBeGreaterThan(0);
    await supervisor.stop();
  });
});

describe('errors that nobody observes', () => {
  test('XState throws them at the process', async () => {
    const thrown: unknown[] = [];
    vi.spyOn(globalThis, 'setTimeout').mockImplementation((callback: () => void) => {
      try {
        callback();
      } catch (error) {
        thrown.push(error);
      }
      return 0 as unknown as NodeJS.Timeout;
    });
    const actor = createActor(createParent([]));
    actor.start();
    actor.send({ type: 'broke' });
    expect(thrown).toEqual([new Error('parent broke')]);
  });

  test('an actor that nobody watches ends, and the process goes on', async () => {
    const thrown = vi.fn<(error: unknown) => void>();
    process.on('uncaughtException', thrown);
    process.on('unhandledRejection', thrown);
    const actor = new Actor({ id: 'lonely', incarnation: 1, machine: createParent([]), clock: new VirtualClock() });
    actor.cast({ type: 'broke' });
    const exits: ExitReason[] = [];
    actor.onExit((reason) => exits.push(reason));
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    process.off('uncaughtException', thrown);
    process.off('unhandledRejection', thrown);
    expect(exits).toEqual([{ kind: 'error', error: new Error('parent broke') }]);
    expect(thrown).not.toHaveBeenCalled();
  });
});

describe('timers over a restart', () => {
  const createCooling = (restored: 'open' | undefined) =>
    setup({ types: {} as { events: { readonly type: 'opened' } } }).createMachine({
      initial: restored ?? 'closed',
      states: { closed: { on: { opened: 'open' } }, open: { after: { 1_000: 'halfOpen' } }, halfOpen: {} },
    });

  test('XState loses the timers of a state that it restores', () => {
    const clock = new VirtualClock();
    const before = createActor(createCooling(undefined), { clock });
    before.start();
    before.send({ type: 'opened' });
    const snapshot = before.getPersistedSnapshot();
    before.stop();
    const after = createActor(createCooling(undefined), { clock, snapshot });
    after.start();
    expect([after.getSnapshot().value, clock.pendingTimers]).toEqual(['open', 0]);
  });

  test('actors 62: an incarnation that starts in a state has the timers of that state, and those of the one before never fire', async () => {
    const clock = new VirtualClock();
    const before = new Actor({ id: 'breaker', incarnation: 1, machine: createCooling(undefined), clock });
    before.cast({ type: 'opened' });
    await clock.advance(400);
    before.kill();
    const after = new Actor({ id: 'breaker', incarnation: 2, machine: createCooling('open'), clock });
    await clock.advance(999);
    expect([before.read().value, after.read().value]).toEqual(['open', 'open']);
    await clock.advance(1);
    expect([before.read().value, after.read().value]).toEqual(['open', 'halfOpen']);
  });
});
