import { describe, expect, test } from 'vitest';
import { MemoryBatches } from '../../src/stores/memory-batches.ts';
import { MemoryFiles } from '../../src/stores/memory-files.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import {
  CREATED_AT,
  createBatch,
  createLine,
  describeBatchStoreContract,
  refused,
} from '../contracts/batch-store-contract.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';

function openMemory(clock: VirtualClock, bounds: { readonly linesMax?: number; readonly bytesMax?: number } = {}) {
  const requests = new MemoryStore({ clock, resultTtlMs: RESULT_TTL_MS });
  const batches = new MemoryBatches({ clock, resultTtlMs: RESULT_TTL_MS, records: requests, ...bounds });
  return { requests, batches, files: new MemoryFiles({ clock, ...bounds }) };
}

describeBatchStoreContract('memory', async ({ clock }) => {
  const storage = openMemory(clock);
  return { storage, close: () => storage.requests.close() };
});

describe('the bounds of the memory store', () => {
  test('batches that finished make room for new ones, the first of them first; open ones never do', async () => {
    const clock = new VirtualClock();
    const { batches, requests } = openMemory(clock, { linesMax: 10 });
    for (const number of [1, 2]) {
      await batches.create(createBatch(`batch_${number}`, { total: 3 }));
      await batches.enter(`batch_${number}`, { from: 0, to: 1 }, [createLine(`batch_${number}`, 0, refused)]);
      await batches.finish(`batch_${number}`, CREATED_AT);
    }
    expect(await batches.create(createBatch('batch_3', { total: 4 }))).toEqual({ kind: 'inserted' });
    expect(await batches.create(createBatch('batch_4', { total: 1 }))).toEqual({ kind: 'inserted' });
    expect(await batches.load('batch_1')).toEqual({ kind: 'expired' });
    expect(await requests.load('req_batch_1_0')).toEqual({ kind: 'expired' });
    expect(await batches.load('batch_2')).toMatchObject({ kind: 'found' });
    expect(await batches.create(createBatch('batch_5', { total: 6 }))).toEqual({ kind: 'full' });
    expect(await batches.create(createBatch('batch_6', { total: 5 }))).toEqual({ kind: 'inserted' });
    expect(await batches.load('batch_3')).toMatchObject({ kind: 'found' });
  });

  test('files that are older make room; one that is larger than all the room is refused', async () => {
    const { files } = openMemory(new VirtualClock(), { bytesMax: 10 });
    const store = async (fileId: string, bytes: number) => {
      const isKept = await files.append(fileId, 0, new Uint8Array(bytes));
      const expiresAt = CREATED_AT + 60_000;
      const file = {
        fileId,
        tenant: 't',
        name: 'n',
        purpose: 'batch',
        bytes,
        digest: '',
        createdAt: CREATED_AT,
        expiresAt,
      };
      if (isKept) await files.finish(file);
      return isKept;
    };
    expect([await store('file-1', 4), await store('file-2', 6), await store('file-3', 3)]).toEqual([true, true, true]);
    expect((await files.list({ max: 9 })).map(({ fileId }) => fileId)).toEqual(['file-3', 'file-2']);
    expect(await store('file-4', 11)).toBe(false);
  });
});
