/**
 * Renders a completion into the body the Anthropic wire wants. What the wire has no word for is rendered by the nearest one:
 * a JSON schema as structured output (`output_config.format`), JSON without a schema as an instruction, a reasoning effort as
 * thinking. `seed` has none and is not sent. Sampling parameters are left out for models that refuse them, because a 400
 * would end a request that the model could have answered.
 */
import { transformJSONSchema } from '@anthropic-ai/sdk/lib/transform-json-schema';
import type { AdapterCall } from '../../contract/adapter.ts';
import type { ProviderConfig } from '../../contract/config.ts';
import type { ParsedCompletion, ParsedResponseFormat, ParsedToolChoice, ToolFunction } from '../../contract/request.ts';
import { definedOnly, mergeFields, ownFields, unsendable, type WireObject } from '../wire.ts';
import { ANTHROPIC_WIRE, renderConversation } from './messages.ts';
import { hasStructuredOutputs, renderThinking, takesSampling } from './models.ts';

const JSON_INSTRUCTION = 'Answer with a single JSON object and nothing else: no introduction, no code fence.';
/** This wire counts to 1 where OpenAI's counts to 2. */
const TEMPERATURE_MAX = 1;

export function renderMessage(call: AdapterCall, config: ProviderConfig): WireObject {
  const { request, model } = call;
  const conversation = renderConversation(request.messages, config.name);
  const system = [
    ...conversation.system,
    ...(request.responseFormat?.type === 'json' ? [{ type: 'text', text: JSON_INSTRUCTION }] : []),
  ];
  const maxTokens = chooseMaxTokens(call, config);
  const isToolForced = request.toolChoice?.type === 'required' || request.toolChoice?.type === 'tool';
  // A forced tool and thinking exclude each other.
  const thinking = isToolForced ? {} : renderThinking(model, request.reasoningEffort, maxTokens);
  const tools = request.tools ?? [];
  const body = definedOnly({
    model,
    max_tokens: maxTokens,
    messages: conversation.messages,
    system: system.length === 0 ? undefined : system,
    stop_sequences: request.stop?.length === 0 ? undefined : request.stop,
    tools: tools.length === 0 ? undefined : tools.map(renderTool),
    tool_choice: tools.length === 0 ? undefined : renderToolChoice(request.toolChoice),
    ...renderSampling(request, model, thinking.thinking !== undefined),
  });
  return mergeFields(
    body,
    { ...thinking },
    renderFormat(request.responseFormat, model),
    ownFields(request.wireFields, ANTHROPIC_WIRE),
    request.providerOptions?.[ANTHROPIC_WIRE],
  );
}

function chooseMaxTokens(call: AdapterCall, config: ProviderConfig): number {
  if (call.maxTokens !== undefined) return call.maxTokens;
  const outputMax = config.models.find(({ id }) => id === call.model)?.maxOutputTokens;
  return Math.min(call.maxTokensDefault, outputMax ?? call.maxTokensDefault);
}

/** Thinking fixes the temperature. */
function renderSampling(request: ParsedCompletion, model: string, isThinking: boolean): WireObject {
  if (isThinking || !takesSampling(model)) return {};
  return {
    temperature: request.temperature === undefined ? undefined : Math.min(request.temperature, TEMPERATURE_MAX),
    top_p: request.topP,
  };
}

function renderTool(tool: ToolFunction): WireObject {
  return {
    ...definedOnly({ name: tool.name, description: tool.description, strict: tool.strict === true ? true : undefined }),
    input_schema: { type: 'object', ...tool.parameters },
    ...ownFields(tool.wireFields, ANTHROPIC_WIRE),
  };
}

function renderToolChoice(choice: ParsedToolChoice | undefined): WireObject | undefined {
  switch (choice?.type) {
    case undefined:
      return undefined;
    case 'auto':
    case 'none':
      return { type: choice.type };
    case 'required':
      return { type: 'any' };
    case 'tool':
      return { type: 'tool', name: choice.name };
  }
}

/** The wire takes a subset of JSON Schema and closed objects only; the SDK knows the subset. */
function renderFormat(format: ParsedResponseFormat | undefined, model: string): WireObject {
  if (format?.type !== 'json-schema') return {};
  if (!hasStructuredOutputs(model))
    throw unsendable(`a JSON schema for ${model}, which has no structured outputs`, ANTHROPIC_WIRE);
  return { output_config: { format: { type: 'json_schema', schema: transformSchema(format.schema) } } };
}

function transformSchema(schema: Readonly<Record<string, unknown>>): unknown {
  try {
    return transformJSONSchema(schema);
  } catch (error) {
    throw unsendable(
      `a JSON schema it cannot take: ${error instanceof Error ? error.message : 'malformed'}`,
      ANTHROPIC_WIRE,
    );
  }
}
