/** Parses unstreamed answers of the Anthropic wire. Blocks of server-side tools have no unified form; they stay in the body. */
import type { AdapterReply } from '../../contract/adapter.ts';
import type { ReasoningDetails } from '../../contract/request.ts';
import type { FinishReason, ToolCall } from '../../contract/response.ts';
import { readErrorReport } from '../classify.ts';
import { asList, asObject, asText, falseSuccess, type WireObject } from '../wire.ts';
import { ANTHROPIC_WIRE } from './messages.ts';
import { parseUsage } from './usage.ts';

/** @throws {AttemptError} `false-success` when the body is no answer */
export function parseReply(body: unknown, provider: string): AdapterReply {
  const fields = asObject(body);
  if (fields === undefined) throw falseSuccess('answered 200 with JSON that is no object');
  if (fields['type'] === 'error' || fields['error'] !== undefined) {
    throw falseSuccess(`answered 200 with an error: ${readErrorReport(body).message}`);
  }
  if (!Array.isArray(fields['content'])) throw falseSuccess('answered 200 without any content');
  const blocks = asList(fields['content'])
    .map(asObject)
    .filter((block) => block !== undefined);
  const finishReason = parseStopReason(fields['stop_reason']);
  // No stop reason, no success: nobody can tell whether this is the whole answer.
  if (finishReason === undefined) throw falseSuccess('answered 200 without a stop reason');
  const refusal = readRefusal(fields);
  const reasoningDetails = parseReasoning(blocks, provider);
  return {
    text: blocks.map((block) => (block['type'] === 'text' ? (asText(block['text']) ?? '') : '')).join(''),
    ...(refusal !== undefined && { refusal }),
    toolCalls: blocks.flatMap(parseToolUse),
    finishReason,
    usage: parseUsage(asObject(fields['usage'])),
    ...(reasoningDetails !== undefined && { reasoningDetails }),
    wireBody: { wire: ANTHROPIC_WIRE, body },
  };
}

function parseToolUse(block: WireObject): readonly ToolCall[] {
  const [id, name] = [asText(block['id']), asText(block['name'])];
  if (block['type'] !== 'tool_use' || id === undefined || name === undefined) return [];
  return [{ id, name, arguments: JSON.stringify(block['input'] ?? {}) }];
}

/** The explanation of a refusal, from an answer or from the delta of a stream. */
export function readRefusal(fields: WireObject): string | undefined {
  if (fields['stop_reason'] !== 'refusal') return undefined;
  return asText(asObject(fields['stop_details'])?.['explanation']);
}

/** Keeps the signed blocks, which the next turn must send back unchanged. */
export function parseReasoning(blocks: readonly WireObject[], provider: string): ReasoningDetails | undefined {
  const signed = blocks.filter((block) => block['type'] === 'thinking' || block['type'] === 'redacted_thinking');
  return signed.length === 0 ? undefined : { provider, blocks: signed };
}

const FINISH_REASONS: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool-calls',
  refusal: 'content-filter',
};

/** Parses a stop reason; `undefined` while there is none yet, `other` for one we do not know. */
export function parseStopReason(value: unknown): FinishReason | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  return Object.hasOwn(FINISH_REASONS, value) ? FINISH_REASONS[value] : 'other';
}
