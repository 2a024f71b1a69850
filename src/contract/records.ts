/** What is remembered: the request record and the ledger entry, and the ports of what keeps them. */
import type { ErrorReport } from './errors.ts';
import type { ParsedRequest, Priority } from './request.ts';
import type { AnyResponse, AttemptReport, OutcomeKind, RequestId, Usage } from './response.ts';
import type { CostSummary } from './state.ts';

export type RequestStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** How a request ended. The first settlement wins (R1). */
export type Settlement =
  | { readonly status: 'succeeded'; readonly response: AnyResponse }
  | { readonly status: 'failed' | 'cancelled'; readonly error: ErrorReport };

/** The stored form of a request. Times are epoch ms. */
export interface RequestRecord {
  readonly requestId: RequestId;
  readonly tenant: string;
  readonly idempotencyKey: string | undefined;
  /** SHA-256 of the canonical request, for idempotency conflicts. */
  readonly requestHash: string;
  readonly request: ParsedRequest;
  readonly fallbacks: readonly string[] | 'none' | undefined;
  readonly priority: Priority;
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAt: number;
  /** The deadline's length; restored as clamp(stored − now, 0, duration). */
  readonly timeoutMs: number;
  readonly status: RequestStatus;
  readonly attempts: readonly AttemptReport[];
  readonly settledAt?: number;
  readonly settlement?: Settlement;
}

export type InsertResult =
  | { readonly kind: 'inserted' }
  /** The idempotency key is known with the same request. */
  | { readonly kind: 'known'; readonly requestId: RequestId }
  /** The idempotency key is known with another request. */
  | { readonly kind: 'conflict'; readonly requestId: RequestId }
  | { readonly kind: 'full' };

export type LoadResult =
  | { readonly kind: 'found'; readonly record: RequestRecord }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

/** Keeps request records. Every method rejects with `store-unavailable` when it cannot keep its word. */
export interface RequestStore {
  insert(record: RequestRecord): Promise<InsertResult>;
  load(requestId: RequestId): Promise<LoadResult>;
  markRunning(requestId: RequestId): Promise<void>;
  markQueued(requestId: RequestId): Promise<void>;
  /** Adds what one attempt came to. */
  addAttempt(requestId: RequestId, attempt: AttemptReport): Promise<void>;
  /** False when the record was settled already; nothing changes then. */
  settle(requestId: RequestId, settlement: Settlement, settledAt: number): Promise<boolean>;
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
