/** What of a result that has expired is left in the file, and how it is taken out. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Storage } from '../../src/contract/storage.ts';
import { Engine } from '../../src/stores/sqlite/engine.ts';
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
      await storage.requests.addAttempt(claimOf(id), attemptReport('failed'));
      await storage.requests.settle(claimOf(id), failedSettlement, 5);
    }),
  );
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
  const engine = new Engine(file.options());
  const sweep = (nowMs: number) => engine.run([{ name: 'sweep', args: [5], nowMs }]).results[0];
  const nowMs = clock.wallMs() + RESULT_TTL_MS;
  const swept = [nowMs - 1, nowMs, nowMs, nowMs, nowMs].map(sweep);
  expect(swept).toEqual([0, 5, 5, 2, 0].map((value) => ({ kind: 'done', value })));
  engine.close();
});

test('much that has expired is swept five hundred at a time, and whoever asks meanwhile comes between', async () => {
  await settleMany(1_200);
  await clock.advance(RESULT_TTL_MS - 1);
  host.groups = [];
  let asked: Promise<string> | undefined;
  host.before = (group) => {
    if (group.some(({ name, args }) => name === 'sweep' && args[0] === 500))
      asked ??= statusOf(storage.requests, 'req_0');
  };
  await clock.advance(SWEEP_MS);
  expect(host.groups.slice(0, 3)).toEqual([['sweep'], ['load', 'sweep'], ['sweep']]);
  expect(await asked).toBe('expired');
  expect(await counts()).toEqual({ requests: 1_200, bodies: 0, settlements: 0, attempts: 0 });
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

test('a sweep that fails is made up for by the next one', async () => {
  await settleMany(2);
  await storage.close();
  storage = file.open(clock, {}, host.wrap);
  host.before = () => {
    throw new Error('scripted');
  };
  await clock.advance(RESULT_TTL_MS + 3 * SWEEP_MS);
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
