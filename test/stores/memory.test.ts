import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { RequestStore } from '../../src/contract/records.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { describeStoreContract } from '../contracts/store-contract.ts';
import { statusOf } from '../contracts/store-subject.ts';
import { propertyRuns } from '../support/properties.ts';
import { claimOf, createRecord, failedSettlement } from '../support/request-records.ts';

describeStoreContract('memory', async (options) => {
  const store = new MemoryStore(options);
  return { store, close: () => store.close() };
});

const ttlMs = 1_000;
const recordsMax = 4;

type Step =
  | { readonly type: 'insert' | 'settle' | 'load'; readonly id: number }
  | { readonly type: 'wait'; readonly ms: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constantFrom('insert' as const, 'settle' as const, 'load' as const),
        id: fc.nat(6),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 400, 999, 1_000, 1_001, 2_500),
      }),
    },
  ),
  { maxLength: 80, size: 'max' },
);

/** The store as one list of everything that ever happened. */
class NaiveStore {
  readonly records: {
    id: string;
    order: number | undefined;
    expiresAtMs: number | undefined;
    isGone: 'no' | 'made-room' | 'forgotten';
  }[] = [];
  #settlements = 0;

  state(id: string, nowMs: number): 'open' | 'settled' | 'expired' | 'unknown' {
    const record = this.records.findLast((known) => known.id === id);
    if (record === undefined) return 'unknown';
    if (record.expiresAtMs === undefined) return 'open';
    if (nowMs >= record.expiresAtMs + ttlMs || record.isGone === 'forgotten') return 'unknown';
    return nowMs >= record.expiresAtMs || record.isGone === 'made-room' ? 'expired' : 'settled';
  }

  /** The latest record of every id that is in one of `states`, those settled first in front. */
  all(states: readonly string[], nowMs: number) {
    const latest = this.records.filter(
      (record, index) => this.records.findLastIndex((known) => known.id === record.id) === index,
    );
    const found = latest.filter((record) => states.includes(this.state(record.id, nowMs)));
    return found.toSorted((left, right) => (left.order ?? Infinity) - (right.order ?? Infinity));
  }

  /** No more expired ids are remembered than there may be records. */
  forget(nowMs: number): void {
    for (const record of this.all(['expired'], nowMs).slice(0, -recordsMax)) record.isGone = 'forgotten';
  }

  insert(id: string, nowMs: number): 'inserted' | 'full' {
    if (this.all(['open', 'settled'], nowMs).length >= recordsMax) {
      const [oldest] = this.all(['settled'], nowMs);
      if (oldest === undefined) return 'full';
      oldest.isGone = 'made-room';
    }
    this.records.push({ id, order: undefined, expiresAtMs: undefined, isGone: 'no' });
    return 'inserted';
  }

  settle(id: string, nowMs: number): boolean {
    const record = this.records.findLast((known) => known.id === id);
    if (record === undefined || record.expiresAtMs !== undefined) return false;
    record.order = this.#settlements++;
    record.expiresAtMs = nowMs + ttlMs;
    return true;
  }
}

describe('the memory store against a list', () => {
  test('agrees on what is open, settled, expired and unknown after any sequence', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const clock = new VirtualClock();
        const store: RequestStore = new MemoryStore({ clock, resultTtlMs: ttlMs, recordsMax });
        const naive = new NaiveStore();
        for (const step of sequence) {
          if (step.type === 'wait') {
            await clock.advance(step.ms);
            continue;
          }
          const id = `req_${step.id}`;
          const nowMs = clock.nowMs();
          naive.forget(nowMs);
          // An id is given out once; the store is never asked to insert a living one again.
          if (step.type === 'insert' && naive.state(id, nowMs) !== 'unknown') continue;
          if (step.type === 'insert')
            expect((await store.insert(createRecord(id), 'memory')).kind).toBe(naive.insert(id, nowMs));
          if (step.type === 'settle')
            expect(await store.settle(claimOf(id), failedSettlement, 1)).toBe(naive.settle(id, nowMs));
          naive.forget(nowMs);
          for (let index = 0; index < 7; index += 1) {
            const loaded = await store.load(`req_${index}`);
            const seen =
              loaded.kind === 'found' ? (loaded.record.settlement === undefined ? 'open' : 'settled') : loaded.kind;
            expect(`${index} ${seen}`).toBe(`${index} ${naive.state(`req_${index}`, nowMs)}`);
          }
        }
      }),
      propertyRuns(400),
    );
  });

  test('what it remembers of expired requests is bounded too', async () => {
    const clock = new VirtualClock();
    const store: RequestStore = new MemoryStore({ clock, resultTtlMs: ttlMs, recordsMax });
    for (let index = 0; index < 20; index += 1) {
      await store.insert(createRecord(`req_${index}`), 'memory');
      await store.settle(claimOf(`req_${index}`), failedSettlement, 1);
    }
    const kinds = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => (await store.load(`req_${index}`)).kind),
    );
    expect(kinds.filter((kind) => kind === 'found')).toHaveLength(recordsMax);
    expect(kinds.filter((kind) => kind === 'expired')).toHaveLength(recordsMax);
    expect(kinds.slice(12)).toEqual([
      ...Array.from({ length: 4 }, () => 'expired'),
      ...Array.from({ length: 4 }, () => 'found'),
    ]);
  });
});

describe('the memory store: bounds', () => {
  const openBounded = (max: number): RequestStore =>
    new MemoryStore({ clock: new VirtualClock(), resultTtlMs: 86_400_000, recordsMax: max });

  test('is full at its bound of open records, and takes one more as soon as one is settled', async () => {
    const store = openBounded(3);
    for (let index = 0; index < 3; index += 1)
      expect(await store.insert(createRecord(`req_${index}`), 'memory')).toEqual({ kind: 'inserted' });
    expect(await store.insert(createRecord('req_3'), 'memory')).toEqual({ kind: 'full' });
    expect(await statusOf(store, 'req_3')).toBe('unknown');
    await store.settle(claimOf('req_1'), failedSettlement, 1);
    expect(await store.insert(createRecord('req_3'), 'memory')).toEqual({ kind: 'inserted' });
  });

  test('room is made by the result that was settled first, and its id says expired', async () => {
    const store = openBounded(3);
    for (let index = 0; index < 3; index += 1) await store.insert(createRecord(`req_${index}`), 'memory');
    await store.settle(claimOf('req_2'), failedSettlement, 1);
    await store.settle(claimOf('req_0'), failedSettlement, 2);
    await store.insert(createRecord('req_3'), 'memory');
    const statuses = await Promise.all(['req_0', 'req_1', 'req_2', 'req_3'].map((id) => statusOf(store, id)));
    expect(statuses).toEqual(['failed', 'queued', 'expired', 'queued']);
  });

  test('a known key is answered although the store is full', async () => {
    const store = openBounded(1);
    const keyed = (requestId: string, idempotencyKey: string) => createRecord(requestId, { idempotencyKey });
    await store.insert(keyed('req_0', 'key'), 'memory');
    expect(await store.insert(keyed('req_1', 'key'), 'memory')).toEqual({ kind: 'known', requestId: 'req_0' });
    expect(await store.insert(keyed('req_1', 'other'), 'memory')).toEqual({ kind: 'full' });
  });

  test('a refused insert leaves its key free', async () => {
    const store = openBounded(1);
    await store.insert(createRecord('req_0'), 'memory');
    expect(await store.insert(createRecord('req_1', { idempotencyKey: 'key' }), 'memory')).toEqual({ kind: 'full' });
    await store.settle(claimOf('req_0'), failedSettlement, 1);
    const other = createRecord('req_2', { idempotencyKey: 'key', requestHash: 'hash-2' });
    expect(await store.insert(other, 'memory')).toEqual({ kind: 'inserted' });
  });

  test('lets nobody wait in it: what it keeps is gone with the process', async () => {
    const store = openBounded(1);
    expect(store.isDurable).toBe(false);
    await store.insert(createRecord('req_0'), 'memory');
    expect(await store.park(claimOf('req_0'))).toBe(false);
    expect(await store.listParked(10)).toEqual([]);
    expect(await store.recover()).toEqual({ queued: 0, requeued: [], interrupted: [] });
    expect(await store.settle(claimOf('req_0'), failedSettlement, 1)).toBe(true);
  });
});
