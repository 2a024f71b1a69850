/**
 * From our response to a chat completion. Where the provider answered in this wire, the parts of its body that we have no
 * word for (further choices, log probabilities, fingerprint) stay; what we know ourselves always wins. Reasoning is shown as
 * `reasoning_content`, as most OpenAI-compatible servers do; signed reasoning stands beside it as `reasoningDetails`, and a
 * client that appends the message to its conversation sends it back to us.
 */
import { z } from 'zod';
import type { CompletionResponse, FinishReason, ToolCall, Usage } from '../../contract/response.ts';
import type { HttpFailure } from '../failure.ts';
import { readReasoningText } from '../reasoning.ts';

const FINISH_REASONS: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
  other: 'stop',
};

/** What a message of this wire may hold beyond ours. Anything else would come back to us in the next turn and narrow it. */
const MESSAGE_EXTRAS: ReadonlySet<string> = new Set(['annotations', 'audio', 'reasoning_content', 'reasoning']);

const objectOrNothing = z.record(z.string(), z.unknown()).optional().catch(undefined);
/** The little that is read of a provider's body; anything malformed in it counts as absent. */
const wireBodySchema = z
  .object({
    choices: z.array(z.looseObject({ message: objectOrNothing, logprobs: objectOrNothing.nullable() })).catch([]),
    system_fingerprint: z.string().nullish().catch(undefined),
    service_tier: z.string().nullish().catch(undefined),
    usage: z
      .looseObject({ prompt_tokens_details: objectOrNothing, completion_tokens_details: objectOrNothing })
      .optional()
      .catch(undefined),
  })
  .catch({ choices: [], system_fingerprint: undefined, service_tier: undefined, usage: undefined });

type WireBody = z.infer<typeof wireBodySchema>;

export function renderChatCompletion(response: CompletionResponse): unknown {
  const body = readWireBody(response);
  const [first, ...further] = body.choices;
  return {
    id: response.requestId,
    object: 'chat.completion',
    created: Math.floor(response.createdAt / 1_000),
    model: response.model,
    choices: [
      {
        index: 0,
        message: renderMessage(response, first?.message ?? {}),
        logprobs: first?.logprobs ?? null,
        finish_reason: renderFinishReason(response.finishReason),
      },
      ...further,
    ],
    usage: renderUsage(response.usage, body.usage),
    ...(body.system_fingerprint && { system_fingerprint: body.system_fingerprint }),
    ...(body.service_tier && { service_tier: body.service_tier }),
  };
}

export function renderFinishReason(finishReason: FinishReason): string {
  return FINISH_REASONS[finishReason];
}

export function renderToolCall(call: ToolCall): unknown {
  // A model that calls without arguments may write nothing; clients parse them as JSON.
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments === '' ? '{}' : call.arguments },
  };
}

/** Token counts; null where the provider did not tell. */
export function renderUsage(usage: Usage, wireUsage?: WireBody['usage']): unknown {
  const { inputTokens, outputTokens } = usage;
  if (inputTokens === undefined && outputTokens === undefined) return null;
  return {
    ...wireUsage,
    prompt_tokens: inputTokens ?? null,
    completion_tokens: outputTokens ?? null,
    total_tokens: inputTokens === undefined || outputTokens === undefined ? null : inputTokens + outputTokens,
    ...details('prompt_tokens_details', wireUsage?.prompt_tokens_details, 'cached_tokens', usage.cachedInputTokens),
    ...details(
      'completion_tokens_details',
      wireUsage?.completion_tokens_details,
      'reasoning_tokens',
      usage.reasoningTokens,
    ),
  };
}

export function renderOpenaiFailure(failure: HttpFailure): { error: Readonly<Record<string, string | null>> } {
  return {
    error: {
      message: failure.message,
      type: failure.openaiType,
      param: failure.param ?? null,
      code: failure.openaiCode,
    },
  };
}

function readWireBody(response: CompletionResponse): WireBody {
  return wireBodySchema.parse(response.wireBody?.wire === 'openai' ? response.wireBody.body : undefined);
}

function renderMessage(response: CompletionResponse, wireMessage: Readonly<Record<string, unknown>>): unknown {
  const { message, toolCalls } = response;
  const reasoning = readReasoningText(message.reasoningDetails);
  const extras = Object.entries(wireMessage).filter(([name, value]) => MESSAGE_EXTRAS.has(name) && value !== null);
  return {
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...Object.fromEntries(extras),
    role: 'assistant',
    content: message.content,
    refusal: message.refusal ?? null,
    ...(toolCalls.length > 0 && { tool_calls: renderToolCalls(toolCalls, wireMessage['tool_calls']) }),
    ...(message.reasoningDetails !== undefined && { reasoningDetails: message.reasoningDetails }),
  };
}

/** The provider's own list where it holds calls of a kind we do not model, so that none is lost. */
function renderToolCalls(toolCalls: readonly ToolCall[], wireCalls: unknown): unknown {
  const isRicher = Array.isArray(wireCalls) && wireCalls.length > toolCalls.length;
  return isRicher ? wireCalls : toolCalls.map(renderToolCall);
}

function details(name: string, known: object | undefined, field: string, count: number | undefined): object {
  if (known === undefined && count === undefined) return {};
  return { [name]: { ...known, ...(count !== undefined && { [field]: count }) } };
}
