import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Storage } from '../../src/contract/storage.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';

let folder: string;
const fileOf = () => join(folder, 'switchgear.db');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** What `use` finds in the file, opened as a process opens it. */
async function opened<Value>(use: (states: Storage['states']) => Promise<Value>): Promise<Value> {
  const options = { path: fileOf(), resultTtlMs: 86_400_000, hasWebhooks: false, retainDays: 30 };
  const storage = await openSqliteStorage({ ...options, clock: systemClock });
  try {
    return await use(storage.states);
  } finally {
    await storage.close();
  }
}

const load = () => opened((states) => states.load());

test('a new file holds no state', async () => {
  expect(await load()).toEqual({});
});

test('what was saved last under each name is there for the next process', async () => {
  await opened(async (states) => {
    await states.save('a', { version: 1, breaker: { state: 'open', openUntil: 1_790_000_000_123 } });
    await Promise.all([states.save('a', { version: 1 }), states.save('b', { version: 1, limit: 3 })]);
  });
  expect(await load()).toEqual({ a: { version: 1 }, b: { version: 1, limit: 3 } });
  await opened((states) => states.save('b', { version: 1 }));
  expect(await load()).toEqual({ a: { version: 1 }, b: { version: 1 } });
});

test('one state that is damaged leaves the others as they are', async () => {
  await opened(async (states) => {
    await states.save('a', { version: 1, limit: 3 });
    await states.save('b', { version: 1, limit: 4 });
  });
  const database = new DatabaseSync(fileOf());
  database.exec(`UPDATE states SET state = '{"version":1,"lim' WHERE name = 'a'`);
  database.close();
  expect(await load()).toEqual({ a: '{"version":1,"lim', b: { version: 1, limit: 4 } });
});
