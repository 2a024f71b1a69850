/**
 * Files in chunks. A file is a row that comes last; chunks without one were cut off and go with the next start. What is
 * removed is hidden and left to the sweep, because deleting a large file takes seconds: it is one that expired at 0.
 */
import type { Page, StoredFile } from '../../contract/batches.ts';
import type { EngineContext } from './engine.ts';

/** Of all files together. */
const BYTES_MAX = 20 * 1024 ** 3;

export function createFileOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    appendChunk(fileId: string, index: number, chunk: Uint8Array): boolean {
      const sql = `SELECT coalesce(sum(bytes), 0) AS bytes FROM files WHERE expires_at > ?`;
      const kept = Number(prepare(sql).get(context.nowMs())?.['bytes']);
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
      const row = prepare(
        `SELECT bytes FROM file_chunks WHERE file_id = ?1 AND number = ?2
           AND NOT EXISTS (SELECT 1 FROM files WHERE id = ?1 AND expires_at = 0)`,
      ).get(fileId, index);
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
      if (run(`UPDATE files SET expires_at = 0 WHERE id = ? AND expires_at <> 0`, fileId) > 0) return true;
      // One that was never finished is finished as removed.
      run(
        `INSERT INTO files (id, tenant, name, purpose, bytes, digest, created_at, expires_at)
         SELECT ?1, '', '', '', 0, '', 0, 0 WHERE EXISTS (SELECT 1 FROM file_chunks WHERE file_id = ?1)
         ON CONFLICT DO NOTHING`,
        fileId,
      );
      return false;
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
