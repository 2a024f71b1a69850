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
 *
 * The ledger's requests lie in blocks of a few hundred, in the order in which they were told first, and a block knows the
 * times of its entries: few blocks are read for a short time, and one block at most is folded at once. An entry's `names` are
 * provider, model and tenant; its `tags` lie in the row, because a table of them would save a sixth of it and cost as much
 * time. What may grow past 2^53 is text in `totals`.
 */
export const MIGRATIONS: readonly string[] = [
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
  CREATE INDEX requests_overdue ON requests (enqueued_at + timeout_ms) WHERE status = 'queued' AND owner = 0;
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

  CREATE TABLE ledger_counters (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    entries INTEGER NOT NULL,
    folded INTEGER NOT NULL
  ) STRICT;
  INSERT INTO ledger_counters VALUES (1, 0, 0);
  CREATE TABLE ledger_requests (
    request INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    block INTEGER,
    folded_attempts TEXT,
    folded_order INTEGER
  ) STRICT;
  CREATE INDEX ledger_requests_folded ON ledger_requests (folded_order) WHERE folded_order IS NOT NULL;
  CREATE TABLE ledger_blocks (
    block INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    fold_at REAL NOT NULL
  ) STRICT;
  CREATE INDEX ledger_blocks_foldable ON ledger_blocks (fold_at);
  CREATE TABLE ledger_names (
    number INTEGER PRIMARY KEY,
    names TEXT NOT NULL UNIQUE,
    entries INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE ledger_entries (
    block INTEGER NOT NULL,
    request INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    at REAL NOT NULL,
    names INTEGER NOT NULL,
    tags TEXT,
    outcome TEXT NOT NULL,
    is_billable INTEGER NOT NULL,
    is_estimate INTEGER NOT NULL,
    cost_nanos INTEGER,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens INTEGER,
    PRIMARY KEY (block, request, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX ledger_entries_by_names ON ledger_entries (names);
  CREATE TABLE ledger_groups (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    coarseness INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    last_from REAL NOT NULL,
    last_to REAL NOT NULL,
    totals TEXT NOT NULL
  ) STRICT;
  CREATE INDEX ledger_groups_by_coarseness ON ledger_groups (coarseness);

  CREATE TABLE states (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE batches (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    idempotency_key TEXT,
    request_hash TEXT NOT NULL,
    body TEXT NOT NULL,
    total INTEGER NOT NULL,
    entered INTEGER NOT NULL,
    created_at REAL NOT NULL,
    cancelled_at REAL,
    finished_at REAL,
    expires_at REAL,
    is_expired INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE UNIQUE INDEX batches_by_key ON batches (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE TABLE batch_lines (
    batch_id TEXT NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    lines TEXT NOT NULL,
    PRIMARY KEY (batch_id, first)
  ) STRICT;
  CREATE INDEX requests_by_batch_status ON requests (batch_id, status) WHERE batch_id IS NOT NULL;

  CREATE TABLE files (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL
  ) STRICT;
  CREATE TABLE file_chunks (
    file_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (file_id, number)
  ) STRICT;
  `,
];

/** Changes nothing. @throws {SwitchgearError} `store-unavailable` for a file that is not ours or too new */
export function refuseForeign(database: DatabaseSync, path: string): void {
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
}

/** Brings a file that is ours to the present version, whole or not at all. `migrations` are other ones in tests. */
export function migrate(database: DatabaseSync, migrations: readonly string[] = MIGRATIONS): void {
  const version = readPragma(database, 'user_version');
  for (const [index, sql] of migrations.entries()) {
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
