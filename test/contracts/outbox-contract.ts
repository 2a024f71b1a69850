/**
 * What every outbox of notices keeps to, whatever it is made of. A store's own test file hands in how to open an empty one over
 * a virtual clock, together with the store whose settlements it notes.
 */
import { describe, expect, test } from 'vitest';
import { FIRST_FENCE, type RequestRecord, type RequestStore } from '../../src/contract/records.ts';
import type { WebhookOutbox } from '../../src/contract/storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createRecord, failedSettlement } from '../support/request-records.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';

export interface OutboxSubject {
  readonly requests: RequestStore;
  readonly outbox: WebhookOutbox;
  readonly close: () => Promise<void>;
}

export type OpenOutbox = (clock: VirtualClock) => Promise<OutboxSubject>;

interface World {
  readonly clock: VirtualClock;
  readonly outbox: WebhookOutbox;
  readonly requests: RequestStore;
  readonly nowMs: () => number;
  /** Writes the end of a request that was inserted. */
  readonly end: (requestId: string) => Promise<boolean>;
  /** Inserts a request and writes its end. */
  readonly settle: (requestId: string, changes?: Partial<RequestRecord>) => Promise<void>;
  /** Ids of what is due, in order. */
  readonly due: (max?: number) => Promise<readonly string[]>;
}

/** Runs the contract against the outboxes that `open` opens. */
export function describeOutboxContract(name: string, open: OpenOutbox): void {
  const within = async (body: (world: World) => Promise<void>): Promise<void> => {
    const clock = new VirtualClock();
    const { requests, outbox, close } = await open(clock);
    const nowMs = (): number => clock.wallMs();
    const end = (requestId: string): Promise<boolean> =>
      requests.settle({ requestId, fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    const settle = async (requestId: string, changes: Partial<RequestRecord> = {}): Promise<void> => {
      await requests.insert(createRecord(requestId, changes), 'memory');
      expect(await end(requestId)).toBe(true);
    };
    const due = async (max = 10): Promise<readonly string[]> =>
      (await outbox.due(nowMs(), max)).map(({ requestId }) => requestId);
    try {
      await body({ clock, requests, outbox, nowMs, end, settle, due });
    } finally {
      await close();
    }
  };

  describe(`the outbox of ${name}`, () => {
    test('is empty as long as nothing has ended', () =>
      within(async ({ outbox, due }) => {
        expect(await due()).toEqual([]);
        expect(await outbox.nextDueAt()).toBeUndefined();
      }));

    test('has a notice of each settlement, due at once and not tried yet', () =>
      within(async ({ clock, outbox, settle, nowMs }) => {
        await clock.advance(1_000);
        await settle('req_1');
        expect(await outbox.due(nowMs(), 10)).toMatchObject([
          {
            requestId: 'req_1',
            settlement: { status: 'failed', error: { code: 'provider-error', message: 'the provider answered 500' } },
            settledAt: nowMs(),
            tries: 0,
            dueAt: nowMs(),
          },
        ]);
        expect(await outbox.nextDueAt()).toBe(nowMs());
      }));

    test('has one notice of a request, however often it is settled', () =>
      within(async ({ outbox, settle, end, due }) => {
        await settle('req_1');
        expect(await end('req_1')).toBe(false);
        expect(await due()).toEqual(['req_1']);
        await outbox.remove('req_1');
        expect(await end('req_1')).toBe(false);
        expect(await due()).toEqual([]);
      }));

    test('has no notice of a line of a batch', () =>
      within(async ({ settle, due }) => {
        await settle('req_1', { batch: { batchId: 'batch_1', index: 0, customId: undefined } });
        expect(await due()).toEqual([]);
      }));

    test('has a notice that was looked at until it is removed', () =>
      within(async ({ outbox, settle, due }) => {
        await settle('req_1');
        expect(await due()).toEqual(['req_1']);
        expect(await due()).toEqual(['req_1']);
        await outbox.remove('req_1');
        expect(await due()).toEqual([]);
        expect(await outbox.nextDueAt()).toBeUndefined();
      }));

    test('gives the oldest first, and no more than it is asked for', () =>
      within(async ({ clock, settle, due }) => {
        for (const requestId of ['req_1', 'req_2', 'req_3']) {
          await settle(requestId);
          await clock.advance(10);
        }
        expect(await due(2)).toEqual(['req_1', 'req_2']);
        expect(await due(3)).toEqual(['req_1', 'req_2', 'req_3']);
      }));

    test('gives a postponed notice when its time has come, and says how often it was tried', () =>
      within(async ({ clock, outbox, settle, due, nowMs }) => {
        await settle('req_1');
        await settle('req_2');
        await outbox.postpone('req_1', 1, nowMs() + 5_000);
        expect(await due()).toEqual(['req_2']);
        await outbox.remove('req_2');
        expect(await outbox.nextDueAt()).toBe(nowMs() + 5_000);
        await clock.advance(4_999);
        expect(await due()).toEqual([]);
        await clock.advance(1);
        expect(await outbox.due(nowMs(), 10)).toMatchObject([{ requestId: 'req_1', tries: 1, dueAt: nowMs() }]);
        await outbox.postpone('req_1', 2, nowMs());
        expect(await outbox.due(nowMs(), 10)).toMatchObject([{ tries: 2 }]);
      }));

    test('postpones a notice once, however often it is asked to', () =>
      within(async ({ outbox, settle, nowMs }) => {
        await settle('req_1');
        await outbox.postpone('req_1', 1, nowMs());
        await outbox.postpone('req_1', 1, nowMs());
        expect(await outbox.due(nowMs(), 10)).toMatchObject([{ requestId: 'req_1', tries: 1, dueAt: nowMs() }]);
      }));

    test('orders what was postponed and what is new by when it was due', () =>
      within(async ({ clock, outbox, settle, due, nowMs }) => {
        await settle('req_old');
        await outbox.postpone('req_old', 1, nowMs() + 5_000);
        await clock.advance(3_000);
        await settle('req_earlier');
        await clock.advance(3_000);
        await settle('req_later');
        expect(await due()).toEqual(['req_earlier', 'req_old', 'req_later']);
      }));

    test('says of a notice whose result has expired that there is nothing left to come for, until it is removed', () =>
      within(async ({ clock, requests, outbox, settle, nowMs }) => {
        await settle('req_1');
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await outbox.due(nowMs(), 10)).toMatchObject([{ requestId: 'req_1', settlement: { status: 'failed' } }]);
        const expired = [{ requestId: 'req_1', tries: 0, settlement: undefined }];
        await clock.advance(1);
        expect(await outbox.due(nowMs(), 10)).toMatchObject(expired);
        // By then the store has deleted the result, and after that the id.
        await clock.advance(60_000);
        expect(await requests.load('req_1')).toMatchObject({ kind: 'expired' });
        expect(await outbox.due(nowMs(), 10)).toMatchObject(expired);
        await clock.advance(RESULT_TTL_MS + 60_000);
        expect(await requests.load('req_1')).toMatchObject({ kind: 'unknown' });
        expect(await outbox.due(nowMs(), 10)).toMatchObject(expired);
        await outbox.remove('req_1');
        expect(await outbox.nextDueAt()).toBeUndefined();
      }));

    test('has a notice due at the latest when its result expires, however far it is postponed', () =>
      within(async ({ clock, requests, outbox, settle, nowMs }) => {
        await settle('req_1');
        const expiresAt = nowMs() + RESULT_TTL_MS;
        await outbox.postpone('req_1', 1, expiresAt + 5_000);
        expect(await outbox.nextDueAt()).toBe(expiresAt);
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await outbox.due(nowMs(), 10)).toEqual([]);
        await clock.advance(1);
        expect(await outbox.due(nowMs(), 10)).toMatchObject([{ tries: 1, settlement: undefined }]);
        // A try that was under way is over only when nothing is left of the result, or of its request.
        for (const waitMs of [60_000, RESULT_TTL_MS]) {
          await clock.advance(waitMs);
          await requests.load('req_1');
          await outbox.postpone('req_1', 2, nowMs() + 5_000);
          expect(await outbox.due(nowMs(), 10)).toMatchObject([{ tries: 2, settlement: undefined }]);
        }
      }));

    test('takes no notice of an id that it does not have', () =>
      within(async ({ outbox, due, nowMs }) => {
        await outbox.postpone('req_1', 1, nowMs());
        await outbox.remove('req_1');
        expect(await due()).toEqual([]);
        expect(await outbox.nextDueAt()).toBeUndefined();
      }));
  });
}
