/** What of a result that has expired is left in the file, and how it is taken out. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Storage } from '../../src/contract/storage.ts';
import type { BackgroundFailure } from '../../src/stores/sqlite/background-work.ts';
import { Engine } from '../../src/stores/sqlite/engine.ts';
import type { Swept } from '../../src/stores/sqlite/expiry-operations.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { statusOf } from '../contracts/store-subject.ts';
import { attemptReport, claimOf, createRecord, failedSettlement, TARGET } from '../support/request-records.ts';
import { RESULT_TTL_MS, StoreFile } from '../support/store-file.ts';
import { WatchedHost } from '../support/watched-host.ts';

/** By then what has expired is swept, however long there was nothing to sweep. */
const SWEEP_MS = 60_000;

let file: StoreFile;
let clock: VirtualClock;
let storage: Storage;
let host: WatchedHost;

beforeEach(() => {
  file = new StoreFile();
  clock = new VirtualClock();
  host = new WatchedHost();
  storage = file.open(clock, {}, host.wrap);
});

afterEach(async () => {
  await storage.close();
  file[Symbol.dispose]();
});

async function settleMany(count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const id = `req_${index}`;
      await storage.requests.insert(createRecord(id), 'memory');
      await storage.requests.markRunning(claimOf(id), TARGET);
      await storage.requests.addAttempt(claimOf(id), 1, attemptReport('failed'));
      await storage.requests.settle(claimOf(id), failedSettlement, 5);
    }),
  );
}

/** Sweeps at these moments, while nobody else has the file. Whoever looks at the time finds that `stepMs` have passed. */
function sweepOneByOne(
  nowsMs: readonly number[],
  rowsMax: number,
  stepsMs: readonly number[] = nowsMs.map(() => 0),
): readonly Swept[] {
  let passedMs = 0;
  let stepMs = 0;
  const engine = new Engine(file.options(), () => (passedMs += stepMs));
  const swept = nowsMs.map((nowMs, index) => {
    stepMs = stepsMs[index] ?? 0;
    const [result] = engine.run([{ name: 'sweep', args: [rowsMax], nowMs }]).results;
    // That is what a sweep gives.
    return result?.kind === 'done' ? (result.value as Swept) : { rows: -1, isFull: false };
  });
  engine.close();
  return swept;
}

async function counts(): Promise<unknown> {
  await storage.close();
  const count = (table: string) => `(SELECT count(*) FROM ${table}) AS ${table}`;
  const [row] = file.read(`SELECT ${['requests', 'bodies', 'settlements', 'attempts'].map(count).join(', ')}`);
  return row;
}

test('what was asked, what was tried and how it ended are deleted; the id alone is kept for as long again', async () => {
  await settleMany(3);
  await storage.requests.insert(createRecord('req_open'), 'memory');
  await clock.advance(RESULT_TTL_MS + SWEEP_MS);
  expect(await statusOf(storage.requests, 'req_0')).toBe('expired');
  expect(await counts()).toEqual({ requests: 4, bodies: 1, settlements: 0, attempts: 0 });
});

test('in the end nothing is left of it', async () => {
  await settleMany(3);
  await storage.requests.insert(createRecord('req_open'), 'memory');
  await clock.advance(2 * RESULT_TTL_MS + SWEEP_MS);
  expect(await counts()).toEqual({ requests: 1, bodies: 1, settlements: 0, attempts: 0 });
});

test('an id is forgotten when its time is over, however late the result was swept', async () => {
  await settleMany(1);
  await storage.close();
  // Nobody has the file open for one and a half of its times.
  await clock.advance(1.5 * RESULT_TTL_MS);
  storage = file.open(clock);
  await clock.advance(SWEEP_MS);
  expect(await statusOf(storage.requests, 'req_0')).toBe('expired');
  await clock.advance(0.5 * RESULT_TTL_MS - SWEEP_MS);
  expect(await statusOf(storage.requests, 'req_0')).toBe('unknown');
  await clock.advance(SWEEP_MS);
  expect(await counts()).toEqual({ requests: 0, bodies: 0, settlements: 0, attempts: 0 });
});

test('an id that nobody swept in its time is unknown at once to the process that comes then', async () => {
  await settleMany(1);
  await storage.close();
  await clock.advance(2 * RESULT_TTL_MS - 1);
  storage = file.open(clock);
  expect(await statusOf(storage.requests, 'req_0')).toBe('expired');
  await storage.close();
  await clock.advance(1);
  storage = file.open(clock);
  expect(await statusOf(storage.requests, 'req_0')).toBe('unknown');
});

test('one sweep deletes no more than it may, the longest expired first', async () => {
  await settleMany(12);
  await storage.close();
  const nowMs = clock.wallMs() + RESULT_TTL_MS;
  const swept = sweepOneByOne([nowMs - 1, nowMs, nowMs, nowMs, nowMs], 5);
  expect(swept.map(({ rows }) => rows)).toEqual([0, 5, 5, 2, 0]);
  expect(swept.map(({ isFull }) => isFull)).toEqual([false, true, true, false, false]);
});

test('a sweep ends when its time is over, whatever it might still delete, and has deleted one row at least', async () => {
  await settleMany(12);
  await storage.close();
  const nowMs = clock.wallMs() + RESULT_TTL_MS;
  const swept = sweepOneByOne([nowMs, nowMs, nowMs], 100, [0.5, 4, 1]);
  expect(swept).toEqual([
    { rows: 4, isFull: true },
    { rows: 1, isFull: true },
    { rows: 2, isFull: true },
  ]);
});

test('a large file is deleted chunk by chunk, and nobody finds half of it', async () => {
  const bytes = new Uint8Array(10);
  for (let index = 0; index < 12; index += 1) await storage.files.append('file-1', index, bytes);
  const expiresAt = clock.wallMs() + 1_000;
  const told = { fileId: 'file-1', tenant: 't', name: 'n', purpose: 'batch', digest: '' };
  await storage.files.finish({ ...told, bytes: 120, createdAt: clock.wallMs(), expiresAt });
  await storage.close();
  expect(sweepOneByOne([expiresAt - 1, expiresAt, expiresAt], 5).map(({ rows }) => rows)).toEqual([0, 5, 5]);
  expect(file.read('SELECT count(*) AS chunks FROM file_chunks')).toEqual([{ chunks: 2 }]);
  // A clock that somebody has set back.
  storage = file.open(new VirtualClock());
  expect(await storage.files.load('file-1')).toBeUndefined();
  await storage.close();
  expect(sweepOneByOne([expiresAt, expiresAt], 5).map(({ rows }) => rows)).toEqual([3, 0]);
  expect(file.read('SELECT (SELECT count(*) FROM files) + (SELECT count(*) FROM file_chunks) AS left')).toEqual([
    { left: 0 },
  ]);
});

test('a file that somebody removes is gone at once, and leaves the file of the store by and by', async () => {
  for (let index = 0; index < 12; index += 1) await storage.files.append('file-1', index, new Uint8Array(10));
  await storage.files.remove('file-1');
  expect(await storage.files.read('file-1', 0)).toBeUndefined();
  await storage.close();
  const nowMs = clock.wallMs();
  expect(sweepOneByOne([nowMs, nowMs, nowMs, nowMs], 5).map(({ rows }) => rows)).toEqual([5, 5, 3, 0]);
  expect(file.read('SELECT count(*) AS chunks FROM file_chunks')).toEqual([{ chunks: 0 }]);
});

test('much that has expired is swept two hundred rows at a time, and whoever asks meanwhile comes between', async () => {
  await settleMany(500);
  await clock.advance(RESULT_TTL_MS - 1);
  host.groups = [];
  const answered: string[] = [];
  const sweptAtMs: number[] = [];
  host.after = (group) => {
    if (!group.some(({ name }) => name === 'sweep')) return;
    sweptAtMs.push(clock.nowMs());
    void statusOf(storage.requests, 'req_0').then((status) => answered.push(status));
  };
  await clock.advance(SWEEP_MS);
  expect(host.groups.slice(0, 6)).toEqual([['sweep'], ['load'], ['sweep'], ['load'], ['sweep'], ['load']]);
  expect(answered.slice(0, 3)).toEqual(['expired', 'expired', 'expired']);
  const [firstAtMs = 0] = sweptAtMs;
  expect(sweptAtMs.slice(0, 4).map((atMs) => atMs - firstAtMs)).toEqual([0, 5, 10, 1_010]);
  expect(await counts()).toEqual({ requests: 500, bodies: 0, settlements: 0, attempts: 0 });
});

test('looks for what has expired ever more rarely while there is nothing, and soon again once there was', async () => {
  await settleMany(1);
  const sweptAtMs: number[] = [];
  host.before = (group) => {
    if (group.some(({ name }) => name === 'sweep')) sweptAtMs.push(clock.nowMs());
  };
  await clock.advance(RESULT_TTL_MS + 2 * SWEEP_MS);
  const pausesMs = sweptAtMs.slice(1).map((atMs, index) => atMs - sweptAtMs[index]!);
  const found = sweptAtMs.findIndex((atMs) => atMs >= RESULT_TTL_MS);
  expect(pausesMs.slice(0, 6)).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, SWEEP_MS]);
  expect(pausesMs.slice(6, found)).toEqual(Array.from({ length: found - 6 }, () => SWEEP_MS));
  expect(pausesMs.slice(found, found + 3)).toEqual([1_000, 2_000, 4_000]);
});

test('a sweep that fails is told once and made up for by a later one', async () => {
  await settleMany(2);
  await storage.close();
  const failures: BackgroundFailure[] = [];
  storage = createSqliteStorage(host.wrap(createInlineHost(file.options())), {
    clock,
    retainDays: 30,
    report: (failure) => failures.push(failure),
  });
  host.before = () => {
    throw new Error('scripted');
  };
  await clock.advance(RESULT_TTL_MS + 3 * SWEEP_MS);
  expect(failures).toEqual([{ operation: 'sweep', message: 'Error: scripted' }]);
  host.before = () => undefined;
  await clock.advance(SWEEP_MS);
  expect(await counts()).toMatchObject({ requests: 2, bodies: 0 });
});

test('a store that is closed sweeps no more', async () => {
  const before = clock.pendingTimers;
  await storage.close();
  expect(clock.pendingTimers).toBe(before - 1);
  host.groups = [];
  await clock.advance(10 * SWEEP_MS);
  expect(host.groups).toEqual([]);
});
