import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Priority } from '../../src/contract/request.ts';
import { queueKey } from '../../src/policy/order.ts';
import { HeapQueue } from '../../src/runtime/heap-queue.ts';
import { propertyRuns } from '../support/properties.ts';

interface Waiting {
  readonly priority: Priority;
  readonly tenant: string;
  readonly submittedAtMs: number;
  readonly sequence: number;
}

/** How much later than `waiting` something of the class `leaving` may come and still go first. */
const LEAD_MS: Readonly<Record<Priority, Readonly<Record<Priority, number>>>> = {
  high: { high: 0, normal: -30_000, low: -600_000 },
  normal: { high: 30_000, normal: 0, low: -570_000 },
  low: { high: 600_000, normal: 570_000, low: 0 },
};

/** Whether `leaving` had the right to go while `waiting` stays; at the same moment the first submitted goes first. */
function mayPass(leaving: Waiting, waiting: Waiting): boolean {
  const aheadMs = waiting.submittedAtMs + LEAD_MS[waiting.priority][leaving.priority] - leaving.submittedAtMs;
  return aheadMs > 0 || (aheadMs === 0 && leaving.sequence < waiting.sequence);
}

/** As `mayPass`, where tenants take turns: only those who may be passed for a limited time are protected from all others. */
function mayPassAnother(leaving: Waiting, waiting: Waiting): boolean {
  return LEAD_MS[waiting.priority][leaving.priority] <= 0 || mayPass(leaving, waiting);
}

type Step =
  | { readonly type: 'submit'; readonly priority: Priority; readonly tenant: string }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'dequeue' }
  | { readonly type: 'cancel'; readonly pick: number }
  /** Leaves and comes back with its original key, as one that could not be claimed. */
  | { readonly type: 'return'; readonly pick: number };

const priorities = fc.constantFrom<Priority>('high', 'normal', 'low');
const stepsOf = (...tenants: readonly string[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          type: fc.constant('submit' as const),
          priority: priorities,
          tenant: fc.constantFrom(...tenants),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant('wait' as const),
          // The differences between classes and a millisecond on either side of them decide.
          ms: fc.oneof(
            fc.constantFrom(1, 29_999, 30_000, 30_001, 569_999, 570_000, 570_001, 599_999, 600_000, 600_001),
            fc.nat(700_000),
          ),
        }),
      },
      { weight: 3, arbitrary: fc.constant<Step>({ type: 'dequeue' }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel' as const), pick: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('return' as const), pick: fc.nat() }) },
    ),
    { maxLength: 80, size: 'max' },
  );

/** The heap of a lane, and everybody in it as a plain list in the order of submission. */
class Line {
  readonly queue = new HeapQueue();
  waiting: Waiting[] = [];
  readonly #runs = new Map<() => Promise<unknown>, Waiting>();
  readonly #mayPass: typeof mayPass;
  #nowMs = 0;
  #sequence = 0;

  constructor(mayLeave: typeof mayPass) {
    this.#mayPass = mayLeave;
  }

  apply(step: Step): void {
    const picked = 'pick' in step ? this.waiting[step.pick % Math.max(1, this.waiting.length)] : undefined;
    switch (step.type) {
      case 'submit': {
        const { priority, tenant } = step;
        const submitted = { priority, tenant, submittedAtMs: this.#nowMs, sequence: this.#sequence++ };
        this.waiting.push(submitted);
        this.#enqueue(submitted);
        break;
      }
      case 'wait':
        this.#nowMs += step.ms;
        break;
      case 'dequeue':
        this.dequeue();
        break;
      case 'cancel':
        if (picked === undefined) break;
        this.queue.remove(`${picked.sequence}`);
        this.waiting = this.waiting.filter((each) => each !== picked);
        break;
      case 'return':
        if (picked === undefined) break;
        this.queue.remove(`${picked.sequence}`);
        this.#enqueue(picked);
    }
    assert.equal(this.queue.size, this.waiting.length);
  }

  /** Whoever leaves has the right to, towards everybody who stays. */
  dequeue(): void {
    const run = this.queue.dequeue();
    const leaving = run && this.#runs.get(run);
    assert.equal(leaving === undefined, this.waiting.length === 0);
    if (leaving === undefined) return;
    assert.ok(this.waiting.includes(leaving), 'whoever leaves was waiting');
    this.waiting = this.waiting.filter((each) => each !== leaving);
    assert.deepEqual(
      this.waiting.filter((staying) => !this.#mayPass(leaving, staying)),
      [],
    );
  }

  #enqueue(waiting: Waiting): void {
    const run = async () => undefined;
    this.#runs.set(run, waiting);
    const key = queueKey({ ...waiting, enqueuedAtMs: waiting.submittedAtMs });
    this.queue.enqueue(run, { id: `${waiting.sequence}`, key });
  }
}

function lives(line: Line, sequence: readonly Step[]): void {
  for (const step of sequence) line.apply(step);
  while (line.waiting.length > 0) line.dequeue();
  expect(line.queue.dequeue()).toBeUndefined();
}

describe('a line of requests', () => {
  test('of one tenant lets high pass low for 600 s and normal for 30 s, normal pass low for 570 s, and nobody else pass anybody', () => {
    fc.assert(
      fc.property(stepsOf('a'), (sequence) => {
        lives(new Line(mayPass), sequence);
      }),
      propertyRuns(4_000),
    );
  });

  test('of many tenants lets high pass low for 600 s and normal for 30 s, and normal pass low for 570 s, whosever they are', () => {
    fc.assert(
      fc.property(stepsOf('a', 'b', 'c', 'd'), (sequence) => {
        lives(new Line(mayPassAnother), sequence);
      }),
      propertyRuns(6_000),
    );
  });

  test.each<[Priority, Priority, number]>([
    ['high', 'low', 600_000],
    ['high', 'normal', 30_000],
    ['normal', 'low', 570_000],
  ])(
    '%s that comes when %s is waiting for less than %d ms goes first, and no later one does',
    (later, earlier, leadMs) => {
      const firstOf = (gapMs: number, tenant: string) => {
        const line = new Line(mayPass);
        line.apply({ type: 'submit', priority: earlier, tenant: 'a' });
        line.apply({ type: 'wait', ms: gapMs });
        line.apply({ type: 'submit', priority: later, tenant });
        line.dequeue();
        return line.waiting[0]?.priority === earlier ? later : earlier;
      };
      for (const tenant of ['a', 'b'])
        expect([leadMs - 1, leadMs, leadMs + 1].map((gapMs) => firstOf(gapMs, tenant))).toEqual([
          later,
          earlier,
          earlier,
        ]);
    },
  );
});
