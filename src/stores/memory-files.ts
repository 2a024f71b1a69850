/** Files in memory: bounded, gone with the process. The oldest make room for new ones. */
import type { FileId, FileStore, Page, StoredFile } from '../contract/batches.ts';
import { type Clock, steadyWall } from '../contract/clock.ts';
import { pageOf } from './page.ts';

const BYTES_MAX = 256 * 1024 * 1024;

export interface MemoryFilesOptions {
  readonly clock: Clock;
  /** Of all files together. Default 256 MB. */
  readonly bytesMax?: number;
}

export class MemoryFiles implements FileStore {
  readonly #nowMs: () => number;
  readonly #bytesMax: number;
  readonly #chunks = new Map<FileId, Uint8Array[]>();
  /** Finished ones, oldest first. */
  readonly #files = new Map<FileId, StoredFile>();
  #bytes = 0;

  constructor({ clock, bytesMax = BYTES_MAX }: MemoryFilesOptions) {
    this.#nowMs = steadyWall(clock);
    this.#bytesMax = bytesMax;
  }

  async append(fileId: FileId, index: number, chunk: Uint8Array): Promise<boolean> {
    const chunks = this.#chunks.get(fileId) ?? [];
    if (index < chunks.length) return true;
    if (!this.#makeRoom(chunk.length)) return false;
    chunks.push(chunk);
    this.#chunks.set(fileId, chunks);
    this.#bytes += chunk.length;
    return true;
  }

  async finish(file: StoredFile): Promise<void> {
    this.#expire();
    this.#files.set(file.fileId, file);
  }

  async load(fileId: FileId): Promise<StoredFile | undefined> {
    this.#expire();
    return this.#files.get(fileId);
  }

  async read(fileId: FileId, index: number): Promise<Uint8Array | undefined> {
    return this.#files.has(fileId) ? this.#chunks.get(fileId)?.[index] : undefined;
  }

  async list(page: Page): Promise<readonly StoredFile[]> {
    this.#expire();
    return pageOf([...this.#files.values()].toReversed(), ({ fileId }) => fileId, page);
  }

  async remove(fileId: FileId): Promise<boolean> {
    this.#expire();
    return this.#forget(fileId);
  }

  #forget(fileId: FileId): boolean {
    for (const chunk of this.#chunks.get(fileId) ?? []) this.#bytes -= chunk.length;
    this.#chunks.delete(fileId);
    return this.#files.delete(fileId);
  }

  #makeRoom(bytes: number): boolean {
    this.#expire();
    for (const fileId of this.#files.keys()) {
      if (this.#bytes + bytes <= this.#bytesMax) break;
      this.#forget(fileId);
    }
    return this.#bytes + bytes <= this.#bytesMax;
  }

  #expire(): void {
    const nowMs = this.#nowMs();
    for (const { fileId, expiresAt } of this.#files.values()) if (expiresAt <= nowMs) this.#forget(fileId);
  }
}
