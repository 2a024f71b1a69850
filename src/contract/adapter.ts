/**
 * The port that every provider adapter implements. An adapter renders a parsed request into one wire format, sends it
 * once, parses what comes back and classifies what went wrong. It never retries, never waits and never decides.
 */
import type { Clock } from './clock.ts';
import type { Credential, ProviderConfig } from './config.ts';
import type { FailureKind } from './failures.ts';
import type { ParsedCompletion, ParsedEmbedding, ReasoningDetails } from './request.ts';
import type { FinishReason, ToolCall, Usage } from './response.ts';

/** What a request may need; `wire:NAME` means "can send fields of that wire format unchanged". */
export type Feature =
  | 'completion'
  | 'stream'
  | 'embedding'
  | 'tools'
  | 'images'
  | 'json'
  | 'json-schema'
  | 'seed'
  | 'reasoning-effort'
  | `wire:${string}`;

/** One completion to send once. */
export interface AdapterCall {
  readonly requestId: string;
  readonly model: string;
  readonly request: ParsedCompletion;
  /** Upper bound for output tokens: the request's own, else undefined. */
  readonly maxTokens: number | undefined;
  /** What a wire that demands a maximum sends when the request has none. */
  readonly maxTokensDefault: number;
  readonly credential: Credential;
  /** Aborting it closes the upstream socket. */
  readonly signal: AbortSignal;
}

export interface AdapterEmbedCall {
  readonly requestId: string;
  readonly model: string;
  readonly request: ParsedEmbedding;
  readonly credential: Credential;
  readonly signal: AbortSignal;
}

/** A whole answer. */
export interface AdapterReply {
  readonly text: string;
  readonly refusal?: string;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly reasoningDetails?: ReasoningDetails;
  /** The wire body of an unstreamed answer. */
  readonly wireBody?: { readonly wire: string; readonly body: unknown };
}

export interface AdapterEmbedReply {
  readonly vectors: readonly (readonly number[])[];
  readonly usage: Usage;
}

/**
 * One step of a streamed answer. `activity` says that content is arriving which has no part yet (tool arguments); a
 * `toolCall` is whole. `usage` may come at any time; later counts replace earlier ones field by field. A stream that ends
 * without `finish` is broken.
 */
export type AdapterPart =
  | { readonly type: 'text' | 'reasoning' | 'refusal'; readonly text: string }
  | ({ readonly type: 'toolCall' } & ToolCall)
  | { readonly type: 'activity' }
  | { readonly type: 'usage'; readonly usage: Usage }
  | { readonly type: 'reasoningDetails'; readonly details: ReasoningDetails }
  | { readonly type: 'finish'; readonly finishReason: FinishReason };

/** What went wrong with one attempt. */
export interface Failure {
  readonly kind: FailureKind;
  /** Says what happened; scrubbed of keys, at most 2 kB. */
  readonly message: string;
  readonly status?: number;
  /** The provider's own code, for example `insufficient_quota`. */
  readonly providerCode?: string;
  /** From Retry-After, in ms. */
  readonly retryAfterMs?: number;
  /** Whether the request body had been sent, so that the provider may bill it. */
  readonly isMaybeBilled?: boolean;
  /** It was the streaming that was refused: asked without, the provider may answer. */
  readonly isStreamRefused?: boolean;
  readonly cause?: unknown;
}

export interface Adapter {
  /** Sends one completion and waits for the whole answer. Rejects with whatever went wrong; `classify` understands it. */
  send(call: AdapterCall): Promise<AdapterReply>;
  /** Sends one completion and yields the answer as it comes. Throws like `send`. */
  stream(call: AdapterCall): AsyncIterable<AdapterPart>;
  embed?(call: AdapterEmbedCall): Promise<AdapterEmbedReply>;
  /** Proves reach and key without cost, usually by listing models. Rejects like `send`. */
  check(call: { readonly credential: Credential; readonly signal: AbortSignal }): Promise<void>;
  /** Names the class of anything that `send`, `stream`, `embed` or `check` threw. Pure; never throws. */
  classify(error: unknown): Failure;
  supports(feature: Feature, model: string): boolean;
  /** Input tokens of a request, if the adapter can count them better than the general estimate. */
  countTokens?(request: ParsedCompletion, model: string): number | undefined;
  /** Closes connections. */
  close?(): Promise<void>;
}

export interface AdapterDeps {
  /** The transport; undefined: the adapter's own (undici). */
  readonly fetch: typeof globalThis.fetch | undefined;
  readonly clock: Clock;
}

/** Builds the adapter of one provider. Throws a `SwitchgearError` `invalid-config` when `config.options` is wrong. */
export type CreateAdapter = (config: ProviderConfig, deps: AdapterDeps) => Adapter;
