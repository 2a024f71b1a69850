/** Files in chunks. A file is a row that comes last; chunks without one were cut off and go with the next start. */
import type { Page, StoredFile } from '../../contract/batches.ts';
import type { EngineContext } from './engine.ts';

/** Of all files together. */
const BYTES_MAX = 20 * 1024 ** 3;

export function createFileOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    appendChunk(fileId: string, index: number, chunk: Uint8Array): boolean {
      const kept = Number(prepare(`SELECT coalesce(sum(bytes), 0) AS bytes FROM files`).get()?.['bytes']);
      if (kept + (index + 1) * chunk.length > BYTES_MAX) return false;
      run(
        `INSERT INTO file_chunks (file_id, number, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
        fileId,
        index,
        chunk,
      );
      return true;
    },

    finishFile(file: StoredFile): void {
      run(
        `INSERT INTO files (id, tenant, name, purpose, bytes, digest, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        file.fileId,
        file.tenant,
        file.name,
        file.purpose,
        file.bytes,
        file.digest,
        file.createdAt,
        file.expiresAt,
      );
    },

    loadFile(fileId: string): StoredFile | undefined {
      const row = prepare(`SELECT * FROM files WHERE id = ? AND expires_at > ?`).get(fileId, context.nowMs());
      return row === undefined ? undefined : readFile(row);
    },

    readChunk(fileId: string, index: number): Uint8Array | undefined {
      const row = prepare(`SELECT bytes FROM file_chunks WHERE file_id = ? AND number = ?`).get(fileId, index);
      // The column holds blobs.
      return row?.['bytes'] as Uint8Array | undefined;
    },

    listFiles({ after, max }: Page): readonly StoredFile[] {
      const rows = prepare(
        `SELECT * FROM files WHERE expires_at > ?1
           AND (?2 IS NULL OR seq < (SELECT seq FROM files WHERE id = ?2)) ORDER BY seq DESC LIMIT ?3`,
      ).all(context.nowMs(), after ?? null, max);
      return rows.map(readFile);
    },

    removeFile(fileId: string): boolean {
      run(`DELETE FROM file_chunks WHERE file_id = ?`, fileId);
      return run(`DELETE FROM files WHERE id = ?`, fileId) > 0;
    },
  };
}

function readFile(row: Readonly<Record<string, unknown>>): StoredFile {
  return {
    fileId: String(row['id']),
    tenant: String(row['tenant']),
    name: String(row['name']),
    purpose: String(row['purpose']),
    bytes: Number(row['bytes']),
    digest: String(row['digest']),
    createdAt: Number(row['created_at']),
    expiresAt: Number(row['expires_at']),
  };
}
