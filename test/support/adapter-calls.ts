/** Calls, configs and readers for tests of adapters. */
import type { Adapter, AdapterCall, AdapterEmbedCall, AdapterPart } from '../../src/contract/adapter.ts';
import type { Credential, ProviderConfig } from '../../src/contract/config.ts';
import type { ParsedCompletion } from '../../src/contract/request.ts';
import type { FinishReason, ToolCall, Usage } from '../../src/contract/response.ts';

/** A key that must never be seen anywhere; long enough that no text holds it by chance. */
export const CANARY_KEY = 'sk-canary-4f1d0c7e9b2a4c5d8e6f';

export const canaryCredential: Credential = { id: 'upstream#1', apiKey: CANARY_KEY };

export function createProviderConfig(fields: Partial<ProviderConfig> & { readonly adapter: string }): ProviderConfig {
  return {
    name: 'upstream',
    credentials: [canaryCredential],
    baseURL: undefined,
    models: [{ id: 'model-1' }],
    priority: 1,
    maxTokens: undefined,
    rateLimit: {},
    concurrency: 32,
    retry: { maxRetries: 2, baseMs: 500, factor: 2, capMs: 8_000 },
    timeouts: { connectMs: 5_000, firstTokenMs: 12_000, stallMs: 15_000, unstreamedMs: 60_000 },
    headers: {},
    query: {},
    proxy: undefined,
    breaker: {
      windowMs: 60_000,
      failureRate: 0.5,
      minimumCalls: 10,
      consecutiveFailures: 10,
      openMs: 15_000,
      openMaxMs: 300_000,
      halfOpenSuccesses: 2,
    },
    health: { intervalMs: 30_000 },
    allowPrivate: false,
    options: {},
    ...fields,
  };
}

export const helloRequest: ParsedCompletion = {
  kind: 'completion',
  model: 'model-1',
  messages: [{ role: 'user', content: 'Hello' }],
};

export function createCall(fields: Partial<AdapterCall> = {}): AdapterCall {
  return {
    requestId: 'req_1',
    model: 'model-1',
    request: helloRequest,
    maxTokens: undefined,
    maxTokensDefault: 4_096,
    credential: canaryCredential,
    signal: new AbortController().signal,
    ...fields,
  };
}

export function createEmbedCall(input: readonly string[], fields: Partial<AdapterEmbedCall> = {}): AdapterEmbedCall {
  return {
    requestId: 'req_1',
    model: 'model-1',
    request: { kind: 'embedding', model: 'model-1', input },
    credential: canaryCredential,
    signal: new AbortController().signal,
    ...fields,
  };
}

/** A stream folded into what an unstreamed answer says. */
export interface CollectedStream {
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
  readonly toolCalls: readonly ToolCall[];
  readonly usage: Usage;
  readonly finishReason: FinishReason | undefined;
  readonly parts: readonly AdapterPart[];
}

function foldParts(parts: readonly AdapterPart[]): CollectedStream {
  const textOf = (type: 'text' | 'reasoning' | 'refusal'): string =>
    parts.map((part) => (part.type === type ? part.text : '')).join('');
  return {
    text: textOf('text'),
    reasoning: textOf('reasoning'),
    refusal: textOf('refusal'),
    toolCalls: parts.flatMap((part) =>
      part.type === 'toolCall' ? [{ id: part.id, name: part.name, arguments: part.arguments }] : [],
    ),
    usage: Object.assign({}, ...parts.map((part) => (part.type === 'usage' ? part.usage : {}))),
    finishReason: parts.findLast((part) => part.type === 'finish')?.finishReason,
    parts,
  };
}

export async function collectStream(adapter: Adapter, call: AdapterCall): Promise<CollectedStream> {
  const parts: AdapterPart[] = [];
  for await (const part of adapter.stream(call)) parts.push(part);
  return foldParts(parts);
}

/** Streams until it ends or throws; gives both what had come and what was thrown. */
export async function tryStream(
  adapter: Adapter,
  call: AdapterCall,
): Promise<{ collected: CollectedStream; error: unknown }> {
  const parts: AdapterPart[] = [];
  try {
    for await (const part of adapter.stream(call)) parts.push(part);
    return { collected: foldParts(parts), error: undefined };
  } catch (error) {
    return { collected: foldParts(parts), error };
  }
}

/** What a promise is rejected with; a promise that is not rejected fails the test. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const reply = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('error' in reply) return reply.error;
  throw new Error(`expected the call to be rejected, got: ${JSON.stringify(reply.value)}`);
}
