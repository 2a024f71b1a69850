/** The Anthropic wire, as the real SDK and plain fetch see it. */
import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/server.ts';
import { writeWords } from '../../src/simulator/answer.ts';
import { startSimulator } from './support.ts';

function connect(simulator: Simulator, apiKey = 'sk-test-key'): Anthropic {
  return new Anthropic({ baseURL: simulator.url, apiKey, maxRetries: 0, logLevel: 'off' });
}

const tools: Anthropic.Tool[] = [
  {
    name: 'get_weather',
    input_schema: {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
      required: ['city'],
    },
  },
];

describe('a healthy simulator on the Anthropic wire', () => {
  test('answers with exactly the words that its rule says, and counts them', async () => {
    const simulator = await startSimulator({ name: 'beta', outputTokens: 5 });
    const message = await connect(simulator).messages.create({
      model: 'claude-x',
      max_tokens: 100,
      system: 'be brief',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'red green' }] }],
    });
    expect(message.content).toMatchObject([{ type: 'text', text: 'beta red green red [end]' }]);
    expect(message).toMatchObject({
      model: 'claude-x',
      stop_reason: 'end_turn',
      usage: { input_tokens: 4, output_tokens: 5 },
    });
  });

  test('streams the same text, which the SDK puts together again', async () => {
    const simulator = await startSimulator();
    const stream = connect(simulator).messages.stream({
      model: 'm',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'red green' }],
    });
    const pieces: string[] = [];
    stream.on('text', (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    expect(pieces).toEqual(writeWords('simulator', 'red green', 60));
    expect(message).toMatchObject({ stop_reason: 'end_turn', usage: { input_tokens: 2, output_tokens: 60 } });
  });

  test('stops at max_tokens', async () => {
    const message = await connect(await startSimulator()).messages.create({
      model: 'm',
      max_tokens: 3,
      messages: [{ role: 'user', content: 'a b c' }],
    });
    expect(message).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 3 } });
  });

  test('calls a tool that the last message names, streamed and not', async () => {
    const client = connect(await startSimulator());
    const body = {
      model: 'm',
      max_tokens: 100,
      tools,
      messages: [{ role: 'user' as const, content: 'get_weather now' }],
    };
    const whole = await client.messages.create(body);
    const streamed = await client.messages.stream(body).finalMessage();
    for (const message of [whole, streamed]) {
      expect(message.stop_reason).toBe('tool_use');
      expect(message.content).toMatchObject([{ type: 'tool_use', name: 'get_weather', input: { city: 'Oslo' } }]);
    }
  });

  test("answers a tool's result with text", async () => {
    const simulator = await startSimulator({ outputTokens: 3 });
    const message = await connect(simulator).messages.create({
      model: 'm',
      max_tokens: 100,
      tools,
      messages: [
        { role: 'user', content: 'get_weather' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'get_weather', input: {} }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'sunny' }] },
      ],
    });
    expect(message.content).toMatchObject([{ type: 'text', text: 'simulator sunny [end]' }]);
  });

  test('answers an instance of the schema that output_config asks for', async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    };
    const message = await connect(await startSimulator()).messages.create({
      model: 'm',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'hi' }],
      output_config: { format: { type: 'json_schema', schema } },
    });
    expect(message.content[0]?.type === 'text' ? JSON.parse(message.content[0].text) : undefined).toEqual({
      ok: false,
    });
  });

  test('lists its models in the shape of this API', async () => {
    const page = await connect(await startSimulator({ models: ['a', 'b'] })).models.list();
    expect(page.data.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  test('refuses a key it does not know', async () => {
    const client = connect(await startSimulator({ keys: ['sk-good'] }), 'sk-bad');
    await expect(
      client.messages.create({ model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] }),
    ).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
  });

  test.each([
    [
      'no max_tokens',
      { model: 'm', messages: [{ role: 'user', content: 'x' }] },
      { 'anthropic-version': '2023-06-01' },
    ],
    [
      'a system message among the messages',
      { model: 'm', max_tokens: 1, messages: [{ role: 'system', content: 'x' }] },
      { 'anthropic-version': '2023-06-01' },
    ],
    ['no anthropic-version', { model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] }, {}],
  ])('%s is refused as the real API does', async (_name, body, headers) => {
    const { url } = await startSimulator();
    const response = await fetch(`${url}/v1/messages`, { method: 'POST', body: JSON.stringify(body), headers });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'invalid_request_error' },
      request_id: expect.any(String),
    });
  });
});
