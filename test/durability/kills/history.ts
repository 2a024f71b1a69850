/** What was seen of one store over many lives of its daemon, from outside: by its callers, by its provider, and in the file. */

/** What a caller wants; its tag is in the prompt, so that the provider and the file know it too. */
export interface Wish {
  readonly tag: string;
  /** Sent more than once, with the same idempotency key. */
  readonly isKeyed: boolean;
  readonly recovery: 'atLeastOnce' | 'atMostOnce';
  /** Never answered: its process always dies while it runs. */
  readonly isPoison: boolean;
}

/** How a request ended, or how it stands: the status, and for an end what makes it this end and no other. */
export type Standing = string;

export const OPEN: readonly Standing[] = ['queued', 'running'];

export type Seen =
  /** Was answered with 202 and this id. */
  | { readonly kind: 'accepted'; readonly tag: string; readonly requestId: string }
  /** Was refused in words: nothing may have been kept. */
  | { readonly kind: 'refused'; readonly tag: string; readonly code: string }
  /** The daemon died before it answered: either may be true. */
  | { readonly kind: 'unanswered'; readonly tag: string }
  | { readonly kind: 'read'; readonly requestId: string; readonly standing: Standing }
  /** Sent, whatever came of it. */
  | { readonly kind: 'cancelling'; readonly requestId: string }
  | { readonly kind: 'cancelled'; readonly requestId: string }
  /** An id that had been accepted was not known. */
  | { readonly kind: 'missing'; readonly requestId: string; readonly code: string };

/** The provider was asked. */
export interface Call {
  readonly tag: string;
  /** Which life of the daemon asked; they count from 1. */
  readonly life: number;
  /** ms since the daemon of that life was started. */
  readonly afterMs: number;
}

/** A row of the file, read when everything was over. */
export interface StoredRow {
  readonly requestId: string;
  readonly tag: string;
  readonly standing: Standing;
  readonly recoveries: number;
  readonly settlements: number;
}

export interface History {
  readonly wishes: readonly Wish[];
  readonly seen: readonly Seen[];
  readonly calls: readonly Call[];
  readonly rows: readonly StoredRow[];
}
