/** The unchanged `openai` client against the edge, over real sockets. */
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import type { StreamPart } from '../../src/contract/response.ts';
import { startEdge } from '../support/http-edge.ts';
import { createEmbedding, createResponse, yieldAll } from '../support/http-service.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];
const weather = { id: 'call_1', name: 'weather', arguments: '{"city":"Żółw 🐢"}' };

describe('an unstreamed chat completion', () => {
  test('reaches the client with text, usage, finish reason and ids', async () => {
    await using edge = await startEdge();
    const {
      data: completion,
      response,
      request_id,
    } = await edge.openai.chat.completions.create({ model: 'smart', messages }).withResponse();

    expect(completion).toMatchObject({
      id: 'req_1',
      object: 'chat.completion',
      created: 1_767_225_600,
      model: 'model-1',
    });
    expect(completion.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    expect(completion.usage).toEqual({
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 4 },
    });
    expect(request_id).toBe('req_1');
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'x-switchgear-request-id': 'req_1',
      'x-switchgear-provider': 'first',
      'x-switchgear-attempts': '1',
      'x-switchgear-cost-usd': '0.0000123',
    });
    expect(edge.service.lastRequest).toEqual({ model: 'smart', messages });
  });

  test('gives tool calls whose empty arguments parse as JSON', async () => {
    await using edge = await startEdge();
    const toolCalls = [weather, { id: 'call_2', name: 'now', arguments: '' }];
    edge.service.answer = async () => createResponse({ text: '', toolCalls, finishReason: 'tool-calls' });
    const completion = await edge.openai.chat.completions.create({ model: 'smart', messages });

    const [choice] = completion.choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.content).toBeNull();
    expect(choice?.message.tool_calls).toEqual([
      { id: 'call_1', type: 'function', function: { name: 'weather', arguments: weather.arguments } },
      { id: 'call_2', type: 'function', function: { name: 'now', arguments: '{}' } },
    ]);
  });

  test('keeps further choices, log probabilities and fingerprint of a provider of the same wire', async () => {
    await using edge = await startEdge();
    const second = { index: 1, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' };
    const logprobs = { content: [{ token: 'Hello', logprob: -0.1 }] };
    const body = {
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'wrong', annotations: [1], prefix: false, reasoning_details: [{}] },
          logprobs,
          finish_reason: 'stop',
        },
        second,
      ],
      system_fingerprint: 'fp_1',
      usage: { prompt_tokens: 999, completion_tokens_details: { accepted_prediction_tokens: 3 } },
    };
    edge.service.answer = async () => createResponse({ wireBody: { wire: 'openai', body } });
    const completion = await edge.openai.chat.completions.create({ model: 'smart', messages, n: 2, logprobs: true });

    expect(completion.choices).toHaveLength(2);
    expect(completion.choices[0]).toMatchObject({ logprobs });
    expect(completion.choices[0]?.message).toEqual({
      role: 'assistant',
      content: 'Hello',
      refusal: null,
      annotations: [1],
    });
    expect(completion.choices[1]).toEqual(second);
    expect(completion.system_fingerprint).toBe('fp_1');
    expect(completion.usage).toMatchObject({
      prompt_tokens: 10,
      completion_tokens_details: { accepted_prediction_tokens: 3 },
    });
    expect(edge.service.lastRequest.wireFields).toEqual({ wire: 'openai', fields: { n: 2, logprobs: true } });
  });

  test.each([
    ['no object'],
    [{ choices: 'none', usage: 7 }],
    [{ choices: [7, null] }],
    [{ choices: [{ message: 3, logprobs: 'x' }] }],
  ])('answers from the unified response when the provider body is %j', async (body) => {
    await using edge = await startEdge();
    edge.service.answer = async () => createResponse({ wireBody: { wire: 'openai', body } });
    const completion = await edge.openai.chat.completions.create({ model: 'smart', messages });
    expect(completion.choices).toHaveLength(1);
    expect(completion.choices[0]?.message.content).toBe('Hello');
    expect(completion.usage?.prompt_tokens).toBe(10);
  });

  test('says null, not zero, for token counts and leaves the cost out when they are unknown', async () => {
    await using edge = await startEdge();
    const { cost: _, ...unpriced } = createResponse({ usage: {} });
    edge.service.answer = async () => unpriced;
    const { data, response } = await edge.openai.chat.completions.create({ model: 'smart', messages }).withResponse();
    expect(data.usage).toBeNull();
    expect(response.headers.has('x-switchgear-cost-usd')).toBe(false);
  });

  test('takes images, JSON schemas, tools and tool results to the service', async () => {
    await using edge = await startEdge();
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    const schema = { type: 'object', properties: { a: { type: 'number' } } };
    await edge.openai.chat.completions.create({
      model: 'smart',
      max_completion_tokens: 50,
      messages: [
        { role: 'developer', content: 'Be brief' },
        {
          role: 'user',
          name: 'ann',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url, detail: 'low' } },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
      ],
      tools: [
        { type: 'function', function: { name: 'weather', description: 'tells', parameters: schema, strict: true } },
      ],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
      reasoning_effort: 'low',
      stop: ['END'],
    });
    expect(edge.service.lastRequest).toEqual({
      model: 'smart',
      maxTokens: 50,
      messages: [
        { role: 'developer', content: 'Be brief' },
        {
          role: 'user',
          name: 'ann',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url, detail: 'low' } },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
      ],
      tools: [{ name: 'weather', description: 'tells', parameters: schema, strict: true }],
      toolChoice: { name: 'weather' },
      responseFormat: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
      reasoningEffort: 'low',
      stop: ['END'],
    });
  });

  test('takes its own answer back, signed reasoning included, without narrowing the candidates', async () => {
    await using edge = await startEdge();
    const reasoningDetails = { provider: 'claude', blocks: [{ type: 'thinking', thinking: 'hm', signature: 's' }] };
    edge.service.answer = async () =>
      createResponse({ message: { role: 'assistant', content: 'Hello', reasoningDetails } });
    const first = await edge.openai.chat.completions.create({ model: 'smart', messages });
    const answer = first.choices[0]?.message;
    expect(answer).toMatchObject({ reasoning_content: 'hm', reasoningDetails });

    await edge.openai.chat.completions.create({
      model: 'smart',
      messages: [...messages, ...(answer ? [answer] : []), ...messages],
    });
    expect(edge.service.lastRequest.messages[1]).toEqual({
      role: 'assistant',
      content: 'Hello',
      refusal: undefined,
      reasoningDetails,
    });
    expect(edge.service.lastRequest.wireFields).toBeUndefined();
  });
});

describe('a streamed chat completion', () => {
  test('is accumulated by the client to what was sent, across split characters and calls without arguments', async () => {
    await using edge = await startEdge();
    const parts: StreamPart[] = [
      { type: 'reasoning', text: 'let me see' },
      { type: 'text', text: 'Zażółć \ud83d' },
      { type: 'text', text: '\udc22\u2028line\n\n"data: [DONE]"' },
      { type: 'toolCall', ...weather },
      { type: 'toolCall', id: 'call_2', name: 'now', arguments: '' },
      { type: 'finish', response: createResponse({ finishReason: 'tool-calls' }) },
    ];
    edge.service.parts = () => yieldAll(parts);
    const stream = edge.openai.chat.completions.stream({
      model: 'smart',
      messages,
      stream_options: { include_usage: true },
    });
    const completion = await stream.finalChatCompletion();

    const [choice] = completion.choices;
    expect(choice?.message.content).toBe('Zażółć 🐢\u2028line\n\n"data: [DONE]"');
    expect(choice?.message.tool_calls?.map((call) => call.type === 'function' && call.function.arguments)).toEqual([
      weather.arguments,
      '{}',
    ]);
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(completion.usage?.total_tokens).toBe(15);
    expect(completion.model).toBe('model-1');
  });

  test('opens with the role, ends with a finish reason and [DONE], and names its provider but not its cost', async () => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/chat/completions', { model: 'smart', messages, stream: true });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-switchgear-request-id': 'req_stream',
      'x-switchgear-provider': 'first',
    });
    expect(response.headers.has('x-switchgear-cost-usd')).toBe(false);
    expect(response.headers.has('x-switchgear-attempts')).toBe(false);
    const events = (await response.text()).split('\n\n').filter((event) => event !== '');
    expect(events.at(-1)).toBe('data: [DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.replace('data: ', '')));
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '', refusal: null });
    expect(chunks.at(-1).choices[0].finish_reason).toBe('stop');
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true);
  });

  test('with usage asked for carries null until the last chunk, which has no choices', async () => {
    await using edge = await startEdge();
    const stream = await edge.openai.chat.completions.create({
      model: 'smart',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 5 } });
  });

  test('in whole delivery has its attempts and cost in the headers', async () => {
    await using edge = await startEdge();
    const response = await edge.post(
      '/v1/chat/completions',
      { messages, stream: true },
      { 'x-switchgear-delivery': 'whole' },
    );
    expect(response.headers.get('x-switchgear-attempts')).toBe('1');
    expect(response.headers.get('x-switchgear-cost-usd')).toBe('0.0000123');
    expect(await response.text()).toContain('[DONE]');
    expect(edge.service.lastOptions.delivery).toBe('whole');
  });

  test('shows a refusal as a refusal', async () => {
    await using edge = await startEdge();
    const response = createResponse({
      text: '',
      message: { role: 'assistant', content: null, refusal: 'No.' },
      finishReason: 'content-filter',
    });
    edge.service.parts = () => yieldAll([{ type: 'finish', response }]);
    const chunks = await Array.fromAsync(
      await edge.openai.chat.completions.create({ model: 'smart', messages, stream: true }),
    );
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.refusal ?? '').join('')).toBe('No.');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('content_filter');
  });
});

describe('embeddings', () => {
  test('reach the client with full float precision through base64, its default', async () => {
    await using edge = await startEdge();
    const vector = [0.5, -1.25, Math.fround(0.1), 3.4028234663852886e38];
    edge.service.embed = async () => createEmbedding([vector, vector]);
    const { data, usage, model } = await edge.openai.embeddings.create({
      model: 'embed-1',
      input: ['a', 'b'],
      dimensions: 4,
      user: 'ann',
    });
    expect(data.map((item) => item.embedding)).toEqual([vector, vector]);
    expect(data.map((item) => item.index)).toEqual([0, 1]);
    expect({ usage, model }).toEqual({ usage: { prompt_tokens: 6, total_tokens: 6 }, model: 'embed-1' });
    expect(edge.service.requests).toEqual([{ model: 'embed-1', input: ['a', 'b'], dimensions: 4 }]);
  });

  test('come as numbers when numbers are asked for', async () => {
    await using edge = await startEdge();
    const { data } = await edge.openai.embeddings.create({ model: 'embed-1', input: 'a', encoding_format: 'float' });
    expect(data[0]?.embedding).toEqual([0.5, -1.25]);
  });

  test.each([
    { input: '' },
    { input: [] },
    { input: [1, 2] },
    { input: [[1]] },
    { input: 'a', dimensions: 0 },
    { input: 'a', encoding_format: 'hex' },
  ])('refuse %j with 400', async (fields) => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/embeddings', { model: 'embed-1', ...fields });
    expect(response.status).toBe(400);
    expect(edge.service.requests).toEqual([]);
  });
});

describe('models', () => {
  test('lists aliases and each model id once, and finds names that hold slashes', async () => {
    await using edge = await startEdge();
    const ids = (await Array.fromAsync(edge.openai.models.list())).map((model) => model.id);
    expect(ids).toEqual(['smart', 'model-1', 'vendor/model-2']);
    expect(await edge.openai.models.retrieve('vendor/model-2')).toMatchObject({
      id: 'vendor/model-2',
      object: 'model',
      owned_by: 'first',
    });
    expect(await edge.openai.models.retrieve('second/model-1')).toMatchObject({
      id: 'second/model-1',
      owned_by: 'second',
    });
    expect((await fetch(`${edge.url}/v1/models/vendor/model-2`)).status).toBe(200);
  });

  test('refuses an unknown name with 404 model_not_found', async () => {
    await using edge = await startEdge();
    const failure = await edge.openai.models.retrieve('nope').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OpenAI.NotFoundError);
    expect(failure).toMatchObject({ code: 'model_not_found', param: 'model' });
  });
});
