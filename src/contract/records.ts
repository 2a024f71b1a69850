/** What is remembered: the request record and the ledger entry, and the ports of what keeps them. */
import type { ErrorReport } from './errors.ts';
import type { ParsedRequest, Priority, Recovery } from './request.ts';
import type { AnyResponse, AttemptReport, OutcomeKind, RequestId, Usage } from './response.ts';
import type { CostSummary } from './state.ts';

export type RequestStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** How a request ended. The first settlement wins (R1). */
export type Settlement =
  | { readonly status: 'succeeded'; readonly response: AnyResponse }
  | { readonly status: 'failed' | 'cancelled'; readonly error: ErrorReport };

/** Which line of which batch a request is. */
export interface BatchLine {
  readonly batchId: string;
  /** From 0, in the order of the batch. */
  readonly index: number;
  /** The caller's own name for the line. */
  readonly customId: string | undefined;
}

/** The stored form of a request. Times are epoch ms. */
export interface RequestRecord {
  readonly requestId: RequestId;
  readonly tenant: string;
  readonly idempotencyKey: string | undefined;
  /** SHA-256 of the canonical request, for idempotency conflicts; empty where there is no key. */
  readonly requestHash: string;
  readonly request: ParsedRequest;
  readonly fallbacks: readonly string[] | 'none' | undefined;
  readonly priority: Priority;
  readonly tags: Readonly<Record<string, string>>;
  /** By the wall clock, as `settledAt`: for people, nothing is decided by it. */
  readonly createdAt: number;
  /** When it came into the queue, on the steady wall clock: its place in line and its deadline follow from it. */
  readonly enqueuedAt: number;
  /** The deadline's length; restored as clamp(enqueuedAt + timeoutMs − now, 0, timeoutMs). */
  readonly timeoutMs: number;
  readonly recovery: Recovery;
  /** How many processes ended while it was running. */
  readonly recoveries: number;
  readonly batch?: BatchLine;
  readonly status: RequestStatus;
  readonly attempts: readonly AttemptReport[];
  readonly settledAt?: number;
  readonly settlement?: Settlement;
}

/**
 * The right to write a record: whoever took it into memory last has the largest fence, and a write with an older one changes
 * nothing.
 */
export interface Claim {
  readonly requestId: RequestId;
  readonly fence: number;
}

export type InsertResult =
  | { readonly kind: 'inserted' }
  /** The idempotency key is known with the same request. */
  | { readonly kind: 'known'; readonly requestId: RequestId }
  /** The idempotency key is known with another request. */
  | { readonly kind: 'conflict'; readonly requestId: RequestId }
  | { readonly kind: 'full' };

export type LoadResult =
  | {
      readonly kind: 'found';
      readonly record: RequestRecord;
      /** It is open, and nobody has it in memory. */
      readonly isParked: boolean;
    }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

/** What a dead process left behind. */
export interface Recovered {
  /** How many wait now, those below included. */
  readonly queued: number;
  /** Were running when the process ended, and are queued again. */
  readonly requeued: readonly RequestId[];
  /** Were running too, and may not be run again: ended as `failed` with code `interrupted`. */
  readonly interrupted: readonly RequestId[];
}

/** The fence of a record that was inserted for `memory`. */
export const FIRST_FENCE = 1;

/**
 * Keeps request records. A record that is open is either claimed, by the process that has it in memory, or parked: it waits in
 * the store alone until somebody claims it. Every method rejects with `store-unavailable` when it cannot keep its word; what
 * it resolves with is on disk, where the store has one.
 */
export interface RequestStore {
  /** Whether records outlive the process; only then may requests wait in the store alone. */
  readonly isDurable: boolean;
  /** How many records are parked. */
  readonly parked: number;
  /** Called once before anything else: what a dead process had claimed is parked, or ends. */
  recover(): Promise<Recovered>;
  /** Claimed with the fence `FIRST_FENCE`, or parked. */
  insert(record: RequestRecord, place: 'memory' | 'store'): Promise<InsertResult>;
  load(requestId: RequestId): Promise<LoadResult>;
  /** Parked records in the order they shall be claimed, at most `max`; claims none. */
  listParked(max: number): Promise<readonly RequestRecord[]>;
  /** Parked records whose deadline has passed, at most `max`. */
  listOverdue(max: number): Promise<readonly RequestRecord[]>;
  /** Takes records into memory; asking twice is no mistake. Those that have ended meanwhile are left out. */
  claim(requestIds: readonly RequestId[]): Promise<readonly Claim[]>;
  /** Gives a claim back: the record waits in the store. False: the claim is old, or the record has ended. */
  park(claim: Claim): Promise<boolean>;
  /** Before an attempt is sent. False as for `park`. */
  markRunning(claim: Claim, target: { readonly provider: string; readonly model: string }): Promise<boolean>;
  /** False as for `park`. */
  markQueued(claim: Claim): Promise<boolean>;
  /**
   * Adds what one attempt came to: the `number`th of the request, from 1, after those before it. One that is known changes
   * nothing, so that telling it again is no mistake. False as for `park`.
   */
  addAttempt(claim: Claim, number: number, attempt: AttemptReport): Promise<boolean>;
  /** False when the record was settled already or the claim is old; nothing changes then. */
  settle(claim: Claim, settlement: Settlement, settledAt: number): Promise<boolean>;
  /** Ends a record that is parked; false when it is not. */
  settleParked(requestId: RequestId, settlement: Settlement, settledAt: number): Promise<boolean>;
  close(): Promise<void>;
}

/** One attempt's consumption: what it used and, where the price is known, what it cost. */
export interface LedgerEntry {
  /** Epoch ms. */
  readonly at: number;
  readonly requestId: RequestId;
  readonly attempt: number;
  readonly provider: string;
  readonly model: string;
  readonly tenant: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly outcome: OutcomeKind;
  readonly usage: Usage;
  /** Integer nano-dollars; undefined when the price is unknown. */
  readonly costNanos: number | undefined;
  /** Usage was estimated because the answer broke before the provider told it. */
  readonly isEstimate: boolean;
}

export interface LedgerQuery {
  /** Epoch ms, a Date or an ISO 8601 string; inclusive. */
  readonly since?: number | Date | string;
  /** Exclusive. */
  readonly until?: number | Date | string;
  readonly provider?: string;
  readonly model?: string;
  readonly tenant?: string;
  /** `name` or `name=value`. */
  readonly tag?: string;
}

/** Keeps what was spent. Every method rejects with `store-unavailable` when it cannot keep its word. */
export interface Ledger {
  /** Adds entries; one that is known by (requestId, attempt) changes nothing. */
  append(entries: readonly LedgerEntry[]): Promise<void>;
  /**
   * Sums up what matches. `nowMs` is the wall clock, epoch ms.
   * @throws {SwitchgearError} `invalid-request` for a `since` or `until` that is no time
   */
  summary(query: LedgerQuery, nowMs: number): Promise<CostSummary>;
  /** The entries of one request by attempt; empty when it is unknown or folded into daily totals. */
  entriesFor(requestId: RequestId): Promise<readonly LedgerEntry[]>;
  close(): Promise<void>;
}
