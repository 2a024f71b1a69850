/** How groups of operations become transactions, and what becomes of a group when something in it, or the disk, fails. */
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RequestStore } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { statusOf } from '../contracts/store-subject.ts';
import { claimOf, createRecord, failedSettlement, TARGET } from '../support/request-records.ts';
import { StoreFile } from '../support/store-file.ts';
import { rejection } from '../support/test-runtime.ts';

type Trouble = 'none' | 'before' | 'after';

/** What happens to the transactions of this thread: each is noted, and the next one may fail. */
const transactions = {
  statements: [] as string[],
  /** How `COMMIT` fails, and with which code of SQLite: before its effect, or after it. */
  trouble: 'none' as Trouble,
  times: 0,
  errcode: 0,
  /** The one that was used last. */
  connection: undefined as DatabaseSync | undefined,
};

/** Called with its connection below. */
// oxlint-disable-next-line typescript/unbound-method
const execute = DatabaseSync.prototype.exec;

/** As node:sqlite throws it. */
const sqliteError = (errcode: number, message: string) =>
  Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode });

const FULL = 13;
const IOERR_FSYNC = 1034;

function failCommits(trouble: Trouble, errcode: number, times = 1): void {
  Object.assign(transactions, { trouble, errcode, times });
}

let file: StoreFile;
let storage: Storage;
let store: RequestStore;
let clock: VirtualClock;

beforeEach(() => {
  vi.spyOn(DatabaseSync.prototype, 'exec').mockImplementation(function exec(this: DatabaseSync, sql: string) {
    transactions.statements.push(sql);
    transactions.connection = this;
    const isFailing = sql === 'COMMIT' && transactions.times > 0;
    if (isFailing) transactions.times -= 1;
    if (!isFailing || transactions.trouble === 'after') execute.call(this, sql);
    if (isFailing) throw sqliteError(transactions.errcode, 'scripted');
  });
  file = new StoreFile();
  clock = new VirtualClock();
  storage = file.open(clock);
  store = storage.requests;
  transactions.statements = [];
});

afterEach(async () => {
  failCommits('none', 0, 0);
  await storage.close();
  vi.restoreAllMocks();
  file[Symbol.dispose]();
});

const commits = () => transactions.statements.filter((sql) => sql === 'COMMIT').length;

/** What the file says, without the process that has it open. */
async function inFile(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  await storage.close();
  return file.read(sql);
}

const insert = (requestId: string, place: 'memory' | 'store' = 'memory') =>
  store.insert(createRecord(requestId), place);

describe('a group', () => {
  test('is one transaction, however many operations of whatever kind were asked for in one turn', async () => {
    await Promise.all([
      ...Array.from({ length: 32 }, (_, index) => insert(`req_${index}`)),
      store.markRunning(claimOf('req_0'), TARGET),
      store.settle(claimOf('req_0'), failedSettlement, 5),
      storage.states.save('openai', { isOpen: true }),
      store.load('req_0'),
    ]);
    expect(commits()).toBe(1);
    expect(await inFile(`SELECT count(*) AS count FROM requests`)).toEqual([{ count: 32 }]);
  });

  test('of more than a thousand is as many transactions as it has thousands', async () => {
    await Promise.all(Array.from({ length: 2_500 }, (_, index) => insert(`req_${index}`)));
    expect(commits()).toBe(3);
  });

  test('is answered after its commit, never before', async () => {
    const answered = [1, 2].map((index) =>
      insert(`req_${index}`).then(() => transactions.statements.push(`answer ${index}`)),
    );
    await Promise.all(answered);
    expect(transactions.statements).toEqual(['BEGIN IMMEDIATE', 'COMMIT', 'answer 1', 'answer 2']);
  });

  test('runs in the order it was asked for: each operation sees those before it and none after it', async () => {
    const [unknown, , queued, , running, settled, again] = await Promise.all([
      statusOf(store, 'req_1'),
      insert('req_1'),
      statusOf(store, 'req_1'),
      store.markRunning(claimOf('req_1'), TARGET),
      statusOf(store, 'req_1'),
      store.settle(claimOf('req_1'), failedSettlement, 5),
      store.settle(claimOf('req_1'), failedSettlement, 5),
    ]);
    expect([unknown, queued, running, settled, again]).toEqual(['unknown', 'queued', 'running', true, false]);
    expect(commits()).toBe(1);
  });
});

describe('an operation that fails', () => {
  test('fails alone: the others of its group happen, in order, and once', async () => {
    await insert('req_taken');
    const results = await Promise.allSettled([
      insert('req_1', 'store'),
      insert('req_taken', 'store'),
      insert('req_2', 'store'),
      store.claim(['req_2']),
      store.load('req_2'),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
    expect(results[1]).toMatchObject({ reason: { code: 'store-unavailable' } });
    expect(results[3]).toEqual({ status: 'fulfilled', value: [{ requestId: 'req_2', fence: 1 }] });
    expect(results[4]).toMatchObject({ value: { kind: 'found', isParked: false } });
    // What the group had counted before it was rolled back counts once.
    expect(store.parked).toBe(1);
    const rows = await inFile(`SELECT id, owner FROM requests ORDER BY seq`);
    expect(rows).toEqual([
      { id: 'req_taken', owner: 1 },
      { id: 'req_1', owner: 0 },
      { id: 'req_2', owner: 1 },
    ]);
  });

  test('leaves nothing of itself behind', async () => {
    await insert('req_taken');
    await expect(store.insert(createRecord('req_taken', { idempotencyKey: 'key' }), 'store')).rejects.toMatchObject({
      code: 'store-unavailable',
    });
    expect(store.parked).toBe(0);
    const another = createRecord('req_2', { idempotencyKey: 'key', requestHash: 'hash-2' });
    expect(await store.insert(another, 'memory')).toEqual({ kind: 'inserted' });
    expect(await inFile(`SELECT count(*) AS count FROM bodies`)).toEqual([{ count: 2 }]);
  });
});

describe('a process whose file another one has taken over', () => {
  test('writes nothing from then on, and reads nothing that may be old: it says what has happened', async () => {
    await insert('req_1');
    await insert('req_2', 'store');
    // Locks of the operating system keep this from happening; where they do not hold, this is what it looks like.
    transactions.connection?.prepare('UPDATE boot SET epoch = epoch + 1').run();
    const refused = await Promise.allSettled([
      insert('req_3'),
      store.markRunning(claimOf('req_1'), TARGET),
      store.settle(claimOf('req_1'), failedSettlement, 5),
      store.park(claimOf('req_1')),
      store.claim(['req_2']),
      store.recover(),
      store.load('req_1'),
    ]);
    for (const result of refused) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store-unavailable' } });
      expect(String(result.status === 'rejected' && result.reason)).toContain('taken over by another process');
    }
    const rows = await inFile(`SELECT id, status, owner, fence FROM requests ORDER BY seq`);
    expect(rows).toEqual([
      { id: 'req_1', status: 'queued', owner: 1, fence: 1 },
      { id: 'req_2', status: 'queued', owner: 0, fence: 0 },
    ]);
  });
});

describe('a disk that is full', () => {
  test('fails whoever asks while it is full, says which file, and changes nothing', async () => {
    await insert('req_1', 'store');
    failCommits('before', FULL, 4);
    const asked = [insert('req_2', 'store'), insert('req_3', 'store'), store.claim(['req_1'])];
    for (const each of asked) {
      const error = await rejection(each);
      expect(error).toMatchObject({ code: 'store-unavailable' });
      expect(error.message).toContain(`the disk that holds the store ${file.path} is full`);
    }
    expect(store.parked).toBe(1);
    expect(await statusOf(store, 'req_2')).toBe('unknown');
    expect(await store.listParked(10)).toHaveLength(1);
  });

  test('fails nobody once there is room again', async () => {
    failCommits('before', FULL, 1);
    expect(await Promise.all([insert('req_1'), insert('req_2')])).toEqual([{ kind: 'inserted' }, { kind: 'inserted' }]);
    expect(await inFile(`SELECT id FROM requests ORDER BY seq`)).toEqual([{ id: 'req_1' }, { id: 'req_2' }]);
  });
});

describe('a disk that fails to sync', () => {
  test('has the file opened again under the same epoch: what was claimed stays claimed', async () => {
    await insert('req_1');
    await insert('req_parked', 'store');
    failCommits('before', IOERR_FSYNC, 2);
    expect(await rejection(store.markQueued(claimOf('req_1')))).toMatchObject({ code: 'store-unavailable' });
    // The file is closed now; how many wait in it is known all the same.
    expect(store.parked).toBe(1);
    expect(await rejection(store.markQueued(claimOf('req_1')))).toMatchObject({ code: 'store-unavailable' });
    expect(await store.markRunning(claimOf('req_1'), TARGET)).toBe(true);
    expect(store.parked).toBe(1);
    expect(await store.settle(claimOf('req_1'), failedSettlement, 5)).toBe(true);
    expect(await inFile(`SELECT epoch FROM boot`)).toEqual([{ epoch: 1 }]);
  });

  test('may have done what it says it has not: nothing is done twice, and reading tells', async () => {
    await insert('req_1');
    failCommits('after', IOERR_FSYNC);
    // Run again one by one, the first says that its id is taken, the second that its claim is none any more.
    const results = await Promise.allSettled([
      insert('req_2', 'store'),
      store.settle(claimOf('req_1'), failedSettlement, 5),
    ]);
    expect(results).toMatchObject([{ status: 'rejected', reason: { code: 'store-unavailable' } }, { value: false }]);
    expect(await store.load('req_2')).toMatchObject({ kind: 'found', isParked: true });
    expect(await statusOf(store, 'req_1')).toBe('failed');
    expect(store.parked).toBe(1);
    expect(await inFile(`SELECT count(*) AS count FROM settlements`)).toEqual([{ count: 1 }]);
  });
});
