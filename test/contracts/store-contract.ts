/**
 * What every request store keeps to, whatever it is made of. A store's own test file hands in how to open an empty one over
 * a virtual clock and gets these tests; what only that store has (files, kills, other processes) stays in its own file.
 */
import { describe, expect, test } from 'vitest';

import {
  type Claim,
  FIRST_FENCE,
  type RequestRecord,
  type RequestStore,
  type Settlement,
} from '../../src/contract/records.ts';
import type { AttemptReport } from '../../src/contract/response.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

export interface StoreSubjectOptions {
  readonly clock: VirtualClock;
  readonly resultTtlMs: number;
  readonly recordsMax: number;
}

export type OpenStore = (options: StoreSubjectOptions) => Promise<RequestStore>;

const TTL_MS = 86_400_000;
const TARGET = { provider: 'openai', model: 'model-1' };

/** The claim of whoever inserted a record. */
export const claimOf = (requestId: string): Claim => ({ requestId, fence: FIRST_FENCE });

/** A record that was just accepted. */
export function createRecord(requestId: string, changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    requestId,
    tenant: 'default',
    idempotencyKey: undefined,
    requestHash: 'hash-1',
    request: { kind: 'completion', model: 'model-1', messages: [{ role: 'user', content: 'Hello' }] },
    fallbacks: undefined,
    priority: 'normal',
    tags: { team: 'one' },
    createdAt: Date.UTC(2026, 0, 1),
    enqueuedAt: Date.UTC(2026, 0, 1),
    timeoutMs: 600_000,
    recovery: 'atLeastOnce',
    recoveries: 0,
    status: 'queued',
    attempts: [],
    ...changes,
  };
}

export const failedSettlement: Settlement = {
  status: 'failed',
  error: { code: 'provider-error', message: 'the provider answered 500', provider: 'openai', attempts: [] },
};

const cancelledSettlement: Settlement = {
  status: 'cancelled',
  error: { code: 'cancelled', message: 'the request was cancelled', attempts: [] },
};

/** An answer to a request. */
function succeededSettlement(requestId: string, text = 'Hello'): Settlement {
  return {
    status: 'succeeded',
    response: {
      kind: 'completion',
      requestId,
      provider: 'openai',
      model: 'model-1',
      text,
      message: { role: 'assistant', content: text },
      toolCalls: [],
      finishReason: 'stop',
      usage: { inputTokens: 3, outputTokens: 1 },
      latency: { queuedMs: 0, totalMs: 5 },
      attempts: [],
      createdAt: Date.UTC(2026, 0, 1),
    },
  };
}

const attempt = (outcome: AttemptReport['outcome']): AttemptReport => ({
  provider: 'openai',
  model: 'model-1',
  outcome,
  durationMs: 12,
});

/** Runs the contract against the stores that `openStore` opens. */
export function describeStoreContract(name: string, openStore: OpenStore): void {
  const within = async (
    use: (store: RequestStore, clock: VirtualClock) => Promise<void>,
    recordsMax = 100,
  ): Promise<void> => {
    const clock = new VirtualClock();
    const store = await openStore({ clock, resultTtlMs: TTL_MS, recordsMax });
    try {
      await use(store, clock);
    } finally {
      await store.close();
    }
  };

  const statusOf = async (store: RequestStore, requestId: string): Promise<string> => {
    const loaded = await store.load(requestId);
    return loaded.kind === 'found' ? loaded.record.status : loaded.kind;
  };

  describe(`the ${name} store: records`, () => {
    test('a record that was inserted is found as it was, every field of it', () =>
      within(async (store) => {
        const record = createRecord('req_1', {
          idempotencyKey: 'k',
          fallbacks: ['openai/gpt-4.1'],
          tenant: 'acme',
          priority: 'low',
        });
        expect(await store.insert(record, 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.load('req_1')).toEqual({ kind: 'found', record, isParked: false });
      }));

    test('an id that was never inserted is unknown', () =>
      within(async (store) => {
        expect(await store.load('req_none')).toEqual({ kind: 'unknown' });
        expect(await store.load('')).toEqual({ kind: 'unknown' });
      }));

    test('status and attempts follow the request, attempts in the order they were made', () =>
      within(async (store) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.markRunning(claimOf('req_1'), TARGET);
        expect(await statusOf(store, 'req_1')).toBe('running');
        await store.addAttempt(claimOf('req_1'), attempt('failed'));
        await store.markQueued(claimOf('req_1'));
        await store.addAttempt(claimOf('req_1'), attempt('answered'));
        const loaded = await store.load('req_1');
        expect(loaded).toMatchObject({
          kind: 'found',
          record: { status: 'queued', attempts: [{ outcome: 'failed' }, { outcome: 'answered' }] },
        });
      }));

    test('bookkeeping for an unknown id is no error and creates nothing', () =>
      within(async (store) => {
        await store.markRunning(claimOf('req_none'), TARGET);
        await store.markQueued(claimOf('req_none'));
        await store.addAttempt(claimOf('req_none'), attempt('failed'));
        expect(await store.settle(claimOf('req_none'), failedSettlement, 1)).toBe(false);
        expect(await store.load('req_none')).toEqual({ kind: 'unknown' });
      }));
  });

  describe(`the ${name} store: settlement`, () => {
    test.each([succeededSettlement('req_1'), failedSettlement, cancelledSettlement])(
      '$status is kept whole with its moment',
      (settlement) =>
        within(async (store) => {
          await store.insert(createRecord('req_1'), 'memory');
          expect(await store.settle(claimOf('req_1'), settlement, 1_767_225_600_123)).toBe(true);
          const loaded = await store.load('req_1');
          expect(loaded).toMatchObject({
            kind: 'found',
            record: { status: settlement.status, settlement, settledAt: 1_767_225_600_123 },
          });
        }),
    );

    test('the first settlement wins, and nothing after it changes the record (R1)', () =>
      within(async (store) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), succeededSettlement('req_1'), 5);
        const settled = await store.load('req_1');
        expect(await store.settle(claimOf('req_1'), failedSettlement, 6)).toBe(false);
        expect(await store.settle(claimOf('req_1'), succeededSettlement('req_1', 'another'), 6)).toBe(false);
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.markQueued(claimOf('req_1'));
        await store.addAttempt(claimOf('req_1'), attempt('failed'));
        expect(await store.load('req_1')).toEqual(settled);
      }));

    test('of a hundred settlements at once exactly one wins, and it is the one that is read', () =>
      within(async (store) => {
        await store.insert(createRecord('req_1'), 'memory');
        const settlements = Array.from({ length: 100 }, (_, index) => succeededSettlement('req_1', `answer ${index}`));
        const won = await Promise.all(settlements.map((settlement) => store.settle(claimOf('req_1'), settlement, 1)));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await store.load('req_1')).toMatchObject({
          kind: 'found',
          record: { settlement: settlements[won.indexOf(true)] },
        });
      }));

    test('reading never deletes', () =>
      within(async (store) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        for (let index = 0; index < 5; index += 1) expect(await statusOf(store, 'req_1')).toBe('failed');
      }));
  });

  describe(`the ${name} store: expiry`, () => {
    test('a result is readable for its whole time, then expired for as long again, then unknown', () =>
      within(async (store, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(TTL_MS - 1);
        expect(await statusOf(store, 'req_1')).toBe('failed');
        await clock.advance(1);
        expect(await statusOf(store, 'req_1')).toBe('expired');
        await clock.advance(TTL_MS - 1);
        expect(await statusOf(store, 'req_1')).toBe('expired');
        await clock.advance(1);
        expect(await statusOf(store, 'req_1')).toBe('unknown');
      }));

    test('expiry does not depend on anybody looking', () =>
      within(async (store, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(2 * TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('unknown');
      }));

    test('an open request never expires, however long it waits', () =>
      within(async (store, clock) => {
        await store.insert(createRecord('req_1', { timeoutMs: 10 * TTL_MS }), 'memory');
        await clock.advance(9 * TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('queued');
        expect(await store.settle(claimOf('req_1'), failedSettlement, 1)).toBe(true);
        expect(await statusOf(store, 'req_1')).toBe('failed');
      }));

    test('a jump of the wall clock by a day in either direction expires nothing and keeps nothing alive', () =>
      within(async (store, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, clock.wallMs());
        clock.jumpWall(25 * 3_600_000);
        expect(await statusOf(store, 'req_1')).toBe('failed');
        clock.jumpWall(-50 * 3_600_000);
        await clock.advance(TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('expired');
      }));
  });

  describe(`the ${name} store: idempotency`, () => {
    const keyed = (requestId: string, changes: Partial<RequestRecord> = {}) =>
      createRecord(requestId, { idempotencyKey: 'key', ...changes });

    test('the same key with the same request is known, and nothing is inserted', () =>
      within(async (store) => {
        await store.insert(keyed('req_1'), 'memory');
        expect(await store.insert(keyed('req_2'), 'memory')).toEqual({ kind: 'known', requestId: 'req_1' });
        expect(await statusOf(store, 'req_2')).toBe('unknown');
      }));

    test('the same key with another request is a conflict, and nothing is inserted', () =>
      within(async (store) => {
        await store.insert(keyed('req_1'), 'memory');
        expect(await store.insert(keyed('req_2', { requestHash: 'hash-2' }), 'memory')).toEqual({
          kind: 'conflict',
          requestId: 'req_1',
        });
        expect(await statusOf(store, 'req_2')).toBe('unknown');
      }));

    test('a key stays known while its result is readable, also after it was settled', () =>
      within(async (store, clock) => {
        await store.insert(keyed('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(TTL_MS - 1);
        expect(await store.insert(keyed('req_2'), 'memory')).toEqual({ kind: 'known', requestId: 'req_1' });
      }));

    test('a key is free again once its result has expired', () =>
      within(async (store, clock) => {
        await store.insert(keyed('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(TTL_MS);
        expect(await store.insert(keyed('req_2', { requestHash: 'hash-2' }), 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.insert(keyed('req_3', { requestHash: 'hash-2' }), 'memory')).toEqual({
          kind: 'known',
          requestId: 'req_2',
        });
        expect(await statusOf(store, 'req_1')).toBe('expired');
      }));

    test('tenants do not see each other’s keys, whatever characters names and keys hold', () =>
      within(async (store) => {
        const pairs = [
          ['a', 'b c'],
          ['a b', 'c'],
          ['a', 'b:c'],
          ['a:b', 'c'],
          ['a","b', 'c'],
          ['a', 'b","c'],
          ['', 'a'],
          ['a', ''],
        ] as const;
        for (const [index, [tenant, idempotencyKey]] of pairs.entries()) {
          expect(
            await store.insert(createRecord(`req_${index}`, { tenant, idempotencyKey, requestHash: `hash-${index}` }), 'memory'),
          ).toEqual({ kind: 'inserted' });
        }
      }));

    test('of a hundred inserts with one key at once exactly one is inserted, and all are told its id', () =>
      within(async (store) => {
        const results = await Promise.all(
          Array.from({ length: 100 }, (_, index) => store.insert(keyed(`req_${index}`), 'memory')),
        );
        const inserted = results.findIndex((result) => result.kind === 'inserted');
        expect(results.filter((result) => result.kind === 'inserted')).toHaveLength(1);
        const others = results.filter((_, index) => index !== inserted);
        expect(others).toEqual(Array.from({ length: 99 }, () => ({ kind: 'known', requestId: `req_${inserted}` })));
      }));

    test('requests without a key are never taken for one another', () =>
      within(async (store) => {
        expect(await store.insert(createRecord('req_1'), 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.insert(createRecord('req_2'), 'memory')).toEqual({ kind: 'inserted' });
      }));
  });

  describe(`the ${name} store: bounds`, () => {
    test('is full at its bound of open records, and takes one more as soon as one is settled', () =>
      within(async (store) => {
        for (let index = 0; index < 3; index += 1)
          expect(await store.insert(createRecord(`req_${index}`), 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.insert(createRecord('req_3'), 'memory')).toEqual({ kind: 'full' });
        expect(await statusOf(store, 'req_3')).toBe('unknown');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        expect(await store.insert(createRecord('req_3'), 'memory')).toEqual({ kind: 'inserted' });
      }, 3));

    test('room is made by the result that was settled first, and its id says expired', () =>
      within(async (store) => {
        for (let index = 0; index < 3; index += 1) await store.insert(createRecord(`req_${index}`), 'memory');
        await store.settle(claimOf('req_2'), failedSettlement, 1);
        await store.settle(claimOf('req_0'), failedSettlement, 2);
        await store.insert(createRecord('req_3'), 'memory');
        expect(await Promise.all(['req_0', 'req_1', 'req_2', 'req_3'].map((id) => statusOf(store, id)))).toEqual([
          'failed',
          'queued',
          'expired',
          'queued',
        ]);
      }, 3));

    test('a known key is answered although the store is full', () =>
      within(async (store) => {
        await store.insert(createRecord('req_0', { idempotencyKey: 'key' }), 'memory');
        expect(await store.insert(createRecord('req_1', { idempotencyKey: 'key' }), 'memory')).toEqual({
          kind: 'known',
          requestId: 'req_0',
        });
        expect(await store.insert(createRecord('req_1', { idempotencyKey: 'other' }), 'memory')).toEqual({ kind: 'full' });
      }, 1));

    test('a refused insert leaves its key free', () =>
      within(async (store) => {
        await store.insert(createRecord('req_0'), 'memory');
        await store.insert(createRecord('req_1', { idempotencyKey: 'key' }), 'memory');
        await store.settle(claimOf('req_0'), failedSettlement, 1);
        expect(await store.insert(createRecord('req_2', { idempotencyKey: 'key', requestHash: 'hash-2' }), 'memory')).toEqual({
          kind: 'inserted',
        });
      }, 1));
  });
}
