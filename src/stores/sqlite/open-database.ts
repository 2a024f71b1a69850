/**
 * Opens the store's file: the only connection to it, in WAL mode with `synchronous=FULL`, so that a commit is on disk when it
 * returns. Whoever holds the file holds it until the process ends, however it ends: the lock is the operating system's. What
 * would lose data silently (an SQLite with the WAL-reset bug, a network file system, a damaged file) is refused.
 */
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { SwitchgearError } from '../../contract/errors.ts';
import { explain, isBusy } from './explain.ts';
import { migrate, readPragma } from './schema.ts';

/** How long a file that another process holds is waited for. */
const BUSY_TIMEOUT_MS = 5_000;
/** A wal that a burst has blown up is cut to this size again. */
const JOURNAL_LIMIT_BYTES = 16_777_216;
/** The first SQLite without the WAL-reset bug that can corrupt a file. */
const SQLITE_MIN = [3, 51, 3] as const;
/** Half a gigabyte of pages; a larger file takes too long to check before every start. */
const CHECKED_PAGES_MAX = 131_072;

/** File system types (`statfs`) on which SQLite's locks or its wal cannot be relied on. */
const NETWORK_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x69_69: 'NFS',
  0x51_7b: 'SMB',
  0xfe_53_4d_42: 'SMB',
  0xff_53_4d_42: 'CIFS',
  0x53_46_41_4f: 'AFS',
  0x73_75_72_45: 'Coda',
  0x56_4c: 'NCP',
  0x00_c3_64_00: 'Ceph',
  0x0b_d0_0b_d0: 'Lustre',
  0x47_50_46_53: 'GPFS',
};

export interface OpenOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  readonly busyTimeoutMs?: number;
  /** Given when this process opens a file again that it holds already. */
  readonly epoch?: number | undefined;
  /** The type of the file system that a folder is on. Default: what the system says. For tests. */
  readonly fileSystemType?: (folder: string) => number;
  /** Default: the version of the SQLite that is loaded. For tests. */
  readonly sqliteVersion?: string;
}

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  /** Larger by one than at any opening before. */
  readonly epoch: number;
}

/** Opens, checks and migrates. @throws {SwitchgearError} `store-unavailable` that says what to do */
export function openDatabase(options: OpenOptions): OpenedDatabase {
  const { path } = options;
  const { DatabaseSync } = loadSqlite(path);
  if (path !== ':memory:') refuseNetwork(path, options.fileSystemType ?? readFileSystemType);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS });
    refuseOld(database, path, options.sqliteVersion);
    prepare(database);
    migrate(database, path);
    check(database, path);
    return { database, epoch: options.epoch ?? takeOver(database, path) };
  } catch (error) {
    database?.close();
    throw explain(error, path, isBusy(error) ? readOwner(path) : undefined);
  }
}

/** Lets go of the file; what is in the wal goes into the database first. */
export function closeDatabase(database: DatabaseSync, path: string): void {
  if (!database.isOpen) return;
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch {
    // The next one to open it reads the wal.
  }
  database.close();
  if (path !== ':memory:') rmSync(ownerFile(path), { force: true });
}

function loadSqlite(path: string): typeof import('node:sqlite') {
  try {
    // Loaded only when a store is opened: some versions of Node warn, and some have none.
    return process.getBuiltinModule('node:sqlite');
  } catch (error) {
    const message = `the store ${path} needs Node 22.23.3 or newer, got: ${process.version}`;
    throw new SwitchgearError('store-unavailable', message, { cause: error });
  }
}

function refuseNetwork(path: string, typeOf: (folder: string) => number): void {
  const folder = dirname(resolve(path));
  let type: number;
  try {
    type = typeOf(folder);
  } catch (error) {
    throw new SwitchgearError(
      'store-unavailable',
      `expected the folder of the store ${path} to exist; create ${folder}, or set store.path`,
      { cause: error },
    );
  }
  const name = NETWORK_FILE_SYSTEMS[type >>> 0];
  if (name === undefined) return;
  throw new SwitchgearError(
    'store-unavailable',
    `expected the store ${path} to be on a local disk, got: a network file system (${name}), whose locks and syncs cannot be relied on; set store.path to a local file`,
  );
}

function readFileSystemType(folder: string): number {
  return statfsSync(folder).type;
}

function refuseOld(database: DatabaseSync, path: string, version = readVersion(database)): void {
  const parts = version.split('.').map(Number);
  const difference = SQLITE_MIN.map((least, index) => (parts[index] ?? 0) - least).find((part) => part !== 0) ?? 0;
  if (difference >= 0) return;
  throw new SwitchgearError(
    'store-unavailable',
    `expected SQLite ${SQLITE_MIN.join('.')} or newer for the store ${path}, as older ones can damage a file in WAL mode, got: ${version}; update Node (22.23.3 and 24.21 have it)`,
  );
}

function readVersion(database: DatabaseSync): string {
  return String(database.prepare('SELECT sqlite_version() AS version').get()?.['version']);
}

/** The locking mode comes first: a wal that is opened exclusively needs no shared memory, and nobody else gets in. */
function prepare(database: DatabaseSync): void {
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  database.exec(`PRAGMA journal_size_limit = ${JOURNAL_LIMIT_BYTES}`);
  database.exec('PRAGMA temp_store = MEMORY');
}

function check(database: DatabaseSync, path: string): void {
  if (readPragma(database, 'page_count') > CHECKED_PAGES_MAX) return;
  const [found] = database.prepare('PRAGMA quick_check(1)').all();
  const verdict = String(found?.['quick_check']);
  if (verdict === 'ok') return;
  throw new SwitchgearError(
    'store-unavailable',
    `the store ${path} is damaged (${verdict}); restore it from a backup, or move it and ${path}-wal away to start with an empty one`,
  );
}

/** From now on whatever an earlier process may still want to write is refused. */
function takeOver(database: DatabaseSync, path: string): number {
  const row = database.prepare('UPDATE boot SET epoch = epoch + 1 RETURNING epoch').get();
  if (path !== ':memory:') writeFileSync(ownerFile(path), `process ${process.pid} on ${hostname()}`);
  return Number(row?.['epoch']);
}

/** Says who holds the file to whoever comes second. It proves nothing: the lock does. */
function ownerFile(path: string): string {
  return `${path}-owner`;
}

function readOwner(path: string): string | undefined {
  try {
    return readFileSync(ownerFile(path), 'utf8');
  } catch {
    return undefined;
  }
}
