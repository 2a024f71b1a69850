/**
 * The life of one record: inserted, running, queued again, settled. Every change names a claim, and one that does not hold
 * any more (an older fence, another owner, a record that has ended) changes nothing and says so.
 */
import type { Claim, InsertResult } from '../../contract/records.ts';
import { FIRST_FENCE } from '../../contract/records.ts';
import type { EngineContext } from './engine.ts';
import { expiryOfBatch } from './batch-expiry.ts';
import { expireRecord } from './expiry-operations.ts';
import type { StoredRecord } from './stored-record.ts';

export type StoredLoad =
  | { readonly kind: 'found'; readonly record: StoredRecord; readonly isParked: boolean }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

/** As it travels: the report is JSON. */
export interface StoredAttempt {
  /** From 1, within the request. */
  readonly number: number;
  readonly provider: string;
  readonly model: string;
  readonly report: string;
}

/** A row that is open and claimed by this process with the fence that was named. */
interface HeldRow {
  readonly seq: number;
  readonly priority: number;
  readonly tenant: string;
  readonly batchId: string | null;
}

const COLUMNS = `seq, id, tenant, idempotency_key, request_hash, status, priority, created_at, enqueued_at, timeout_ms, recovery,
  recoveries, owner, batch_id, batch_index, custom_id, settled_at, expires_at`;

export function createRequestOperations(context: EngineContext) {
  const { prepare, run } = context;
  return {
    insert(record: StoredRecord, place: 'memory' | 'store'): InsertResult {
      const known = findByKey(context, record);
      if (known !== undefined) return known;
      insertRecord(context, record, place);
      return { kind: 'inserted' };
    },

    load(requestId: string): StoredLoad {
      const row = prepare(`SELECT ${COLUMNS} FROM requests WHERE id = ?`).get(requestId);
      if (row === undefined) return { kind: 'unknown' };
      // What is due counts as done: the sweep comes when it comes.
      const expiresAt = row['expires_at'] ?? expiryOfBatch(context, row['batch_id']);
      const overMs = expiresAt === null ? -1 : context.nowMs() - Number(expiresAt);
      if (row['status'] === 'expired') return { kind: overMs < 0 ? 'expired' : 'unknown' };
      if (overMs >= 0) return { kind: overMs < context.options.resultTtlMs ? 'expired' : 'unknown' };
      const isParked = row['status'] === 'queued' && row['owner'] === 0;
      return { kind: 'found', record: readRecord(context, row), isParked };
    },

    markRunning(claim: Claim, provider: string, model: string): boolean {
      const row = findHeld(context, claim);
      if (row === undefined) return false;
      run(`UPDATE requests SET status = 'running' WHERE seq = ?`, row.seq);
      // Told twice, it is still one attempt.
      forgetBegun(context, row.seq);
      run(
        `INSERT INTO attempts (seq, number, provider, model)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM attempts WHERE seq = ?1`,
        row.seq,
        provider,
        model,
      );
      return true;
    },

    markQueued(claim: Claim): boolean {
      const row = findHeld(context, claim);
      if (row === undefined) return false;
      forgetBegun(context, row.seq);
      run(`UPDATE requests SET status = 'queued' WHERE seq = ?`, row.seq);
      return true;
    },

    /** What it came to replaces that it was begun. One that is known changes nothing: it may be told twice. */
    addAttempt(claim: Claim, { number, provider, model, report }: StoredAttempt): boolean {
      const row = findHeld(context, claim);
      if (row === undefined) return false;
      run(
        `INSERT INTO attempts (seq, number, provider, model, report) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET provider = excluded.provider, model = excluded.model, report = excluded.report
           WHERE attempts.report IS NULL`,
        row.seq,
        number,
        provider,
        model,
        report,
      );
      return true;
    },

    settle(claim: Claim, status: string, settlement: string, settledAt: number): boolean {
      const row = findHeld(context, claim);
      if (row === undefined) return false;
      endRecord(context, row, { requestId: claim.requestId, status, settlement, settledAt });
      return true;
    },
  };
}

/** The row of a claim that holds; undefined for any other. */
export function findHeld(context: EngineContext, { requestId, fence }: Claim): HeldRow | undefined {
  const row = context
    .prepare(
      `SELECT seq, priority, tenant, batch_id FROM requests
       WHERE id = ? AND owner = ? AND fence = ? AND status IN ('queued', 'running')`,
    )
    .get(requestId, context.epoch, fence);
  return row === undefined ? undefined : readHeld(row);
}

export function readHeld(row: Readonly<Record<string, unknown>>): HeldRow {
  return {
    seq: Number(row['seq']),
    priority: Number(row['priority']),
    tenant: String(row['tenant']),
    batchId: row['batch_id'] as string | null,
  };
}

export interface StoredEnd {
  readonly requestId: string;
  readonly status: string;
  readonly settlement: string;
  readonly settledAt: number;
}

/** Ends a record for good. What belongs to a batch expires with its batch. */
export function endRecord(context: EngineContext, { seq, batchId }: HeldRow, end: StoredEnd): void {
  const { run, options } = context;
  forgetBegun(context, seq);
  run(
    `UPDATE requests SET status = ?, owner = 0, settled_at = ?, expires_at = ? WHERE seq = ?`,
    end.status,
    end.settledAt,
    batchId === null ? context.nowMs() + options.resultTtlMs : null,
    seq,
  );
  run(`INSERT INTO settlements (seq, settlement) VALUES (?, ?)`, seq, end.settlement);
  if (!options.hasWebhooks || batchId !== null) return;
  run(`INSERT INTO webhooks (request_id, tries, due_at) VALUES (?, 0, ?)`, end.requestId, context.nowMs());
}

/** An attempt that was begun and of which nothing was told: it was not sent, or what it came to is being written. */
export function forgetBegun({ run }: EngineContext, seq: number): void {
  run(`DELETE FROM attempts WHERE seq = ? AND report IS NULL`, seq);
}

export function insertRecord(context: EngineContext, record: StoredRecord, place: 'memory' | 'store'): void {
  const { prepare, run, epoch, parked } = context;
  const isClaimed = place === 'memory';
  const inserted = prepare(
    `INSERT INTO requests (id, tenant, idempotency_key, request_hash, status, priority, created_at, enqueued_at, timeout_ms,
       recovery, recoveries, owner, fence, batch_id, batch_index, custom_id)
     VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    record.requestId,
    record.tenant,
    record.idempotencyKey,
    record.requestHash,
    record.priority,
    record.createdAt,
    record.enqueuedAt,
    record.timeoutMs,
    record.recovery,
    record.recoveries,
    isClaimed ? epoch : 0,
    isClaimed ? FIRST_FENCE : 0,
    record.batchId,
    record.batchIndex,
    record.customId,
  );
  run(`INSERT INTO bodies (seq, body) VALUES (?, ?)`, inserted.lastInsertRowid, record.body);
  if (!isClaimed) parked.add(record, 1);
}

/** What the idempotency key stands for already. One whose result has expired stands for nothing. */
function findByKey(
  context: EngineContext,
  { tenant, idempotencyKey, requestHash }: StoredRecord,
): InsertResult | undefined {
  if (idempotencyKey === null) return undefined;
  const row = context
    .prepare(
      `SELECT seq, id, request_hash, expires_at FROM requests
       WHERE tenant = ? AND idempotency_key = ? AND idempotency_key IS NOT NULL`,
    )
    .get(tenant, idempotencyKey);
  if (row === undefined) return undefined;
  if (row['expires_at'] !== null && Number(row['expires_at']) <= context.nowMs()) {
    expireRecord(context, Number(row['seq']));
    return undefined;
  }
  return { kind: row['request_hash'] === requestHash ? 'known' : 'conflict', requestId: String(row['id']) };
}

/** The whole record of a row of `requests`. */
export function readRecord({ prepare }: EngineContext, row: Readonly<Record<string, unknown>>): StoredRecord {
  const seq = Number(row['seq']);
  const body = prepare(`SELECT body FROM bodies WHERE seq = ?`).get(seq);
  const settlement = prepare(`SELECT settlement FROM settlements WHERE seq = ?`).get(seq);
  const attempts = prepare(`SELECT report FROM attempts WHERE seq = ? AND report IS NOT NULL ORDER BY number`).all(seq);
  return {
    requestId: String(row['id']),
    tenant: String(row['tenant']),
    idempotencyKey: row['idempotency_key'] as string | null,
    requestHash: String(row['request_hash']),
    status: String(row['status']),
    priority: Number(row['priority']),
    createdAt: Number(row['created_at']),
    enqueuedAt: Number(row['enqueued_at']),
    timeoutMs: Number(row['timeout_ms']),
    recovery: String(row['recovery']),
    recoveries: Number(row['recoveries']),
    batchId: row['batch_id'] as string | null,
    batchIndex: row['batch_index'] as number | null,
    customId: row['custom_id'] as string | null,
    settledAt: row['settled_at'] as number | null,
    body: String(body?.['body']),
    attempts: attempts.map(({ report }) => String(report)),
    settlement: settlement === undefined ? null : String(settlement['settlement']),
  };
}

export { COLUMNS as RECORD_COLUMNS };
