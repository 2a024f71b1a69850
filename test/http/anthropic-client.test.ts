/** The unchanged `@anthropic-ai/sdk` client against the edge, over real sockets. */
import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import type { StreamPart } from '../../src/contract/response.ts';
import { startEdge } from '../support/http-edge.ts';
import { createResponse, yieldAll } from '../support/http-service.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];
const base = { model: 'smart', max_tokens: 100, messages };

describe('an unstreamed message', () => {
  test('reaches the client with text, uncached usage, stop reason and ids', async () => {
    await using edge = await startEdge();
    const { data: message, response, request_id } = await edge.anthropic.messages.create(base).withResponse();
    expect(message).toMatchObject({
      id: 'req_1',
      type: 'message',
      role: 'assistant',
      model: 'model-1',
      stop_reason: 'end_turn',
      stop_sequence: null,
      content: [{ type: 'text', text: 'Hello' }],
      usage: { input_tokens: 6, output_tokens: 5, cache_read_input_tokens: 4 },
    });
    expect(request_id).toBe('req_1');
    expect(response.headers.get('x-switchgear-provider')).toBe('first');
    expect(response.headers.get('x-switchgear-cost-usd')).toBe('0.0000123');
    expect(edge.service.lastRequest).toEqual({ model: 'smart', maxTokens: 100, messages });
  });

  test('gives tool input as objects, also for calls without or with broken arguments', async () => {
    await using edge = await startEdge();
    const toolCalls = [
      { id: 'a', name: 'weather', arguments: '{"city":"Ł"}' },
      { id: 'b', name: 'now', arguments: '' },
      { id: 'c', name: 'cut', arguments: '{"city":"Ł' },
    ];
    edge.service.answer = async () => createResponse({ text: '', toolCalls, finishReason: 'tool-calls' });
    const message = await edge.anthropic.messages.create(base);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.content).toEqual([
      { type: 'tool_use', id: 'a', name: 'weather', input: { city: 'Ł' } },
      { type: 'tool_use', id: 'b', name: 'now', input: {} },
      { type: 'tool_use', id: 'c', name: 'cut', input: { INVALID_JSON: '{"city":"Ł' } },
    ]);
  });

  test('keeps blocks of a provider of the same wire, and seals its signed reasoning for the way back', async () => {
    await using edge = await startEdge();
    const blocks = [
      { type: 'thinking', thinking: 'hm', signature: 'signed' },
      { type: 'redacted_thinking', data: 'x' },
    ];
    const cited = { type: 'text', text: 'Hello', citations: [{ type: 'char_location' }] };
    edge.service.answer = async () =>
      createResponse({
        provider: 'claude',
        message: { role: 'assistant', content: 'Hello', reasoningDetails: { provider: 'claude', blocks } },
        wireBody: {
          wire: 'anthropic',
          body: {
            content: [...blocks, cited],
            stop_reason: 'stop_sequence',
            stop_sequence: 'END',
            usage: { service_tier: 'standard' },
          },
        },
      });
    const message = await edge.anthropic.messages.create(base);
    expect(message.content.map((block) => block.type)).toEqual(['thinking', 'redacted_thinking', 'text']);
    expect(message.content[2]).toEqual(cited);
    expect(message).toMatchObject({
      stop_reason: 'stop_sequence',
      stop_sequence: 'END',
      usage: { service_tier: 'standard', input_tokens: 6 },
    });

    await edge.anthropic.messages.create({
      ...base,
      messages: [...messages, { role: 'assistant', content: message.content.slice(0, 2) }, ...messages],
    });
    expect(edge.service.lastRequest.messages[1]).toEqual({
      role: 'assistant',
      content: null,
      reasoningDetails: { provider: 'claude', blocks },
    });
    expect(edge.service.lastRequest.wireFields).toBeUndefined();
  });

  test('takes images, tools, tool results, schemas and effort to the service', async () => {
    await using edge = await startEdge();
    const schema = { type: 'object' as const, properties: {} };
    await edge.anthropic.messages.create({
      ...base,
      system: [{ type: 'text', text: 'Be brief' }],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What?' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
            { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Asking' },
            { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Łódź' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', is_error: true, content: [{ type: 'text', text: 'down' }] },
            { type: 'tool_result', tool_use_id: 't2' },
            { type: 'text', text: 'go on' },
          ],
        },
      ],
      tools: [{ name: 'weather', description: 'tells', input_schema: schema }],
      tool_choice: { type: 'any' },
      stop_sequences: ['END'],
      // The client's types no longer have these, its wire does.
      ...Object.fromEntries([
        ['temperature', 0.5],
        ['top_p', 0.9],
      ]),
      metadata: { user_id: 'ann' },
      service_tier: 'auto',
      output_config: { effort: 'high', format: { type: 'json_schema', schema: { ...schema } } },
    });
    expect(edge.service.lastRequest).toEqual({
      model: 'smart',
      maxTokens: 100,
      temperature: 0.5,
      topP: 0.9,
      stop: ['END'],
      toolChoice: 'required',
      reasoningEffort: 'high',
      providerOptions: { anthropic: { metadata: { user_id: 'ann' }, service_tier: 'auto' } },
      responseFormat: { type: 'json_schema', json_schema: { schema } },
      tools: [{ name: 'weather', description: 'tells', parameters: schema }],
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'Be brief' }] },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What?' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
            { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          ],
        },
        {
          role: 'assistant',
          content: [{ type: 'text', text: 'Asking' }],
          tool_calls: [{ id: 't1', type: 'function', function: { name: 'weather', arguments: '{"city":"Łódź"}' } }],
        },
        { role: 'tool', tool_call_id: 't1', content: [{ type: 'text', text: 'down' }], isError: true },
        { role: 'tool', tool_call_id: 't2', content: '' },
        { role: 'user', content: [{ type: 'text', text: 'go on' }] },
      ],
    });
  });
});

describe('a streamed message', () => {
  test('is accumulated by the client to what was sent, and its reasoning comes back sealed', async () => {
    await using edge = await startEdge();
    const reasoningDetails = {
      provider: 'claude',
      blocks: [{ type: 'thinking', thinking: 'let me see', signature: 's' }],
    };
    const parts: StreamPart[] = [
      { type: 'reasoning', text: 'let me ' },
      { type: 'reasoning', text: 'see' },
      { type: 'text', text: 'Zażółć \ud83d' },
      { type: 'text', text: '\udc22\u2028' },
      { type: 'toolCall', id: 't1', name: 'weather', arguments: '{"city":"Ł"}' },
      { type: 'toolCall', id: 't2', name: 'now', arguments: '' },
      { type: 'text', text: 'after' },
      {
        type: 'finish',
        response: createResponse({
          finishReason: 'tool-calls',
          message: { role: 'assistant', content: 'x', reasoningDetails },
        }),
      },
    ];
    edge.service.parts = () => yieldAll(parts);
    const message = await edge.anthropic.messages.stream(base).finalMessage();
    expect(message.content.map((block) => block.type)).toEqual([
      'thinking',
      'text',
      'tool_use',
      'tool_use',
      'text',
      'redacted_thinking',
    ]);
    expect(message.content.slice(0, 5)).toMatchObject([
      { thinking: 'let me see' },
      { text: 'Zażółć 🐢\u2028' },
      { id: 't1', input: { city: 'Ł' } },
      { id: 't2', input: {} },
      { text: 'after' },
    ]);
    expect(message).toMatchObject({
      model: 'model-1',
      stop_reason: 'tool_use',
      usage: { input_tokens: 6, output_tokens: 5, cache_read_input_tokens: 4 },
    });

    await edge.anthropic.messages.create({
      ...base,
      messages: [...messages, { role: 'assistant', content: message.content }],
    });
    expect(edge.service.lastRequest.messages[1]).toMatchObject({ reasoningDetails });
    expect(edge.service.lastRequest.wireFields).toBeUndefined();
  });

  test('has every block opened, filled and closed in order', async () => {
    await using edge = await startEdge();
    edge.service.parts = () =>
      yieldAll([
        { type: 'text', text: 'a' },
        { type: 'toolCall', id: 't', name: 'n', arguments: '{}' },
        { type: 'finish', response: createResponse() },
      ]);
    const events = await Array.fromAsync(await edge.anthropic.messages.create({ ...base, stream: true }));
    expect(events.map((event) => ('index' in event ? `${event.type} ${event.index}` : event.type))).toEqual([
      'message_start',
      'content_block_start 0',
      'content_block_delta 0',
      'content_block_stop 0',
      'content_block_start 1',
      'content_block_delta 1',
      'content_block_stop 1',
      'message_delta',
      'message_stop',
    ]);
  });

  test('without any content is a whole message all the same', async () => {
    await using edge = await startEdge();
    edge.service.parts = () =>
      yieldAll([{ type: 'finish', response: createResponse({ text: '', finishReason: 'length' }) }]);
    const message = await edge.anthropic.messages.stream(base).finalMessage();
    expect(message).toMatchObject({ content: [], stop_reason: 'max_tokens' });
  });
});

describe('other routes under the Anthropic API', () => {
  test('list models in its shape when its version header is there', async () => {
    await using edge = await startEdge();
    const models = await Array.fromAsync(edge.anthropic.models.list());
    expect(models.map((model) => model.id)).toEqual(['smart', 'model-1', 'vendor/model-2']);
    expect(models[1]).toMatchObject({ type: 'model', display_name: 'model-1', max_input_tokens: 128_000 });
  });

  test.each(['/v1/messages/count_tokens', '/v1/messages/batches'])('refuse %s in its shape', async (path) => {
    await using edge = await startEdge();
    const response = await edge.post(path, base);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'not_found_error' },
      request_id: null,
    });
    const failure = await edge.anthropic.messages
      .countTokens({ model: 'smart', messages })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Anthropic.NotFoundError);
  });
});
