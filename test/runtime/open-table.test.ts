import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { FIRST_FENCE } from '../../src/contract/records.ts';
import type { Priority } from '../../src/contract/request.ts';
import { type QueueKey, queueKey } from '../../src/policy/order.ts';
import { OpenRequest, type OpenRequestInit } from '../../src/runtime/open-request.ts';
import { OpenTable } from '../../src/runtime/open-table.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { isLater, lastOf, latest, patienceOf } from '../support/last-share.ts';
import { propertyRuns } from '../support/properties.ts';

function createOpen(clock: VirtualClock, requestId: string, given: Partial<OpenRequestInit> = {}): OpenRequest {
  const init: OpenRequestInit = {
    requestId,
    mode: 'async',
    request: { kind: 'completion', model: 'm', messages: [] },
    candidates: [],
    priority: 'normal',
    tenant: 'default',
    tags: {},
    delivery: 'live',
    timeoutMs: 1_000,
    isStored: true,
    batch: undefined,
    fence: FIRST_FENCE,
    enqueuedAtMs: 0,
    createdAt: clock.wallMs(),
    key: queueKey({ priority: 'normal', tenant: 'default', enqueuedAtMs: 0, sequence: 0 }),
    sink: undefined,
    ...given,
  };
  return new OpenRequest(init, clock);
}

test('the count of waiting requests is right after any sequence of changes', () => {
  const change = fc.tuple(
    fc.integer({ min: 0, max: 9 }),
    fc.constantFrom('add' as const, 'queued' as const, 'running' as const, 'remove' as const),
  );
  const property = fc.property(fc.array(change, { maxLength: 100 }), (changes) => {
    const clock = new VirtualClock();
    const table = new OpenTable();
    const known = Array.from({ length: 10 }, (_, index) => createOpen(clock, `req_${index}`));
    for (const [index, verb] of changes) {
      const open = known[index];
      const isIn = open !== undefined && table.find(open.requestId) !== undefined;
      if (open === undefined) continue;
      if (verb === 'add' && !isIn && open.status === 'queued') table.add(open);
      if (verb === 'remove') table.remove(open);
      if ((verb === 'queued' || verb === 'running') && isIn) table.mark(open, verb);
      expect(table.waiting).toBe(table.list().filter(({ status }) => status === 'queued').length);
    }
  });
  fc.assert(property, { numRuns: 1_000 });
});

test('whoever waits for an empty table is woken by the last request that leaves', async () => {
  const clock = new VirtualClock();
  const table = new OpenTable();
  const [first, second] = [createOpen(clock, 'req_1'), createOpen(clock, 'req_2')];
  table.add(first);
  table.add(second);
  let isEmpty = false;
  const waiting = table.whenEmpty().then(() => {
    isEmpty = true;
  });
  table.remove(first);
  await clock.settle();
  expect(isEmpty).toBe(false);
  table.remove(second);
  await waiting;
  expect(isEmpty).toBe(true);
});

test('the first settlement and the first reason to stop win, and the deadline timer goes with the settlement', () => {
  const clock = new VirtualClock();
  const open = createOpen(clock, 'req_1');
  const error = { code: 'cancelled', message: 'x', attempts: [] } as const;
  expect(open.settle({ status: 'cancelled', error }, undefined)).toBe(true);
  expect(open.settle({ status: 'failed', error }, undefined)).toBe(false);
  expect(open.settlement?.status).toBe('cancelled');
  expect(clock.pendingTimers).toBe(0);
  open.stop('deadline');
  open.stop('shutdown');
  expect(open.stopReason).toBe('deadline');
});

type Step =
  | { readonly type: 'add'; readonly priority: Priority; readonly tenant: string; readonly mode: 'async' | 'sync' }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'queued' | 'running' | 'remove' | 'watch' | 'unwatch'; readonly pick: number }
  | { readonly type: 'evict'; readonly priority: Priority; readonly tenant: string };

const priorities = fc.constantFrom<Priority>('high', 'normal', 'low');

const stepsFor = (...tenants: readonly string[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          type: fc.constant('add' as const),
          priority: priorities,
          tenant: fc.constantFrom(...tenants),
          mode: fc.constantFrom('async' as const, 'async' as const, 'async' as const, 'sync' as const),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 30_000, 590_000) }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constantFrom(
            'queued' as const,
            'running' as const,
            'remove' as const,
            'watch' as const,
            'unwatch' as const,
          ),
          pick: fc.nat(),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant('evict' as const),
          priority: priorities,
          tenant: fc.constantFrom(...tenants),
        }),
      },
    ),
    { maxLength: 80, size: 'max' },
  );

/** A table, and a plain list of those in it. */
class Tables {
  readonly table = new OpenTable();
  readonly opens: OpenRequest[] = [];
  readonly #evicted = new Set<OpenRequest>();
  readonly #watches = new Map<OpenRequest, (() => void)[]>();
  readonly #clock = new VirtualClock();
  #nowMs = 0;
  #sequence = 0;

  apply(step: Step): OpenRequest | undefined {
    switch (step.type) {
      case 'add':
        this.add(step.priority, step.tenant, step.mode);
        return undefined;
      case 'wait':
        this.#nowMs += step.ms;
        return undefined;
      case 'evict':
        return this.evict(step.priority, step.tenant);
      default: {
        const picked = this.opens[step.pick % Math.max(1, this.opens.length)];
        if (picked !== undefined) this.#change(picked, step.type);
        return undefined;
      }
    }
  }

  add(priority: Priority, tenant: string, mode: 'async' | 'sync' = 'async'): OpenRequest {
    const key = this.#key(priority, tenant);
    const open = createOpen(this.#clock, `req_${key.sequence}`, { mode, priority, tenant, key });
    this.opens.push(open);
    this.table.add(open);
    return open;
  }

  /** Makes room for one that comes now; also what counting says. */
  evict(priority: Priority, tenant: string): OpenRequest | undefined {
    const key = this.#key(priority, tenant);
    assert.equal(
      this.table.isAhead(key),
      this.unwatched().some(({ init }) => isLater(init.key, key)),
    );
    const expected = lastOf([...this.unwatched().map(({ init }) => init.key), key]);
    const evicted = this.table.evict(key);
    assert.equal(evicted?.init.key ?? key, expected);
    if (evicted !== undefined) this.#evicted.add(evicted);
    return evicted;
  }

  /** Those that nobody waits on. */
  unwatched(): readonly OpenRequest[] {
    return this.opens.filter(
      (open) =>
        open.init.mode === 'async' &&
        open.status === 'queued' &&
        !this.#evicted.has(open) &&
        (this.#watches.get(open) ?? []).length === 0,
    );
  }

  get waiting(): number {
    return this.opens.filter((open) => open.status === 'queued' && !this.#evicted.has(open)).length;
  }

  #key(priority: Priority, tenant: string): QueueKey {
    return queueKey({ priority, tenant, enqueuedAtMs: this.#nowMs, sequence: this.#sequence++ });
  }

  #change(open: OpenRequest, change: 'queued' | 'running' | 'remove' | 'watch' | 'unwatch'): void {
    const watches = this.#watches.get(open) ?? [];
    this.#watches.set(open, watches);
    switch (change) {
      case 'queued':
      case 'running':
        this.table.mark(open, change);
        break;
      case 'remove':
        this.opens.splice(this.opens.indexOf(open), 1);
        this.table.remove(open);
        break;
      case 'watch':
        watches.push(this.table.watch(open));
        break;
      case 'unwatch':
        watches.pop()?.();
    }
  }
}

describe('when there is no room', () => {
  test.each([
    ['one tenant', ['a'], 2_000],
    ['two tenants', ['a', 'b'], 4_000],
    ['five tenants', ['a', 'b', 'c', 'd', 'e'], 4_000],
  ] as const)('of %s the one gives way that counting finds, whatever happened before', (_, tenants, runs) => {
    fc.assert(
      fc.property(stepsFor(...tenants), (sequence) => {
        const tables = new Tables();
        for (const step of sequence) {
          tables.apply(step);
          assert.equal(tables.table.waiting, tables.waiting);
        }
      }),
      propertyRuns(runs),
    );
  });

  test('one tenant alone gives up its largest key, and whoever comes with a larger one is refused', () => {
    fc.assert(
      fc.property(stepsFor('a'), priorities, (sequence, priority) => {
        const tables = new Tables();
        for (const step of sequence) tables.apply(step);
        const last = latest(tables.unwatched().map(({ init }) => init.key));
        const evicted = tables.evict(priority, 'a');
        if (evicted !== undefined) expect(evicted.init.key).toBe(last);
      }),
      propertyRuns(500),
    );
  });

  test('nobody gives way to a more patient class, or while a more patient one is due later', () => {
    fc.assert(
      fc.property(stepsFor('a', 'b', 'c'), priorities, (sequence, priority) => {
        const tables = new Tables();
        for (const step of sequence) tables.apply(step);
        const evicted = tables.evict(priority, 'b');
        if (evicted === undefined) return;
        const { key } = evicted.init;
        expect(patienceOf(key)).toBeGreaterThanOrEqual(['high', 'normal', 'low'].indexOf(priority));
        for (const { init } of tables.unwatched())
          if (patienceOf(init.key) > patienceOf(key)) expect(isLater(init.key, key)).toBe(false);
      }),
      propertyRuns(2_000),
    );
  });

  test('whoever is about to end anyway is passed over, and makes room soon', () => {
    const tables = new Tables();
    const [first, second, third] = ['a', 'a', 'a'].map((tenant) => tables.add('low', tenant));
    third?.stop('cancelled');
    second?.settle({ status: 'cancelled', error: { code: 'cancelled', message: 'x', attempts: [] } }, undefined);
    const high = queueKey({ priority: 'high', tenant: 'b', enqueuedAtMs: 0, sequence: 99 });
    expect(tables.table.evict(high)).toBe(first);
    expect(tables.table.evict(high)).toBeUndefined();
  });
});
