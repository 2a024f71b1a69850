/** From OpenAI's messages to ours. They are alike; what ours have no word for is carried as wire fields. */
import { z } from 'zod';
import type {
  AssistantMessage,
  ContentPart,
  Message,
  MessageToolCall,
  ReasoningDetails,
} from '../../contract/request.ts';
import { check, type JsonObject, jsonObject, refuse, text } from '../check.ts';
import type { WireFieldCollector } from '../wire-fields.ts';
import { parseContent, parseParts } from './parse-content.ts';

const roleSchema = z.looseObject(
  { role: text('system, developer, user, assistant or tool') },
  { error: 'a message object' },
);
const nameSchema = text().optional();

const SYSTEM_FIELDS: ReadonlySet<string> = new Set(['role', 'content']);
const USER_FIELDS: ReadonlySet<string> = new Set(['role', 'content', 'name']);
const TOOL_FIELDS: ReadonlySet<string> = new Set(['role', 'content', 'tool_call_id']);
/** Clients append answers to the conversation as they got them; what only answers carry is taken for what it is. */
const ASSISTANT_FIELDS: ReadonlySet<string> = new Set([
  'role',
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'reasoningDetails',
  'annotations',
  'parsed',
  'reasoning_content',
  'reasoning',
]);

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseMessages(values: readonly unknown[], collector: WireFieldCollector): readonly Message[] {
  return values.map((value, index) => parseMessage(value, `messages[${index}]`, collector));
}

function parseMessage(value: unknown, path: string, collector: WireFieldCollector): Message {
  const message = check(roleSchema, value, path);
  switch (message.role) {
    case 'system':
    case 'developer':
      return {
        role: message.role,
        content: parseContent(message['content'], `${path}.content`, collector),
        ...collector.rest(message, SYSTEM_FIELDS, path),
      };
    case 'user': {
      const name = check(nameSchema, message['name'] ?? undefined, `${path}.name`);
      return {
        role: 'user',
        content: parseContent(message['content'], `${path}.content`, collector),
        ...(name !== undefined && { name }),
        ...collector.rest(message, USER_FIELDS, path),
      };
    }
    case 'assistant':
      return parseAssistant(message, path, collector);
    case 'tool':
      return {
        role: 'tool',
        tool_call_id: check(text(), message['tool_call_id'], `${path}.tool_call_id`),
        content: parseContent(message['content'], `${path}.content`, collector),
        ...collector.rest(message, TOOL_FIELDS, path),
      };
    case 'function':
      throw refuse(`${path}.role`, 'tool, which replaces function', message.role);
    default:
      throw refuse(`${path}.role`, 'system, developer, user, assistant or tool', message.role);
  }
}

const refusalSchema = z.string({ error: 'a string' }).nullish();

function parseAssistant(message: JsonObject, path: string, collector: WireFieldCollector): AssistantMessage {
  const functionCall = message['function_call'] ?? undefined;
  if (functionCall !== undefined) throw refuse(`${path}.function_call`, 'absent, use tool_calls instead', functionCall);
  const content = parseAssistantContent(message['content'], `${path}.content`, collector);
  const refusal = check(refusalSchema, message['refusal'], `${path}.refusal`) ?? content.refusal;
  const calls = parseToolCalls(message['tool_calls'] ?? undefined, `${path}.tool_calls`);
  const details = parseReasoningDetails(message['reasoningDetails'] ?? undefined, `${path}.reasoningDetails`);
  const rest = Object.fromEntries(Object.entries(message).filter(([name]) => !ASSISTANT_FIELDS.has(name)));
  return {
    role: 'assistant',
    content: content.content,
    ...(typeof refusal === 'string' && { refusal }),
    ...(calls.modelled !== undefined && calls.modelled.length > 0 && { tool_calls: calls.modelled }),
    ...(details !== undefined && { reasoningDetails: details }),
    ...collector.carry({ ...rest, tool_calls: calls.raw }, path),
  };
}

/** An assistant may also speak in refusal parts; ours keep a refusal beside the content. */
function parseAssistantContent(
  value: unknown,
  path: string,
  collector: WireFieldCollector,
): { content: string | readonly ContentPart[] | null; refusal: string | undefined } {
  if (value === null || value === undefined) return { content: null, refusal: undefined };
  if (!Array.isArray(value)) return { content: parseContent(value, path, collector), refusal: undefined };
  const refusals: string[] = [];
  const parts = parseParts(value, path, collector, refusals);
  return { content: parts.length === 0 ? null : parts, refusal: refusals.length === 0 ? undefined : refusals.join('') };
}

const toolCallsSchema = z.array(jsonObject, { error: 'an array of tool calls' });
const functionCallSchema = z.looseObject({
  id: text(),
  function: z.looseObject(
    { name: text(), arguments: z.string({ error: 'a JSON string' }) },
    { error: 'an object with name and arguments' },
  ),
});
const CALL_FIELDS: ReadonlySet<string> = new Set(['id', 'type', 'function', 'index']);
const FUNCTION_FIELDS: ReadonlySet<string> = new Set(['name', 'arguments', 'parsed_arguments']);

/** Calls we have no shape for (custom tools, extra fields) are carried raw, all of them, so that their order stays. */
function parseToolCalls(
  value: unknown,
  path: string,
): { modelled?: readonly MessageToolCall[]; raw?: readonly JsonObject[] } {
  if (value === undefined) return {};
  const calls = check(toolCallsSchema, value, path);
  if (calls.some((call) => call['type'] !== undefined && call['type'] !== 'function')) return { raw: calls };
  const parsed = calls.map((call, index) => check(functionCallSchema, call, `${path}[${index}]`));
  const isPlain = parsed.every((call) => hasOnly(call, CALL_FIELDS) && hasOnly(call.function, FUNCTION_FIELDS));
  if (!isPlain) return { raw: calls };
  return {
    modelled: parsed.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.function.name, arguments: call.function.arguments },
    })),
  };
}

function hasOnly(value: JsonObject, names: ReadonlySet<string>): boolean {
  return Object.entries(value).every(([name, field]) => names.has(name) || field === null);
}

const detailsSchema = z.object(
  { provider: text(), blocks: z.array(z.unknown(), { error: 'an array' }) },
  { error: 'an object' },
);

/** Signed reasoning comes back in the shape in which `render` gave it. */
function parseReasoningDetails(value: unknown, path: string): ReasoningDetails | undefined {
  return value === undefined ? undefined : check(detailsSchema, value, path);
}
