/**
 * What every store of batches keeps to, whatever it is made of. A store's own test file hands in how to open an empty storage
 * over a virtual clock; what only that store has (bounds, files, kills) stays in its own file.
 */
import { describe, expect, test } from 'vitest';
import type { BatchRecord, BatchStore } from '../../src/contract/batches.ts';
import { FIRST_FENCE, type RequestRecord, type Settlement } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createRecord } from '../support/request-records.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';

export interface BatchSubject {
  readonly storage: Pick<Storage, 'requests' | 'batches' | 'files'>;
  close(): Promise<void>;
}

export type OpenBatchSubject = (options: {
  readonly clock: VirtualClock;
  readonly resultTtlMs: number;
}) => Promise<BatchSubject>;

export const CREATED_AT = Date.UTC(2026, 0, 1);

/** A batch that was just taken in. */
export function createBatch(batchId: string, changes: Partial<BatchRecord> = {}): BatchRecord {
  return {
    batchId,
    tenant: 'default',
    kind: 'completion',
    idempotencyKey: undefined,
    requestHash: 'hash-1',
    settings: {
      priority: 'low',
      timeoutMs: 86_400_000,
      tags: { team: 'one' },
      fallbacks: undefined,
      recovery: 'atLeastOnce',
    },
    metadata: {},
    inputFileId: undefined,
    total: 3,
    entered: 0,
    createdAt: CREATED_AT,
    ...changes,
  };
}

/** The request of a line; with a settlement it has ended. */
export function createLine(batchId: string, index: number, settlement?: Settlement): RequestRecord {
  const record = createRecord(`req_${batchId}_${index}`, { batch: { batchId, index, customId: `line-${index}` } });
  if (settlement === undefined) return record;
  return { ...record, status: settlement.status, settlement, settledAt: CREATED_AT + 5 };
}

export const refused = {
  status: 'failed',
  error: { code: 'invalid-request', message: 'line 2: expected messages to be an array', attempts: [] },
} satisfies Settlement;

const cancelled: Settlement = {
  status: 'cancelled',
  error: { code: 'cancelled', message: 'the batch was cancelled', attempts: [] },
};

const NOTHING = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };

async function statusOf(batches: BatchStore, batchId: string): Promise<string> {
  return (await batches.load(batchId)).kind;
}

/** Runs the contract against the storages that `open` opens. */
export function describeBatchStoreContract(name: string, open: OpenBatchSubject): void {
  const within = async (
    use: (storage: BatchSubject['storage'], clock: VirtualClock) => Promise<void>,
  ): Promise<void> => {
    const clock = new VirtualClock();
    const subject = await open({ clock, resultTtlMs: RESULT_TTL_MS });
    try {
      await use(subject.storage, clock);
    } finally {
      await subject.close();
    }
  };

  describe(`batches in the ${name} store`, () => {
    test('a batch that was created is found as it was, every field of it', () =>
      within(async ({ batches }) => {
        const plain = createBatch('batch_1');
        const full = createBatch('batch_2', {
          tenant: 'acme',
          kind: 'embedding',
          idempotencyKey: 'k',
          settings: { ...plain.settings, priority: 'high', fallbacks: ['a/m'], recovery: 'atMostOnce' },
          metadata: { job: 'nightly' },
          inputFileId: 'file-1',
          total: 0,
          finishedAt: CREATED_AT,
          problems: [{ code: 'invalid_url', message: 'wrong', line: 3, param: 'url' }],
        });
        expect(await batches.create(plain)).toEqual({ kind: 'inserted' });
        expect(await batches.create(full)).toEqual({ kind: 'inserted' });
        expect(await batches.load('batch_1')).toEqual({ kind: 'found', batch: plain });
        expect(await batches.load('batch_2')).toEqual({ kind: 'found', batch: full });
        expect(await batches.load('batch_none')).toEqual({ kind: 'unknown' });
      }));

    test('an idempotency key stands for one batch of its tenant', () =>
      within(async ({ batches }) => {
        const keyed = createBatch('batch_1', { idempotencyKey: 'k' });
        await batches.create(keyed);
        expect(await batches.create(createBatch('batch_2', { idempotencyKey: 'k' }))).toEqual({
          kind: 'known',
          batchId: 'batch_1',
        });
        expect(await batches.create(createBatch('batch_3', { idempotencyKey: 'k', requestHash: 'other' }))).toEqual({
          kind: 'conflict',
          batchId: 'batch_1',
        });
        expect(await batches.create(createBatch('batch_4', { idempotencyKey: 'k', tenant: 'acme' }))).toEqual({
          kind: 'inserted',
        });
        expect(await batches.findByKey('default', 'k')).toEqual(keyed);
        expect(await batches.findByKey('acme', 'none')).toBeUndefined();
        expect(await batches.findByKey('nobody', 'k')).toBeUndefined();
        expect([await statusOf(batches, 'batch_2'), await statusOf(batches, 'batch_3')]).toEqual([
          'unknown',
          'unknown',
        ]);
      }));

    test('lists begin with the newest and go on after the last one seen', () =>
      within(async ({ batches }) => {
        for (const number of [1, 2, 3]) await batches.create(createBatch(`batch_${number}`));
        const ids = async (after?: string) => {
          const listed = await batches.list({ max: 2, ...(after !== undefined && { after }) });
          return listed.map(({ batchId }) => batchId);
        };
        expect(await ids()).toEqual(['batch_3', 'batch_2']);
        expect(await ids('batch_2')).toEqual(['batch_1']);
        expect(await ids('batch_1')).toEqual([]);
        expect(await ids('batch_none')).toEqual([]);
      }));

    test('waiting lines are read by any line that is in their group', () =>
      within(async ({ batches }) => {
        const first = { first: 0, lines: ['{"a":1}', '{"b":"\\n"}'] };
        const second = { first: 2, lines: ['{}'] };
        await batches.appendLines('batch_1', first);
        await batches.appendLines('batch_1', second);
        await batches.appendLines('batch_1', { first: 2, lines: ['"again"'] });
        await batches.create(createBatch('batch_1'));
        expect(await batches.readLines('batch_1', 0)).toEqual(first);
        expect(await batches.readLines('batch_1', 1)).toEqual(first);
        expect(await batches.readLines('batch_1', 2)).toEqual(second);
        expect(await batches.readLines('batch_1', 3)).toBeUndefined();
        expect(await batches.readLines('batch_2', 0)).toBeUndefined();
      }));

    test('lines of a batch that was not created are forgotten, those of one that was are not', () =>
      within(async ({ batches }) => {
        for (const batchId of ['batch_1', 'batch_2']) await batches.appendLines(batchId, { first: 0, lines: ['{}'] });
        await batches.create(createBatch('batch_1', { total: 1 }));
        await batches.dropLines('batch_1');
        await batches.dropLines('batch_2');
        expect(await batches.readLines('batch_1', 0)).toBeDefined();
        expect(await batches.readLines('batch_2', 0)).toBeUndefined();
      }));

    test('entering moves on once: a second time, or from another place, nothing changes', () =>
      within(async ({ batches, requests }) => {
        await batches.appendLines('batch_1', { first: 0, lines: ['{}', '{}'] });
        await batches.appendLines('batch_1', { first: 2, lines: ['{}'] });
        await batches.create(createBatch('batch_1'));
        const range = { from: 0, to: 2 };
        const lines = [createLine('batch_1', 0, refused), createLine('batch_1', 1, cancelled)];
        expect(await batches.enter('batch_1', range, lines)).toBe(true);
        expect(await batches.enter('batch_1', range, [createLine('batch_1', 5, refused)])).toBe(false);
        expect(await batches.enter('batch_1', { from: 1, to: 2 }, [])).toBe(false);
        expect(await batches.enter('batch_none', { from: 0, to: 1 }, [])).toBe(false);
        expect(await batches.load('batch_1')).toMatchObject({ batch: { entered: 2 } });
        expect(await batches.counts('batch_1')).toEqual({ ...NOTHING, failed: 1, cancelled: 1 });
        // What was entered is a request now, and waits no more.
        expect(await batches.readLines('batch_1', 1)).toBeUndefined();
        expect(await batches.readLines('batch_1', 2)).toBeDefined();
        expect(await requests.load('req_batch_1_5')).toEqual({ kind: 'unknown' });
      }));

    test('a line that ended as it was entered is found like any settled request, and is not parked', () =>
      within(async ({ batches, requests }) => {
        await batches.create(createBatch('batch_1'));
        await batches.enter('batch_1', { from: 0, to: 1 }, [createLine('batch_1', 0, refused)]);
        expect(await requests.load('req_batch_1_0')).toMatchObject({
          kind: 'found',
          record: { status: 'failed', settlement: refused, batch: { index: 0, customId: 'line-0' } },
        });
        expect(requests.parked).toBe(0);
        expect(await requests.settle({ requestId: 'req_batch_1_0', fence: FIRST_FENCE }, cancelled, 1)).toBe(false);
      }));

    test('counts and rows follow the requests of one batch, rows in order of their lines', () =>
      within(async ({ batches, requests }) => {
        await batches.create(createBatch('batch_1'));
        await batches.create(createBatch('batch_2'));
        for (const index of [0, 1, 2]) await requests.insert(createLine('batch_1', index), 'memory');
        await requests.insert(createLine('batch_2', 0), 'memory');
        const claim = (index: number) => ({ requestId: `req_batch_1_${index}`, fence: FIRST_FENCE });
        await requests.markRunning(claim(1), { provider: 'a', model: 'm' });
        await requests.settle(claim(2), refused, CREATED_AT + 9);
        expect(await batches.counts('batch_1')).toEqual({ ...NOTHING, queued: 1, running: 1, failed: 1 });
        expect(await batches.counts('batch_2')).toEqual({ ...NOTHING, queued: 1 });
        expect(await batches.counts('batch_none')).toEqual(NOTHING);
        const row = { batchId: 'batch_1', index: 0, customId: 'line-0', requestId: 'req_batch_1_0', status: 'queued' };
        expect(await batches.rows('batch_1', 0, 1)).toEqual([row]);
        expect(await batches.rows('batch_1', 1, 5)).toMatchObject([
          { index: 1, status: 'running' },
          { index: 2, status: 'failed', settlement: refused },
        ]);
        expect(await batches.rows('batch_1', 3, 5)).toEqual([]);
        expect(await batches.listUnsettled('batch_1', 9)).toEqual(['req_batch_1_0', 'req_batch_1_1']);
        expect(await batches.listUnsettled('batch_1', 1)).toEqual(['req_batch_1_0']);
      }));

    test('the first cancellation counts, and none after the end', () =>
      within(async ({ batches }) => {
        await batches.create(createBatch('batch_1'));
        await batches.create(createBatch('batch_2'));
        expect(await batches.cancel('batch_1', CREATED_AT + 1)).toBe(true);
        expect(await batches.cancel('batch_1', CREATED_AT + 2)).toBe(false);
        expect(await batches.finish('batch_1', CREATED_AT + 3)).toBe(true);
        expect(await batches.finish('batch_1', CREATED_AT + 4)).toBe(false);
        expect(await batches.load('batch_1')).toMatchObject({
          batch: { cancelledAt: CREATED_AT + 1, finishedAt: CREATED_AT + 3 },
        });
        await batches.finish('batch_2', CREATED_AT + 3);
        expect(await batches.cancel('batch_2', CREATED_AT + 4)).toBe(false);
        expect(await batches.cancel('batch_none', CREATED_AT)).toBe(false);
        expect(await batches.finish('batch_none', CREATED_AT)).toBe(false);
      }));

    test('results outlive those of single requests: they expire with their batch, whole', () =>
      within(async ({ batches, requests }, clock) => {
        await batches.create(createBatch('batch_1', { total: 2, idempotencyKey: 'k' }));
        await batches.enter('batch_1', { from: 0, to: 1 }, [createLine('batch_1', 0, refused)]);
        await clock.advance(RESULT_TTL_MS * 3);
        await batches.enter('batch_1', { from: 1, to: 2 }, [createLine('batch_1', 1, refused)]);
        await batches.finish('batch_1', CREATED_AT);
        await clock.advance(RESULT_TTL_MS - 1);
        expect(await batches.counts('batch_1')).toMatchObject({ failed: 2 });
        expect(await requests.load('req_batch_1_0')).toMatchObject({ kind: 'found' });
        await clock.advance(1);
        expect(await statusOf(batches, 'batch_1')).toBe('expired');
        expect(await batches.list({ max: 5 })).toEqual([]);
        expect(await batches.findByKey('default', 'k')).toBeUndefined();
        expect(await batches.create(createBatch('batch_2', { idempotencyKey: 'k' }))).toEqual({ kind: 'inserted' });
        expect(await requests.load('req_batch_1_0')).toEqual({ kind: 'expired' });
        await clock.advance(RESULT_TTL_MS);
        expect(await requests.load('req_batch_1_0')).toEqual({ kind: 'unknown' });
        expect(await statusOf(batches, 'batch_1')).toBe('unknown');
        expect(await statusOf(batches, 'batch_2')).toBe('found');
      }));
  });

  describe(`files in the ${name} store`, () => {
    const file = (fileId: string, changes: object = {}) => ({
      fileId,
      tenant: 'default',
      name: 'requests.jsonl',
      purpose: 'batch',
      bytes: 5,
      digest: 'abc',
      createdAt: CREATED_AT,
      expiresAt: CREATED_AT + 60_000,
      ...changes,
    });
    const bytes = (text: string) => new Uint8Array(Buffer.from(text));

    test('a file is seen once it was finished, and read back chunk by chunk', () =>
      within(async ({ files }) => {
        expect(await files.append('file-1', 0, bytes('abc'))).toBe(true);
        expect(await files.append('file-1', 1, bytes('de'))).toBe(true);
        expect(await files.append('file-1', 1, bytes('XX'))).toBe(true);
        expect(await files.load('file-1')).toBeUndefined();
        expect(await files.list({ max: 5 })).toEqual([]);
        await files.finish(file('file-1'));
        expect(await files.load('file-1')).toEqual(file('file-1'));
        const chunks = [await files.read('file-1', 0), await files.read('file-1', 1)];
        expect(chunks.map((chunk) => Buffer.from(chunk ?? []).toString())).toEqual(['abc', 'de']);
        expect(await files.read('file-1', 2)).toBeUndefined();
        expect(await files.read('file-2', 0)).toBeUndefined();
      }));

    test('files are listed newest first, removed once, and gone when they have expired', () =>
      within(async ({ files }, clock) => {
        for (const number of [1, 2, 3]) {
          await files.append(`file-${number}`, 0, bytes('x'));
          await files.finish(file(`file-${number}`, number === 2 ? { expiresAt: CREATED_AT + 10 } : {}));
        }
        const ids = async (after?: string) =>
          (await files.list({ max: 2, ...(after !== undefined && { after }) })).map(({ fileId }) => fileId);
        expect(await ids()).toEqual(['file-3', 'file-2']);
        expect(await ids('file-2')).toEqual(['file-1']);
        expect(await files.remove('file-3')).toBe(true);
        expect(await files.remove('file-3')).toBe(false);
        await clock.advance(20_000);
        expect(await ids()).toEqual(['file-1']);
        expect(await files.load('file-2')).toBeUndefined();
        expect(await files.read('file-2', 0)).toBeUndefined();
      }));

    test('what was begun and not finished can be removed', () =>
      within(async ({ files }) => {
        await files.append('file-1', 0, bytes('x'));
        await files.remove('file-1');
        await files.finish(file('file-1'));
        expect(await files.read('file-1', 0)).toBeUndefined();
      }));
  });
}
