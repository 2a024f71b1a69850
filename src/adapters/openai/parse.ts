/** Parses unstreamed answers of the OpenAI wire. Only the first choice is ours; callers of the same wire get the whole body. */
import type { AdapterEmbedReply, AdapterReply } from '../../contract/adapter.ts';
import type { ToolCall } from '../../contract/response.ts';
import { readErrorReport } from '../classify.ts';
import { asCount, asList, asObject, asText, falseSuccess, type WireObject } from '../wire.ts';
import type { Dialect } from './dialect.ts';
import { parseFinishReason } from './finish-reason.ts';
import { OPENAI_WIRE, parseReasoning, readArguments, readContent, readReasoningText } from './messages.ts';
import { parseUsage } from './usage.ts';

/** @throws {AttemptError} `false-success` when the body is no answer */
export function parseReply(body: unknown, provider: string): AdapterReply {
  const fields = readAnswer(body);
  const choice = asList(fields['choices'])
    .map(asObject)
    .find((candidate) => (asCount(candidate?.['index']) ?? 0) === 0);
  const message = asObject(choice?.['message']);
  if (choice === undefined || message === undefined) throw falseSuccess('answered 200 without any choice');
  const finishReason = parseFinishReason(choice['finish_reason']);
  // No finish reason, no success: nobody can tell whether this is the whole answer.
  if (finishReason === undefined) throw falseSuccess('answered 200 without a finish reason');
  const content = readContent(message['content']);
  const toolCalls = asList(message['tool_calls']).map(asObject).flatMap(parseToolCall);
  const refusal = asText(message['refusal']) ?? '';
  const reasoningDetails = parseReasoning(provider, {
    details: asList(message['reasoning_details']),
    content: readReasoningText(message),
    hasToolCalls: toolCalls.length > 0,
  });
  return {
    text: content.text,
    ...(refusal !== '' && { refusal }),
    toolCalls,
    finishReason,
    usage: parseUsage(fields['usage']),
    ...(reasoningDetails !== undefined && { reasoningDetails }),
    wireBody: { wire: OPENAI_WIRE, body },
  };
}

/** A 200 whose body is an error is a failure of the provider, not of the request. */
function readAnswer(body: unknown): WireObject {
  const fields = asObject(body);
  if (fields === undefined) throw falseSuccess('answered 200 with JSON that is no object');
  if (fields['error'] !== undefined && fields['error'] !== null) {
    throw falseSuccess(`answered 200 with an error: ${readErrorReport(body).message}`);
  }
  return fields;
}

function parseToolCall(call: WireObject | undefined, index: number): readonly ToolCall[] {
  const definition = asObject(call?.['function']);
  const name = asText(definition?.['name']);
  if (call === undefined || name === undefined) return [];
  return [
    { id: asText(call['id']) ?? `call_${index}`, name, arguments: readArguments(definition?.['arguments']) || '{}' },
  ];
}

/** @throws {AttemptError} `false-success` when there is not one vector per input */
export function parseEmbeddings(
  body: unknown,
  inputCount: number,
  encoding: Dialect['embeddingEncoding'],
): AdapterEmbedReply {
  const fields = readAnswer(body);
  const entries = asList(fields['data']).map(asObject);
  const vectors = entries
    .map((entry, position) => ({
      index: asCount(entry?.['index']) ?? position,
      vector: readVector(entry?.['embedding'], encoding),
    }))
    .toSorted((one, other) => one.index - other.index)
    .map(({ vector }) => vector);
  if (vectors.length !== inputCount || vectors.some((vector) => vector.length === 0)) {
    throw falseSuccess(`expected one vector for each of ${inputCount} inputs, got: ${vectors.length}`);
  }
  return { vectors, usage: parseUsage(fields['usage']) };
}

/** Some servers answer base64 whatever they were asked for. */
function readVector(value: unknown, encoding: Dialect['embeddingEncoding']): readonly number[] {
  if (typeof value !== 'string') return asList(value).filter((entry) => typeof entry === 'number');
  const bytes = Buffer.from(value, 'base64');
  if (encoding === 'signed-bytes') return Array.from(bytes, (byte) => (byte << 24) >> 24);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, position) => bytes.readFloatLE(position * 4));
}
