import { describe, expect, test, vi } from 'vitest';

import type { Actor } from '../../src/supervision/actor.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { ServiceControl, type ServiceMachine } from '../../src/actors/service.ts';
import type { RouteQuestion } from '../../src/policy/route.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

const question = (model: string): RouteQuestion => ({
  model,
  ranked: [],
  canWaitForRecovery: false,
  remainingMs: 1_000,
  wireFieldNames: [],
});
const calm = new AbortController().signal;

class Rig {
  readonly clock = new VirtualClock();
  readonly registry = new Registry();
  readonly control: ServiceControl;
  crashesLeft = 0;
  #incarnation = 0;

  constructor() {
    this.control = new ServiceControl({
      clock: this.clock,
      registry: this.registry,
      announce: () => {},
      beforeEvent: (_id, { type }) => {
        if (type === 'route.asked' && this.crashesLeft-- > 0) throw new Error('injected');
      },
    });
    this.start();
  }

  start(): void {
    const actor = this.control.startActor(++this.#incarnation);
    this.registry.register(actor);
    this.control.actorStarted();
    actor.onExit(() => {
      this.registry.unregister(actor);
      this.clock.setTimeout(() => {
        this.start();
      }, 10);
    });
  }

  get actor(): Actor<ServiceMachine> {
    // Only `start` registers processes here.
    return this.registry.find('service') as Actor<ServiceMachine>;
  }
}

describe('the service actor', () => {
  test('decides each route by the policy, with what is true at the moment of the decision', async () => {
    const rig = new Rig();
    const plan = await rig.control.route(() => question('smart'), calm);
    expect(plan).toMatchObject({
      kind: 'fail',
      code: 'unknown-model',
      message: expect.stringContaining('smart'),
    });
  });

  test('a crash while it decides is nobody’s business: the next incarnation is asked', async () => {
    const rig = new Rig();
    rig.crashesLeft = 5;
    const plan = await rig.clock.waitFor(rig.control.route(() => question('smart'), calm));
    expect(plan.kind).toBe('fail');
    expect(rig.clock.nowMs()).toBe(50);
  });

  test('a question that cannot be built fails its own request and nobody else', async () => {
    const rig = new Rig();
    const actor = rig.actor;
    const broken = rig.control.route(() => {
      throw new TypeError('no such provider');
    }, calm);
    await expect(broken).rejects.toThrow('no such provider');
    expect((await rig.control.route(() => question('smart'), calm)).kind).toBe('fail');
    expect(rig.actor).toBe(actor);
  });

  test('a request whose caller leaves is not kept waiting, be the actor dead or suspended', async () => {
    const rig = new Rig();
    rig.actor.suspend();
    const leaving = new AbortController();
    const asked = rig.control.route(() => question('smart'), leaving.signal).catch((error: unknown) => error);
    await rig.clock.settle();
    leaving.abort(new Error('gone'));
    expect(await asked).toBeInstanceOf(Error);
    rig.actor.crash(new Error('dead'));
    await expect(rig.control.route(() => question('smart'), leaving.signal)).rejects.toThrow('gone');
  });

  test('while it is suspended requests wait, and all are answered when it resumes', async () => {
    const rig = new Rig();
    rig.actor.suspend();
    const asked = Array.from({ length: 100 }, () => rig.control.route(() => question('smart'), calm));
    await rig.clock.settle();
    rig.actor.resume();
    expect(await Promise.all(asked)).toHaveLength(100);
  });

  test('more requests than its mailbox holds wait too, without keeping the process busy', async () => {
    const rig = new Rig();
    rig.actor.suspend();
    const asked = Array.from({ length: 10_050 }, () => rig.control.route(() => question('smart'), calm));
    // Comes back at all only if nobody spins.
    await rig.clock.advance(1_000);
    rig.actor.resume();
    expect(await rig.clock.waitFor(Promise.all(asked))).toHaveLength(10_050);
  });

  test('once it drains, every later incarnation drains too, also when it was told while nobody lived', async () => {
    const rig = new Rig();
    rig.actor.crash(new Error('dead'));
    rig.control.drain();
    expect(rig.control.isDraining).toBe(true);
    await rig.clock.advance(10);
    expect(rig.actor.read().value).toBe('draining');
    rig.actor.crash(new Error('dead'));
    await rig.clock.advance(10);
    expect(rig.actor.read().value).toBe('draining');
    expect(rig.control.isDraining).toBe(true);
  });

  test('an answered route leaves no timer behind', async () => {
    const rig = new Rig();
    const removed = vi.spyOn(calm, 'removeEventListener');
    await rig.control.route(() => question('smart'), calm);
    expect(rig.clock.pendingTimers).toBe(0);
    expect(removed).toHaveBeenCalled();
    removed.mockRestore();
  });
});
