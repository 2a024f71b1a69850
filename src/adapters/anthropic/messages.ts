/**
 * Renders messages into the Anthropic wire: system text apart, only `user` and `assistant` turns that alternate, content as
 * blocks, tool results inside a user turn. What several messages say in one role becomes one turn, so the results of
 * parallel tool calls stand together as the wire demands.
 */
import type {
  AssistantMessage,
  ContentPart,
  Message,
  MessageToolCall,
  ReasoningDetails,
  ToolMessage,
} from '../../contract/request.ts';
import { asObject, ownFields, unsendable, type WireObject } from '../wire.ts';

export const ANTHROPIC_WIRE = 'anthropic';

export interface Conversation {
  readonly system: readonly WireObject[];
  readonly messages: readonly { readonly role: 'user' | 'assistant'; readonly content: readonly WireObject[] }[];
}

export function renderConversation(messages: readonly Message[], provider: string): Conversation {
  const system: WireObject[] = [];
  const turns: { role: 'user' | 'assistant'; content: WireObject[]; [field: string]: unknown }[] = [];
  for (const message of messages) {
    const blocks = renderBlocks(message, provider);
    if (message.role === 'system' || message.role === 'developer') {
      system.push(...blocks.map((block) => ({ ...block, ...ownFields(message.wireFields, ANTHROPIC_WIRE) })));
      continue;
    }
    // The wire refuses empty content.
    if (blocks.length === 0) continue;
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    const extra = message.role === 'tool' ? {} : ownFields(message.wireFields, ANTHROPIC_WIRE);
    const last = turns.at(-1);
    if (last?.role === role) {
      last.content.push(...blocks);
      Object.assign(last, extra);
    } else turns.push({ ...extra, role, content: [...blocks] });
  }
  return { system, messages: turns };
}

function renderBlocks(message: Message, provider: string): readonly WireObject[] {
  switch (message.role) {
    case 'system':
    case 'developer':
    case 'user':
      return renderContent(message.content);
    case 'assistant':
      return renderAssistant(message, provider);
    case 'tool':
      return [renderToolResult(message)];
  }
}

function renderAssistant(message: AssistantMessage, provider: string): readonly WireObject[] {
  const content = renderContent(message.content ?? '');
  const said = content.length === 0 && message.refusal ? renderContent(message.refusal) : content;
  return [
    ...renderReasoning(message.reasoningDetails, provider),
    ...said,
    ...(message.tool_calls ?? []).map(renderToolUse),
  ];
}

function renderContent(content: string | readonly ContentPart[]): readonly WireObject[] {
  const parts: readonly ContentPart[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return parts.filter((part) => part.type !== 'text' || part.text !== '').map(renderPart);
}

function renderPart(part: ContentPart): WireObject {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text, ...ownFields(part.wireFields, ANTHROPIC_WIRE) };
    case 'image_url':
      return {
        type: 'image',
        source: renderImageSource(part.image_url.url),
        ...ownFields(part.wireFields, ANTHROPIC_WIRE),
      };
    case 'wire':
      if (part.wireFields.wire !== ANTHROPIC_WIRE)
        throw unsendable(`a content part of ${part.wireFields.wire}`, ANTHROPIC_WIRE);
      return part.wireFields.fields;
  }
}

const DATA_URL = /^data:(image\/[\w.+-]+)(?:;[\w-]+=[^;,]*)*;base64,(.*)$/s;

function renderImageSource(url: string): WireObject {
  if (!url.startsWith('data:')) return { type: 'url', url };
  const [, mediaType, base64] = DATA_URL.exec(url) ?? [];
  if (mediaType === undefined || base64 === undefined)
    throw unsendable('an image data: URL that is not base64', ANTHROPIC_WIRE);
  return { type: 'base64', media_type: mediaType, data: base64 };
}

/** Ids of other providers may hold characters this wire refuses. */
const renderToolCallId = (id: string): string => id.replace(/[^a-zA-Z0-9_-]/g, '_') || 'call';

function renderToolUse(call: MessageToolCall): WireObject {
  return {
    type: 'tool_use',
    id: renderToolCallId(call.id),
    name: call.function.name,
    input: parseInput(call.function.arguments),
  };
}

/** The wire wants an object. What a model wrote that is none goes back in the wrapper Anthropic's documentation gives for it. */
function parseInput(text: string): WireObject {
  if (text.trim() === '') return {};
  try {
    return asObject(JSON.parse(text)) ?? { INVALID_JSON: text };
  } catch {
    return { INVALID_JSON: text };
  }
}

function renderToolResult(message: ToolMessage): WireObject {
  const content = typeof message.content === 'string' ? message.content : renderContent(message.content);
  return {
    type: 'tool_result',
    tool_use_id: renderToolCallId(message.tool_call_id),
    ...(content.length > 0 && { content }),
    ...(message.isError === true && { is_error: true }),
    ...ownFields(message.wireFields, ANTHROPIC_WIRE),
  };
}

/** Thinking is signed for the account it came from, and must stand before everything else. */
function renderReasoning(details: ReasoningDetails | undefined, provider: string): readonly WireObject[] {
  if (details?.provider !== provider) return [];
  return details.blocks.map(asObject).filter((block) => block !== undefined);
}
