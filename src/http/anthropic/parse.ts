/**
 * From the body of a message to a request of ours. `metadata` and `service_tier` change no answer: they travel as provider
 * options, which other wires ignore. What has no word of ours (`thinking`, `top_k`, `cache_control`, server tools, …) becomes
 * wire fields, and only an Anthropic-speaking candidate may answer.
 */
import { z } from 'zod';
import type { CompletionRequest, Message, ReasoningEffort } from '../../contract/request.ts';
import { check, flag, integerBetween, type JsonObject, jsonObject, numberBetween, refuse, text } from '../check.ts';
import { findRoutingField, WireFieldCollector } from '../wire-fields.ts';
import type { ParsedCall } from '../wire.ts';
import { parseSystem } from './parse-content.ts';
import { parseMessages } from './parse-messages.ts';
import { parseToolFields } from './parse-tools.ts';

const TOKENS_MAX = 100_000_000;

const formatSchema = z.looseObject(
  { type: z.literal('json_schema', { error: 'json_schema' }), schema: jsonObject },
  { error: 'an object with a type and a schema' },
);
const bodySchema = z.looseObject({
  model: text().nullish(),
  max_tokens: integerBetween(1, TOKENS_MAX),
  messages: z
    .array(z.unknown(), { error: 'an array of messages' })
    .min(1, { error: 'an array of at least one message' }),
  system: z.union([z.string(), z.array(z.unknown())], { error: 'a string or an array of text blocks' }).nullish(),
  temperature: numberBetween(0, 1).nullish(),
  top_p: numberBetween(0, 1).nullish(),
  stop_sequences: z.array(text(), { error: 'an array of strings' }).nullish(),
  stream: flag().nullish(),
  tools: z.array(jsonObject, { error: 'an array of tools' }).nullish(),
  tool_choice: z.looseObject({ type: text('auto, any, tool or none') }, { error: 'an object with a type' }).nullish(),
  output_config: z
    .looseObject({ effort: text().nullish(), format: formatSchema.nullish() }, { error: 'an object' })
    .nullish(),
  output_format: formatSchema.nullish(),
  metadata: jsonObject.nullish(),
  service_tier: text().nullish(),
});

type Body = z.infer<typeof bodySchema>;

const MODELLED: ReadonlySet<string> = new Set(Object.keys(bodySchema.shape));

/**
 * `provider` signs reasoning blocks that do not say where they come from.
 * @throws {SwitchgearError} `invalid-request` naming the field
 */
export function parseMessageRequest(value: unknown, provider: string | undefined): ParsedCall {
  const body = check(bodySchema, check(jsonObject, value, 'body'), '');
  const routing = findRoutingField(body);
  if (routing !== undefined)
    throw refuse(routing, 'absent, because the configuration decides where requests go', body[routing]);
  const collector = new WireFieldCollector('anthropic');
  const messages: readonly Message[] = [
    ...parseSystem(body.system ?? undefined, collector),
    ...parseMessages(body.messages, collector, provider),
  ];
  const tools = parseToolFields(body.tools ?? [], body.tool_choice ?? undefined, collector);
  const output = parseOutput(body);
  const rest = Object.fromEntries(Object.entries(body).filter(([name]) => !MODELLED.has(name)));
  const request: CompletionRequest = {
    messages,
    maxTokens: body.max_tokens,
    ...readSampling(body),
    ...tools.request,
    ...output.request,
    ...readHarmless(body),
    ...collector.finish({ ...rest, ...tools.fields, ...output.fields }),
  };
  return { request, isStream: body.stream === true, includesUsage: true, unstreamedOnly: undefined };
}

function readSampling(body: Body): Partial<CompletionRequest> {
  return {
    ...(body.model && { model: body.model }),
    ...(typeof body.temperature === 'number' && { temperature: body.temperature }),
    ...(typeof body.top_p === 'number' && { topP: body.top_p }),
    ...(body.stop_sequences && body.stop_sequences.length > 0 && { stop: body.stop_sequences }),
  };
}

function readHarmless(body: Body): Pick<CompletionRequest, 'providerOptions'> {
  const { metadata, service_tier } = body;
  if (!metadata && !service_tier) return {};
  return { providerOptions: { anthropic: { ...(metadata && { metadata }), ...(service_tier && { service_tier }) } } };
}

const EFFORTS: Readonly<Record<string, ReasoningEffort>> = {
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'xhigh',
};

/** Effort and answer format are ours too; an effort we have no word for takes the whole object with it. */
function parseOutput(body: Body): { request: Partial<CompletionRequest>; fields: JsonObject } {
  const { effort, format: configured, ...more } = body.output_config ?? {};
  const format = configured ?? body.output_format;
  const known = effort && Object.hasOwn(EFFORTS, effort) ? EFFORTS[effort] : undefined;
  const isModelled = (!effort || known !== undefined) && Object.keys(more).length === 0;
  if (!isModelled) {
    return { request: {}, fields: { output_config: body.output_config, output_format: body.output_format } };
  }
  return {
    request: {
      ...(known !== undefined && { reasoningEffort: known }),
      ...(format && { responseFormat: { type: 'json_schema', json_schema: { schema: format.schema } } }),
    },
    fields: {},
  };
}
