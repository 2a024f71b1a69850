/**
 * From our response to a message. Where the provider answered in this wire its content blocks stay as they are (citations,
 * server tools), reasoning excepted: readable thinking comes without a signature, and one `redacted_thinking` block holds
 * the signed reasoning with the name of the provider it must return to.
 */
import { z } from 'zod';
import type { CompletionResponse, FinishReason, ToolCall, Usage } from '../../contract/response.ts';
import type { JsonObject } from '../check.ts';
import type { HttpFailure } from '../failure.ts';
import { readReasoningText, sealReasoning } from '../reasoning.ts';

const STOP_REASONS: Readonly<Record<FinishReason, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  'content-filter': 'refusal',
  other: 'end_turn',
};

/** The little that is read of a provider's body; anything malformed in it counts as absent. */
const wireBodySchema = z
  .object({
    content: z
      .array(z.looseObject({ type: z.string() }))
      .optional()
      .catch(undefined),
    stop_reason: z.string().nullish().catch(undefined),
    stop_sequence: z.string().nullish().catch(undefined),
    usage: z.record(z.string(), z.unknown()).optional().catch(undefined),
  })
  .catch({ content: undefined, stop_reason: undefined, stop_sequence: undefined, usage: undefined });

export function renderMessage(response: CompletionResponse): unknown {
  const body = wireBodySchema.parse(response.wireBody?.wire === 'anthropic' ? response.wireBody.body : undefined);
  return {
    id: response.requestId,
    type: 'message',
    role: 'assistant',
    model: response.model,
    content: body.content === undefined ? renderContent(response) : carryContent(body.content, response),
    stop_reason: body.stop_reason ?? renderStopReason(response.finishReason),
    stop_sequence: body.stop_sequence ?? null,
    usage: { ...body.usage, ...renderUsage(response.usage) },
  };
}

export function renderStopReason(finishReason: FinishReason): string {
  return STOP_REASONS[finishReason];
}

/** Token counts; Anthropic's input tokens leave out what was read from or written to the cache. Null: not told. */
export function renderUsage(usage: Usage): JsonObject {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, cacheWrite1hTokens } = usage;
  const uncached =
    inputTokens === undefined ? null : Math.max(0, inputTokens - (cachedInputTokens ?? 0) - (cacheWriteTokens ?? 0));
  return {
    input_tokens: uncached,
    output_tokens: usage.outputTokens ?? null,
    ...(cachedInputTokens !== undefined && { cache_read_input_tokens: cachedInputTokens }),
    ...(cacheWriteTokens !== undefined && { cache_creation_input_tokens: cacheWriteTokens }),
    ...(cacheWriteTokens !== undefined &&
      cacheWrite1hTokens !== undefined && {
        cache_creation: {
          ephemeral_1h_input_tokens: cacheWrite1hTokens,
          ephemeral_5m_input_tokens: cacheWriteTokens - cacheWrite1hTokens,
        },
      }),
  };
}

/** What a refusal says, where the model refused instead of answering. */
export function readRefusal(response: CompletionResponse): string | undefined {
  return response.text === '' && response.message.refusal !== undefined && response.message.refusal !== ''
    ? response.message.refusal
    : undefined;
}

export function renderAnthropicFailure(failure: HttpFailure): JsonObject & { readonly type: 'error' } {
  return {
    type: 'error',
    error: { type: failure.anthropicType, message: failure.message },
    request_id: failure.requestId ?? null,
  };
}

function renderContent(response: CompletionResponse): readonly object[] {
  const { reasoningDetails } = response.message;
  const thinking = readReasoningText(reasoningDetails);
  const text = response.text === '' ? readRefusal(response) : response.text;
  return [
    ...(thinking === undefined ? [] : [{ type: 'thinking', thinking, signature: '' }]),
    ...(reasoningDetails === undefined ? [] : [{ type: 'redacted_thinking', data: sealReasoning(reasoningDetails) }]),
    ...(text === undefined ? [] : [{ type: 'text', text, citations: null }]),
    ...response.toolCalls.map((call) => ({ type: 'tool_use', id: call.id, name: call.name, input: parseInput(call) })),
  ];
}

function carryContent(content: readonly JsonObject[], response: CompletionResponse): readonly JsonObject[] {
  const { reasoningDetails } = response.message;
  if (reasoningDetails === undefined) return content;
  const others = content.filter((block) => block['type'] !== 'redacted_thinking');
  const unsigned: readonly JsonObject[] = others.map((block) =>
    block['type'] === 'thinking' ? { ...block, signature: '' } : block,
  );
  const after = unsigned.findLastIndex((block) => block['type'] === 'thinking') + 1;
  return unsigned.toSpliced(after, 0, { type: 'redacted_thinking', data: sealReasoning(reasoningDetails) });
}

/** This wire has arguments as an object. What is no object is shown as Anthropic's documentation shows broken JSON. */
function parseInput(call: ToolCall): object {
  if (call.arguments.trim() === '') return {};
  try {
    const input: unknown = JSON.parse(call.arguments);
    if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input;
  } catch {
    // Cut off or malformed: the model's text is all there is.
  }
  return { INVALID_JSON: call.arguments };
}
