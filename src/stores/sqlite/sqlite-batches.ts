/** Batches and files in the same file as the request records, so that lines and what becomes of them commit together. */
import type { BatchStore, FileStore } from '../../contract/batches.ts';
import type { StoredRow } from './batch-line-operations.ts';
import type { Gateway } from './gateway.ts';
import { decodeBatch, encodeBatch } from './stored-batch.ts';
import { decodeSettlement, encodeRecord } from './stored-record.ts';

export function createSqliteBatches(gateway: Gateway): BatchStore {
  return {
    appendLines: (batchId, lines) => gateway.ask('appendLines', batchId, lines),
    dropLines: (batchId) => gateway.ask('dropLines', batchId),
    create: (batch) => gateway.ask('createBatch', encodeBatch(batch)),
    load: async (batchId) => {
      const loaded = await gateway.ask('loadBatch', batchId);
      return loaded.kind === 'found' ? { kind: 'found', batch: decodeBatch(loaded.batch) } : loaded;
    },
    findByKey: async (tenant, idempotencyKey) => {
      const found = await gateway.ask('findBatch', tenant, idempotencyKey);
      return found === undefined ? undefined : decodeBatch(found);
    },
    list: async (page) => (await gateway.ask('listBatches', page)).map(decodeBatch),
    recover: async () => (await gateway.ask('recoverBatches')).map(decodeBatch),
    readLines: (batchId, index) => gateway.ask('readLines', batchId, index),
    enter: (batchId, { from, to }, records) => gateway.ask('enterLines', batchId, from, to, records.map(encodeRecord)),
    counts: (batchId) => gateway.ask('countBatch', batchId),
    rows: async (batchId, from, max) => (await gateway.ask('listRows', batchId, from, max)).map(decodeRow),
    listUnsettled: (batchId, max) => gateway.ask('listUnsettled', batchId, max),
    cancel: (batchId, cancelledAt) => gateway.ask('cancelBatch', batchId, cancelledAt),
    finish: (batchId, finishedAt) => gateway.ask('finishBatch', batchId, finishedAt),
  };
}

function decodeRow({ customId, settlement, ...row }: StoredRow) {
  return {
    ...row,
    customId: customId ?? undefined,
    ...(settlement !== null && { settlement: decodeSettlement(settlement) }),
  };
}

export function createSqliteFiles(gateway: Gateway): FileStore {
  return {
    append: (fileId, index, chunk) => gateway.ask('appendChunk', fileId, index, chunk),
    finish: (file) => gateway.ask('finishFile', file),
    load: (fileId) => gateway.ask('loadFile', fileId),
    read: (fileId, index) => gateway.ask('readChunk', fileId, index),
    list: (page) => gateway.ask('listFiles', page),
    remove: (fileId) => gateway.ask('removeFile', fileId),
  };
}
