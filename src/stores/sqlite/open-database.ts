/**
 * Opens the store's file: the only connection to it, in WAL mode with `synchronous=FULL`, so that a commit is on disk when it
 * returns. Whoever holds the file holds it until the process ends, however it ends: the lock is the operating system's. What
 * would lose data silently (an SQLite with the WAL-reset bug, a network file system, a damaged file) is refused.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type * as NodeSqlite from 'node:sqlite';
import { SwitchgearError } from '../../contract/errors.ts';
import { explain, isBusy } from './explain.ts';
import { readFileSystemType, refuseNetwork, refuseNoFile, refuseOld, refuseReadOnly } from './refuse-file.ts';
import { migrate, readPragma, refuseForeign } from './schema.ts';

/** How long a file that another process holds is waited for. */
const BUSY_TIMEOUT_MS = 5_000;
/** A wal that a burst has blown up is cut to this size again. */
const JOURNAL_LIMIT_BYTES = 16_777_216;
/** Ids come in no order: with a million of them a smaller cache reads their index anew for each. */
const CACHE_KIB = 16_384;
/**
 * 64 MB of pages. Measured (docs/durability.md): 0.8 ms for each MB that the system has cached and 24 ms for each that it has
 * not, so that a larger file would hold up the start after a power cut for longer than 2 s. Damage in one is found when it is
 * read.
 */
const CHECKED_PAGES_MAX = 16_384;

/** Everything in the wal goes into the database, and both are synced. */
const FOLD_LOG = 'PRAGMA wal_checkpoint(TRUNCATE)';

type Sqlite = typeof NodeSqlite;
type DatabaseSync = NodeSqlite.DatabaseSync;

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
  const sqlite = loadSqlite(path);
  refuseOld(path, options.sqliteVersion ?? readVersion(sqlite));
  if (path !== ':memory:') {
    refuseNetwork(path, options.fileSystemType ?? readFileSystemType);
    refuseNoFile(path);
    refuseReadOnly(path);
  }
  let database: DatabaseSync | undefined;
  let isHeld = false;
  try {
    // A whole path is never taken for a URI, whose options could turn locks and syncs off.
    const location = path === ':memory:' ? path : resolve(path);
    database = new sqlite.DatabaseSync(location, { timeout: options.busyTimeoutMs ?? BUSY_TIMEOUT_MS });
    prepare(database, path);
    isHeld = true;
    noteOwner(path);
    migrate(database);
    check(database, path);
    // What a failed sync has left in the wal can be read, and may not be on the disk for all later syncs: it is written anew.
    database.exec(FOLD_LOG);
    return { database, epoch: options.epoch ?? takeOver(database) };
  } catch (error) {
    if (isHeld) forgetOwner(path);
    database?.close();
    throw explain(error, path, isBusy(error) ? readOwner(path) : undefined);
  }
}

/** Lets go of the file; what is in the wal goes into the database first. */
export function closeDatabase(database: DatabaseSync, path: string): void {
  if (!database.isOpen) return;
  try {
    database.exec(FOLD_LOG);
  } catch {
    // The next one to open it reads the wal.
  }
  // Before somebody else may hold it.
  forgetOwner(path);
  database.close();
}

/** Loaded only when a store is opened: some versions of Node warn. */
function loadSqlite(path: string): Sqlite {
  // A Node that was built or started without it has none, whatever its types say.
  const sqlite = process.getBuiltinModule('node:sqlite') as Sqlite | undefined;
  if (sqlite !== undefined) return sqlite;
  throw new SwitchgearError(
    'store-unavailable',
    `expected Node to have node:sqlite for the store ${path}, got: ${process.version} without it; take Node 22.23.3 or newer and leave out --no-experimental-sqlite, or set store.kind to memory`,
  );
}

/** Asked of a database of its own: the first question to a file would open its log before it is locked. */
function readVersion({ DatabaseSync }: Sqlite): string {
  const database = new DatabaseSync(':memory:');
  const version = database.prepare('SELECT sqlite_version() AS version').get()?.['version'];
  database.close();
  return String(version);
}

/**
 * The locking mode comes first: a wal that is opened exclusively needs no shared memory, and nobody else gets in. The journal
 * mode is written into the file, so it has to be ours by then.
 */
function prepare(database: DatabaseSync, path: string): void {
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  refuseForeign(database, path);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  database.exec(`PRAGMA journal_size_limit = ${JOURNAL_LIMIT_BYTES}`);
  database.exec('PRAGMA temp_store = MEMORY');
}

function check(database: DatabaseSync, path: string): void {
  if (readPragma(database, 'page_count') > CHECKED_PAGES_MAX) return;
  const [found] = database.prepare('PRAGMA quick_check(1)').all();
  // What was found comes after a line that says where.
  const verdict = String(found?.['quick_check']).split('\n').at(-1);
  if (verdict === 'ok') return;
  throw new SwitchgearError(
    'store-unavailable',
    `the store ${path} is damaged (${verdict}); restore it from a backup, or move it and ${path}-wal away to start with an empty one`,
  );
}

/** From now on whatever an earlier process may still want to write is refused. */
function takeOver(database: DatabaseSync): number {
  // Not with RETURNING: the row would be told before the commit, and a commit that fails not at all.
  database.exec('UPDATE boot SET epoch = epoch + 1');
  return Number(database.prepare('SELECT epoch FROM boot').get()?.['epoch']);
}

/** Says who holds the file to whoever comes second. It proves nothing, the lock does: that it cannot be written is no harm. */
function noteOwner(path: string): void {
  if (path === ':memory:') return;
  try {
    writeFileSync(ownerFile(path), `process ${process.pid} on ${hostname()}`);
  } catch {
    // The first write to the store itself tells what is wrong.
  }
}

function forgetOwner(path: string): void {
  if (path !== ':memory:') rmSync(ownerFile(path), { force: true });
}

function readOwner(path: string): string | undefined {
  try {
    return readFileSync(ownerFile(path), 'utf8');
  } catch {
    return undefined;
  }
}

function ownerFile(path: string): string {
  return `${path}-owner`;
}
