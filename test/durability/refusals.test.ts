import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, realpath, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { closeDatabase, openDatabase, type OpenOptions } from '../../src/stores/sqlite/open-database.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createRecord, makeFolder, nameProcess, openElsewhere, openStore, openUnprivileged } from './stores.ts';

const NFS = 0x6969;

/** A store with something in it. */
async function makeStore(path: string): Promise<void> {
  const host = createInlineHost({ path, resultTtlMs: 1_000, hasWebhooks: false });
  const storage = createSqliteStorage(host, { clock: systemClock, retainDays: 30 });
  const records = Array.from({ length: 200 }, (_, number) => createRecord(`req_${number}`, 1_000));
  await Promise.all(records.map((record) => storage.requests.insert(record, 'store')));
  await storage.close();
}

function refusalOf(path: string, options: Partial<OpenOptions> = {}): string {
  try {
    closeDatabase(openDatabase({ busyTimeoutMs: 50, ...options, path }).database, path);
  } catch (error) {
    if (error instanceof SwitchgearError && error.code === 'store-unavailable') return error.message;
    throw error;
  }
  return 'it was opened';
}

describe('a store that cannot be used says which file, what is wrong, and what to do', () => {
  test('its folder is missing', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'none', 'store.db');
    expect(refusalOf(path)).toBe(
      `expected the folder of the store ${path} to exist; create ${join(folder.path, 'none')}, or set store.path`,
    );
  });

  test('it is a folder', async () => {
    await using folder = await makeFolder();
    expect(refusalOf(folder.path)).toBe(
      `expected the store ${folder.path} to be a file, got: a folder; set store.path to a file, such as ${folder.path}.db`,
    );
  });

  test('it is a device, or a pipe', async () => {
    await using folder = await makeFolder();
    expect(refusalOf('/dev/null')).toContain('to be a file, got: a device or a pipe');
    const pipe = join(folder.path, 'pipe');
    spawnSync('mkfifo', [pipe]);
    expect(refusalOf(pipe)).toContain('to be a file, got: a device or a pipe');
  });

  test('it is a text, which is left as it was', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'notes.txt');
    await writeFile(path, 'Buy a fuse.\n'.repeat(500));
    expect(refusalOf(path)).toBe(
      `the store ${path} is damaged, or no SQLite file (file is not a database); restore it from a backup, or move it and ${path}-wal away to start with an empty one`,
    );
    expect(await readFile(path, 'utf8')).toBe('Buy a fuse.\n'.repeat(500));
  });

  test("it is another program's database, which is left as it was", async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'other.db');
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE things (name TEXT)');
    other.close();
    const before = await readFile(path);
    expect(refusalOf(path)).toContain(
      `expected ${path} to be a store of switchgear, got: the database of another program`,
    );
    expect(await readFile(path)).toEqual(before);
  });

  test.each([
    ['its first bytes are damaged', 0, /no SQLite file \(file is not a database\); restore it from a backup/],
    ['a page within is damaged', 8 * 4096, /is damaged \(.+\); restore it from a backup, or move it and .+-wal away/],
  ])('%s', async (_, offset, message) => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await makeStore(path);
    const bytes = await readFile(path);
    bytes.fill(0xa5, offset, offset + 2_000);
    await writeFile(path, bytes);
    const said = refusalOf(path);
    expect(said).toMatch(message);
    expect(said).toContain(path);
    expect(said).not.toContain('\n');
  });

  test('it was cut short', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await makeStore(path);
    await truncate(path, 5 * 4096);
    expect(refusalOf(path)).toContain(`the store ${path} is damaged`);
  });

  test('it may not be written', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await makeStore(path);
    await chmod(path, 0o444);
    await using opened = await openUnprivileged(path);
    expect(opened.said).toBe(
      `store-unavailable: the store ${path} is read-only; give this user write access to the file and to its folder`,
    );
  });

  test.each([
    ['with a store in it', 'store.db'],
    ['with none', 'new.db'],
  ])('its folder may not be written, %s', async (_, name) => {
    await using folder = await makeFolder();
    const path = join(folder.path, name);
    await makeStore(join(folder.path, 'store.db'));
    await chmod(folder.path, 0o555);
    await using opened = await openUnprivileged(path);
    await chmod(folder.path, 0o755);
    expect(opened.said).toBe(
      `store-unavailable: the folder of the store ${path} is read-only; give this user write access to ${folder.path}, where its log is written too`,
    );
  });

  test('another process has it: which one', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using owner = await openElsewhere(path);
    expect(owner.said).toBe('opened');
    await using second = await openElsewhere(path);
    expect(second.said).toBe(
      `store-unavailable: the store ${path} is in use by ${nameProcess(owner.child)}; stop that one, or set store.path to a file of its own`,
    );
  });

  test('another process has it under another name', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using owner = await openElsewhere(path);
    expect(owner.said).toBe('opened');
    await symlink(path, join(folder.path, 'link.db'));
    expect(refusalOf(join(folder.path, 'link.db'))).toContain('is in use by another process');
  });

  test('this process has it already', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using _ = await openStore(path);
    expect(refusalOf(path)).toContain(`the store ${path} is in use by process ${process.pid}`);
  });

  test('a program that reads it with SQLite gets nothing, and does no harm', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using storage = await openStore(path);
    const reader = new DatabaseSync(path, { timeout: 50 });
    expect(() => reader.prepare('SELECT * FROM requests').all()).toThrow('database is locked');
    reader.close();
    expect(await storage.requests.insert(createRecord('req_1'), 'store')).toEqual({ kind: 'inserted' });
  });

  test('it lies on a network, even behind a link', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    const message = `expected the store ${path} to be on a local disk, got: a network file system (NFS), whose locks and syncs cannot be relied on; set store.path to a local file`;
    expect(refusalOf(path, { fileSystemType: () => NFS })).toBe(message);
    const remote = await realpath(folder.path);
    await mkdir(join(folder.path, 'local'));
    await symlink(path, join(folder.path, 'local', 'store.db'));
    await makeStore(path);
    const fileSystemType = (asked: string) => (asked === remote ? NFS : 0);
    expect(refusalOf(join(folder.path, 'local', 'store.db'), { fileSystemType })).toContain(
      'a network file system (NFS)',
    );
  });

  test('its SQLite can damage files', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    expect(refusalOf(path, { sqliteVersion: '3.51.2' })).toBe(
      `expected SQLite 3.51.3 or newer for the store ${path}, as older ones can damage a file in WAL mode, got: 3.51.2; update Node (22.23.3 and 24.21 have it)`,
    );
    for (const sqliteVersion of ['3.51.3', '3.60.0', '4.0.0'])
      expect(refusalOf(path, { sqliteVersion })).toBe('it was opened');
  });

  test('its Node has no SQLite', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using opened = await openElsewhere(path, { nodeWords: ['--no-experimental-sqlite'] });
    expect(opened.said).toBe(
      `store-unavailable: expected Node to have node:sqlite for the store ${path}, got: ${process.version} without it; take Node 22.23.3 or newer and leave out --no-experimental-sqlite, or set store.kind to memory`,
    );
  });
});

describe('a store', () => {
  test('is free again when its process is killed, and whoever comes next is named from then on', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using owner = await openElsewhere(path);
    owner.child.kill('SIGKILL');
    await using second = await openElsewhere(path);
    expect(second.said).toBe('opened');
    expect(refusalOf(path)).toContain(nameProcess(second.child));
  });

  test('is not taken for a URI, whose options could turn its locks and syncs off', async () => {
    await using folder = await makeFolder();
    await using opened = await openElsewhere('file:store.db?mode=memory', { cwd: folder.path });
    expect(opened.said).toBe('opened');
    expect(await readdir(folder.path)).toContain('file:store.db?mode=memory');
  });
});
