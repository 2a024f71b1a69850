import { describe, expect, test } from 'vitest';

import type { ClaimResult } from '../../src/actors/provider-control.ts';
import type { Priority } from '../../src/contract/request.ts';
import { type QueueKey, queueKey } from '../../src/policy/order.ts';
import { Lane, type Patience, type Slot, type Waiter } from '../../src/runtime/lane.ts';
import { ProviderRig } from '../support/provider-rig.ts';

const OFF: ClaimResult = { kind: 'refused', admission: { kind: 'never', reason: 'switched off' } };

/** A request whose claims answer as told, and then are granted. */
class Scripted implements Waiter {
  readonly key: QueueKey;
  readonly answers: ClaimResult[] = [];
  slot: Slot | undefined;
  isRerouted = false;
  isTaken = false;
  readonly #world: World;
  readonly #patience: Patience;

  constructor(world: World, key: QueueKey, patience: Patience) {
    this.#world = world;
    this.key = key;
    this.#patience = patience;
  }

  get patience(): Patience {
    this.#world.patienceAsked += 1;
    return this.#patience;
  }

  get id(): string {
    return `${this.key.tenant}${this.key.sequence}`;
  }

  claim(): ClaimResult {
    this.#world.asked.push(this.id);
    return this.answers.shift() ?? this.#world.rig.claim();
  }

  take(slot: Slot): boolean {
    if (this.isTaken) return false;
    this.slot = slot;
    return true;
  }

  reroute(): void {
    this.isRerouted = true;
    this.#world.rerouted.push(this.id);
  }
}

interface Given {
  readonly priority?: Priority;
  readonly enqueuedAtMs?: number;
  readonly answers?: readonly ClaimResult[];
  readonly patience?: Patience;
}

/** One lane with one slot. */
class World {
  readonly rig = new ProviderRig({ config: { concurrency: 1 } });
  readonly lane = new Lane(this.rig.control, this.rig.clock);
  /** Whose turn to claim it was. */
  readonly asked: string[] = [];
  readonly rerouted: string[] = [];
  patienceAsked = 0;
  #sequence = 0;

  enter(tenant: string, given: Given = {}): Scripted {
    const { priority = 'normal', enqueuedAtMs = this.rig.clock.nowMs(), answers = [], patience = 'none' } = given;
    const key = queueKey({ priority, tenant, enqueuedAtMs, sequence: this.#sequence++ });
    const waiter = new Scripted(this, key, patience);
    waiter.answers.push(...answers);
    this.lane.enter(waiter);
    return waiter;
  }

  /** Lets whoever has the slot give it back. */
  async release(waiter: Scripted): Promise<void> {
    if (waiter.slot === undefined) throw new TypeError(`expected ${waiter.id} to have the slot`);
    this.rig.report(waiter.slot.claimed.permit, 'success');
    waiter.slot.release();
    await this.rig.clock.settle();
  }

  advance(byMs: number): Promise<void> {
    return this.rig.clock.advance(byMs);
  }
}

const paced = (waitMs: number): ClaimResult => ({ kind: 'paced', waitMs });

describe('a lane that stands still for one that cannot be paced', () => {
  test('asks it again first when the wait is over, and its tenant has lost no turn', async () => {
    const world = new World();
    const first = world.enter('a', { answers: [paced(1_000), paced(1_000), paced(1_000)] });
    const [second, third] = [world.enter('a'), world.enter('b')];
    await world.advance(2_999);
    expect(world.asked).toEqual(['a0', 'a0', 'a0']);
    await world.advance(1);
    for (const waiter of [first, third, second]) await world.release(waiter);
    expect(world.asked).toEqual(['a0', 'a0', 'a0', 'a0', 'b2', 'a1']);
  });

  test.each<[string, { tenant: string; priority: Priority }]>([
    ['of its own tenant', { tenant: 'a', priority: 'high' }],
    ['of another tenant', { tenant: 'b', priority: 'high' }],
  ])('asks a more urgent one %s at once', async (_, { tenant, priority }) => {
    const world = new World();
    world.enter('a', { answers: [paced(1_000)] });
    await world.advance(500);
    const urgent = world.enter(tenant, { priority });
    expect(world.asked).toEqual(['a0', urgent.id]);
    expect(urgent.slot).toBeDefined();
  });

  test('lets nobody be asked whose turn comes later, though another tenant sent it', async () => {
    const world = new World();
    world.enter('a', { answers: [paced(1_000)] });
    world.enter('b');
    world.enter('c', { priority: 'low' });
    await world.advance(999);
    expect(world.asked).toEqual(['a0']);
  });

  test('asks the next one at once when it leaves', async () => {
    const world = new World();
    const first = world.enter('a', { answers: [paced(1_000)] });
    const [second, third] = [world.enter('b'), world.enter('a')];
    await world.advance(1);
    world.lane.leave(second.id);
    expect(world.asked).toEqual(['a0']);
    world.lane.leave(first.id);
    expect(world.asked).toEqual(['a0', third.id]);
  });

  test('asks another one at once when somebody leaves who had kept that one from its turn', async () => {
    const world = new World();
    const running = world.enter('x');
    await world.advance(10_000);
    const first = world.enter('b');
    await world.advance(25_000);
    // Due before the first in line; the one that is back from an earlier attempt is due before both.
    const urgent = world.enter('c', { priority: 'high' });
    world.enter('a', { enqueuedAtMs: 1_000, answers: [paced(1_000)] });
    await world.release(running);
    expect(world.asked).toEqual(['x0', 'a3']);
    world.lane.leave(urgent.id);
    expect(world.asked).toEqual(['x0', 'a3', first.id]);
  });
});

describe('a turn that needed no slot', () => {
  test.each<[string, ClaimResult]>([
    ['a repeat that the budget does not allow', { kind: 'unaffordable' }],
    ['one that is refused', OFF],
  ])('is the turn of the next request of the same tenant: %s', async (_, answer) => {
    const world = new World();
    const running = world.enter('x');
    const first = world.enter('a', { answers: [answer] });
    const others = [world.enter('b'), world.enter('a')];
    await world.release(running);
    expect(first.isRerouted).toBe(true);
    expect(world.asked).toEqual(['x0', 'a1', 'a3']);
    for (const waiter of others.toReversed()) await world.release(waiter);
  });

  test('is given back when another lane was faster', async () => {
    const world = new World();
    const running = world.enter('x');
    const first = world.enter('a');
    const others = [world.enter('b'), world.enter('a')];
    first.isTaken = true;
    await world.release(running);
    expect(world.asked).toEqual(['x0', 'a1', 'a3']);
    for (const waiter of others.toReversed()) await world.release(waiter);
    expect(world.rig.state.concurrency.inFlight).toBe(0);
  });
});

describe('a lane whose provider stops admitting', () => {
  test('sends those back who do not stay for that, in the order in which they would have been served', async () => {
    const world = new World();
    const running = world.enter('x');
    const many = [0, 1, 2].map(() => world.enter('a'));
    const [few, later] = [world.enter('b'), world.enter('b', { priority: 'low' })];
    const staying = (['brief', 'recovery'] as const).map((patience) => world.enter('c', { patience }));
    world.rig.open();
    await world.rig.clock.settle();
    expect(world.rerouted).toEqual([many[0], few, staying[0], many[1], many[2], later].map((waiter) => waiter?.id));
    expect(staying[1]?.isRerouted).toBe(false);
    expect(world.lane.status()).toMatchObject({ waiting: 1, paused: true });
    expect(running.slot).toBeDefined();
  });

  test('keeps those waiting who stay for a gate that clears, and goes on with whose turn it was', async () => {
    const world = new World();
    const running = world.enter('x');
    const waiters = ['a', 'a', 'b', 'a'].map((tenant) => world.enter(tenant, { patience: 'brief' }));
    world.rig.attempt('rate-limited', { holdMs: 5_000 });
    await world.release(running);
    expect(world.asked).toEqual(['x0']);
    await world.advance(6_000);
    for (const index of [0, 2, 1, 3]) {
      const waiter = waiters[index];
      if (waiter !== undefined) await world.release(waiter);
    }
    expect(world.rerouted).toEqual([]);
  });

  test('is no work to those who wait for its recovery when more of them come', () => {
    const world = new World();
    world.rig.open();
    for (let index = 0; index < 1_000; index += 1) world.enter('a', { patience: 'recovery' });
    expect(world.lane.status().waiting).toBe(1_000);
    // Once each, and a few times for the first, which finds the lane moving.
    expect(world.patienceAsked).toBeLessThan(1_010);
  });

  test('sends everybody back when it is closed', () => {
    const world = new World();
    world.rig.open();
    for (const tenant of ['a', 'b']) world.enter(tenant, { patience: 'recovery' });
    world.lane.close();
    expect(world.rerouted).toEqual(['a0', 'b1']);
    expect(world.lane.status().waiting).toBe(0);
  });
});
