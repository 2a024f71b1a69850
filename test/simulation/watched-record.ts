/** What the watch over the store knows of one request record. */
import type { StoredRecord } from '../../src/stores/sqlite/stored-record.ts';

export interface WatchedRecord {
  readonly requestId: string;
  readonly tenant: string;
  readonly key: string | null;
  readonly recovery: string;
  /** Which process it was submitted to. */
  readonly insertedBy: number;
  status: 'queued' | 'running' | 'ended';
  /** Which process has it in memory; 0: none, it is parked. */
  owner: number;
  fence: number;
  /** How many processes died while it was running. */
  crashes: number;
  /** Whom it was recorded to be sent to, until that attempt was recorded to have ended. */
  begun: string | undefined;
  /** Whether that has happened. */
  isSent: boolean;
  /** Attempts that have ended. */
  attempts: number;
  /** Its settlement, as it was written. */
  end: string | undefined;
  /** Steady wall clock. */
  endedAt: number;
  /** Whether its result, and then its id, have been cleared away: a clock that is set back brings neither back. */
  cleared: 'nothing' | 'result' | 'all';
  isAcknowledged: boolean;
}

/** A record as it is inserted; `owner` is 0 when it is parked at once. */
export function createRecord(stored: StoredRecord, insertedBy: number, owner: number): WatchedRecord {
  const { requestId, tenant, idempotencyKey: key, recovery } = stored;
  return {
    ...{ requestId, tenant, key, recovery, insertedBy, owner },
    ...{ status: 'queued', fence: owner === 0 ? 0 : 1, crashes: 0, attempts: 0 },
    ...{ begun: undefined, isSent: false, end: undefined, endedAt: 0, cleared: 'nothing', isAcknowledged: false },
  };
}

/** A sweep: what has been kept for its time goes, and so does an id that was told as expired for as long. */
export function clearRecord(record: WatchedRecord, nowMs: number, ttlMs: number): void {
  if (record.status !== 'ended') return;
  if (record.cleared === 'result' && nowMs >= record.endedAt + 2 * ttlMs) record.cleared = 'all';
  else if (record.cleared === 'nothing' && nowMs >= record.endedAt + ttlMs) record.cleared = 'result';
}

/** What a key stands for is known by tenant and key. */
export function keyOf({ tenant, idempotencyKey }: Pick<StoredRecord, 'tenant' | 'idempotencyKey'>): string {
  return JSON.stringify([tenant, idempotencyKey]);
}

/** Whether a list holds what a set does. */
export function isSame(one: readonly string[], other: ReadonlySet<string>): boolean {
  return one.length === other.size && one.every((requestId) => other.has(requestId));
}
