/**
 * From Anthropic's messages to ours. One message of theirs may become several: tool results are messages of their own with
 * us. Thinking blocks become `reasoningDetails` with the provider that signed them.
 */
import { z } from 'zod';
import type {
  AssistantMessage,
  ContentPart,
  Message,
  MessageToolCall,
  ReasoningDetails,
  ToolMessage,
} from '../../contract/request.ts';
import { check, flag, refuse, text } from '../check.ts';
import { isSealed, unsealReasoning } from '../reasoning.ts';
import type { WireFieldCollector } from '../wire-fields.ts';
import { type Block, blockSchema, parseBlock } from './parse-content.ts';

const messageSchema = z.looseObject(
  {
    role: text('user, assistant or system'),
    content: z.union([z.string(), z.array(z.unknown())], { error: 'a string or an array of content blocks' }),
  },
  { error: 'a message object' },
);

const MESSAGE_FIELDS: ReadonlySet<string> = new Set(['role', 'content']);

/** @throws {SwitchgearError} `invalid-request` naming the field */
export function parseMessages(
  values: readonly unknown[],
  collector: WireFieldCollector,
  provider: string | undefined,
): readonly Message[] {
  return values.flatMap((value, index) => {
    const path = `messages[${index}]`;
    const message = check(messageSchema, value, path);
    const fields = collector.rest(message, MESSAGE_FIELDS, path);
    const content =
      typeof message.content === 'string'
        ? message.content
        : message.content.map((block, position) => check(blockSchema, block, `${path}.content[${position}]`));
    switch (message.role) {
      case 'user':
        return typeof content === 'string'
          ? [{ role: 'user', content, ...fields }]
          : parseUser(content, path, collector, fields);
      case 'assistant':
        return typeof content === 'string'
          ? [{ role: 'assistant', content, ...fields }]
          : [{ ...parseAssistant(content, path, collector, provider), ...fields }];
      case 'system':
        return [
          {
            role: 'system',
            content: typeof content === 'string' ? content : parseBlocks(content, path, collector),
            ...fields,
          },
        ];
      default:
        throw refuse(`${path}.role`, 'user, assistant or system', message.role);
    }
  });
}

function parseBlocks(blocks: readonly Block[], path: string, collector: WireFieldCollector): readonly ContentPart[] {
  return blocks.map((block, index) => parseBlock(block, `${path}.content[${index}]`, collector));
}

/** Tool results and the content between them, in their order. */
function parseUser(
  blocks: readonly Block[],
  path: string,
  collector: WireFieldCollector,
  fields: object,
): readonly Message[] {
  const messages: Message[] = [];
  let parts: ContentPart[] = [];
  const flush = () => {
    if (parts.length > 0) messages.push({ role: 'user', content: parts, ...fields });
    parts = [];
  };
  for (const [index, block] of blocks.entries()) {
    const blockPath = `${path}.content[${index}]`;
    if (block.type === 'tool_result') {
      flush();
      messages.push(parseToolResult(block, blockPath, collector));
    } else {
      parts.push(parseBlock(block, blockPath, collector));
    }
  }
  flush();
  if (messages.length === 0) throw refuse(`${path}.content`, 'at least one block', blocks);
  return messages;
}

const toolResultSchema = z.looseObject({
  tool_use_id: text(),
  content: z.union([z.string(), z.array(blockSchema)], { error: 'a string or an array of content blocks' }).nullish(),
  is_error: flag().nullish(),
});
const TOOL_RESULT_FIELDS: ReadonlySet<string> = new Set(['type', 'tool_use_id', 'content', 'is_error']);

function parseToolResult(block: Block, path: string, collector: WireFieldCollector): ToolMessage {
  const result = check(toolResultSchema, block, path);
  const content =
    result.content === null || result.content === undefined || result.content.length === 0 ? '' : result.content;
  return {
    role: 'tool',
    tool_call_id: result.tool_use_id,
    content: typeof content === 'string' ? content : parseBlocks(content, path, collector),
    ...(result.is_error === true && { isError: true }),
    ...collector.rest(result, TOOL_RESULT_FIELDS, path),
  };
}

const toolUseSchema = z.looseObject({
  id: text(),
  name: text(),
  input: z.record(z.string(), z.unknown(), { error: 'an object' }),
});
const TOOL_USE_FIELDS: ReadonlySet<string> = new Set(['type', 'id', 'name', 'input', 'caller', 'toolset_name']);

function parseAssistant(
  blocks: readonly Block[],
  path: string,
  collector: WireFieldCollector,
  provider: string | undefined,
): AssistantMessage {
  const parts: ContentPart[] = [];
  const calls: MessageToolCall[] = [];
  for (const [index, block] of blocks.entries()) {
    const blockPath = `${path}.content[${index}]`;
    if (block.type === 'tool_use') {
      const call = parseToolUse(block, blockPath);
      const decoration = Object.keys(block).find((name) => !TOOL_USE_FIELDS.has(name) && block[name] !== null);
      // Our tool calls have no place for fields such as `cache_control`; the block then is carried as it is.
      if (decoration === undefined) calls.push(call);
      else parts.push(collector.part(block, decoration, blockPath));
    } else if (!isThinking(block)) {
      parts.push(parseBlock(block, blockPath, collector));
    }
  }
  const reasoningDetails = parseThinking(blocks.filter(isThinking), path, provider);
  return {
    role: 'assistant',
    content: parts.length === 0 ? null : parts,
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(reasoningDetails !== undefined && { reasoningDetails }),
  };
}

function parseToolUse(block: Block, path: string): MessageToolCall {
  const use = check(toolUseSchema, block, path);
  return { id: use.id, type: 'function', function: { name: use.name, arguments: JSON.stringify(use.input) } };
}

function isThinking(block: Block): boolean {
  return block.type === 'thinking' || block.type === 'redacted_thinking';
}

const thinkingSchema = z.looseObject({
  thinking: z.string({ error: 'a string' }),
  signature: z.string({ error: 'a string' }).nullish(),
});
const redactedSchema = z.looseObject({ data: z.string({ error: 'a string' }) });

/**
 * All reasoning of one message. A sealed block holds everything, so the readable copies beside it are dropped; blocks signed
 * elsewhere belong to `provider`; without a signature nobody would take them back.
 */
function parseThinking(
  blocks: readonly Block[],
  path: string,
  provider: string | undefined,
): ReasoningDetails | undefined {
  const signed: unknown[] = [];
  for (const block of blocks) {
    if (block.type === 'redacted_thinking') {
      const { data } = check(redactedSchema, block, `${path}.content`);
      if (isSealed(data)) return unseal(data, `${path}.content`);
      signed.push(block);
    } else if (check(thinkingSchema, block, `${path}.content`).signature) {
      signed.push(block);
    }
  }
  return signed.length === 0 || provider === undefined ? undefined : { provider, blocks: signed };
}

function unseal(data: string, path: string): ReasoningDetails {
  const details = unsealReasoning(data);
  if (details === undefined) throw refuse(path, 'reasoning as it was sent', data);
  return details;
}
