import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Priority } from '../../src/contract/request.ts';
import { queueKey } from '../../src/policy/order.ts';
import { FairQueue } from '../../src/runtime/fair-queue.ts';
import { type Entry, FairLine, patienceOf, precedes } from '../support/fair-line.ts';
import { heapUsed } from '../support/heap.ts';
import { propertyRuns } from '../support/properties.ts';

type Step =
  | { readonly type: 'add'; readonly priority: Priority; readonly tenant: string }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'take' }
  | { readonly type: 'remove' | 'come-back'; readonly pick: number }
  /** Is taken and not served; another one may leave before it comes back, or it does not come back and the next one is taken. */
  | { readonly type: 'return'; readonly leaver: number | undefined; readonly stays: boolean };

const priorities = fc.constantFrom<Priority>('high', 'normal', 'low');
/** The differences between classes decide, and so do a few requests of the same moment. */
const waits = fc.oneof(fc.constantFrom(0, 1, 29_999, 30_000, 570_000, 599_999, 600_000), fc.nat(300_000));

/** How often each step is taken; `return` is left out where only what is served counts. */
const stepsFor = (tenants: readonly string[], returns = 3): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 10,
        arbitrary: fc.record({
          type: fc.constant('add' as const),
          priority: priorities,
          tenant: fc.constantFrom(...tenants),
        }),
      },
      { weight: 4, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: waits }) },
      { weight: 5, arbitrary: fc.constant<Step>({ type: 'take' }) },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constantFrom('remove' as const, 'come-back' as const), pick: fc.nat() }),
      },
      {
        weight: returns,
        arbitrary: fc.record({
          type: fc.constant('return' as const),
          leaver: fc.option(fc.nat(), { nil: undefined }),
          stays: fc.boolean(),
        }),
      },
    ),
    { maxLength: 60, size: 'max' },
  );

/** The queue and what it has to do, fed with the same steps. */
class Pair {
  readonly queue = new FairQueue<Entry>();
  line = new FairLine();
  readonly #gone: Entry[] = [];
  #nowMs = 0;
  #sequence = 0;

  apply(step: Step): void {
    switch (step.type) {
      case 'add':
        this.add(step.priority, step.tenant);
        break;
      case 'wait':
        this.#nowMs += step.ms;
        break;
      case 'take':
        this.take();
        break;
      case 'remove':
        this.#remove(this.#pick(step.pick));
        break;
      case 'come-back': {
        const [entry] = this.#gone.splice(step.pick % Math.max(1, this.#gone.length), 1);
        if (entry !== undefined) this.#enter(entry);
        break;
      }
      case 'return':
        this.#return(step.leaver, step.stays);
    }
    assert.equal(this.queue.size, this.line.waiting.length);
    assert.equal(this.queue.next, this.line.next().at(-1));
  }

  add(priority: Priority, tenant: string): Entry {
    const sequence = this.#sequence++;
    const entry = {
      id: `request-${sequence}`,
      key: queueKey({ priority, tenant, enqueuedAtMs: this.#nowMs, sequence }),
    };
    this.#enter(entry);
    return entry;
  }

  take(): Entry | undefined {
    const taken = this.queue.takeNext();
    assert.equal(taken, this.line.take());
    if (taken !== undefined) this.#gone.push(taken);
    return taken;
  }

  #enter(entry: Entry): void {
    this.queue.add(entry);
    this.line.add(entry);
  }

  #pick(pick: number): Entry | undefined {
    return this.line.waiting[pick % Math.max(1, this.line.waiting.length)];
  }

  #remove(entry: Entry | undefined): void {
    if (entry === undefined) return;
    this.queue.remove(entry.id);
    this.line.remove(entry.id);
    this.#gone.push(entry);
  }

  /** As if it had never been taken, but for those who left meanwhile, which may be itself. */
  #return(leaver: number | undefined, stays: boolean): void {
    const before = this.line.copy();
    const taken = this.queue.takeNext();
    if (taken === undefined) return;
    const left = leaver === undefined ? undefined : before.waiting[leaver % before.waiting.length];
    if (left !== undefined && left !== taken) this.queue.remove(left.id);
    this.queue.giveBack(taken.id);
    if (stays) this.queue.add(taken);
    this.line = before;
    for (const entry of [left !== taken && left, !stays && taken]) {
      if (entry === false || entry === undefined) continue;
      this.line.remove(entry.id);
      this.#gone.push(entry);
    }
    if (!stays) this.take();
  }
}

const NOBODY: Entry = {
  id: 'nobody',
  key: queueKey({ priority: 'high', tenant: 'nobody', enqueuedAtMs: 0, sequence: 0 }),
};

/** Everything that is left, in the order in which it goes. */
function drain(queue: FairQueue<Entry>): Entry[] {
  const taken: Entry[] = [];
  for (let entry = queue.takeNext(); entry !== undefined; entry = queue.takeNext()) taken.push(entry);
  return taken;
}

/** How often one that is the first of its tenant in its class was passed by its class, or by what had no smaller key. */
class Delay {
  passes = 0;
  /** More patient ones that had waited their time: its own turn may have been spent on each of them. */
  overdue = 0;
  /** Other tenants of its class. */
  readonly others = new Set<string>();

  note(first: Entry, taken: Entry, waiting: readonly Entry[]): void {
    const isDue = precedes(taken, first);
    if (isDue && patienceOf(taken) > patienceOf(first)) this.overdue += 1;
    // Behind a more urgent one it has to wait for whatever is due before that.
    const isHeldUp = waiting.some((other) => patienceOf(other) < patienceOf(first) && precedes(other, first));
    if (!isHeldUp && (!isDue || taken.key.priority === first.key.priority)) this.passes += 1;
  }
}

function firstOfEach(waiting: readonly Entry[]): Entry[] {
  const isOlder = (one: Entry, other: Entry) =>
    one.key.priority === other.key.priority && one.key.tenant === other.key.tenant && precedes(one, other);
  return waiting.filter((entry) => !waiting.some((other) => isOlder(other, entry)));
}

describe('a queue in which tenants take turns', () => {
  test.each([
    ['one tenant', ['a'], 2_000],
    ['two tenants', ['a', 'b'], 6_000],
    ['five tenants', ['a', 'b', 'c', 'd', 'e'], 6_000],
  ] as const)(
    'of %s gives what looking through plain lists gives, whoever comes, leaves and comes back',
    (_, tenants, runs) => {
      fc.assert(
        fc.property(stepsFor(tenants), (sequence) => {
          const pair = new Pair();
          for (const step of sequence) pair.apply(step);
          expect(new Set(pair.queue.entries())).toEqual(new Set(pair.line.waiting));
          for (const entry of pair.queue.inOrder()) assert.equal(pair.take(), entry);
          expect(pair.queue.size).toBe(0);
          expect(pair.take()).toBeUndefined();
        }),
        propertyRuns(runs),
      );
    },
  );

  test('never lets anybody pass a more patient request whose key is smaller', () => {
    fc.assert(
      fc.property(stepsFor(['a', 'b', 'c'], 0), (sequence) => {
        const pair = new Pair();
        const take = () => {
          const before = pair.line.waiting;
          const taken = pair.take();
          for (const waiting of before)
            if (taken !== undefined && patienceOf(waiting) > patienceOf(taken)) assert.ok(precedes(taken, waiting));
          return taken;
        };
        for (const step of sequence) {
          if (step.type === 'take') take();
          else pair.apply(step);
        }
        while (take() !== undefined);
      }),
      propertyRuns(2_000),
    );
  });

  test('lets every other tenant pass the first request of a tenant once, and again only for a turn that went to an overdue one', () => {
    fc.assert(
      fc.property(stepsFor(['a', 'b', 'c', 'd'], 0), (sequence) => {
        const pair = new Pair();
        let delays = new Map<Entry, Delay>();
        const step = (next: Step) => {
          const before = pair.line.waiting;
          pair.apply(next);
          const { waiting } = pair.line;
          const taken = next.type === 'take' ? before.find((entry) => !waiting.includes(entry)) : undefined;
          const kept = new Map<Entry, Delay>();
          for (const first of firstOfEach(waiting)) {
            const delay = delays.get(first) ?? new Delay();
            // One that has only become its tenant's first was not passed before.
            if (taken !== undefined && delays.has(first)) delay.note(first, taken, before);
            for (const { key } of [...waiting, ...(taken === undefined ? [] : [taken])])
              if (key.priority === first.key.priority && key.tenant !== first.key.tenant) delay.others.add(key.tenant);
            assert.ok(delay.passes <= delay.others.size * (1 + delay.overdue), first.id);
            kept.set(first, delay);
          }
          delays = kept;
        };
        for (const next of sequence) step(next);
        while (pair.line.waiting.length > 0) step({ type: 'take' });
      }),
      propertyRuns(2_000),
    );
  });

  test('serves two tenants equally often, within one, in any time in which something of both waits', () => {
    const tenants = ['a', 'b', 'c', 'd'];
    const sameClass = stepsFor(tenants, 0).map((sequence) =>
      sequence.map((step): Step => (step.type === 'add' ? { ...step, priority: 'normal' } : step)),
    );
    fc.assert(
      fc.property(sameClass, (sequence) => {
        const pair = new Pair();
        const leads = new Map<string, number[]>();
        for (const step of [...sequence, ...Array.from({ length: 60 }, (): Step => ({ type: 'take' }))]) {
          const before = pair.line.waiting;
          pair.apply(step);
          const { waiting } = pair.line;
          const taken = step.type === 'take' ? before.find((entry) => !waiting.includes(entry))?.key.tenant : undefined;
          for (const [one, other] of [
            ['a', 'b'],
            ['a', 'c'],
            ['b', 'd'],
          ] as const) {
            const pairName = `${one}${other}`;
            const areWaiting = [one, other].every((tenant) => waiting.some(({ key }) => key.tenant === tenant));
            if (!areWaiting) leads.delete(pairName);
            else {
              const known = leads.get(pairName);
              const lead =
                (known?.at(-1) ?? 0) + (known === undefined ? 0 : Number(taken === one) - Number(taken === other));
              leads.set(pairName, [...(known ?? []), lead]);
            }
          }
          for (const window of leads.values())
            assert.ok(Math.max(...window) - Math.min(...window) <= 1, window.join(' '));
        }
      }),
      propertyRuns(2_000),
    );
  });

  test('serves the first request of a tenant after one turn of each other one, however much waits for those', () => {
    const pair = new Pair();
    for (const tenant of ['a', 'b', 'c']) for (let index = 0; index < 200; index += 1) pair.add('normal', tenant);
    const first = pair.add('normal', 'd');
    const order = drain(pair.queue).map(({ key }) => key.tenant);
    expect(order.slice(0, 8)).toEqual(['a', 'b', 'c', 'd', 'a', 'b', 'c', 'a']);
    expect(first.key.tenant).toBe('d');
  });

  test('ten thousand requests of one tenant are ten thousand turns of another that is served after each', () => {
    const queue = new FairQueue<Entry>();
    let sequence = 0;
    const add = (tenant: string) => {
      const id = `request-${sequence}`;
      queue.add({ id, key: queueKey({ priority: 'low', tenant, enqueuedAtMs: sequence, sequence: sequence++ }) });
    };
    for (let index = 0; index < 10_000; index += 1) add('many');
    for (let index = 0; index < 10; index += 1) add('few');
    const order = drain(queue).map(({ key }) => key.tenant);
    expect(order.slice(0, 21)).toEqual([...Array.from({ length: 10 }, () => ['many', 'few']).flat(), 'many']);
    expect(order.length).toBe(10_010);
  });

  test('two tenants that come back as soon as they were served do not starve a third', () => {
    const pair = new Pair();
    for (let index = 0; index < 5; index += 1) pair.add('normal', 'backlog');
    pair.add('normal', 'one');
    pair.add('normal', 'two');
    const served: string[] = [];
    for (let index = 0; index < 12; index += 1) {
      const tenant = pair.take()?.key.tenant ?? 'nobody';
      served.push(tenant);
      if (tenant !== 'backlog') pair.add('normal', tenant);
    }
    expect(served).toEqual(Array.from({ length: 4 }, () => ['backlog', 'one', 'two']).flat());
  });

  test('a tenant that was away has no turns left over from that time', () => {
    const pair = new Pair();
    for (let index = 0; index < 20; index += 1) pair.add('normal', 'stayed');
    pair.add('normal', 'left');
    for (let index = 0; index < 10; index += 1) pair.take();
    for (let index = 0; index < 3; index += 1) pair.add('normal', 'left');
    expect(
      drain(pair.queue)
        .map(({ key }) => key.tenant)
        .slice(0, 7),
    ).toEqual(['stayed', 'left', 'stayed', 'left', 'stayed', 'left', 'stayed']);
  });

  test('a normal that has waited its time takes the turn of a later high, and no more than that', () => {
    const pair = new Pair();
    for (let index = 0; index < 4; index += 1) pair.add('high', 'backlog');
    pair.add('normal', 'patient');
    pair.apply({ type: 'wait', ms: 30_001 });
    for (let index = 0; index < 2; index += 1) pair.add('high', 'later');
    expect(drain(pair.queue).map(({ key }) => `${key.tenant} ${key.priority}`)).toEqual([
      'backlog high',
      'patient normal',
      'backlog high',
      'later high',
      'backlog high',
      'later high',
      'backlog high',
    ]);
  });

  test('a high passes every low that is due after it, whosever turn it is', () => {
    const pair = new Pair();
    for (let index = 0; index < 2; index += 1) pair.add('low', 'early');
    pair.apply({ type: 'wait', ms: 100_000 });
    for (const tenant of ['middle', 'late']) pair.add('low', tenant);
    pair.apply({ type: 'wait', ms: 550_000 });
    pair.add('high', 'urgent');
    // 650 s have passed: both of `early` are due before the high, the others are not.
    expect(drain(pair.queue).map(({ key }) => key.tenant)).toEqual(['early', 'early', 'urgent', 'middle', 'late']);
  });

  test('asks about as few keys in a long queue as in a short one, however many tenants share it', () => {
    const keysAskedFor = (waiting: number, tenants: number): number => {
      let asked = 0;
      const queue = new FairQueue<Entry>();
      const add = (sequence: number) => {
        const key = queueKey({
          priority: (['high', 'normal', 'low'] as const)[sequence % 3] ?? 'high',
          tenant: `${sequence % tenants}`,
          enqueuedAtMs: sequence,
          sequence,
        });
        const { keyMs } = key;
        queue.add({
          id: `${sequence}`,
          key: Object.defineProperty({ ...key }, 'keyMs', {
            get: () => {
              asked += 1;
              return keyMs;
            },
          }),
        });
      };
      for (let sequence = 0; sequence < waiting; sequence += 1) add(sequence);
      asked = 0;
      for (let index = 0; index < 1_000; index += 1) {
        add(waiting + index);
        queue.remove(`${waiting - index}`);
        queue.takeNext();
        queue.giveBack('nobody');
      }
      return asked / 1_000;
    };
    for (const share of [0, 1 / 64, 1]) {
      const [short, long] = [1_024, 32_768].map((waiting) => keysAskedFor(waiting, Math.ceil(waiting * share) || 1));
      // Five more levels of two, and two and a half of four.
      expect((long ?? 0) - (short ?? 0)).toBeLessThan(60);
    }
  });

  test('keeps nothing of tenants and classes of which nothing waits', () => {
    const queue = new FairQueue<Entry>();
    let sequence = 0;
    const add = (tenant: string) => {
      const priority = (['high', 'normal', 'low'] as const)[sequence % 3] ?? 'high';
      queue.add({ id: `${sequence}`, key: queueKey({ priority, tenant, enqueuedAtMs: 0, sequence: sequence++ }) });
    };
    const before = heapUsed();
    for (let index = 0; index < 30_000; index += 1) add(`tenant ${index}`);
    const atMost = heapUsed() - before;
    expect(atMost).toBeGreaterThan(5_000_000);
    while (queue.size > 3) queue.takeNext();
    // One tenant is left in each class, and a line is laid anew when somebody comes.
    for (const tenant of ['x', 'y', 'z']) add(tenant);
    expect(heapUsed() - before).toBeLessThan(atMost / 40);
    drain(queue);
    expect(heapUsed() - before).toBeLessThan(atMost / 40);
  });

  test('keeps nothing of the last one that was taken when nothing else waits', async () => {
    const queue = new FairQueue<Entry>();
    const take = (): WeakRef<Entry> => {
      queue.add({ id: 'x', key: queueKey({ priority: 'high', tenant: 'a', enqueuedAtMs: 0, sequence: 0 }) });
      return new WeakRef(queue.takeNext() ?? NOBODY);
    };
    const taken = take();
    // Whatever a WeakRef was made for or asked about lives on until its turn of the event loop is over.
    await setImmediate();
    heapUsed();
    expect(taken.deref()).toBeUndefined();
    expect(queue.size).toBe(0);
  });
});
