/** What a caller gets back, whichever provider gave it. */
import type { ErrorCode } from './errors.ts';
import type { MessageToolCall, ReasoningDetails } from './request.ts';

export type RequestId = string;

export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'other';

/** Token counts of one answer. `inputTokens` includes cached and cache-write tokens, `outputTokens` includes reasoning. */
export interface Usage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cachedInputTokens?: number;
  readonly cacheWriteTokens?: number;
  /** Of `cacheWriteTokens`, those kept for an hour: Anthropic bills them at another rate. */
  readonly cacheWrite1hTokens?: number;
  readonly reasoningTokens?: number;
}

/** An exact amount of money: `usdNanos` is an integer (1 USD = 10^9), `usd` the same as a number for reading. */
export interface Money {
  readonly usd: number;
  readonly usdNanos: number;
}

export interface Cost extends Money {
  /** Where the price came from, for example `genai-prices@0.1.8` or `config`. */
  readonly priceVersion: string;
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** A JSON string, as the model wrote it. */
  readonly arguments: string;
}

/** The assistant's message, ready to be appended to `messages` of the next request. */
export interface ResponseMessage {
  readonly role: 'assistant';
  readonly content: string | null;
  readonly refusal?: string;
  readonly tool_calls?: readonly MessageToolCall[];
  readonly reasoningDetails?: ReasoningDetails;
}

/** How one attempt ended: see `contract/failures.ts`. */
export type OutcomeKind = 'answered' | 'failed' | 'refused' | 'abandoned';

/** One request sent once to one target, as callers see it; never a credential. */
export interface AttemptReport {
  readonly provider: string;
  readonly model: string;
  readonly outcome: OutcomeKind;
  /** Error code of a failed or refused attempt. */
  readonly code?: ErrorCode;
  /** What the provider said, shortened and scrubbed. */
  readonly message?: string;
  readonly durationMs: number;
  readonly cost?: Cost;
  /** It failed after the request had been sent: the provider may bill it all the same. */
  readonly isMaybeBilled?: true;
}

/** Durations in ms. `firstTokenMs` counts from the moment the answering attempt was sent, if that was streamed to us. */
export interface Latency {
  readonly queuedMs: number;
  readonly firstTokenMs?: number;
  readonly totalMs: number;
}

export interface CompletionResponse {
  readonly kind: 'completion';
  readonly requestId: RequestId;
  readonly provider: string;
  /** The model id that was asked for at the provider. */
  readonly model: string;
  readonly text: string;
  readonly message: ResponseMessage;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  /** `undefined` when the price is unknown. */
  readonly cost?: Cost;
  readonly latency: Latency;
  readonly attempts: readonly AttemptReport[];
  /** When the response was created, epoch ms. */
  readonly createdAt: number;
  /** The provider's own body of an unstreamed answer, for callers of the same wire (`n`, `logprobs`). Not stored. */
  readonly wireBody?: { readonly wire: string; readonly body: unknown };
}

export interface EmbeddingResponse {
  readonly kind: 'embedding';
  readonly requestId: RequestId;
  readonly provider: string;
  readonly model: string;
  /** One vector per input, in the order of the inputs. */
  readonly vectors: readonly (readonly number[])[];
  readonly usage: Usage;
  readonly cost?: Cost;
  readonly latency: Latency;
  readonly attempts: readonly AttemptReport[];
  readonly createdAt: number;
}

export type AnyResponse = CompletionResponse | EmbeddingResponse;

export type StreamPart =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | ({ readonly type: 'toolCall' } & ToolCall)
  | { readonly type: 'restart' }
  | { readonly type: 'finish'; readonly response: CompletionResponse };

/**
 * The answer of a submitted request, from its beginning. Each iteration is a reader of its own, at its own pace; leaving one
 * ends nothing but itself. `restart` says that what was read is to be discarded, because another attempt begins.
 */
export interface ResultStream extends AsyncIterable<StreamPart> {
  readonly requestId: RequestId;
  /** Who is answering; undefined before the first part. */
  readonly target?: { readonly provider: string; readonly model: string } | undefined;
  /** Resolves with the whole response, whether or not the parts are read. Never an unhandled rejection. */
  readonly response: Promise<CompletionResponse>;
}

/** A streamed completion. Breaking out of the loop, or `cancel()`, stops the upstream socket. */
export interface CompletionStream extends AsyncIterable<StreamPart> {
  readonly requestId: RequestId;
  /** Who is answering; undefined before the first part. */
  readonly target?: { readonly provider: string; readonly model: string } | undefined;
  /** Resolves with the whole response; awaiting it alone drains the stream. Never an unhandled rejection. */
  readonly response: Promise<CompletionResponse>;
  cancel(): void;
}
