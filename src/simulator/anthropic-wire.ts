/**
 * The Anthropic wire: messages streamed and not, in the shapes of recorded answers. Requests are checked for what the real
 * API insists on: `max_tokens`, and roles it knows.
 */
import { z } from 'zod';
import type { ParsedToolChoice } from '../contract/request.ts';
import { countWords } from './answer.ts';
import { createProblem, PROBLEM_FORMS, type Problem } from './problems.ts';
import type { Answer, Finish, Frame, ParsedQuestion, Wire } from './wire.ts';

const blockSchema = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  content: z.union([z.string(), z.array(z.looseObject({ text: z.string().optional() }))]).optional(),
});
const contentSchema = z.union([z.string(), z.array(blockSchema)]);
const formatSchema = z.looseObject({ type: z.string(), schema: z.record(z.string(), z.unknown()).nullish() });
const bodySchema = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.int().min(1),
  messages: z.array(z.looseObject({ role: z.enum(['user', 'assistant']), content: contentSchema })).min(1),
  system: contentSchema.optional(),
  stream: z.boolean().optional(),
  tools: z
    .array(z.looseObject({ name: z.string(), input_schema: z.record(z.string(), z.unknown()).optional() }))
    .optional(),
  tool_choice: z.looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']), name: z.string().optional() }).optional(),
  output_config: z.looseObject({ format: formatSchema.nullish() }).nullish(),
});

type Body = z.infer<typeof bodySchema>;
type Content = z.infer<typeof contentSchema>;

const STOP_REASONS: Readonly<Record<Finish, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  'content-filter': 'refusal',
};

/** Speaks messages. */
export const anthropicWire: Wire = {
  name: 'anthropic',
  idHeader: 'request-id',
  parse,
  renderWhole,
  renderFrames,
  renderProblem,
  renderProblemFrame: (problem, requestId) => createFrame('close', 'error', renderProblem(problem, requestId)),
  statusOf: (problem) => PROBLEM_FORMS[problem.name].anthropic?.status ?? problem.status,
  renderModels: (models) => ({
    data: models.map((id) => ({ type: 'model', id, display_name: id, created_at: '2026-01-01T00:00:00Z' })),
    has_more: false,
    first_id: models[0] ?? null,
    last_id: models.at(-1) ?? null,
  }),
};

function parse(body: unknown): ParsedQuestion {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return {
      kind: 'problem',
      problem: createProblem('invalid-request', {
        message: `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? ''}`,
      }),
    };
  }
  const { data } = parsed;
  const last = data.messages.at(-1);
  const texts = [data.system ?? '', ...data.messages.map((message) => message.content)];
  const format = data.output_config?.format ?? undefined;
  return {
    kind: 'question',
    question: {
      model: data.model,
      prompt: readContent(last?.content ?? ''),
      isToolResult: Array.isArray(last?.content) && last.content.some((block) => block.type === 'tool_result'),
      hasPrefill: last?.role === 'assistant',
      inputTokens: texts.reduce((sum, content) => sum + countWords(readContent(content)), 0),
      isStream: data.stream === true,
      wantsUsage: true,
      maxTokens: data.max_tokens,
      tools: (data.tools ?? []).map((tool) => ({ name: tool.name, parameters: tool.input_schema })),
      toolChoice: readToolChoice(data.tool_choice),
      json: format === undefined ? undefined : { schema: format.schema ?? undefined },
      choices: 1,
    },
  };
}

function readContent(content: Content): string {
  if (typeof content === 'string') return content;
  const texts = content.map((block) => {
    if (typeof block.content === 'string') return block.content;
    return block.text ?? (block.content ?? []).map((part) => part.text ?? '').join('\n');
  });
  return texts.filter((text) => text !== '').join('\n');
}

function readToolChoice(choice: Body['tool_choice']): ParsedToolChoice | undefined {
  if (choice === undefined) return undefined;
  if (choice.type === 'tool') return { type: 'tool', name: choice.name ?? '' };
  return { type: choice.type === 'any' ? 'required' : choice.type };
}

function renderWhole(answer: Answer): unknown {
  const text = answer.tokens.join('');
  return {
    ...renderHead(answer),
    content: [
      ...(text === '' ? [] : [{ type: 'text', text, citations: null }]),
      // Written by us as JSON a moment ago.
      ...answer.calls.map((call) => ({
        type: 'tool_use',
        id: `toolu_${call.id}`,
        name: call.name,
        input: JSON.parse(call.tokens.join('')) as unknown,
      })),
    ],
    stop_reason: answer.finish === undefined ? null : STOP_REASONS[answer.finish],
    stop_sequence: null,
    ...(answer.usage !== undefined && { usage: renderUsage(answer.usage) }),
  };
}

function renderFrames(answer: Answer): readonly Frame[] {
  const { usage } = answer;
  const blocks = [
    ...(answer.tokens.length === 0
      ? []
      : [{ start: { type: 'text', text: '' }, deltas: answer.tokens.map((text) => ({ type: 'text_delta', text })) }]),
    ...answer.calls.map((call) => ({
      start: { type: 'tool_use', id: `toolu_${call.id}`, name: call.name, input: {} },
      deltas: call.tokens.map((piece) => ({ type: 'input_json_delta', partial_json: piece })),
    })),
  ];
  const message = {
    ...renderHead(answer),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    ...(usage !== undefined && { usage: renderUsage({ ...usage, outputTokens: 1 }) }),
  };
  return [
    createFrame('open', 'message_start', { message }),
    createFrame('open', 'ping', {}),
    ...blocks.flatMap(({ start, deltas }, index) => [
      createFrame('open', 'content_block_start', { index, content_block: start }),
      ...deltas.map((delta) => createFrame('token', 'content_block_delta', { index, delta })),
      createFrame('open', 'content_block_stop', { index }),
    ]),
    ...renderEnd(answer),
    createFrame('close', 'message_stop', {}),
  ];
}

function renderEnd({ finish, usage }: Answer): readonly Frame[] {
  if (finish === undefined && usage === undefined) return [];
  const delta = { stop_reason: finish === undefined ? null : STOP_REASONS[finish], stop_sequence: null };
  return [createFrame('finish', 'message_delta', { delta, ...(usage !== undefined && { usage: renderUsage(usage) }) })];
}

function createFrame(kind: Frame['kind'], event: string, content: object): Frame {
  return { kind, event, content: JSON.stringify({ type: event, ...content }) };
}

function renderHead(answer: Answer): object {
  return { id: `msg_${answer.source}_${answer.number}`, type: 'message', role: 'assistant', model: answer.model };
}

function renderUsage({
  inputTokens,
  outputTokens,
}: {
  readonly inputTokens: number;
  readonly outputTokens: number;
}): object {
  return {
    input_tokens: inputTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: outputTokens,
  };
}

function renderProblem(problem: Problem, requestId: string): object {
  const form = PROBLEM_FORMS[problem.name];
  const isOwnMessage = problem.message !== form.message;
  const message = isOwnMessage ? problem.message : (form.anthropic?.message ?? form.message);
  return { type: 'error', error: { type: form.anthropicType, message }, request_id: requestId };
}
