/**
 * A store's file in a folder of its own. Whoever opens it is the next process; closing it writes nothing that a process that
 * dies would not have written. While nobody holds it, a test may look into it.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { Clock } from '../../src/contract/clock.ts';
import type { Storage } from '../../src/contract/storage.ts';
import type { EngineOptions } from '../../src/stores/sqlite/engine.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';

/** Files in memory where the system has such: what is on disk when is not what these tests are about, and syncs take long. */
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export const RESULT_TTL_MS = 3_600_000;

type Row = Readonly<Record<string, unknown>>;

export class StoreFile implements Disposable {
  readonly #folder: string;
  readonly path: string;

  /** `parent` is where its folder lies; default: in memory where the system has such a folder. */
  constructor(parent = FOLDER) {
    this.#folder = mkdtempSync(join(parent, 'switchgear-store-'));
    this.path = join(this.#folder, 'store.db');
  }

  options(changes: Partial<EngineOptions> = {}): EngineOptions {
    return { path: this.path, resultTtlMs: RESULT_TTL_MS, hasWebhooks: false, ...changes };
  }

  /** The next process, with the engine in this thread. `wrap` puts something between it and whoever asks. */
  open(clock: Clock, changes: Partial<EngineOptions> = {}, wrap = (host: Host): Host => host): Storage {
    const host = wrap(createInlineHost(this.options(changes)));
    return createSqliteStorage(host, { clock, retainDays: 30 });
  }

  /** What a query says of the file; nobody may hold it meanwhile. */
  read(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    return this.visit((database) =>
      database
        .prepare(sql)
        .all(...values)
        .map((row) => ({ ...row })),
    );
  }

  /** Works on the file as another program would; nobody may hold it meanwhile. */
  visit<Value>(use: (database: DatabaseSync) => Value): Value {
    const database = new DatabaseSync(this.path);
    try {
      return use(database);
    } finally {
      database.close();
    }
  }

  /** Everything that the file says, but for who had it open. */
  dump(): readonly (readonly [string, readonly Row[]])[] {
    return this.visit((database) => {
      const tables = database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all();
      return tables
        .map(({ name }) => String(name))
        .filter((name) => name !== 'boot')
        .map(
          (name) =>
            [
              name,
              database
                .prepare(`SELECT * FROM ${name}`)
                .all()
                .map((row) => ({ ...row })),
            ] as const,
        );
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
