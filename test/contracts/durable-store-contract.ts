/**
 * What a request store keeps to that outlives its process: records wait in it alone, and the next process finds what the last
 * one left behind.
 */
import { describe, expect, test } from 'vitest';
import type { RequestStore } from '../../src/contract/records.ts';
import {
  attemptReport,
  cancelledSettlement,
  claimOf,
  createRecord,
  failedSettlement,
  TARGET,
} from '../support/request-records.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';
import { expectFenced, expectHolds } from './store-contract.ts';
import { describeStoreRecovery } from './store-recovery-contract.ts';
import { loadRecord, type OpenDurableStore, statusOf, subjectOf } from './store-subject.ts';

/** Runs the contract against the stores that `open` opens. */
export function describeDurableStoreContract(name: string, open: OpenDurableStore): void {
  const within = subjectOf(open);

  describe(`the ${name} store: parking`, () => {
    test('a record that is inserted for the store is parked: found as it was, counted, and nobody may write it', () =>
      within(async ({ store }) => {
        expect(store.isDurable).toBe(true);
        const record = createRecord('req_1');
        expect(await store.insert(record, 'store')).toEqual({ kind: 'inserted' });
        expect(await store.load('req_1')).toEqual({ kind: 'found', record, isParked: true });
        expect(store.parked).toBe(1);
        for (const fence of [0, 1, 2]) await expectFenced(store, { requestId: 'req_1', fence });
      }));

    test('a record that is claimed is parked no more, and the claim holds', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'store');
        const [claim] = await store.claim(['req_1']);
        expect(await store.load('req_1')).toMatchObject({ kind: 'found', isParked: false });
        expect(store.parked).toBe(0);
        expect(await store.listParked(10)).toEqual([]);
        await expectHolds(store, claim!);
      }));

    test('listing claims nothing, however often it is done', () =>
      within(async ({ store }) => {
        for (const requestId of ['req_1', 'req_2']) await store.insert(createRecord(requestId), 'store');
        await store.insert(createRecord('req_3'), 'memory');
        const listed = await store.listParked(10);
        expect(listed).toEqual([createRecord('req_1'), createRecord('req_2')]);
        expect(await store.listParked(10)).toEqual(listed);
        expect(await store.listParked(1)).toEqual(listed.slice(0, 1));
        expect(store.parked).toBe(2);
      }));

    test('a claim that is given back holds no more, and the record waits again with what was tried', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('failed'));
        await store.markQueued(claimOf('req_1'));
        expect(await store.park(claimOf('req_1'))).toBe(true);
        expect(await store.park(claimOf('req_1'))).toBe(false);
        const waiting = createRecord('req_1', { attempts: [attemptReport('failed')] });
        expect(await store.load('req_1')).toEqual({ kind: 'found', record: waiting, isParked: true });
        expect(await store.listParked(10)).toEqual([waiting]);
        expect(store.parked).toBe(1);
        await expectFenced(store, claimOf('req_1'));
        const [claim] = await store.claim(['req_1']);
        await expectFenced(store, claimOf('req_1'));
        await expectHolds(store, claim!);
      }));

    test('a record that is parked while it is running waits like any other, and its attempt was none', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.markRunning(claimOf('req_1'), TARGET);
        expect(await store.park(claimOf('req_1'))).toBe(true);
        expect(await store.listParked(10)).toEqual([createRecord('req_1')]);
      }));

    test('a parked record can be ended, once', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'store');
        await store.insert(createRecord('req_2'), 'store');
        expect(await store.settleParked('req_1', cancelledSettlement, 7)).toBe(true);
        expect(await store.settleParked('req_1', failedSettlement, 8)).toBe(false);
        expect(await store.settleParked('req_none', cancelledSettlement, 7)).toBe(false);
        const ended = createRecord('req_1', { status: 'cancelled', settlement: cancelledSettlement, settledAt: 7 });
        expect(await store.load('req_1')).toEqual({ kind: 'found', record: ended, isParked: false });
        expect(store.parked).toBe(1);
        expect((await store.listParked(10)).map(({ requestId }) => requestId)).toEqual(['req_2']);
        expect(await store.claim(['req_1'])).toEqual([]);
      }));

    test('of a claim and an end from outside at once exactly one happens', () =>
      within(async ({ store }) => {
        for (let index = 0; index < 20; index += 1) await store.insert(createRecord(`req_${index}`), 'store');
        for (let index = 0; index < 20; index += 1) {
          const requestId = `req_${index}`;
          const claiming = index % 2 === 0 ? store.claim([requestId]) : undefined;
          const ending = store.settleParked(requestId, cancelledSettlement, 7);
          const claims = await (claiming ?? store.claim([requestId]));
          expect([claims.length, await ending]).toEqual(index % 2 === 0 ? [1, false] : [0, true]);
        }
      }));

    test('those whose deadline has passed are listed, the first to pass first; only parked ones, and no more than asked for', () =>
      within(async ({ store }, clock) => {
        const waiting = (requestId: string, timeoutMs: number) =>
          createRecord(requestId, { enqueuedAt: clock.wallMs(), timeoutMs, tenant: requestId, priority: 'low' });
        const overdue = async (max: number) => (await store.listOverdue(max)).map(({ requestId }) => requestId);
        for (const timeoutMs of [3_000, 1_000, 2_000])
          await store.insert(waiting(`req_${timeoutMs}`, timeoutMs), 'store');
        await store.insert(waiting('req_memory', 1_000), 'memory');
        await clock.advance(999);
        expect(await overdue(10)).toEqual([]);
        await clock.advance(1);
        expect(await overdue(10)).toEqual(['req_1000']);
        await clock.advance(2_000);
        expect(await overdue(10)).toEqual(['req_1000', 'req_2000', 'req_3000']);
        expect(await overdue(2)).toEqual(['req_1000', 'req_2000']);
        await store.claim(['req_2000']);
        await store.settleParked('req_1000', failedSettlement, 5);
        expect(await store.listOverdue(10)).toMatchObject([
          { requestId: 'req_3000', tenant: 'req_3000', timeoutMs: 3_000 },
        ]);
      }));

    test('a key stands for a parked record too', () =>
      within(async ({ store }) => {
        const keyed = (requestId: string) => createRecord(requestId, { idempotencyKey: 'key' });
        await store.insert(keyed('req_1'), 'store');
        expect(await store.insert(keyed('req_2'), 'store')).toEqual({ kind: 'known', requestId: 'req_1' });
        expect(await store.insert(keyed('req_3'), 'memory')).toEqual({ kind: 'known', requestId: 'req_1' });
        expect(store.parked).toBe(1);
      }));
  });

  describe(`the ${name} store: the next process`, () => {
    test('finds every record as it was, settled ones included', () =>
      within(async (opened) => {
        const { store } = opened;
        const batch = { batchId: 'batch_1', index: 3, customId: 'c' };
        await store.insert(createRecord('req_parked', { batch, tenant: '\u{1f600}' }), 'store');
        await store.insert(createRecord('req_settled'), 'memory');
        await store.addAttempt(claimOf('req_settled'), 1, attemptReport('failed'));
        await store.settle(claimOf('req_settled'), failedSettlement, 5);
        const before = await Promise.all(['req_parked', 'req_settled', 'req_none'].map((id) => store.load(id)));
        const next = await opened.restart();
        expect(await Promise.all(['req_parked', 'req_settled', 'req_none'].map((id) => next.load(id)))).toEqual(before);
      }));

    test('knows how many wait as soon as it has recovered', () =>
      within(async (opened) => {
        for (let index = 0; index < 5; index += 1)
          await opened.store.insert(
            createRecord(`req_${index}`, { tenant: `t${index % 2}` }),
            index < 3 ? 'store' : 'memory',
          );
        const next = await opened.restart();
        expect(await next.recover()).toEqual({ queued: 5, requeued: [], interrupted: [] });
        expect(next.parked).toBe(5);
        expect(await next.listParked(10)).toHaveLength(5);
      }));

    test('knows the idempotency keys', () =>
      within(async (opened) => {
        const keyed = (requestId: string, idempotencyKey: string, requestHash = 'hash-1') =>
          createRecord(requestId, { idempotencyKey, requestHash });
        await opened.store.insert(keyed('req_open', 'open'), 'memory');
        await opened.store.insert(keyed('req_parked', 'parked'), 'store');
        await opened.store.insert(keyed('req_ended', 'ended'), 'memory');
        await opened.store.settle(claimOf('req_ended'), failedSettlement, 5);
        const next = await opened.restart();
        await next.recover();
        for (const key of ['open', 'parked', 'ended']) {
          expect(await next.insert(keyed('req_2', key), 'memory')).toEqual({ kind: 'known', requestId: `req_${key}` });
          const other = keyed('req_2', key, 'hash-2');
          expect(await next.insert(other, 'memory')).toEqual({ kind: 'conflict', requestId: `req_${key}` });
        }
      }));

    test('lets a result expire when its time has come, whoever was running meanwhile', () =>
      within(async (opened, clock) => {
        await settled(opened.store, 'req_1');
        await clock.advance(RESULT_TTL_MS - 1);
        let next = await opened.restart();
        expect(await statusOf(next, 'req_1')).toBe('failed');
        await clock.advance(1);
        next = await opened.restart();
        expect(await statusOf(next, 'req_1')).toBe('expired');
        expect(await next.insert(createRecord('req_2', { idempotencyKey: 'key' }), 'memory')).toEqual({
          kind: 'inserted',
        });
        await clock.advance(RESULT_TTL_MS - 1);
        next = await opened.restart();
        expect(await statusOf(next, 'req_1')).toBe('expired');
        await clock.advance(1);
        next = await opened.restart();
        expect(await statusOf(next, 'req_1')).toBe('unknown');
      }));
  });

  describe(`the ${name} store: lines of batches`, () => {
    test('a line does not expire by itself', () =>
      within(async ({ store }, clock) => {
        const line = (index: number) => ({ batch: { batchId: 'batch_1', index, customId: undefined } });
        await store.insert(createRecord('req_0', line(0)), 'memory');
        await store.settle(claimOf('req_0'), failedSettlement, 5);
        await store.insert(createRecord('req_1', line(1)), 'store');
        await store.settleParked('req_1', cancelledSettlement, 5);
        await settled(store, 'req_alone');
        await clock.advance(3 * RESULT_TTL_MS);
        expect(await statusOf(store, 'req_alone')).toBe('unknown');
        expect(await loadRecord(store, 'req_0')).toMatchObject({ status: 'failed', settlement: failedSettlement });
        expect(await statusOf(store, 'req_1')).toBe('cancelled');
      }));
  });

  describeStoreRecovery(name, open);
}

async function settled(store: RequestStore, requestId: string): Promise<void> {
  await store.insert(createRecord(requestId, { idempotencyKey: 'key' }), 'memory');
  await store.settle(claimOf(requestId), failedSettlement, 5);
}
