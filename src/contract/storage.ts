/**
 * The other things that are kept beside request records and ledger: what providers' actors know, webhooks to deliver, batches.
 * One storage keeps them all in one place, so that what belongs together is written together.
 */
import type { BatchStore, FileStore } from './batches.ts';
import type { ErrorReport } from './errors.ts';
import type { Ledger, RequestStore } from './records.ts';
import type { RequestId } from './response.ts';

/** Keeps what shall outlive the process of a provider's actor: plain JSON by provider name. */
export interface StateStore {
  load(): Promise<Readonly<Record<string, unknown>>>;
  /** Replaces what was kept. */
  save(name: string, state: unknown): Promise<void>;
}

/** What a notice tells of a settlement: how, never what. Every `Settlement` is one. */
export type SettlementNotice =
  | { readonly status: 'succeeded' }
  | { readonly status: 'failed' | 'cancelled'; readonly error: Pick<ErrorReport, 'code' | 'message'> };

interface Undelivered {
  readonly requestId: RequestId;
  /** How often delivery was tried. */
  readonly tries: number;
  /** Epoch ms, steady wall clock: not before. */
  readonly dueAt: number;
}

/** A notice of a settlement that is still to be delivered. It is written together with the settlement. */
export interface WebhookDelivery extends Undelivered {
  readonly settlement: SettlementNotice;
  readonly settledAt: number;
}

/** A notice whose result expired before it was delivered: there is nothing left to come for. */
export interface ExpiredDelivery extends Undelivered {
  readonly settlement: undefined;
}

export interface WebhookOutbox {
  /** Those that are due at `nowMs`, oldest first, at most `max`. A notice is due at the latest when its result expires. */
  due(nowMs: number, max: number): Promise<readonly (WebhookDelivery | ExpiredDelivery)[]>;
  /** When the next one is due; undefined when there is none. */
  nextDueAt(): Promise<number | undefined>;
  /** `tries` counts all of them: asking twice is no mistake. */
  postpone(requestId: RequestId, tries: number, dueAt: number): Promise<void>;
  /** Delivered, or given up. */
  remove(requestId: RequestId): Promise<void>;
}

/** Everything one service keeps. */
export interface Storage {
  readonly requests: RequestStore;
  readonly ledger: Ledger;
  readonly states: StateStore;
  readonly webhooks: WebhookOutbox;
  readonly batches: BatchStore;
  readonly files: FileStore;
  /** Closes all of it. */
  close(): Promise<void>;
}
