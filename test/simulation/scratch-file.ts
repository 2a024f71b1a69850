/** A file that lives as long as one simulated world, in memory where the machine has a folder there. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MEMORY_FOLDER = '/dev/shm';

export class ScratchFile implements Disposable {
  readonly #folder = mkdtempSync(join(existsSync(MEMORY_FOLDER) ? MEMORY_FOLDER : tmpdir(), 'switchgear-world-'));
  readonly path = join(this.#folder, 'store.db');

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
