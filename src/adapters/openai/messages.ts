/**
 * Renders messages into the OpenAI wire. The unified messages have the same shape, so this is mostly a matter of what must
 * not be sent: fields of another wire, reasoning of another provider, roles and ids that a compatible server refuses.
 */
import { createHash } from 'node:crypto';
import type { AssistantMessage, ContentPart, Message, ReasoningDetails } from '../../contract/request.ts';
import { asList, asObject, asText, ownFields, unsendable, type WireObject } from '../wire.ts';
import type { Dialect } from './dialect.ts';

export const OPENAI_WIRE = 'openai';

export interface MessageContext {
  readonly provider: string;
  readonly dialect: Dialect;
}

export function renderMessages(messages: readonly Message[], context: MessageContext): readonly WireObject[] {
  return messages.map((message) => ({
    ...renderMessage(message, context),
    ...ownFields(message.wireFields, OPENAI_WIRE),
  }));
}

function renderMessage(message: Message, context: MessageContext): WireObject {
  switch (message.role) {
    case 'system':
    case 'developer':
      return {
        role: context.dialect.knowsDeveloperRole ? message.role : 'system',
        content: renderContent(message.content),
      };
    case 'user':
      return {
        role: 'user',
        content: renderContent(message.content),
        ...(message.name !== undefined && { name: message.name }),
      };
    case 'assistant':
      return renderAssistant(message, context);
    case 'tool':
      return {
        role: 'tool',
        tool_call_id: renderToolCallId(message.tool_call_id, context.dialect),
        content: renderContent(message.content),
      };
  }
}

function renderAssistant(message: AssistantMessage, context: MessageContext): WireObject {
  const toolCalls = message.tool_calls ?? [];
  const content = message.content === undefined || message.content === null ? null : renderContent(message.content);
  const isEmpty = content === null && toolCalls.length === 0 && !message.refusal;
  return {
    role: 'assistant',
    content: isEmpty ? '' : content,
    ...(message.refusal && { refusal: message.refusal }),
    ...(toolCalls.length > 0 && {
      tool_calls: toolCalls.map((call) => ({
        id: renderToolCallId(call.id, context.dialect),
        type: 'function',
        function: { ...call.function },
      })),
    }),
    ...renderReasoning(message.reasoningDetails, context.provider),
  };
}

/** Text alone goes as a string, which every compatible server takes. */
function renderContent(content: string | readonly ContentPart[]): string | readonly WireObject[] {
  if (typeof content === 'string') return content;
  const [first] = content;
  if (content.length === 1 && first?.type === 'text' && first.wireFields === undefined) return first.text;
  return content.map(renderPart);
}

function renderPart(part: ContentPart): WireObject {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text, ...ownFields(part.wireFields, OPENAI_WIRE) };
    case 'image_url':
      return { type: 'image_url', image_url: { ...part.image_url }, ...ownFields(part.wireFields, OPENAI_WIRE) };
    case 'wire':
      if (part.wireFields.wire !== OPENAI_WIRE)
        throw unsendable(`a content part of ${part.wireFields.wire}`, OPENAI_WIRE);
      return part.wireFields.fields;
  }
}

const SHORT_ID = /^[a-zA-Z0-9]{9}$/;

/** The same id becomes the same short id each time, so that calls and their results keep together. */
function renderToolCallId(id: string, dialect: Dialect): string {
  if (!dialect.hasShortToolCallIds || SHORT_ID.test(id)) return id;
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}

/** A field of a message in which a compatible server keeps its reasoning. */
interface ReasoningBlock {
  readonly field: 'reasoning_details' | 'reasoning_content';
  readonly value: unknown;
}

function renderReasoning(details: ReasoningDetails | undefined, provider: string): WireObject {
  if (details?.provider !== provider) return {};
  const blocks = details.blocks
    .map(asObject)
    .filter((block) => block?.['field'] === 'reasoning_details' || block?.['field'] === 'reasoning_content');
  return Object.fromEntries(blocks.map((block) => [String(block?.['field']), block?.['value']]));
}

/**
 * Keeps what a later turn must send back: OpenRouter's signed details always, and plain reasoning where a tool call follows
 * it, for DeepSeek refuses a tool result whose call came without its reasoning.
 */
export function parseReasoning(
  provider: string,
  found: { readonly details: readonly unknown[]; readonly content: string; readonly hasToolCalls: boolean },
): ReasoningDetails | undefined {
  const blocks: ReasoningBlock[] = [];
  if (found.details.length > 0) blocks.push({ field: 'reasoning_details', value: found.details });
  else if (found.content !== '' && found.hasToolCalls)
    blocks.push({ field: 'reasoning_content', value: found.content });
  return blocks.length === 0 ? undefined : { provider, blocks };
}

export interface ReadContent {
  readonly text: string;
  readonly reasoning: string;
}

/** Reads `content`, a string or a list of parts; Mistral's reasoning is a part of kind `thinking`. */
export function readContent(content: unknown): ReadContent {
  if (typeof content === 'string') return { text: content, reasoning: '' };
  let text = '';
  let reasoning = '';
  for (const part of asList(content).map(asObject)) {
    if (part?.['type'] === 'text') text += asText(part['text']) ?? '';
    if (part?.['type'] === 'thinking') reasoning += asText(part['thinking']) ?? readContent(part['thinking']).text;
  }
  return { text, reasoning };
}

/** Reads the plain reasoning of a message or a delta; servers that send both names send the same text twice. */
export const readReasoningText = (fields: WireObject): string =>
  asText(fields['reasoning_content']) ?? asText(fields['reasoning']) ?? '';

/** Arguments as the model wrote them; some servers send an object, or nothing for a call without arguments. */
export function readArguments(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
