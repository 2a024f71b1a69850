/**
 * Whether a path still names the file that was opened. A file that was removed or replaced can be written as before, and
 * nobody would ever find what was written: so whoever commits looks whether the name still stands for it. It looks only: a
 * second handle on the file, once closed, would take this process's locks with it.
 */
import { statSync } from 'node:fs';
import { SwitchgearError } from '../../contract/errors.ts';

export class FileIdentity {
  readonly #path: string;
  readonly #file: string;
  readonly #log: string;

  /** Takes what the path names now for the file that was opened, and the log beside it for its log. */
  constructor(path: string) {
    this.#path = path;
    this.#file = identify(path);
    this.#log = identify(logOf(path));
  }

  /** @throws {SwitchgearError} `store-unavailable` when the file or its log was removed or replaced */
  check(): void {
    this.checkFile();
    if (identify(logOf(this.#path)) !== this.#log) this.#refuse(logOf(this.#path));
  }

  /** The same for the file alone: whoever closes it removes the log. */
  checkFile(): void {
    if (identify(this.#path) !== this.#file) this.#refuse(this.#path);
  }

  #refuse(name: string): never {
    throw new SwitchgearError(
      'store-unavailable',
      `the store ${this.#path} cannot be used: ${name} was removed or replaced while process ${process.pid} had it open; move it back, or start the process again with what is there now`,
    );
  }
}

function logOf(path: string): string {
  return `${path}-wal`;
}

/** `:memory:` is no name that could be lost. */
function identify(name: string): string {
  if (name.startsWith(':memory:')) return '';
  const found = statSync(name, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? 'gone' : `${found.dev} ${found.ino}`;
}
