/**
 * What a caller asks for. The lenient shapes (`CompletionRequest`, `EmbeddingRequest`) are the public input; `admit`
 * parses them once into the strict ones (`ParsedCompletion`, `ParsedEmbedding`), and everything behind it trusts those.
 */

/** Class of service. A priority is a virtual deadline: `high` +0 s, `normal` +30 s, `low` +600 s after enqueueing. */
export type Priority = 'high' | 'normal' | 'low';

/**
 * What happens when a stream breaks after content reached the caller: `live` ends with an error, `whole` holds parts back
 * until the answer is complete, `restart` tells the caller to discard what it has and starts over on the next candidate.
 */
export type Delivery = 'live' | 'whole' | 'restart';

/** Fields of one wire format that the unified request has no name for. Only an adapter of the same wire can send them. */
export interface WireFields {
  readonly wire: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Headers by which a caller asks a vendor for features in test, by lower-case name. An adapter sends its vendor's only. */
export type FeatureHeaders = Readonly<Record<string, string>>;

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
  readonly wireFields?: WireFields;
}

/** An image by `https:` URL or `data:` URL (base64). */
export interface ImagePart {
  readonly type: 'image_url';
  readonly image_url: { readonly url: string; readonly detail?: 'auto' | 'low' | 'high' };
  readonly wireFields?: WireFields;
}

/** A content part of another kind (audio, file, document), carried as it is to adapters of the wire it came from. */
export interface WirePart {
  readonly type: 'wire';
  readonly wireFields: WireFields;
}

export type ContentPart = TextPart | ImagePart | WirePart;

/** A tool call in the OpenAI shape; `arguments` is a JSON string. */
export interface MessageToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

/** Signed reasoning of a provider, opaque to us: sent back only to the provider it came from. */
export interface ReasoningDetails {
  readonly provider: string;
  readonly blocks: readonly unknown[];
}

export interface SystemMessage {
  readonly role: 'system' | 'developer';
  readonly content: string | readonly ContentPart[];
  readonly wireFields?: WireFields;
}

export interface UserMessage {
  readonly role: 'user';
  readonly content: string | readonly ContentPart[];
  readonly name?: string;
  readonly wireFields?: WireFields;
}

export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content?: string | readonly ContentPart[] | null;
  readonly refusal?: string | null;
  readonly tool_calls?: readonly MessageToolCall[];
  readonly reasoningDetails?: ReasoningDetails;
  readonly wireFields?: WireFields;
}

export interface ToolMessage {
  readonly role: 'tool';
  readonly tool_call_id: string;
  readonly content: string | readonly ContentPart[];
  readonly isError?: boolean;
  readonly wireFields?: WireFields;
}

export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

/** A function the model may call; `parameters` is a JSON Schema. */
export interface ToolFunction {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly strict?: boolean;
  readonly wireFields?: WireFields;
}

/** A tool in the OpenAI shape, or its inner function object alone. */
export type ToolDefinition = { readonly type: 'function'; readonly function: ToolFunction } | ToolFunction;

export type ToolChoice =
  | 'auto'
  | 'none'
  | 'required'
  | { readonly name: string }
  | { readonly type: 'function'; readonly function: { readonly name: string } };

export type ResponseFormat =
  | 'text'
  | 'json'
  | { readonly type: 'text' }
  | { readonly type: 'json' | 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly json_schema: {
        readonly name?: string;
        readonly description?: string;
        readonly schema: Readonly<Record<string, unknown>>;
        readonly strict?: boolean | null;
      };
    };

export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh';

export interface CompletionRequest {
  /** A model id, `provider/model`, or an alias. Default: `defaults.model` of the config. */
  readonly model?: string;
  readonly messages: readonly Message[];
  /** Short for a leading system message. */
  readonly system?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly topP?: number;
  readonly stop?: string | readonly string[];
  readonly seed?: number;
  readonly tools?: readonly ToolDefinition[];
  readonly toolChoice?: ToolChoice;
  readonly responseFormat?: ResponseFormat;
  readonly reasoningEffort?: ReasoningEffort;
  /** Extra body fields per adapter name, for example `{ openai: { logit_bias: {…} } }`; other adapters ignore them. */
  readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Kept with the request record; never sent to a provider. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Set by the HTTP edge: fields that only this wire can carry. Other candidates are then not usable. */
  readonly wireFields?: WireFields;
  /** They narrow nothing: a candidate of another vendor answers without them. */
  readonly featureHeaders?: FeatureHeaders;
}

export interface EmbeddingRequest {
  readonly model: string;
  readonly input: string | readonly string[];
  readonly dimensions?: number;
  readonly wireFields?: WireFields;
  readonly featureHeaders?: FeatureHeaders;
}

/**
 * What becomes of a stored request that was running when its process ended: it is run again, so that its provider may be asked
 * twice, or it ends as `failed` with code `interrupted`.
 */
export type Recovery = 'atLeastOnce' | 'atMostOnce';

export interface RequestOptions {
  /** Default `normal`. */
  readonly priority?: Priority;
  /** One deadline over queueing, retries and fallback, in ms. Default `service.timeoutMs`, async `service.asyncTimeoutMs`. */
  readonly timeoutMs?: number;
  /** The caller has left when this aborts: a sync request is cancelled, an async one goes on. */
  readonly signal?: AbortSignal;
  /** Same key and same request: the same requestId. Same key, another request: `idempotency-conflict`. */
  readonly idempotencyKey?: string;
  /** Takes turns in the queue with other tenants; kept in the ledger. Default `default`. */
  readonly tenant?: string;
  /** Kept in the ledger; `costSummary` filters by them. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Candidates (`provider/model`, alias or model id) tried after those of `model`; `[]` or `none` disables fallback. */
  readonly fallbacks?: readonly string[] | 'none';
  readonly delivery?: Delivery;
  /** Default `service.recovery`. */
  readonly recovery?: Recovery;
}

export type ParsedResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json' }
  | {
      readonly type: 'json-schema';
      readonly name: string;
      readonly description?: string;
      readonly schema: Readonly<Record<string, unknown>>;
      readonly strict?: boolean;
    };

export type ParsedToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'tool'; readonly name: string };

/** A completion request after `admit`: one shape per thing, `system` folded into the messages, defaults filled in. */
export interface ParsedCompletion {
  readonly kind: 'completion';
  readonly model: string;
  readonly messages: readonly Message[];
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly topP?: number;
  readonly stop?: readonly string[];
  readonly seed?: number;
  readonly tools?: readonly ToolFunction[];
  readonly toolChoice?: ParsedToolChoice;
  readonly responseFormat?: ParsedResponseFormat;
  readonly reasoningEffort?: ReasoningEffort;
  readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly wireFields?: WireFields;
  readonly featureHeaders?: FeatureHeaders;
}

export interface ParsedEmbedding {
  readonly kind: 'embedding';
  readonly model: string;
  readonly input: readonly string[];
  readonly dimensions?: number;
  readonly wireFields?: WireFields;
  readonly featureHeaders?: FeatureHeaders;
}

export type ParsedRequest = ParsedCompletion | ParsedEmbedding;
