/**
 * What a recorded body says, read by plain indexing and on purpose by none of the code under test. A recording of another
 * shape than the documented one throws here, and so fails its test.
 */

interface Answer {
  readonly text: string;
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  readonly finishReason: string | undefined;
  readonly usage: Readonly<Record<string, number>>;
}

interface ExpectedReply {
  readonly answer: Answer;
  readonly hasReasoningDetails: boolean;
}

/** The value at a path of JSON; `undefined` where the path leaves it. */
function get(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, step) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, step) : undefined),
    value,
  );
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const string = (value: unknown): string => (typeof value === 'string' ? value : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

const CHAT_REASONS = new Map([
  ['stop', 'stop'],
  ['length', 'length'],
  ['tool_calls', 'tool-calls'],
  ['content_filter', 'content-filter'],
]);
const MESSAGE_REASONS = new Map([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['max_tokens', 'length'],
  ['tool_use', 'tool-calls'],
]);

export function expectedOfChat(body: string): ExpectedReply {
  const answer: unknown = JSON.parse(body);
  const message = get(answer, 'choices', 0, 'message');
  const toolCalls = list(get(message, 'tool_calls'));
  const reasoning = string(get(message, 'reasoning_content')) || string(get(message, 'reasoning'));
  return {
    answer: {
      text: textOf(get(message, 'content')),
      toolCalls: toolCalls.map((call) => joinCall([call])),
      finishReason: CHAT_REASONS.get(string(get(answer, 'choices', 0, 'finish_reason'))),
      usage: chatUsage(get(answer, 'usage')),
    },
    hasReasoningDetails:
      list(get(message, 'reasoning_details')).length > 0 || (reasoning !== '' && toolCalls.length > 0),
  };
}

function textOf(content: unknown): string {
  return typeof content === 'string'
    ? content
    : list(content)
        .map((part) => (get(part, 'type') === 'text' ? string(get(part, 'text')) : ''))
        .join('');
}

const thinkingOf = (content: unknown): string =>
  list(content)
    .map((part) => (get(part, 'type') === 'thinking' ? textOf(get(part, 'thinking')) : ''))
    .join('');

/** A call without arguments is one with an empty object. */
function joinCall(pieces: readonly unknown[]): Answer['toolCalls'][number] {
  const first = (...path: readonly string[]): string =>
    pieces.map((piece) => string(get(piece, ...path))).find((text) => text !== '') ?? '';
  return {
    id: first('id'),
    name: first('function', 'name'),
    arguments: pieces.map((piece) => string(get(piece, 'function', 'arguments'))).join('') || '{}',
  };
}

function chatUsage(usage: unknown): Answer['usage'] {
  return present({
    inputTokens: get(usage, 'prompt_tokens'),
    outputTokens: get(usage, 'completion_tokens'),
    cachedInputTokens:
      get(usage, 'prompt_tokens_details', 'cached_tokens') ??
      get(usage, 'prompt_cache_hit_tokens') ??
      get(usage, 'num_cached_tokens'),
    cacheWriteTokens: get(usage, 'prompt_tokens_details', 'cache_write_tokens'),
    reasoningTokens: get(usage, 'completion_tokens_details', 'reasoning_tokens') ?? get(usage, 'reasoning_tokens'),
  });
}

const present = (fields: Readonly<Record<string, unknown>>): Record<string, number> =>
  Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));

export function expectedOfChatStream(body: string): Answer & { readonly reasoning: string } {
  const chunks = dataOf(body)
    .filter((data) => data !== '[DONE]')
    .map((data): unknown => JSON.parse(data));
  const choices = chunks.flatMap((chunk) => list(get(chunk, 'choices'))).filter((choice) => get(choice, 'index') === 0);
  const deltas = choices.map((choice) => get(choice, 'delta'));
  const usages = chunks.map((chunk) => get(chunk, 'usage') ?? get(chunk, 'x_groq', 'usage')).filter(Boolean);
  const pieces = Object.groupBy(
    deltas.flatMap((delta) => list(get(delta, 'tool_calls'))),
    (piece) => String(get(piece, 'index')),
  );
  return {
    text: deltas.map((delta) => textOf(get(delta, 'content'))).join(''),
    reasoning: deltas
      .map(
        (delta) =>
          string(get(delta, 'reasoning_content')) + string(get(delta, 'reasoning')) + thinkingOf(get(delta, 'content')),
      )
      .join(''),
    toolCalls: Object.values(pieces).map((calls) => joinCall(calls ?? [])),
    // The first one counts: OpenRouter repeats it in a chunk with nothing else.
    finishReason: CHAT_REASONS.get(
      choices.map((choice) => string(get(choice, 'finish_reason'))).find((reason) => reason !== '') ?? '',
    ),
    usage: chatUsage(usages.at(-1)),
  };
}

const dataOf = (body: string): readonly string[] =>
  body
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trim());

export function expectedOfMessage(body: string): ExpectedReply {
  const message: unknown = JSON.parse(body);
  const blocks = list(get(message, 'content'));
  return {
    answer: {
      text: textOf(blocks),
      toolCalls: blocks
        .filter((block) => get(block, 'type') === 'tool_use')
        .map((block) => ({
          id: string(get(block, 'id')),
          name: string(get(block, 'name')),
          arguments: JSON.stringify(get(block, 'input')),
        })),
      finishReason: MESSAGE_REASONS.get(string(get(message, 'stop_reason'))),
      usage: messageUsage(get(message, 'usage')),
    },
    hasReasoningDetails: blocks.some(
      (block) => get(block, 'type') === 'thinking' || get(block, 'type') === 'redacted_thinking',
    ),
  };
}

function messageUsage(usage: unknown): Answer['usage'] {
  const [read, written] = [get(usage, 'cache_read_input_tokens'), get(usage, 'cache_creation_input_tokens')];
  return present({
    inputTokens: number(get(usage, 'input_tokens')) + number(read) + number(written),
    outputTokens: get(usage, 'output_tokens'),
    cachedInputTokens: read,
    cacheWriteTokens: written,
    reasoningTokens: get(usage, 'output_tokens_details', 'thinking_tokens'),
  });
}

export function expectedOfMessageStream(body: string): Answer & { readonly reasoning: string } {
  const events = dataOf(body).map((data): unknown => JSON.parse(data));
  const ofType = (type: string): readonly unknown[] => events.filter((event) => get(event, 'type') === type);
  const deltas = ofType('content_block_delta');
  const joined = (field: string, among = deltas): string =>
    among.map((event) => string(get(event, 'delta', field))).join('');
  const tools = ofType('content_block_start').filter((event) => get(event, 'content_block', 'type') === 'tool_use');
  const end = ofType('message_delta').at(-1);
  return {
    text: joined('text'),
    reasoning: joined('thinking'),
    toolCalls: tools.map((event) => ({
      id: string(get(event, 'content_block', 'id')),
      name: string(get(event, 'content_block', 'name')),
      arguments:
        joined(
          'partial_json',
          deltas.filter((delta) => get(delta, 'index') === get(event, 'index')),
        ) || '{}',
    })),
    finishReason: MESSAGE_REASONS.get(string(get(end, 'delta', 'stop_reason'))),
    usage: messageUsage(Object.assign({}, get(ofType('message_start')[0], 'message', 'usage'), get(end, 'usage'))),
  };
}

/** Numbers as they are; Perplexity's as base64 of signed bytes. */
export function expectedVectors(
  body: string,
  host: string,
): { readonly vectors: readonly (readonly unknown[])[]; readonly promptTokens: unknown } {
  const answer: unknown = JSON.parse(body);
  const vectors = list(get(answer, 'data')).map((entry) => {
    const embedding = get(entry, 'embedding');
    if (typeof embedding !== 'string') return list(embedding);
    if (host !== 'api.perplexity.ai') throw new Error(`expected numbers, got: base64 from ${host}`);
    return [...new Int8Array(Buffer.from(embedding, 'base64'))];
  });
  return { vectors, promptTokens: get(answer, 'usage', 'prompt_tokens') };
}
