/** The OpenAI wire, as the real SDK and plain fetch see it. */
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/server.ts';
import { writeWords } from '../../src/simulator/answer.ts';
import { askOpenai, readEvents, receive, startSimulator } from './support.ts';

function connect(simulator: Simulator, apiKey = 'sk-test-key'): OpenAI {
  return new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey, maxRetries: 0, logLevel: 'off' });
}

const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string', minLength: 1 }, days: { type: 'integer', minimum: 1 } },
        required: ['city', 'days'],
      },
    },
  },
  { type: 'function' as const, function: { name: 'get_time', parameters: { type: 'object', properties: {} } } },
];

describe('a healthy simulator on the OpenAI wire', () => {
  test('answers with exactly the words that its rule says, and counts them', async () => {
    const simulator = await startSimulator({ name: 'alpha', outputTokens: 7 });
    const completion = await connect(simulator).chat.completions.create({
      model: 'gpt-4.1',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'red green' },
      ],
    });
    expect(completion.choices[0]?.message.content).toBe('alpha red green red green red [end]');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect(completion.model).toBe('gpt-4.1');
    expect(completion.system_fingerprint).toBe('alpha');
    expect(completion.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 7, total_tokens: 11 });
  });

  test('streams the same text, one event a word, with usage when it is asked for', async () => {
    const simulator = await startSimulator({ outputTokens: 60 });
    const stream = await connect(simulator).chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'red green' }],
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    const reasons: string[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      const choice = chunk.choices[0];
      if (choice?.delta.content) pieces.push(choice.delta.content);
      if (choice?.finish_reason) reasons.push(choice.finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(pieces).toEqual(writeWords('simulator', 'red green', 60));
    expect(reasons).toEqual(['stop']);
    expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 60 });
  });

  test('leaves usage out of a stream that does not ask for it, and ends with [DONE]', async () => {
    const simulator = await startSimulator();
    const { text } = await receive(await askOpenai(simulator, { stream: true, extra: { stream_options: undefined } }));
    expect(text).not.toContain('usage');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test.each([
    ['max_tokens', { max_tokens: 3 }],
    ['max_completion_tokens', { max_completion_tokens: 3 }],
  ])('stops at %s with the finish reason length', async (_name, limit) => {
    const simulator = await startSimulator();
    const completion = await connect(simulator).chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'a b c' }],
      ...limit,
    });
    expect(completion.choices[0]?.message.content).toBe('simulator a b');
    expect(completion.choices[0]?.finish_reason).toBe('length');
    expect(completion.usage?.completion_tokens).toBe(3);
  });

  test('calls every tool that the last message names, with the smallest valid arguments', async () => {
    const simulator = await startSimulator();
    const messages = [{ role: 'user' as const, content: 'get_weather and get_time please' }];
    const { choices } = await connect(simulator).chat.completions.create({ model: 'm', messages, tools });
    const calls = choices[0]?.message.tool_calls ?? [];
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    expect(
      calls.map((call) => (call.type === 'function' ? [call.function.name, call.function.arguments] : [])),
    ).toEqual([
      ['get_weather', '{"city":"x","days":1}'],
      ['get_time', '{}'],
    ]);
    expect(new Set(calls.map((call) => call.id)).size).toBe(2);
  });

  test('streams a tool call in pieces that make up the same arguments', async () => {
    const simulator = await startSimulator();
    const stream = await connect(simulator).chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'get_weather' }],
      tools,
      stream: true,
    });
    const argumentsPieces: string[] = [];
    const reasons: string[] = [];
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.tool_calls?.[0]?.function?.arguments;
      if (piece) argumentsPieces.push(piece);
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
    }
    expect(argumentsPieces.length).toBeGreaterThan(1);
    expect(argumentsPieces.join('')).toBe('{"city":"x","days":1}');
    expect(reasons).toEqual(['tool_calls']);
  });

  test("answers a tool's result with text", async () => {
    const simulator = await startSimulator({ outputTokens: 4 });
    const completion = await connect(simulator).chat.completions.create({
      model: 'm',
      tools,
      messages: [
        { role: 'user', content: 'get_weather' },
        {
          role: 'assistant',
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'get_weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'get_weather: sunny' },
      ],
    });
    expect(completion.choices[0]?.message.content).toBe('simulator get_weather: sunny [end]');
  });

  test.each(['required' as const, { type: 'function' as const, function: { name: 'get_time' } }])(
    'obeys tool_choice %j',
    async (choice) => {
      const simulator = await startSimulator();
      const completion = await connect(simulator).chat.completions.create({
        model: 'm',
        messages: [{ role: 'user', content: 'hi' }],
        tools,
        tool_choice: choice,
      });
      const call = completion.choices[0]?.message.tool_calls?.[0];
      expect(call?.type === 'function' ? call.function.name : undefined).toBe(
        choice === 'required' ? 'get_weather' : 'get_time',
      );
    },
  );

  test('calls no tool when tool_choice is none', async () => {
    const simulator = await startSimulator();
    const completion = await connect(simulator).chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'get_time' }],
      tools,
      tool_choice: 'none',
    });
    expect(completion.choices[0]?.finish_reason).toBe('stop');
  });

  test('answers JSON when JSON is asked for, and an instance of the schema when there is one', async () => {
    const simulator = await startSimulator();
    const client = connect(simulator);
    const messages = [{ role: 'user' as const, content: 'hi' }];
    const any = await client.chat.completions.create({
      model: 'm',
      messages,
      response_format: { type: 'json_object' },
    });
    expect(JSON.parse(any.choices[0]?.message.content ?? '')).toEqual({ simulator: 'simulator', echo: 'hi' });
    const schema = { type: 'object', properties: { age: { type: 'integer', minimum: 18 } }, required: ['age'] };
    const strict = await client.chat.completions.create({
      model: 'm',
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
    });
    expect(JSON.parse(strict.choices[0]?.message.content ?? '')).toEqual({ age: 18 });
  });

  test('gives n answers in one body', async () => {
    const simulator = await startSimulator({ outputTokens: 5 });
    const completion = await connect(simulator).chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
      n: 3,
    });
    expect(completion.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    expect(completion.usage?.completion_tokens).toBe(15);
  });

  test('embeds texts into unit vectors that depend on the text alone', async () => {
    const client = connect(await startSimulator());
    const first = await client.embeddings.create({ model: 'e', input: ['a b', 'c'], dimensions: 16 });
    const second = await client.embeddings.create({ model: 'e', input: 'c', dimensions: 16, encoding_format: 'float' });
    expect(first.data.map(({ embedding }) => embedding.length)).toEqual([16, 16]);
    expect(Math.hypot(...(first.data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
    first.data[1]?.embedding.forEach((value, index) =>
      expect(value).toBeCloseTo(second.data[0]?.embedding[index] ?? NaN, 6),
    );
    expect(first.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
  });

  test('lists its models, and refuses others once they are named', async () => {
    const simulator = await startSimulator({ models: ['only-one'] });
    const client = connect(simulator);
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(['only-one']);
    await expect(
      client.chat.completions.create({ model: 'other', messages: [{ role: 'user', content: 'hi' }] }),
    ).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  test('refuses a key it does not know on every address', async () => {
    const simulator = await startSimulator({ keys: ['sk-good'] });
    await expect(connect(simulator, 'sk-bad').models.list()).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
    await expect(connect(simulator, 'sk-bad').embeddings.create({ model: 'e', input: 'x' })).rejects.toMatchObject({
      status: 401,
    });
    await expect(connect(simulator, 'sk-good').models.list()).resolves.toBeDefined();
  });
});

describe('bad input on the OpenAI wire', () => {
  test.each([
    ['no messages', JSON.stringify({ model: 'm', messages: [] }), 400],
    ['no model', JSON.stringify({ messages: [{ role: 'user', content: 'x' }] }), 400],
    ['a role nobody knows', JSON.stringify({ model: 'm', messages: [{ role: 'robot', content: 'x' }] }), 400],
    ['a body that is no JSON', '{"model":', 400],
    ['an empty body', '', 400],
    [
      'n with a stream',
      JSON.stringify({ model: 'm', n: 2, stream: true, messages: [{ role: 'user', content: 'x' }] }),
      400,
    ],
    [
      'a fault with impossible numbers',
      JSON.stringify({ model: 'fail-200', messages: [{ role: 'user', content: 'x' }] }),
      404,
    ],
  ])('%s is refused in the shape of the API', async (_name, body, status) => {
    const { url } = await startSimulator();
    const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', message: expect.any(String) },
    });
  });

  test('an address that does not exist is 404', async () => {
    const { url } = await startSimulator();
    expect((await fetch(`${url}/v2/nothing`)).status).toBe(404);
  });

  test('a body over the limit is 413 and the next request is answered', async () => {
    const simulator = await startSimulator();
    const body = Buffer.alloc(33_554_433, 32);
    expect((await fetch(`${simulator.url}/v1/chat/completions`, { method: 'POST', body })).status).toBe(413);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('a prompt of one endless word makes no endless answer', async () => {
    const simulator = await startSimulator();
    const { text } = await receive(await askOpenai(simulator, { prompt: 'x'.repeat(1_000_000), stream: true }));
    expect(readEvents(text)).toHaveLength(64);
    expect(text.length).toBeLessThan(30_000);
  });
});
