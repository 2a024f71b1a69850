/** Files: taken in chunk by chunk as they arrive, read back the same way, so that none is ever whole in memory. */
import { createHash } from 'node:crypto';
import type { BatchDesk, FileId, Page, StoredFile } from '../contract/batches.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { askStore } from '../runtime/ask-store.ts';
import type { BatchParts } from './parts.ts';

const CHUNK_BYTES = 262_144;
/** A file is kept for at least so long. */
const KEPT_MIN_MS = 7 * 86_400_000;
const TENANT_DEFAULT = 'default';

type FileParts = Pick<BatchParts, 'clock' | 'steadyWallMs' | 'config' | 'files' | 'nextId' | 'isDraining'>;

export class FileShelf {
  readonly #parts: FileParts;

  constructor(parts: FileParts) {
    this.#parts = parts;
  }

  /** What was taken in is forgotten when `chunks` throws. */
  async create(
    { name, purpose, tenant = TENANT_DEFAULT }: Parameters<BatchDesk['createFile']>[0],
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<StoredFile> {
    const { files, clock, steadyWallMs, config, nextId, isDraining } = this.#parts;
    if (isDraining())
      throw new SwitchgearError('shutting-down', 'the service is shutting down; send the file again later');
    const fileId = `file-${nextId()}`;
    const hash = createHash('sha256');
    try {
      let bytes = 0;
      let index = 0;
      for await (const chunk of gather(chunks)) {
        bytes += chunk.length;
        hash.update(chunk);
        if (!(await askStore(clock, files.append(fileId, index++, chunk)))) throw noRoom();
      }
      const createdAt = steadyWallMs();
      const expiresAt = createdAt + Math.max(KEPT_MIN_MS, config().store.resultTtlMs);
      const file = { fileId, tenant, name, purpose, bytes, digest: hash.digest('hex'), createdAt, expiresAt };
      await askStore(clock, files.finish(file));
      return file;
    } catch (error) {
      // Should this fail too, the next start removes what was never finished.
      await askStore(clock, files.remove(fileId)).catch(() => undefined);
      throw error;
    }
  }

  /** @throws {SwitchgearError} `request-not-found` */
  async load(fileId: FileId): Promise<StoredFile> {
    const file = await askStore(this.#parts.clock, this.#parts.files.load(fileId));
    if (file === undefined) throw noSuchFile();
    return file;
  }

  /** The bytes of a file that exists. */
  async *read(fileId: FileId): AsyncGenerator<Uint8Array, void> {
    const { files, clock } = this.#parts;
    await this.load(fileId);
    for (let index = 0; ; index++) {
      const chunk = await askStore(clock, files.read(fileId, index));
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  list(page: Page): Promise<readonly StoredFile[]> {
    return askStore(this.#parts.clock, this.#parts.files.list(page));
  }

  /** @throws {SwitchgearError} `request-not-found` */
  async remove(fileId: FileId): Promise<void> {
    const isRemoved = await askStore(this.#parts.clock, this.#parts.files.remove(fileId));
    if (!isRemoved) throw noSuchFile();
  }
}

/** The same bytes in chunks that are worth a write each. */
async function* gather(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let gathered: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += CHUNK_BYTES) {
      const piece = chunk.subarray(from, from + CHUNK_BYTES);
      if (length + piece.length > CHUNK_BYTES) {
        yield Buffer.concat(gathered);
        gathered = [];
        length = 0;
      }
      gathered.push(piece);
      length += piece.length;
    }
  }
  if (length > 0) yield Buffer.concat(gathered);
}

function noSuchFile(): SwitchgearError {
  return new SwitchgearError(
    'request-not-found',
    'no such file is known here: the id is wrong, it was deleted, or it has expired; upload it again',
  );
}

function noRoom(): SwitchgearError {
  return new SwitchgearError('queue-full', 'there is no room for the file; delete files that are not needed any more', {
    param: 'file',
  });
}
