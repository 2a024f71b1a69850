/** What a store that outlives its process makes of records that one had in memory when it ended. */
import { describe, expect, test } from 'vitest';
import type { RequestRecord, RequestStore } from '../../src/contract/records.ts';
import type { AttemptReport } from '../../src/contract/response.ts';
import { RECOVERIES_MAX } from '../../src/policy/recover.ts';
import { attemptReport, claimOf, createRecord, failedSettlement, TARGET } from '../support/request-records.ts';
import { expectFenced, expectHolds } from './store-contract.ts';
import { loadRecord, type OpenDurableStore, type OpenedDurableStore, statusOf, subjectOf } from './store-subject.ts';

/** An attempt that its process did not see the end of. */
const CUT_OFF: AttemptReport = {
  ...TARGET,
  outcome: 'abandoned',
  code: 'interrupted',
  message: 'the process ended during this attempt',
  durationMs: 0,
  isMaybeBilled: true,
};

/** Part of `describeDurableStoreContract`. */
export function describeStoreRecovery(name: string, open: OpenDurableStore): void {
  const within = subjectOf(open);

  describe(`the ${name} store: recovery`, () => {
    test('an empty store has nothing to recover', () =>
      within(async ({ store }) => {
        expect(await store.recover()).toEqual({ queued: 0, requeued: [], interrupted: [] });
      }));

    test('what waited in memory waits in the store, as if nothing had happened', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1', { recovery: 'atMostOnce' }), 'memory');
        const next = await opened.restart();
        expect(await next.recover()).toEqual({ queued: 1, requeued: [], interrupted: [] });
        const record = createRecord('req_1', { recovery: 'atMostOnce' });
        expect(await next.load('req_1')).toEqual({ kind: 'found', record, isParked: true });
      }));

    test('what was running is queued again, and the attempt that was cut off is told', () =>
      within(async (opened) => {
        const { store } = opened;
        await store.insert(createRecord('req_1'), 'memory');
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('failed'));
        await store.markRunning(claimOf('req_1'), TARGET);
        const next = await opened.restart();
        expect(await next.recover()).toEqual({ queued: 1, requeued: ['req_1'], interrupted: [] });
        const record = createRecord('req_1', { recoveries: 1, attempts: [attemptReport('failed'), CUT_OFF] });
        expect(await next.load('req_1')).toEqual({ kind: 'found', record, isParked: true });
        expect(await next.listParked(10)).toEqual([record]);
      }));

    test('the attempt that is cut off is told also when the one before it was told twice', () =>
      within(async (opened) => {
        const { store } = opened;
        await store.insert(createRecord('req_1'), 'memory');
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('failed'));
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('failed'));
        const next = await opened.restart();
        await next.recover();
        expect((await loadRecord(next, 'req_1')).attempts).toEqual([attemptReport('failed'), CUT_OFF]);
      }));

    test('an attempt that was told before its process ended is not told as cut off', () =>
      within(async (opened) => {
        const { store } = opened;
        await store.insert(createRecord('req_1'), 'memory');
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('answered'));
        const next = await opened.restart();
        await next.recover();
        expect(await loadRecord(next, 'req_1')).toEqual(
          createRecord('req_1', { recoveries: 1, attempts: [attemptReport('answered')] }),
        );
      }));

    test(`what was running in ${RECOVERIES_MAX} processes that ended is not run again, and says why`, () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1', { idempotencyKey: 'key' }), 'memory');
        for (let ended = 1; ended < RECOVERIES_MAX; ended += 1) {
          const recovered = await dieRunning(opened);
          expect(recovered).toEqual({ queued: 1, requeued: ['req_1'], interrupted: [] });
          expect(await loadRecord(opened.store, 'req_1')).toMatchObject({ status: 'queued', recoveries: ended });
        }
        expect(await dieRunning(opened)).toEqual({ queued: 0, requeued: [], interrupted: ['req_1'] });
        const attempts = Array.from({ length: RECOVERIES_MAX }, () => CUT_OFF);
        const record = await loadRecord(opened.store, 'req_1');
        expect(record).toMatchObject({ status: 'failed', recoveries: RECOVERIES_MAX, attempts });
        expect(record.settlement).toMatchObject({ error: { code: 'interrupted', requestId: 'req_1', attempts } });
        expect(reasonOf(record)).toContain(`${RECOVERIES_MAX} processes ended while the request was running`);
        expect(opened.store.parked).toBe(0);
        expect(await opened.store.claim(['req_1'])).toEqual([]);
        expect(await opened.store.insert(createRecord('req_2', { idempotencyKey: 'key' }), 'memory')).toEqual({
          kind: 'known',
          requestId: 'req_1',
        });
      }));

    test('what may be sent at most once ends with the first process that ends, and says why', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1', { recovery: 'atMostOnce' }), 'memory');
        expect(await dieRunning(opened)).toEqual({ queued: 0, requeued: [], interrupted: ['req_1'] });
        const record = await loadRecord(opened.store, 'req_1');
        expect(record).toMatchObject({ status: 'failed', recoveries: 1, attempts: [CUT_OFF] });
        expect(reasonOf(record)).toContain('atMostOnce');
      }));

    test('a line of a batch that is not run again ends like any other', () =>
      within(async (opened) => {
        const batch = { batchId: 'batch_1', index: 0, customId: undefined };
        await opened.store.insert(createRecord('req_1', { recovery: 'atMostOnce', batch }), 'memory');
        expect(await dieRunning(opened)).toMatchObject({ interrupted: ['req_1'] });
        expect(await loadRecord(opened.store, 'req_1')).toMatchObject({ status: 'failed', batch });
      }));

    test('only processes that ended while it was running count', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1'), 'memory');
        await dieRunning(opened);
        for (let index = 0; index < 5; index += 1) {
          const next = await opened.restart();
          await next.recover();
          await next.claim(['req_1']);
        }
        expect(await loadRecord(opened.store, 'req_1')).toMatchObject({ status: 'queued', recoveries: 1 });
      }));

    test('a process does not recover from itself', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.insert(createRecord('req_2'), 'memory');
        await store.markRunning(claimOf('req_2'), TARGET);
        const before = [await store.load('req_1'), await store.load('req_2')];
        expect(await store.recover()).toEqual({ queued: 0, requeued: [], interrupted: [] });
        expect([await store.load('req_1'), await store.load('req_2')]).toEqual(before);
        await expectHolds(store, claimOf('req_1'));
        await expectHolds(store, claimOf('req_2'));
      }));

    test('to recover twice changes nothing', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1'), 'memory');
        await opened.store.insert(createRecord('req_2'), 'memory');
        await opened.store.markRunning(claimOf('req_2'), TARGET);
        const next = await opened.restart();
        await next.recover();
        const before = [await next.load('req_1'), await next.load('req_2')];
        expect(await next.recover()).toEqual({ queued: 2, requeued: [], interrupted: [] });
        expect([await next.load('req_1'), await next.load('req_2')]).toEqual(before);
        expect(next.parked).toBe(2);
      }));

    test('what has ended stays as it ended', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1'), 'memory');
        await opened.store.markRunning(claimOf('req_1'), TARGET);
        await opened.store.settle(claimOf('req_1'), failedSettlement, 5);
        const before = await opened.store.load('req_1');
        const next = await opened.restart();
        expect(await next.recover()).toEqual({ queued: 0, requeued: [], interrupted: [] });
        expect(await next.load('req_1')).toEqual(before);
      }));

    test('a claim of the process that ended writes nothing, neither before the recovery nor after it', () =>
      within(async (opened) => {
        await opened.store.insert(createRecord('req_1'), 'memory');
        const next = await opened.restart();
        await expectFenced(next, claimOf('req_1'));
        await next.recover();
        await expectFenced(next, claimOf('req_1'));
        const [claim] = await next.claim(['req_1']);
        await expectFenced(next, claimOf('req_1'));
        await expectHolds(next, claim!);
      }));

    test('hundreds of records are recovered at once, each as it was', () =>
      within(async (opened) => {
        const ids = Array.from({ length: 300 }, (_, index) => `req_${index}`);
        await Promise.all(ids.map((id) => opened.store.insert(createRecord(id), 'memory')));
        const running = ids.filter((_, index) => index % 3 === 0);
        await Promise.all(running.map((id) => opened.store.markRunning(claimOf(id), TARGET)));
        const next = await opened.restart();
        const recovered = await next.recover();
        expect(recovered.queued).toBe(300);
        expect(recovered.requeued.toSorted()).toEqual(running.toSorted());
        for (const id of ids) expect(await statusOf(next, id)).toBe('queued');
        expect(next.parked).toBe(300);
      }));
  });
}

/** The process ends while `req_1` is running, and the next one recovers. */
async function dieRunning(opened: OpenedDurableStore): ReturnType<RequestStore['recover']> {
  const [claim] = await opened.store.claim(['req_1']);
  expect(await opened.store.markRunning(claim!, TARGET)).toBe(true);
  const next = await opened.restart();
  return next.recover();
}

function reasonOf({ settlement }: RequestRecord): string {
  return settlement === undefined || settlement.status === 'succeeded' ? '' : settlement.error.message;
}
