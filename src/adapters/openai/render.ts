/** Renders a completion or an embedding into the body the OpenAI wire wants. Undefined fields are left out. */
import type { AdapterCall } from '../../contract/adapter.ts';
import type {
  ParsedCompletion,
  ParsedEmbedding,
  ParsedResponseFormat,
  ParsedToolChoice,
  ToolFunction,
} from '../../contract/request.ts';
import { definedOnly, mergeFields, ownFields, type WireObject } from '../wire.ts';
import { OPENAI_WIRE, renderMessages, type MessageContext } from './messages.ts';

export function renderCompletion(call: AdapterCall, context: MessageContext, isStream: boolean): WireObject {
  const { request, model } = call;
  const { dialect } = context;
  const takesSampling = dialect.takesSampling(model, request.reasoningEffort);
  const tools = request.tools ?? [];
  const body = definedOnly({
    model,
    messages: renderMessages(request.messages, context),
    temperature: takesSampling ? request.temperature : undefined,
    top_p: takesSampling ? request.topP : undefined,
    [dialect.maxTokensField(model)]: call.maxTokens,
    stop: request.stop?.length === 0 ? undefined : request.stop,
    seed: request.seed,
    reasoning_effort: request.reasoningEffort,
    tools: tools.length === 0 ? undefined : tools.map(renderTool),
    tool_choice: tools.length === 0 ? undefined : renderToolChoice(request.toolChoice),
    response_format: renderResponseFormat(request.responseFormat),
    stream_options: isStream && dialect.sendsStreamUsage ? { include_usage: true } : undefined,
  });
  return mergeFields(body, ...extraFields(request));
}

export function renderEmbedding(request: ParsedEmbedding, model: string, context: MessageContext): WireObject {
  const body = mergeFields(
    definedOnly({ model, input: request.input, dimensions: request.dimensions }),
    ownFields(request.wireFields, OPENAI_WIRE),
  );
  // The vectors are numbers to us; whoever wants base64 gets it rendered from them.
  const { encoding_format: _, ...rest } = body;
  return context.dialect.embeddingEncoding === 'float' ? { ...rest, encoding_format: 'float' } : rest;
}

const extraFields = (request: ParsedCompletion): readonly (WireObject | undefined)[] => [
  ownFields(request.wireFields, OPENAI_WIRE),
  request.providerOptions?.[OPENAI_WIRE],
];

function renderTool(tool: ToolFunction): WireObject {
  const { wireFields, ...definition } = tool;
  return { type: 'function', function: definedOnly(definition), ...ownFields(wireFields, OPENAI_WIRE) };
}

function renderToolChoice(choice: ParsedToolChoice | undefined): unknown {
  if (choice === undefined) return undefined;
  return choice.type === 'tool' ? { type: 'function', function: { name: choice.name } } : choice.type;
}

function renderResponseFormat(format: ParsedResponseFormat | undefined): WireObject | undefined {
  switch (format?.type) {
    case undefined:
    case 'text':
      return undefined;
    case 'json':
      return { type: 'json_object' };
    case 'json-schema': {
      const { name, description, schema, strict } = format;
      return { type: 'json_schema', json_schema: definedOnly({ name, description, schema, strict }) };
    }
  }
}
