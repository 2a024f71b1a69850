/** For how long every request store keeps what: results, ids that have expired, and idempotency keys. */
import { describe, expect, test } from 'vitest';
import type { RequestRecord } from '../../src/contract/records.ts';
import { claimOf, createRecord, failedSettlement } from '../support/request-records.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';
import { type OpenStore, statusOf, subjectOf } from './store-subject.ts';

/** Part of `describeStoreContract`. */
export function describeStoreKeeping(name: string, open: OpenStore): void {
  const within = subjectOf(open);

  describe(`the ${name} store: expiry`, () => {
    test('a result is readable for its whole time, then expired for as long again, then unknown', () =>
      within(async ({ store }, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await statusOf(store, 'req_1')).toBe('failed');
        await clock.advance(1);
        expect(await statusOf(store, 'req_1')).toBe('expired');
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await statusOf(store, 'req_1')).toBe('expired');
        await clock.advance(1);
        expect(await statusOf(store, 'req_1')).toBe('unknown');
      }));

    test('expiry does not depend on anybody looking', () =>
      within(async ({ store }, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(2 * RESULT_TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('unknown');
      }));

    test('an open request never expires, however long it waits', () =>
      within(async ({ store }, clock) => {
        await store.insert(createRecord('req_1', { timeoutMs: 10 * RESULT_TTL_MS }), 'memory');
        await clock.advance(9 * RESULT_TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('queued');
        expect(await store.settle(claimOf('req_1'), failedSettlement, 1)).toBe(true);
        expect(await statusOf(store, 'req_1')).toBe('failed');
      }));

    test('a jump of the wall clock by a day in either direction expires nothing and keeps nothing alive', () =>
      within(async ({ store }, clock) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, clock.wallMs());
        clock.jumpWall(25 * 3_600_000);
        expect(await statusOf(store, 'req_1')).toBe('failed');
        clock.jumpWall(-50 * 3_600_000);
        await clock.advance(RESULT_TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('expired');
      }));
  });

  describe(`the ${name} store: idempotency`, () => {
    const keyed = (requestId: string, changes: Partial<RequestRecord> = {}) =>
      createRecord(requestId, { idempotencyKey: 'key', ...changes });

    test('the same key with the same request is known, and nothing is inserted', () =>
      within(async ({ store }) => {
        await store.insert(keyed('req_1'), 'memory');
        expect(await store.insert(keyed('req_2'), 'memory')).toEqual({ kind: 'known', requestId: 'req_1' });
        expect(await statusOf(store, 'req_2')).toBe('unknown');
      }));

    test('the same key with another request is a conflict, and nothing is inserted', () =>
      within(async ({ store }) => {
        await store.insert(keyed('req_1'), 'memory');
        const other = keyed('req_2', { requestHash: 'hash-2' });
        expect(await store.insert(other, 'memory')).toEqual({ kind: 'conflict', requestId: 'req_1' });
        expect(await statusOf(store, 'req_2')).toBe('unknown');
      }));

    test('a key stays known while its result is readable, also after it was settled', () =>
      within(async ({ store }, clock) => {
        await store.insert(keyed('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await store.insert(keyed('req_2'), 'memory')).toEqual({ kind: 'known', requestId: 'req_1' });
      }));

    test('a key is free again once its result has expired, and stands for the next request then', () =>
      within(async ({ store }, clock) => {
        await store.insert(keyed('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await clock.advance(RESULT_TTL_MS);
        const next = keyed('req_2', { requestHash: 'hash-2' });
        expect(await store.insert(next, 'memory')).toEqual({ kind: 'inserted' });
        const again = keyed('req_3', { requestHash: 'hash-2' });
        expect(await store.insert(again, 'memory')).toEqual({ kind: 'known', requestId: 'req_2' });
        expect(await statusOf(store, 'req_1')).toBe('expired');
        // The first id is forgotten in its time, and takes the key of the second one with it no more.
        await clock.advance(RESULT_TTL_MS);
        expect(await statusOf(store, 'req_1')).toBe('unknown');
        expect(await store.insert(again, 'memory')).toEqual({ kind: 'known', requestId: 'req_2' });
      }));

    test('tenants do not see each other’s keys, whatever characters names and keys hold', () =>
      within(async ({ store }) => {
        const pairs = [
          ['a', 'b c'],
          ['a b', 'c'],
          ['a', 'b:c'],
          ['a:b', 'c'],
          ['a","b', 'c'],
          ['a', 'b","c'],
          ['a\u0000b', 'c'],
          ['a', 'b\u0000c'],
          ['A', 'b c'],
          ['e\u0301', 'x'],
          ['\u00e9', 'x'],
          ['', 'a'],
          ['a', ''],
        ] as const;
        for (const [index, [tenant, idempotencyKey]] of pairs.entries()) {
          const record = createRecord(`req_${index}`, { tenant, idempotencyKey, requestHash: `hash-${index}` });
          expect(await store.insert(record, 'memory')).toEqual({ kind: 'inserted' });
        }
        for (const [index, [tenant, idempotencyKey]] of pairs.entries()) {
          const record = createRecord('req_again', { tenant, idempotencyKey, requestHash: `hash-${index}` });
          expect(await store.insert(record, 'memory')).toEqual({ kind: 'known', requestId: `req_${index}` });
        }
      }));

    test('of a hundred inserts with one key at once exactly one is inserted, and all are told its id', () =>
      within(async ({ store }) => {
        const inserts = Array.from({ length: 100 }, (_, index) => store.insert(keyed(`req_${index}`), 'memory'));
        const results = await Promise.all(inserts);
        const inserted = results.findIndex((result) => result.kind === 'inserted');
        expect(results.filter((result) => result.kind === 'inserted')).toHaveLength(1);
        const others = results.filter((_, index) => index !== inserted);
        expect(others).toEqual(Array.from({ length: 99 }, () => ({ kind: 'known', requestId: `req_${inserted}` })));
      }));

    test('requests without a key are never taken for one another', () =>
      within(async ({ store }) => {
        expect(await store.insert(createRecord('req_1'), 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.insert(createRecord('req_2'), 'memory')).toEqual({ kind: 'inserted' });
      }));
  });
}
