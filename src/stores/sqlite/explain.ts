/** What SQLite complains of, told to an operator: which file, what is wrong with it, and what to do. */
import { SwitchgearError } from '../../contract/errors.ts';

/** Primary result codes of SQLite (https://sqlite.org/rescode.html). */
const READONLY = 8;
const BUSY = 5;
const LOCKED = 6;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** The primary result code of an error of node:sqlite; undefined for any other error. */
function resultCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

/** Whether the connection can no longer be trusted: what it holds in memory may not be what is on disk. */
export function isConnectionLost(error: unknown): boolean {
  const code = resultCodeOf(error);
  return code === IOERR || code === CORRUPT || code === NOTADB;
}

/** Whether another process holds the file. */
export function isBusy(error: unknown): boolean {
  const code = resultCodeOf(error);
  return code === BUSY || code === LOCKED;
}

/** The same error as `store-unavailable` with a message that says what to do. */
export function explain(error: unknown, path: string, owner?: string): SwitchgearError {
  if (error instanceof SwitchgearError) return error;
  return new SwitchgearError('store-unavailable', adviceFor(error, path, owner), { cause: error });
}

function adviceFor(error: unknown, path: string, owner: string | undefined): string {
  const said = error instanceof Error ? error.message : String(error);
  switch (resultCodeOf(error)) {
    case FULL:
      return `the disk that holds the store ${path} is full; free some space: nothing is accepted before there is room`;
    case READONLY:
      return `the store ${path} is read-only; give this user write access to the file and to its folder`;
    case CANTOPEN:
      return `the store ${path} cannot be opened (${said}); check that its folder exists and that this user may write there`;
    case BUSY:
    case LOCKED:
      return `the store ${path} is in use by ${owner ?? 'another process'}; stop that one, or set store.path to a file of its own`;
    case CORRUPT:
    case NOTADB:
      return `the store ${path} is damaged, or no SQLite file (${said}); restore it from a backup, or move it and ${path}-wal away to start with an empty one`;
    case IOERR:
      return `the disk that holds the store ${path} fails (${said}); look at the system's log`;
    case undefined:
    default:
      return `the store ${path} failed: ${said}`;
  }
}
