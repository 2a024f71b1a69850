import { describe, expect, test } from 'vitest';
import type { Storage } from '../../src/contract/storage.ts';
import type { EngineOptions } from '../../src/stores/sqlite/engine.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import {
  CREATED_AT,
  createBatch,
  createLine,
  describeBatchStoreContract,
  refused,
} from '../contracts/batch-store-contract.ts';
import { RESULT_TTL_MS, StoreFile } from '../support/store-file.ts';

const HOSTS: Readonly<Record<string, (options: EngineOptions) => Promise<Host>>> = {
  'sqlite (in this thread)': async (options) => createInlineHost(options),
  'sqlite (in a thread of its own)': createWorkerHost,
};

for (const [name, createHost] of Object.entries(HOSTS)) {
  describeBatchStoreContract(name, async ({ clock, resultTtlMs }) => {
    const file = new StoreFile();
    const storage = createSqliteStorage(await createHost(file.options({ resultTtlMs })), { clock, retainDays: 30 });
    return {
      storage,
      close: async () => {
        await storage.close();
        file[Symbol.dispose]();
      },
    };
  });
}

async function within(use: (storage: Storage, file: StoreFile, clock: VirtualClock) => Promise<void>): Promise<void> {
  using file = new StoreFile();
  const clock = new VirtualClock();
  const storage = file.open(clock);
  try {
    await use(storage, file, clock);
  } finally {
    await storage.close();
  }
}

describe('batches in a file', () => {
  test('lines that are entered are parked, in the order of the batch', () =>
    within(async ({ batches, requests }) => {
      await batches.create(createBatch('batch_1'));
      const lines = [createLine('batch_1', 0), createLine('batch_1', 1, refused), createLine('batch_1', 2)];
      await batches.enter('batch_1', { from: 0, to: 3 }, lines);
      expect(requests.parked).toBe(2);
      expect(await requests.listParked(9)).toEqual([lines[0], lines[2]]);
      expect(await batches.counts('batch_1')).toMatchObject({ queued: 2, failed: 1 });
    }));

  test('a group that cannot be written leaves neither lines nor how far it was', () =>
    within(async ({ batches, requests }) => {
      await batches.create(createBatch('batch_1'));
      await batches.enter('batch_1', { from: 0, to: 1 }, [createLine('batch_1', 0)]);
      const twice = [createLine('batch_1', 1), createLine('batch_1', 0)];
      await expect(batches.enter('batch_1', { from: 1, to: 3 }, twice)).rejects.toMatchObject({
        code: 'store-unavailable',
      });
      expect(await batches.load('batch_1')).toMatchObject({ batch: { entered: 1 } });
      expect(await requests.load('req_batch_1_1')).toEqual({ kind: 'unknown' });
      expect(requests.parked).toBe(1);
    }));

  test('the next process finds open batches and their lines, and nothing of what was never finished', async () => {
    using file = new StoreFile();
    const clock = new VirtualClock();
    const first = file.open(clock);
    await first.batches.appendLines('batch_1', { first: 0, lines: ['{}'] });
    await first.batches.create(createBatch('batch_1'));
    await first.batches.create(createBatch('batch_2', { finishedAt: CREATED_AT }));
    await first.batches.appendLines('batch_3', { first: 0, lines: ['{}'] });
    await first.files.append('file-1', 0, new Uint8Array(3));
    await first.close();
    const second = file.open(clock);
    expect(await second.batches.recover()).toEqual([createBatch('batch_1')]);
    expect(await second.batches.readLines('batch_1', 0)).toBeDefined();
    await second.close();
    expect(file.read('SELECT batch_id FROM batch_lines')).toEqual([{ batch_id: 'batch_1' }]);
    expect(file.read('SELECT count(*) AS count FROM file_chunks')).toEqual([{ count: 0 }]);
  });

  test('rows that are large come in fewer at a time, and all of them come', () =>
    within(async ({ batches }) => {
      const large = { ...refused, error: { ...refused.error, message: 'x'.repeat(1_500_000) } };
      await batches.create(createBatch('batch_1', { total: 8 }));
      const lines = Array.from({ length: 8 }, (_, index) => createLine('batch_1', index, large));
      await batches.enter('batch_1', { from: 0, to: 8 }, lines);
      const first = await batches.rows('batch_1', 0, 100);
      expect(first.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect((await batches.rows('batch_1', 3, 100)).map(({ index }) => index)).toEqual([3, 4, 5]);
    }));

  test('what has expired leaves the file, some requests at a time', async () => {
    using file = new StoreFile();
    const clock = new VirtualClock();
    const storage = file.open(clock);
    const { batches, files } = storage;
    await batches.create(createBatch('batch_1', { total: 1_200 }));
    const lines = Array.from({ length: 1_200 }, (_, index) => createLine('batch_1', index, refused));
    await batches.enter('batch_1', { from: 0, to: 1_200 }, lines);
    await batches.finish('batch_1', CREATED_AT);
    await files.append('file-1', 0, new Uint8Array(3));
    const expiresAt = CREATED_AT + 60_000;
    await files.finish({
      fileId: 'file-1',
      tenant: 't',
      name: 'n',
      purpose: 'batch',
      bytes: 3,
      digest: '',
      createdAt: CREATED_AT,
      expiresAt,
    });
    // Sweeps that find nothing come up to ten minutes apart.
    await clock.advance(RESULT_TTL_MS * 2 + 30 * 60_000);
    await storage.close();
    for (const table of ['batches', 'batch_lines', 'requests', 'settlements', 'bodies', 'files', 'file_chunks'])
      expect([table, ...file.read(`SELECT count(*) AS count FROM ${table}`)]).toEqual([table, { count: 0 }]);
  });
});
