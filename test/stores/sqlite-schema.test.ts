/** Which files are taken for a store, and how an older one becomes a newer one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { migrate, MIGRATIONS } from '../../src/stores/sqlite/schema.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { claimOf, createRecord, failedSettlement } from '../support/request-records.ts';
import { StoreFile } from '../support/store-file.ts';

let file: StoreFile;

beforeEach(() => {
  file = new StoreFile();
});

afterEach(() => {
  file[Symbol.dispose]();
});

const open = () => file.open(new VirtualClock());

function refusal(): SwitchgearError {
  try {
    void open().close();
  } catch (error) {
    if (error instanceof SwitchgearError) return error;
    throw error;
  }
  throw new Error('expected the file to be refused');
}

describe('a file', () => {
  const present = [{ user_version: MIGRATIONS.length }];

  test('that is new is of the present version, and marked as ours', async () => {
    await open().close();
    expect(file.read('PRAGMA user_version')).toEqual(present);
    expect(file.read('PRAGMA application_id')).toEqual([{ application_id: 0x53_77_47_72 }]);
    expect(file.read('PRAGMA journal_mode')).toEqual([{ journal_mode: 'wal' }]);
  });

  test('that is empty is new', async () => {
    writeFileSync(file.path, '');
    await open().close();
    expect(file.read('PRAGMA user_version')).toEqual(present);
  });

  test('that is opened again keeps what it holds', async () => {
    const first = open();
    await first.requests.insert(createRecord('req_1'), 'memory');
    await first.requests.settle(claimOf('req_1'), failedSettlement, 5);
    await first.states.save('openai', { isOpen: true });
    await first.close();
    const before = file.dump();
    await open().close();
    await open().close();
    expect(file.dump()).toEqual(before);
    expect(file.read('SELECT epoch FROM boot')).toEqual([{ epoch: 3 }]);
  });

  test('of a newer version is refused, says what to do, and is not changed', async () => {
    await open().close();
    file.visit((database) => {
      database.exec('PRAGMA user_version = 99');
    });
    const before = readFileSync(file.path);
    const error = refusal();
    expect(error).toMatchObject({ code: 'store-unavailable' });
    expect(error.message).toContain(`expected ${file.path} to be of store version`);
    expect(error.message).toContain('got: 99; it was written by a newer switchgear: run that one');
    expect(readFileSync(file.path).equals(before)).toBe(true);
  });

  test.each(['delete', 'wal'])('of another program (journal mode %s) is refused, and not changed', (mode) => {
    file.visit((database) => {
      database.exec(
        `PRAGMA journal_mode = ${mode}; CREATE TABLE requests (id TEXT); INSERT INTO requests VALUES ('theirs')`,
      );
    });
    const before = readFileSync(file.path);
    const error = refusal();
    expect(error).toMatchObject({ code: 'store-unavailable' });
    expect(error.message).toContain(
      `expected ${file.path} to be a store of switchgear, got: the database of another program`,
    );
    expect(readFileSync(file.path).equals(before)).toBe(true);
    expect(file.read('PRAGMA journal_mode')).toEqual([{ journal_mode: mode }]);
    expect(file.read('SELECT id FROM requests')).toEqual([{ id: 'theirs' }]);
  });

  test('of another program that marks its own is refused too', () => {
    file.visit((database) => {
      database.exec('PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE boot (epoch INTEGER)');
    });
    expect(refusal().message).toContain('the database of another program');
  });
});

describe('migrations', () => {
  const versions = MIGRATIONS.map((_, index) => index + 1).slice(0, -1);

  test.each(versions)(
    'bring a store of version %i to the present one, with the requests that wait in it',
    async (version) => {
      file.visit((database) => {
        migrate(database, MIGRATIONS.slice(0, version));
        database.exec(`
        UPDATE boot SET epoch = 4;
        INSERT INTO requests (id, tenant, request_hash, status, priority, created_at, enqueued_at, timeout_ms, recovery,
          recoveries, owner, fence)
        VALUES ('req_old', 'acme', 'hash', 'queued', 1, 5, 5, 600000, 'atLeastOnce', 0, 4, 1);
        INSERT INTO bodies VALUES (1, '{"request":{"kind":"embedding","model":"m","input":["x"]},"tags":{}}');`);
      });
      const storage = open();
      expect(await storage.requests.recover()).toEqual({ queued: 1, requeued: [], interrupted: [] });
      expect(await storage.requests.load('req_old')).toMatchObject({
        kind: 'found',
        record: { tenant: 'acme', request: { kind: 'embedding', input: ['x'] } },
        isParked: true,
      });
      await storage.close();
      expect(file.read('PRAGMA user_version')).toEqual([{ user_version: MIGRATIONS.length }]);
      expect(file.read('SELECT epoch FROM boot')).toEqual([{ epoch: 5 }]);
    },
  );

  const FIRST = 'CREATE TABLE things (name TEXT NOT NULL) STRICT';
  const SECOND = `ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7; CREATE INDEX things_by_size ON things (size)`;
  const THIRD = `UPDATE things SET size = size + 1`;

  const versionOf = (database: DatabaseSync) => Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  const things = (database: DatabaseSync) =>
    database
      .prepare('SELECT * FROM things ORDER BY name')
      .all()
      .map((row) => ({ ...row }));

  test('bring an older file to the present version, one after another, and keep what it holds', () => {
    const database = new DatabaseSync(file.path);
    migrate(database, [FIRST]);
    database.exec(`INSERT INTO things VALUES ('old')`);
    expect(versionOf(database)).toBe(1);
    migrate(database, [FIRST, SECOND, THIRD]);
    expect(versionOf(database)).toBe(3);
    expect(things(database)).toEqual([{ name: 'old', size: 8 }]);
    database.close();
  });

  test('are made once: a file of the present version is left as it is', () => {
    const database = new DatabaseSync(file.path);
    migrate(database, [FIRST, SECOND, THIRD]);
    database.exec(`INSERT INTO things VALUES ('new', 1)`);
    migrate(database, [FIRST, SECOND, THIRD]);
    expect(things(database)).toEqual([{ name: 'new', size: 1 }]);
    database.close();
  });

  test('happen whole or not at all: one that fails leaves the version before it', () => {
    const database = new DatabaseSync(file.path);
    migrate(database, [FIRST]);
    database.exec(`INSERT INTO things VALUES ('old')`);
    const broken = `${SECOND}; INSERT INTO absent VALUES (1)`;
    expect(() => {
      migrate(database, [FIRST, broken]);
    }).toThrow('no such table: absent');
    expect(database.isTransaction).toBe(false);
    expect(versionOf(database)).toBe(1);
    expect(things(database)).toEqual([{ name: 'old' }]);
    // The next version of the program has it mended.
    migrate(database, [FIRST, SECOND]);
    expect(things(database)).toEqual([{ name: 'old', size: 7 }]);
    database.close();
  });
});
