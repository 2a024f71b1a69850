/**
 * What the mock says when its script does not: an echo that nobody takes for a model's answer and that tells how to get
 * one, a tool call where the tool rule asks for it, the smallest valid JSON where structured output is asked for.
 */
import type { ContentPart, Message, ParsedCompletion } from '../../contract/request.ts';
import type { ToolCall } from '../../contract/response.ts';
import type { MockStep } from './options.ts';
import { countPieces } from './pieces.ts';
import { buildInstance } from './schema-instance.ts';
import { chooseTools, writeArguments } from './tool-rule.ts';

/** What an answer consists of, before it is paced or cut. */
export interface MockContent {
  readonly text: string;
  readonly refusal: string | undefined;
  readonly toolCalls: readonly ToolCall[];
}

/** Longest part of a message that the echo quotes, in characters. */
const echoMax = 200;

/** Writes the content that a step says. */
export function renderStep(step: MockStep): MockContent {
  const toolCalls = (step.toolCalls ?? []).map((call, index) => ({
    id: call.id ?? `call_mock_${index + 1}`,
    name: call.name,
    arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {}),
  }));
  return {
    text: step.text ?? (step.json === undefined ? '' : JSON.stringify(step.json)),
    refusal: step.refusal,
    toolCalls,
  };
}

/** Writes the answer to a request that nothing is scripted for; `provider` is the name it is configured under. */
export function renderDefault(request: ParsedCompletion, provider: string): MockContent {
  const prompt = readLastText(request.messages);
  const isToolResult = request.messages.at(-1)?.role === 'tool';
  const tools = chooseTools({ tools: request.tools ?? [], choice: request.toolChoice, prompt, isToolResult });
  if (tools.length > 0) {
    const toolCalls = tools.map((tool, index) => ({
      id: `call_mock_${index + 1}`,
      name: tool.name,
      arguments: writeArguments(tool),
    }));
    return { text: '', refusal: undefined, toolCalls };
  }
  return { text: renderText(request, provider, prompt), refusal: undefined, toolCalls: [] };
}

function renderText(request: ParsedCompletion, provider: string, prompt: string): string {
  const echo = prompt.length > echoMax ? `${prompt.slice(0, echoMax)}…` : prompt;
  const format = request.responseFormat;
  if (format?.type === 'json') return JSON.stringify({ mock: provider, echo });
  if (format?.type === 'json-schema') return JSON.stringify(buildInstance(format.schema));
  return (
    `This is the mock provider "${provider}"; no model was asked. You wrote: "${echo}". For a real answer set OPENAI_API_KEY or ` +
    'ANTHROPIC_API_KEY and restart, or configure a provider with adapter openai or anthropic, its apiKey and its models.'
  );
}

/** Reads the text of the last message. */
function readLastText(messages: readonly Message[]): string {
  return readText(messages.at(-1));
}

/** Reads the text of the last message that a user wrote. */
export function readLastUserText(messages: readonly Message[]): string {
  return readText(messages.findLast((message) => message.role === 'user'));
}

/** Counts the input tokens of a request by the mock's rule: the pieces of every text in it. */
export function countInputTokens(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + countPieces(readText(message)), 0);
}

function readText(message: Message | undefined): string {
  const content: string | readonly ContentPart[] = message?.content ?? '';
  if (typeof content === 'string') return content;
  return content
    .map((part) => (part.type === 'text' ? part.text : ''))
    .filter((text) => text !== '')
    .join('\n');
}
