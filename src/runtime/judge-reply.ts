/** What counts as an answer, and what of it the caller of a stream sees. */
import type { AdapterEmbedReply, AdapterPart, AdapterReply } from '../contract/adapter.ts';
import type { StreamPart } from '../contract/response.ts';

/** Adapters of users are an edge: what is trusted from here on is checked, whatever the type says. */
export function isReply(reply: unknown): reply is AdapterReply {
  if (!isRecord(reply) || !isRecord(reply['usage'])) return false;
  return (
    typeof reply['text'] === 'string' && typeof reply['finishReason'] === 'string' && Array.isArray(reply['toolCalls'])
  );
}

export function isEmbedReply(reply: unknown): reply is AdapterEmbedReply {
  return isRecord(reply) && isRecord(reply['usage']) && Array.isArray(reply['vectors']);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** A provider that stops without a word and without a token has not answered. */
export function isEmpty({ text, refusal = '', toolCalls, finishReason, usage }: AdapterReply): boolean {
  return (
    finishReason === 'stop' &&
    text === '' &&
    refusal === '' &&
    toolCalls.length === 0 &&
    (usage.outputTokens ?? 0) === 0
  );
}

/** What the caller of a stream sees of an adapter's part. */
export function visiblePart(part: AdapterPart): StreamPart | undefined {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return { type: part.type, text: part.text };
    case 'refusal':
      return { type: 'text', text: part.text };
    case 'toolCall':
      return part;
    case 'activity':
    case 'usage':
    case 'reasoningDetails':
    case 'finish':
      return undefined;
  }
}
