/** Token estimates where nobody has counted: for pacing before a call, and for what a broken answer had used. */
import { estimateTokenCount } from 'tokenx';
import type { ContentPart, Message, ParsedRequest } from '../contract/request.ts';
import type { Usage } from '../contract/response.ts';

/** What an image costs at most vendors at ordinary size. */
const IMAGE_TOKENS = 1_000;
const MESSAGE_OVERHEAD_TOKENS = 4;
/** A broken answer is charged a little more than what arrived: the provider went on until it noticed. */
const ABORT_MARGIN = 1.15;

export function estimateInputTokens(request: ParsedRequest): number {
  if (request.kind === 'embedding') return request.input.reduce((sum, text) => sum + estimateTokenCount(text), 0);
  const messages = request.messages.reduce((sum, message) => sum + messageTokens(message), 0);
  const tools = request.tools === undefined ? 0 : estimateTokenCount(JSON.stringify(request.tools));
  return messages + tools;
}

/** The usage to book for an answer that broke: what the provider told, else an estimate of what had arrived. */
export function estimatePartialUsage(
  written: { readonly text: string; readonly usage: Usage },
  inputTokens: number,
): Usage {
  const arrived = Math.ceil(estimateTokenCount(written.text) * ABORT_MARGIN);
  return {
    ...written.usage,
    inputTokens: written.usage.inputTokens ?? inputTokens,
    outputTokens: Math.max(written.usage.outputTokens ?? 0, arrived),
  };
}

function messageTokens(message: Message): number {
  const { content } = message;
  const calls =
    message.role === 'assistant' && message.tool_calls !== undefined
      ? estimateTokenCount(JSON.stringify(message.tool_calls))
      : 0;
  if (content === undefined || content === null) return MESSAGE_OVERHEAD_TOKENS + calls;
  if (typeof content === 'string') return MESSAGE_OVERHEAD_TOKENS + calls + estimateTokenCount(content);
  return content.reduce((sum, part) => sum + partTokens(part), MESSAGE_OVERHEAD_TOKENS + calls);
}

function partTokens(part: ContentPart): number {
  switch (part.type) {
    case 'text':
      return estimateTokenCount(part.text);
    case 'image_url':
    case 'wire':
      return IMAGE_TOKENS;
  }
}

/** Tokens that an attempt which was stopped had used, for pacing: its input, and what had arrived. */
export function tokensUsed(
  written: { readonly text: string; readonly usage: Usage } | undefined,
  inputTokens: number,
): number {
  if (written === undefined) return inputTokens;
  const usage = estimatePartialUsage(written, inputTokens);
  return (usage.inputTokens ?? inputTokens) + (usage.outputTokens ?? 0);
}
