/**
 * The tables of a store file and how an older file becomes a newer one. A migration is never changed once it was released:
 * what is new comes as a further one. `user_version` says how many a file has had, `application_id` that it is ours.
 */
import type { DatabaseSync } from 'node:sqlite';
import { SwitchgearError } from '../../contract/errors.ts';

/** "SwGr", so that another program's database is not taken for a store. */
const APPLICATION_ID = 0x53_77_47_72;

/**
 * `requests` holds what changes while a request lives, in small rows; what is written once and may be large (the body, the
 * settlement) lies beside it, or every change of a status would write it again. `owner` is the boot epoch of the process that
 * has the request in memory, 0 when it is parked or has ended.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE boot (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL) STRICT;
  INSERT INTO boot VALUES (1, 0);

  CREATE TABLE requests (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    idempotency_key TEXT,
    request_hash TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at REAL NOT NULL,
    enqueued_at REAL NOT NULL,
    timeout_ms REAL NOT NULL,
    recovery TEXT NOT NULL,
    recoveries INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    batch_id TEXT,
    batch_index INTEGER,
    custom_id TEXT,
    settled_at REAL,
    expires_at REAL
  ) STRICT;
  CREATE UNIQUE INDEX requests_by_key ON requests (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE UNIQUE INDEX requests_by_batch ON requests (batch_id, batch_index) WHERE batch_id IS NOT NULL;
  CREATE INDEX requests_parked ON requests (priority, tenant, enqueued_at) WHERE status = 'queued' AND owner = 0;
  CREATE INDEX requests_claimed ON requests (owner) WHERE owner <> 0;
  CREATE INDEX requests_due ON requests (expires_at) WHERE expires_at IS NOT NULL;

  CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
  CREATE TABLE attempts (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    report TEXT,
    PRIMARY KEY (seq, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE settlements (seq INTEGER PRIMARY KEY, settlement TEXT NOT NULL) STRICT;

  CREATE TABLE webhooks (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    tries INTEGER NOT NULL,
    due_at REAL NOT NULL
  ) STRICT;
  CREATE INDEX webhooks_due ON webhooks (due_at);

  CREATE TABLE states (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
];

/** Brings a file to the present version. @throws {SwitchgearError} `store-unavailable` for a file that is not ours or too new */
export function migrate(database: DatabaseSync, path: string): void {
  const version = readPragma(database, 'user_version');
  const applicationId = readPragma(database, 'application_id');
  const isEmpty = database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get()?.['tables'] === 0;
  if (!isEmpty && applicationId !== APPLICATION_ID)
    throw new SwitchgearError(
      'store-unavailable',
      `expected ${path} to be a store of switchgear, got: the database of another program; set store.path to a file of its own`,
    );
  if (version > MIGRATIONS.length)
    throw new SwitchgearError(
      'store-unavailable',
      `expected ${path} to be of store version ${MIGRATIONS.length} or older, got: ${version}; it was written by a newer switchgear: run that one, or set store.path to another file`,
    );
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(sql);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      database.exec(`PRAGMA user_version = ${index + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
}

export function readPragma(database: DatabaseSync, name: 'user_version' | 'application_id' | 'page_count'): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}
