/**
 * From the body of a chat completion to a request of ours. Three kinds of fields stand beside the modelled ones: those that
 * change no answer (`user`, `store`, …) travel as provider options, which other wires ignore; those that equal their default
 * are dropped, so that they narrow nothing; all others become wire fields, and only an OpenAI-speaking candidate may answer.
 */
import { z } from 'zod';
import type { CompletionRequest, ReasoningEffort, ResponseFormat } from '../../contract/request.ts';
import { check, flag, integerBetween, type JsonObject, jsonObject, numberBetween, refuse, text } from '../check.ts';
import { findRoutingField, WireFieldCollector } from '../wire-fields.ts';
import type { ParsedCall } from '../wire.ts';
import { parseMessages } from './parse-messages.ts';
import { parseToolFields } from './parse-tools.ts';

const TOKENS_MAX = 100_000_000;

const bodySchema = z.looseObject({
  model: text().nullish(),
  messages: z
    .array(z.unknown(), { error: 'an array of messages' })
    .min(1, { error: 'an array of at least one message' }),
  temperature: numberBetween(0, 2).nullish(),
  top_p: numberBetween(0, 1).nullish(),
  max_tokens: integerBetween(1, TOKENS_MAX).nullish(),
  max_completion_tokens: integerBetween(1, TOKENS_MAX).nullish(),
  stop: z.union([text(), z.array(text())], { error: 'a string or an array of strings' }).nullish(),
  seed: integerBetween(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER).nullish(),
  reasoning_effort: text().nullish(),
  response_format: z.looseObject({ type: text() }, { error: 'an object with a type' }).nullish(),
  metadata: z.record(z.string(), z.string({ error: 'a string' }), { error: 'an object of strings' }).nullish(),
  stream: flag().nullish(),
  stream_options: z.looseObject({ include_usage: flag().nullish() }, { error: 'an object' }).nullish(),
  n: integerBetween(1, 128).nullish(),
  tools: z.array(z.unknown(), { error: 'an array of tools' }).nullish(),
  tool_choice: z.union([z.string(), jsonObject], { error: 'a string or an object' }).nullish(),
});

type Body = z.infer<typeof bodySchema>;

const MODELLED: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'temperature',
  'top_p',
  'max_tokens',
  'max_completion_tokens',
  'stop',
  'seed',
  'reasoning_effort',
  'response_format',
  'metadata',
  'stream',
  'stream_options',
  'tools',
  'tool_choice',
]);

/** Change no answer, only how the provider keeps, bills or caches it: sent on the same wire, dropped on others. */
const HARMLESS: ReadonlySet<string> = new Set([
  'user',
  'store',
  'metadata',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'prompt_cache_options',
]);

/** JSON of the values that say nothing. */
const DEFAULTS: Readonly<Record<string, string>> = {
  n: '1',
  logprobs: 'false',
  top_logprobs: '0',
  frequency_penalty: '0',
  presence_penalty: '0',
  logit_bias: '{}',
  parallel_tool_calls: 'true',
  modalities: '["text"]',
};

/** What these ask for has no place in a stream of ours, nor in a stored response. */
const UNSTREAMED_ONLY = ['n', 'logprobs', 'top_logprobs', 'modalities', 'audio'];

const LEGACY: Readonly<Record<string, string>> = { functions: 'tools', function_call: 'tool_choice' };

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseChatCompletion(value: unknown): ParsedCall {
  const body = check(bodySchema, check(jsonObject, value, 'body'), '');
  refuseUnservable(body);
  const collector = new WireFieldCollector('openai');
  const messages = parseMessages(body.messages, collector);
  const tools = parseToolFields(body.tools, body.tool_choice, collector);
  const format = parseResponseFormat(body.response_format ?? undefined);
  const effort = parseReasoningEffort(body.reasoning_effort ?? undefined);
  const own = { ...readUnmodelled(body), ...tools.fields, ...format.fields, ...effort.fields };
  const unstreamedOnly = UNSTREAMED_ONLY.find((name) => Object.hasOwn(own, name));
  const isStream = body.stream === true;
  if (isStream && unstreamedOnly !== undefined)
    throw refuse(unstreamedOnly, 'absent from a streamed request', own[unstreamedOnly]);
  const request: CompletionRequest = {
    messages,
    ...readSampling(body),
    ...tools.request,
    ...format.request,
    ...effort.request,
    ...readHarmless(body),
    ...collector.finish(own),
  };
  return { request, isStream, includesUsage: body.stream_options?.include_usage === true, unstreamedOnly };
}

function refuseUnservable(body: Body): void {
  for (const [name, replacement] of Object.entries(LEGACY)) {
    const value = body[name];
    if (value !== undefined && value !== null) throw refuse(name, `absent, use ${replacement} instead`, value);
  }
  const routing = findRoutingField(body);
  if (routing !== undefined)
    throw refuse(routing, 'absent, because the configuration decides where requests go', body[routing]);
  if (body.stream_options && body.stream !== true) {
    throw refuse('stream_options', 'absent unless stream is true', body.stream_options);
  }
  const { max_tokens: older, max_completion_tokens: newer } = body;
  if (older && newer && older !== newer) throw refuse('max_tokens', 'absent beside max_completion_tokens', older);
}

function readSampling(body: Body): Partial<CompletionRequest> {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  return {
    ...(body.model && { model: body.model }),
    ...(typeof body.temperature === 'number' && { temperature: body.temperature }),
    ...(typeof body.top_p === 'number' && { topP: body.top_p }),
    ...(typeof maxTokens === 'number' && { maxTokens }),
    ...(body.stop && { stop: body.stop }),
    ...(typeof body.seed === 'number' && { seed: body.seed }),
    ...(body.metadata && { metadata: body.metadata }),
  };
}

function readHarmless(body: Body): Pick<CompletionRequest, 'providerOptions'> {
  const present = Object.entries(body).filter(
    ([name, value]) => HARMLESS.has(name) && value !== null && value !== undefined,
  );
  return present.length === 0 ? {} : { providerOptions: { openai: Object.fromEntries(present) } };
}

function readUnmodelled(body: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(body).filter(([name, value]) => {
      if (MODELLED.has(name) || HARMLESS.has(name) || value === null || value === undefined) return false;
      return !Object.hasOwn(DEFAULTS, name) || DEFAULTS[name] !== JSON.stringify(value);
    }),
  );
}

const EFFORTS: Readonly<Record<ReasoningEffort, true>> = {
  none: true,
  minimal: true,
  low: true,
  medium: true,
  high: true,
  xhigh: true,
};

function parseReasoningEffort(value: string | undefined): { request: Partial<CompletionRequest>; fields: JsonObject } {
  if (value === undefined) return { request: {}, fields: {} };
  return isEffort(value)
    ? { request: { reasoningEffort: value }, fields: {} }
    : { request: {}, fields: { reasoning_effort: value } };
}

function isEffort(value: string): value is ReasoningEffort {
  return Object.hasOwn(EFFORTS, value);
}

const jsonSchemaFormat = z.object(
  {
    name: text().optional(),
    description: z.string({ error: 'a string' }).optional(),
    schema: jsonObject,
    strict: flag().nullish(),
  },
  { error: 'an object with a schema' },
);

function parseResponseFormat(value: JsonObject | undefined): {
  request: Partial<CompletionRequest>;
  fields: JsonObject;
} {
  if (value === undefined) return { request: {}, fields: {} };
  switch (value['type']) {
    case 'text':
      return { request: {}, fields: {} };
    case 'json_object':
      return { request: { responseFormat: { type: 'json_object' } }, fields: {} };
    case 'json_schema':
      return { request: { responseFormat: parseJsonSchema(value) }, fields: {} };
    default:
      return { request: {}, fields: { response_format: value } };
  }
}

function parseJsonSchema(value: JsonObject): ResponseFormat {
  const { name, description, schema, strict } = check(
    jsonSchemaFormat,
    value['json_schema'],
    'response_format.json_schema',
  );
  return {
    type: 'json_schema',
    json_schema: {
      schema,
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...(typeof strict === 'boolean' && { strict }),
    },
  };
}
