/**
 * The OpenAI wire: chat completions streamed and not, in the shapes of recorded answers. Requests are checked for what the
 * real API insists on, so that an adapter that forgets it fails here too.
 */
import { z } from 'zod';
import type { ParsedToolChoice } from '../contract/request.ts';
import { countWords } from './answer.ts';
import { createProblem, PROBLEM_FORMS, type Problem } from './problems.ts';
import type { Answer, Finish, Frame, ParsedQuestion, Wire } from './wire.ts';

/** Most answers in one body. */
const choicesMax = 16;

const partSchema = z.looseObject({ type: z.string(), text: z.string().optional() });
const messageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(partSchema)]).nullish(),
});
const bodySchema = z.looseObject({
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(choicesMax).nullish(),
  tools: z
    .array(
      z.looseObject({
        function: z.looseObject({ name: z.string(), parameters: z.record(z.string(), z.unknown()).nullish() }),
      }),
    )
    .nullish(),
  tool_choice: z
    .union([z.enum(['auto', 'none', 'required']), z.looseObject({ function: z.looseObject({ name: z.string() }) })])
    .nullish(),
  response_format: z
    .looseObject({
      type: z.string(),
      json_schema: z.looseObject({ schema: z.record(z.string(), z.unknown()).nullish() }).nullish(),
    })
    .nullish(),
});

type Body = z.infer<typeof bodySchema>;

const FINISH_REASONS: Readonly<Record<Finish, string>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
};

/** Speaks chat completions. */
export const openaiWire: Wire = {
  name: 'openai',
  idHeader: 'x-request-id',
  parse,
  renderWhole,
  renderFrames,
  renderProblem,
  renderProblemFrame: (problem) => ({
    kind: 'close',
    event: undefined,
    content: JSON.stringify(renderProblem(problem)),
  }),
  statusOf: (problem) => problem.status,
  renderModels: (models) => ({
    object: 'list',
    data: models.map((id) => ({ id, object: 'model', created: 1_767_225_600, owned_by: 'simulator' })),
  }),
};

function parse(body: unknown): ParsedQuestion {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) {
    const param = parsed.error.issues[0]?.path.join('.') ?? '';
    return {
      kind: 'problem',
      problem: createProblem('invalid-request', {
        message: `Invalid '${param}': ${parsed.error.issues[0]?.message ?? ''}`,
        param,
      }),
    };
  }
  const { data } = parsed;
  const last = data.messages.at(-1);
  return {
    kind: 'question',
    question: {
      model: data.model,
      prompt: readContent(last?.content),
      isToolResult: last?.role === 'tool',
      hasPrefill: last?.role === 'assistant',
      inputTokens: data.messages.reduce((sum, message) => sum + countWords(readContent(message.content)), 0),
      isStream: data.stream === true,
      wantsUsage: data.stream !== true || data.stream_options?.include_usage === true,
      maxTokens: data.max_completion_tokens ?? data.max_tokens ?? undefined,
      tools: (data.tools ?? []).map((tool) => ({
        name: tool.function.name,
        parameters: tool.function.parameters ?? undefined,
      })),
      toolChoice: readToolChoice(data.tool_choice),
      json: readFormat(data.response_format),
      choices: data.n ?? 1,
    },
  };
}

function readContent(content: Body['messages'][number]['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((part) => part.text ?? '')
    .filter((text) => text !== '')
    .join('\n');
}

function readToolChoice(choice: Body['tool_choice']): ParsedToolChoice | undefined {
  if (choice === undefined || choice === null) return undefined;
  return typeof choice === 'string' ? { type: choice } : { type: 'tool', name: choice.function.name };
}

function readFormat(
  format: Body['response_format'],
): { schema: Readonly<Record<string, unknown>> | undefined } | undefined {
  if (format === undefined || format === null || format.type === 'text') return undefined;
  return { schema: format.json_schema?.schema ?? undefined };
}

function renderWhole(answer: Answer): unknown {
  const toolCalls = answer.calls.map((call) => ({
    id: `call_${call.id}`,
    type: 'function',
    function: { name: call.name, arguments: call.tokens.join('') },
  }));
  return {
    ...renderHead(answer, 'chat.completion'),
    choices: Array.from({ length: answer.choices }, (_choice, index) => ({
      index,
      message: {
        role: 'assistant',
        content: toolCalls.length > 0 ? null : answer.tokens.join(''),
        refusal: null,
        ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
      },
      logprobs: null,
      finish_reason: answer.finish === undefined ? null : FINISH_REASONS[answer.finish],
    })),
    ...(answer.usage !== undefined && { usage: renderUsage(answer.usage) }),
  };
}

function renderFrames(answer: Answer): readonly Frame[] {
  const frame = (kind: Frame['kind'], choices: readonly unknown[], usage: unknown = null): Frame => ({
    kind,
    event: undefined,
    content: JSON.stringify({
      ...renderHead(answer, 'chat.completion.chunk'),
      choices,
      ...(answer.usage !== undefined && { usage }),
    }),
  });
  const delta = (kind: Frame['kind'], content: object, finish?: Finish): Frame => {
    const finishReason = finish === undefined ? null : FINISH_REASONS[finish];
    return frame(
      kind,
      Array.from({ length: answer.choices }, (_choice, index) => ({
        index,
        delta: content,
        logprobs: null,
        finish_reason: finishReason,
      })),
    );
  };
  const calls = answer.calls.flatMap((call, index) => [
    delta('open', {
      tool_calls: [{ index, id: `call_${call.id}`, type: 'function', function: { name: call.name, arguments: '' } }],
    }),
    ...call.tokens.map((piece) => delta('token', { tool_calls: [{ index, function: { arguments: piece } }] })),
  ]);
  return [
    delta('open', { role: 'assistant', content: answer.calls.length > 0 ? null : '', refusal: null }),
    ...answer.tokens.map((content) => delta('token', { content })),
    ...calls,
    ...(answer.finish === undefined ? [] : [delta('finish', {}, answer.finish)]),
    ...(answer.usage === undefined ? [] : [frame('usage', [], renderUsage(answer.usage))]),
    { kind: 'close', event: undefined, content: '[DONE]' },
  ];
}

function renderHead(answer: Answer, object: string): object {
  return {
    id: `chatcmpl-${answer.source}-${answer.number}`,
    object,
    created: answer.createdSeconds,
    model: answer.model,
    system_fingerprint: answer.source,
  };
}

function renderUsage({
  inputTokens,
  outputTokens,
}: {
  readonly inputTokens: number;
  readonly outputTokens: number;
}): object {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

function renderProblem(problem: Problem): object {
  const { type, code } = PROBLEM_FORMS[problem.name].openai;
  return { error: { message: problem.message, type, param: problem.param ?? null, code } };
}
