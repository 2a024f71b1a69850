/** The engine in a thread of its own, which may die at any moment. */
import { DatabaseSync } from 'node:sqlite';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { InsertResult, LoadResult, RequestStore } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { statusOf } from '../contracts/store-subject.ts';
import { claimOf, createRecord, failedSettlement, TARGET } from '../support/request-records.ts';
import { StoreFile } from '../support/store-file.ts';
import { rejection } from '../support/test-runtime.ts';

let file: StoreFile;
let threads: Worker[];
const noteThread = (thread: Worker) => {
  if (thread.threadName === 'switchgear store') threads.push(thread);
};

beforeEach(() => {
  file = new StoreFile();
  threads = [];
  process.on('worker', noteThread);
});

afterEach(() => {
  process.off('worker', noteThread);
  file[Symbol.dispose]();
});

/** The thread that was started last. */
const thread = () => threads.at(-1)!;

async function within(use: (store: RequestStore, storage: Storage) => Promise<void>): Promise<void> {
  const host = await createWorkerHost(file.options());
  const storage = createSqliteStorage(host, { clock: new VirtualClock(), retainDays: 30 });
  try {
    await use(storage.requests, storage);
  } finally {
    await storage.close();
  }
}

async function turns(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** One group that takes the thread far longer than it takes to end it. */
function insertMany(store: RequestStore): readonly Promise<unknown>[] {
  const text = 'x'.repeat(5_000);
  const request = { kind: 'completion', model: 'm', messages: [{ role: 'user', content: text }] } as const;
  return Array.from({ length: 1_000 }, (_, index) => store.insert(createRecord(`req_${index}`, { request }), 'memory'));
}

/** The next thread that is started dies before it has said anything. */
function killNextAtBirth(): void {
  process.once('worker', (worker) => void worker.terminate());
}

test('a thread that dies while nobody asks is replaced by the next one who asks, and what was claimed stays claimed', () =>
  within(async (store) => {
    await store.insert(createRecord('req_1'), 'memory');
    await store.insert(createRecord('req_2'), 'store');
    await thread().terminate();
    expect(await store.markRunning(claimOf('req_1'), TARGET)).toBe(true);
    expect(threads).toHaveLength(2);
    expect(store.parked).toBe(1);
    expect(await store.recover()).toEqual({ queued: 1, requeued: [], interrupted: [] });
    expect(await store.settle(claimOf('req_1'), failedSettlement, 5)).toBe(true);
  }));

test('a thread that dies under a group fails all of the group, and says that it was the thread', () =>
  within(async (store) => {
    const asked = insertMany(store);
    await turns(1);
    const died = thread().terminate();
    for (const each of asked) {
      const error = await rejection(each);
      expect(error).toMatchObject({ code: 'store-unavailable' });
      expect(error.message).toContain(`the thread of the store ${file.path} ended`);
    }
    await died;
    for (const id of ['req_0', 'req_500', 'req_999']) expect(await statusOf(store, id)).toBe('unknown');
  }));

test('what is asked for while a thread dies is run by the next one', () =>
  within(async (store) => {
    const lost = insertMany(store);
    await turns(1);
    void thread().terminate();
    const next = store.insert(createRecord('req_next'), 'memory');
    await Promise.allSettled(lost);
    expect(await next).toEqual({ kind: 'inserted' });
  }));

test('a thread that dies at birth is an error of whoever opens the store', async () => {
  killNextAtBirth();
  const error = await rejection(createWorkerHost(file.options()));
  expect(error).toMatchObject({ code: 'store-unavailable' });
  expect(error.message).toContain('the thread of the store');
  // It holds nothing: the file can be opened.
  await within(async (store) => {
    expect(await statusOf(store, 'req_1')).toBe('unknown');
  });
});

test('a second thread that dies at birth costs one group more, and no answer is given to another question', () =>
  within(async (store) => {
    await store.insert(createRecord('req_1'), 'memory');
    await thread().terminate();
    killNextAtBirth();
    expect(await rejection(store.load('req_1'))).toMatchObject({ code: 'store-unavailable' });
    expect(await store.load('req_1')).toMatchObject({ kind: 'found', record: { requestId: 'req_1' } });
    expect(await store.claim(['req_1'])).toMatchObject([{ requestId: 'req_1' }]);
    expect(threads).toHaveLength(3);
  }));

type Asked = PromiseSettledResult<{ readonly inserted: InsertResult; readonly loaded: LoadResult }>;

/** A record that was asked for, and how that came out: it is there, whole, or it is not there and nobody was told that it is. */
async function expectWhole(store: RequestStore, id: string, result: Asked): Promise<void> {
  const loaded = await store.load(id);
  if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'store-unavailable' });
  else expect(result.value).toEqual({ inserted: { kind: 'inserted' }, loaded });
  if (result.status === 'rejected' && loaded.kind === 'unknown') return;
  expect(loaded).toEqual({ kind: 'found', record: createRecord(id), isParked: false });
  expect(await store.settle(claimOf(id), failedSettlement, 5)).toBe(true);
}

test('whenever it dies, what was answered is kept, nothing is half done, and each answer is to its own question', async () => {
  await within(async (store) => {
    for (let round = 0; round < 12; round += 1) {
      const ids = Array.from({ length: 12 }, (_, index) => `req_${round}_${index}`);
      const asked = ids.map(async (id, index) => {
        await turns(index);
        const inserted = await store.insert(createRecord(id), 'memory');
        const loaded = await store.load(id);
        return { inserted, loaded };
      });
      await turns(round * 2);
      await thread().terminate();
      const results = await Promise.allSettled(asked);
      for (const [index, result] of results.entries()) await expectWhole(store, ids[index]!, result);
    }
  });
  // One process, one epoch, however many threads it took.
  expect(threads.length).toBeGreaterThan(12);
  expect(file.read(`SELECT epoch FROM boot`)).toEqual([{ epoch: 1 }]);
});

test('closing a store whose thread has died, or is dying, ends', async () => {
  for (const isOver of [true, false]) {
    const storage = createSqliteStorage(await createWorkerHost(file.options()), {
      clock: new VirtualClock(),
      retainDays: 30,
    });
    const died = thread().terminate();
    if (isOver) await died;
    await storage.close();
    await died;
  }
  expect(file.read(`SELECT count(*) AS count FROM requests`)).toEqual([{ count: 0 }]);
});

test('closing a store whose thread hangs ends after a few seconds, and tells nobody that anything was written', async () => {
  const clock = new VirtualClock();
  const host = await createWorkerHost(file.options({ busyTimeoutMs: 60_000 }));
  const storage = createSqliteStorage(host, { clock, retainDays: 30 });
  await thread().terminate();
  // The next thread waits for the file, in a call that nobody can break off.
  const holder = new DatabaseSync(file.path);
  holder.exec('BEGIN EXCLUSIVE');
  const asked = rejection(storage.requests.insert(createRecord('req_1'), 'memory'));
  const closed = storage.close();
  await turns(1);
  const hung = thread();
  await clock.advance(5_000);
  await closed;
  expect(await asked).toMatchObject({ code: 'store-unavailable' });
  expect((await asked).message).toContain('has not answered for 5000 ms');
  expect(hung.threadId).not.toBe(-1);
  const ended = new Promise((resolve) => hung.once('exit', resolve));
  holder.close();
  await ended;
  expect(file.read(`SELECT count(*) AS count FROM requests`)).toEqual([{ count: 0 }]);
});
