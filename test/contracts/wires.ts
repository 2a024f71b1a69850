/** The OpenAI and the Anthropic wire as their servers write them, for `upstream.ts`. */
import type { FinishReason, ToolCall, Usage } from '../../src/contract/response.ts';
import type { ScriptedAnswer, ScriptedFailure, WireScripts } from './upstream.ts';

/** Text in pieces of a few characters, never inside one. */
const piecesOf = (text: string): readonly string[] =>
  [...text].flatMap((_, index, all) => (index % 4 === 0 ? [all.slice(index, index + 4).join('')] : []));

const event = (data: unknown, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;

const OPENAI_REASONS: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
  other: 'something_new',
};

const OPENAI_FAILURES: Readonly<
  Record<ScriptedFailure, readonly [status: number, type: string, code: string | null, message: string]>
> = {
  'rate-limited': [429, 'requests', 'rate_limit_exceeded', 'Rate limit reached for requests'],
  'quota-exhausted': [429, 'insufficient_quota', 'insufficient_quota', 'You exceeded your current quota'],
  unauthorized: [401, 'invalid_request_error', 'invalid_api_key', 'Incorrect API key provided'],
  'model-not-found': [404, 'invalid_request_error', 'model_not_found', 'The model does not exist'],
  'context-too-long': [
    400,
    'invalid_request_error',
    'context_length_exceeded',
    "This model's maximum context length is 8192 tokens",
  ],
  'content-filtered': [
    400,
    'invalid_request_error',
    'content_policy_violation',
    'Your request was rejected by our safety system',
  ],
  'invalid-request': [400, 'invalid_request_error', null, 'Unknown parameter'],
  'upstream-error': [500, 'server_error', null, 'The server had an error'],
  overloaded: [529, 'overloaded_error', null, 'Overloaded'],
};

const renderOpenaiUsage = (usage: Usage): object => ({
  prompt_tokens: usage.inputTokens,
  completion_tokens: usage.outputTokens,
  total_tokens: (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0),
});

const renderOpenaiCall = (call: ToolCall): object => ({
  id: call.id,
  type: 'function',
  function: { name: call.name, arguments: call.arguments },
});

function renderOpenaiStream(answer: ScriptedAnswer): readonly string[] {
  const chunk = (delta: object, finishReason: string | null = null): string =>
    event({ id: 'c1', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finishReason }] });
  const calls = (answer.toolCalls ?? []).flatMap((call, index) => [
    chunk({ tool_calls: [{ index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] }),
    ...piecesOf(call.arguments).map((piece) => chunk({ tool_calls: [{ index, function: { arguments: piece } }] })),
  ]);
  return [
    chunk({ role: 'assistant', content: '' }),
    ...piecesOf(answer.text).map((content) => chunk({ content })),
    ...calls,
    chunk({}, OPENAI_REASONS[answer.finishReason]),
    event({ id: 'c1', object: 'chat.completion.chunk', choices: [], usage: renderOpenaiUsage(answer.usage) }),
    'data: [DONE]\n\n',
  ];
}

export const openaiWire: WireScripts = {
  streamType: 'text/event-stream; charset=utf-8',
  malformedPiece: 'data: {"choices":[{"delta":{"content":"bro\n\n',
  isStream: (_request, body) => JSON.parse(body).stream === true,
  renderAnswer: (answer) =>
    JSON.stringify({
      id: 'c1',
      object: 'chat.completion',
      model: 'model-1',
      usage: renderOpenaiUsage(answer.usage),
      choices: [
        {
          index: 0,
          finish_reason: OPENAI_REASONS[answer.finishReason],
          message: {
            role: 'assistant',
            content: answer.text,
            ...(answer.toolCalls && { tool_calls: answer.toolCalls.map(renderOpenaiCall) }),
          },
        },
      ],
    }),
  renderStream: renderOpenaiStream,
  renderFailure: (failure, echo) => {
    const [status, type, code, message] = OPENAI_FAILURES[failure];
    return { status, body: JSON.stringify({ error: { message: `${message} ${echo}`, type, param: null, code } }) };
  },
  renderFailureInside: (failure) =>
    event({ error: { message: 'broke', type: OPENAI_FAILURES[failure][1], code: OPENAI_FAILURES[failure][2] } }),
  respondOther: (path, body) => {
    if (path.startsWith('/models'))
      return JSON.stringify({ object: 'list', data: [{ id: 'model-1', object: 'model' }] });
    if (!path.startsWith('/embeddings')) return undefined;
    const input: readonly string[] = JSON.parse(body).input;
    const data = input
      .map((text, index) => ({ object: 'embedding', index, embedding: [text.length, index, -0.5] }))
      .toReversed();
    return JSON.stringify({ object: 'list', data, usage: { prompt_tokens: input.length, total_tokens: input.length } });
  },
};

const ANTHROPIC_REASONS: Readonly<Record<FinishReason, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  'content-filter': 'refusal',
  other: 'something_new',
};

const ANTHROPIC_FAILURES: Readonly<Record<ScriptedFailure, readonly [status: number, type: string, message: string]>> =
  {
    'rate-limited': [429, 'rate_limit_error', 'This request would exceed your rate limit'],
    'quota-exhausted': [400, 'invalid_request_error', 'Your credit balance is too low to access the Anthropic API'],
    unauthorized: [401, 'authentication_error', 'invalid x-api-key'],
    'model-not-found': [404, 'not_found_error', 'model: model-1'],
    'context-too-long': [400, 'invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'],
    'content-filtered': [400, 'invalid_request_error', 'Output blocked by content filtering policy'],
    'invalid-request': [400, 'invalid_request_error', 'messages: at least one message is required'],
    'upstream-error': [500, 'api_error', 'Internal server error'],
    overloaded: [529, 'overloaded_error', 'Overloaded'],
  };

const renderAnthropicUsage = (usage: Usage): object => ({
  input_tokens: usage.inputTokens,
  output_tokens: usage.outputTokens,
});

function renderAnthropicStream(answer: ScriptedAnswer): readonly string[] {
  const named = (type: string, fields: object = {}): string => event({ type, ...fields }, type);
  const block = (index: number, start: object, deltas: readonly object[]): readonly string[] => [
    named('content_block_start', { index, content_block: start }),
    ...deltas.map((delta) => named('content_block_delta', { index, delta })),
    named('content_block_stop', { index }),
  ];
  const calls = (answer.toolCalls ?? []).flatMap((call, position) =>
    block(
      position + 1,
      { type: 'tool_use', id: call.id, name: call.name, input: {} },
      piecesOf(call.arguments).map((json) => ({ type: 'input_json_delta', partial_json: json })),
    ),
  );
  return [
    named('message_start', {
      message: {
        id: 'm1',
        type: 'message',
        content: [],
        usage: { ...renderAnthropicUsage(answer.usage), output_tokens: 1 },
      },
    }),
    ...block(
      0,
      { type: 'text', text: '' },
      piecesOf(answer.text).map((text) => ({ type: 'text_delta', text })),
    ),
    ...calls,
    named('message_delta', {
      delta: { stop_reason: ANTHROPIC_REASONS[answer.finishReason] },
      usage: { output_tokens: answer.usage.outputTokens },
    }),
    named('message_stop'),
  ];
}

export const anthropicWire: WireScripts = {
  streamType: 'text/event-stream; charset=utf-8',
  malformedPiece: 'event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n',
  isStream: (_request, body) => JSON.parse(body).stream === true,
  renderAnswer: (answer) =>
    JSON.stringify({
      id: 'm1',
      type: 'message',
      role: 'assistant',
      stop_reason: ANTHROPIC_REASONS[answer.finishReason],
      usage: renderAnthropicUsage(answer.usage),
      content: [
        { type: 'text', text: answer.text },
        ...(answer.toolCalls ?? []).map((call) => ({
          type: 'tool_use',
          id: call.id,
          name: call.name,
          input: JSON.parse(call.arguments),
        })),
      ],
    }),
  renderStream: renderAnthropicStream,
  renderFailure: (failure, echo) => {
    const [status, type, message] = ANTHROPIC_FAILURES[failure];
    return {
      status,
      body: JSON.stringify({ type: 'error', error: { type, message: `${message} ${echo}` }, request_id: 'req_011' }),
    };
  },
  renderFailureInside: (failure) =>
    event({ type: 'error', error: { type: ANTHROPIC_FAILURES[failure][1], message: 'broke' } }, 'error'),
  respondOther: (path) =>
    path.startsWith('/v1/models')
      ? JSON.stringify({ data: [{ type: 'model', id: 'model-1' }], has_more: false })
      : undefined,
};
