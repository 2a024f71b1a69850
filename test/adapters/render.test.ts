/** What a request becomes on each wire, read from the body that reaches the socket's door. */
import { describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { AdapterCall, CreateAdapter } from '../../src/contract/adapter.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import type { Message, ParsedCompletion, ReasoningEffort } from '../../src/contract/request.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { plainAnswer } from '../contracts/upstream.ts';
import { anthropicWire, openaiWire } from '../contracts/wires.ts';
import { canaryCredential, createCall, createProviderConfig, rejectionOf } from '../support/adapter-calls.ts';

interface Sent {
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Headers;
  readonly url: string;
}

/** The SDKs send JSON as text. */
function readBody(init: RequestInit | undefined): Sent['body'] {
  if (typeof init?.body !== 'string') throw new Error('expected the body to be text, got: something else');
  return JSON.parse(init.body);
}

/** Sends one call and gives what would have gone over the wire. */
async function render(
  create: CreateAdapter,
  request: Partial<ParsedCompletion>,
  fields: Partial<ProviderConfig> = {},
  call: Partial<AdapterCall> = {},
): Promise<Sent> {
  const sent: Sent[] = [];
  const wire = create === createOpenaiAdapter ? openaiWire : anthropicWire;
  const capture: typeof fetch = async (input, init) => {
    sent.push({
      body: readBody(init),
      headers: new Headers(init?.headers),
      url: input instanceof Request ? input.url : new URL(input).href,
    });
    return new Response(wire.renderAnswer(plainAnswer), { headers: { 'content-type': 'application/json' } });
  };
  const adapter = create(createProviderConfig({ adapter: 'any', ...fields }), { fetch: capture, clock: systemClock });
  await adapter.send(
    createCall({
      ...call,
      request: { kind: 'completion', model: 'model-1', messages: [{ role: 'user', content: 'Hello' }], ...request },
    }),
  );
  return sent[0]!;
}

const toOpenai = (
  request: Partial<ParsedCompletion>,
  fields?: Partial<ProviderConfig>,
  call?: Partial<AdapterCall>,
): Promise<Sent> => render(createOpenaiAdapter, request, fields, call);
const toAnthropic = (
  request: Partial<ParsedCompletion>,
  fields?: Partial<ProviderConfig>,
  call?: Partial<AdapterCall>,
): Promise<Sent> => render(createAnthropicAdapter, request, fields, call);

const compatible = { baseURL: 'http://llm.internal.example:8000/v1' };

/** A conversation with everything in it: two system messages, an image, parallel calls with their results. */
const conversation: readonly Message[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'developer', content: [{ type: 'text', text: 'Be kind.' }] },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'Look:' },
      { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
    ],
  },
  { role: 'user', content: 'And tell me the weather in two cities.' },
  {
    role: 'assistant',
    content: 'I will.',
    tool_calls: [
      { id: 'call.1', type: 'function', function: { name: 'weather', arguments: '{"city":"Köln"}' } },
      { id: 'call.2', type: 'function', function: { name: 'weather', arguments: '' } },
    ],
  },
  { role: 'tool', tool_call_id: 'call.1', content: 'rain' },
  { role: 'tool', tool_call_id: 'call.2', content: [{ type: 'text', text: 'no such city' }], isError: true },
  { role: 'user', content: 'Thanks.' },
];

describe('openai', () => {
  test('a conversation keeps its shape', async () => {
    const { body } = await toOpenai({ messages: conversation });
    expect(body).toEqual({
      model: 'model-1',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'developer', content: 'Be kind.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look:' },
            { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
          ],
        },
        { role: 'user', content: 'And tell me the weather in two cities.' },
        {
          role: 'assistant',
          content: 'I will.',
          tool_calls: [
            { id: 'call.1', type: 'function', function: { name: 'weather', arguments: '{"city":"Köln"}' } },
            { id: 'call.2', type: 'function', function: { name: 'weather', arguments: '' } },
          ],
        },
        { role: 'tool', tool_call_id: 'call.1', content: 'rain' },
        { role: 'tool', tool_call_id: 'call.2', content: 'no such city' },
        { role: 'user', content: 'Thanks.' },
      ],
    });
  });

  test('a compatible server is sent no developer role, and an assistant that said nothing says the empty text', async () => {
    const { body } = await toOpenai({ messages: [...conversation.slice(0, 2), { role: 'assistant' }] }, compatible);
    expect(body['messages']).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'Be kind.' },
      { role: 'assistant', content: '' },
    ]);
  });

  test.each<[string | undefined, string, string]>([
    [undefined, 'gpt-4.1', 'max_completion_tokens'],
    [undefined, 'o3-mini', 'max_completion_tokens'],
    ['https://eu.api.openai.com/v1', 'gpt-4o', 'max_completion_tokens'],
    ['https://openrouter.ai/api/v1', 'openai/gpt-5-mini', 'max_completion_tokens'],
    ['https://x.openai.azure.com/openai/v1', 'o4-mini', 'max_completion_tokens'],
    ['https://x.openai.azure.com/openai/v1', 'gpt-4o', 'max_tokens'],
    ['https://api.groq.com/openai/v1', 'llama-3.3-70b', 'max_tokens'],
    ['http://localhost:11434/v1', 'qwen3', 'max_tokens'],
    ['https://evil-openai.com/v1', 'm', 'max_tokens'],
  ])('at %s %s takes %s', async (baseURL, model, field) => {
    const { body } = await toOpenai({}, { baseURL }, { model, maxTokens: 77 });
    expect(body[field]).toBe(77);
    expect(Object.keys(body).filter((name) => name.startsWith('max_'))).toEqual([field]);
  });

  test('no maximum is sent where none was asked for, and the field can be chosen', async () => {
    expect(Object.keys((await toOpenai({})).body)).toEqual(['model', 'messages']);
    expect(
      (await toOpenai({}, { ...compatible, options: { maxTokensField: 'max_completion_tokens' } }, { maxTokens: 5 }))
        .body['max_completion_tokens'],
    ).toBe(5);
  });

  test('every setting has its field', async () => {
    const { body } = await toOpenai(
      {
        temperature: 0.5,
        topP: 0.9,
        stop: ['END'],
        seed: 7,
        toolChoice: { type: 'tool', name: 'weather' },
        reasoningEffort: 'low',
        metadata: { secret: 'stays' },
        tools: [
          {
            name: 'weather',
            description: 'Tells',
            parameters: { type: 'object' },
            strict: true,
            wireFields: { wire: 'openai', fields: { extra: 1 } },
          },
        ],
        responseFormat: { type: 'json-schema', name: 'reply', schema: { type: 'object' }, strict: true },
      },
      compatible,
    );
    expect(body).toEqual({
      model: 'model-1',
      messages: [{ role: 'user', content: 'Hello' }],
      temperature: 0.5,
      top_p: 0.9,
      stop: ['END'],
      seed: 7,
      reasoning_effort: 'low',
      tools: [
        {
          type: 'function',
          function: { name: 'weather', description: 'Tells', parameters: { type: 'object' }, strict: true },
          extra: 1,
        },
      ],
      tool_choice: { type: 'function', function: { name: 'weather' } },
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'reply', schema: { type: 'object' }, strict: true },
      },
    });
    expect((await toOpenai({ responseFormat: { type: 'json' } })).body['response_format']).toEqual({
      type: 'json_object',
    });
    expect((await toOpenai({ responseFormat: { type: 'text' }, toolChoice: { type: 'required' } })).body).toEqual({
      model: 'model-1',
      messages: [{ role: 'user', content: 'Hello' }],
    });
  });

  test.each<[string, ReasoningEffort | undefined, boolean]>([
    ['gpt-4.1', undefined, true],
    ['o3', undefined, false],
    ['gpt-5', undefined, false],
    ['gpt-5-mini', 'low', false],
    ['gpt-5-chat-latest', undefined, true],
    ['gpt-5.2', undefined, true],
    ['gpt-5.2', 'high', false],
    ['gpt-6-sol', undefined, false],
    ['gpt-6-sol', 'none', true],
  ])('OpenAI’s %s at effort %s takes a temperature: %s', async (model, reasoningEffort, takes) => {
    const { body } = await toOpenai(
      { temperature: 0.2, topP: 0.3, ...(reasoningEffort && { reasoningEffort }) },
      {},
      { model },
    );
    expect('temperature' in body).toBe(takes);
    expect('top_p' in body).toBe(takes);
  });

  test('fields of this wire and options for this adapter are merged, those of others are not, and neither moves the call', async () => {
    const { body } = await toOpenai({
      responseFormat: { type: 'json' },
      wireFields: {
        wire: 'openai',
        fields: { n: 2, logit_bias: { 5: 1 }, model: 'gpt-evil', stream: true, 'messages[0].x': undefined },
      },
      providerOptions: { openai: { logit_bias: { 6: 2 }, verbosity: 'low' }, anthropic: { top_k: 1 } },
    });
    expect(body).toEqual({
      model: 'model-1',
      messages: [{ role: 'user', content: 'Hello' }],
      response_format: { type: 'json_object' },
      n: 2,
      logit_bias: { 5: 1, 6: 2 },
      verbosity: 'low',
    });
    expect((await toOpenai({ wireFields: { wire: 'anthropic', fields: { top_k: 4 } } })).body).not.toHaveProperty(
      'top_k',
    );
  });

  test('a content part of this wire goes as it is, one of another cannot go', async () => {
    const audio = { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } };
    const { body } = await toOpenai({
      messages: [{ role: 'user', content: [{ type: 'wire', wireFields: { wire: 'openai', fields: audio } }] }],
    });
    expect(body['messages']).toEqual([{ role: 'user', content: [audio] }]);
    const adapter = createOpenaiAdapter(createProviderConfig({ adapter: 'openai' }), {
      fetch: undefined,
      clock: systemClock,
    });
    const request: ParsedCompletion = {
      kind: 'completion',
      model: 'm',
      messages: [
        { role: 'user', content: [{ type: 'wire', wireFields: { wire: 'anthropic', fields: { type: 'document' } } }] },
      ],
    };
    expect(adapter.classify(await rejectionOf(adapter.send(createCall({ request })))).kind).toBe('invalid-request');
    await adapter.close?.();
  });

  test('Mistral is sent ids it takes, the same for a call and its result', async () => {
    const { body } = await toOpenai({ messages: conversation.slice(4, 7) }, { baseURL: 'https://api.mistral.ai/v1' });
    const [assistant, first, second] = body['messages'] as [
      { tool_calls: { id: string }[] },
      { tool_call_id: string },
      { tool_call_id: string },
    ];
    expect(assistant.tool_calls.map(({ id }) => id)).toEqual([first.tool_call_id, second.tool_call_id]);
    for (const { id } of assistant.tool_calls) expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
    expect(first.tool_call_id).not.toBe(second.tool_call_id);
  });

  test('reasoning goes back to the provider it came from, and to no other', async () => {
    const blocks = [
      { field: 'reasoning_details', value: [{ type: 'reasoning.encrypted', data: 'x' }] },
      { field: 'evil', value: 1 },
    ];
    const message = (provider: string): Message => ({
      role: 'assistant',
      content: 'Hi',
      reasoningDetails: { provider, blocks },
    });
    expect((await toOpenai({ messages: [message('upstream')] })).body['messages']).toEqual([
      { role: 'assistant', content: 'Hi', reasoning_details: [{ type: 'reasoning.encrypted', data: 'x' }] },
    ]);
    expect((await toOpenai({ messages: [message('other')] })).body['messages']).toEqual([
      { role: 'assistant', content: 'Hi' },
    ]);
  });

  test('Azure is sent its own key header, and the query of a base URL is kept', async () => {
    const { headers, url } = await toOpenai(
      {},
      { baseURL: 'https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21', query: { tier: 'a' } },
    );
    expect(headers.get('api-key')).toBe(canaryCredential.apiKey);
    expect(headers.get('authorization')).toBeNull();
    expect(url).toBe('https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21&tier=a');
  });

  test.each([
    ['https://api.mistral.ai/v1', false],
    ['https://api.perplexity.ai', false],
    [undefined, true],
    ['http://localhost:1/v1', true],
  ])('a stream at %s asks for usage: %s', async (baseURL, asks) => {
    const sent: unknown[] = [];
    const capture: typeof fetch = async (_input, init) => {
      sent.push(readBody(init));
      return new Response('data: [DONE]\n\n', { headers: { 'content-type': 'text/event-stream' } });
    };
    const adapter = createOpenaiAdapter(createProviderConfig({ adapter: 'openai', baseURL }), {
      fetch: capture,
      clock: systemClock,
    });
    for await (const part of adapter.stream(createCall())) expect(part).toBeUndefined();
    expect(sent).toEqual([
      {
        model: 'model-1',
        messages: [{ role: 'user', content: 'Hello' }],
        stream: true,
        ...(asks && { stream_options: { include_usage: true } }),
      },
    ]);
  });

  test('an embedding asks for numbers, whatever its caller wants rendered', async () => {
    const sent: unknown[] = [];
    const capture: typeof fetch = async (_input, init) => {
      sent.push(readBody(init));
      return new Response('{"data":[{"embedding":[1]}]}', { headers: { 'content-type': 'application/json' } });
    };
    const call = {
      requestId: 'r',
      model: 'e',
      credential: canaryCredential,
      signal: new AbortController().signal,
      request: {
        kind: 'embedding' as const,
        model: 'e',
        input: ['a'],
        dimensions: 4,
        wireFields: { wire: 'openai', fields: { encoding_format: 'base64', user: 'u' } },
      },
    };
    await createOpenaiAdapter(createProviderConfig({ adapter: 'openai' }), {
      fetch: capture,
      clock: systemClock,
    }).embed?.(call);
    expect(sent).toEqual([{ model: 'e', input: ['a'], dimensions: 4, user: 'u', encoding_format: 'float' }]);
  });

  test('what a server lacks can be said', () => {
    const adapter = createOpenaiAdapter(
      createProviderConfig({ adapter: 'openai', options: { unsupported: ['json-schema'] } }),
      { fetch: fetch, clock: systemClock },
    );
    expect([
      adapter.supports('json-schema', 'm'),
      adapter.supports('json', 'm'),
      adapter.supports('wire:openai', 'm'),
      adapter.supports('wire:anthropic', 'm'),
    ]).toEqual([false, true, true, false]);
  });
});

describe('anthropic', () => {
  test('system text stands apart, turns alternate, and the results of parallel calls stand together', async () => {
    const { body } = await toAnthropic({ messages: conversation });
    expect(body).toEqual({
      model: 'model-1',
      max_tokens: 4_096,
      system: [
        { type: 'text', text: 'Be brief.' },
        { type: 'text', text: 'Be kind.' },
      ],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look:' },
            { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
            { type: 'text', text: 'And tell me the weather in two cities.' },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'I will.' },
            { type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Köln' } },
            { type: 'tool_use', id: 'call_2', name: 'weather', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'call_1', content: 'rain' },
            {
              type: 'tool_result',
              tool_use_id: 'call_2',
              content: [{ type: 'text', text: 'no such city' }],
              is_error: true,
            },
            { type: 'text', text: 'Thanks.' },
          ],
        },
      ],
    });
  });

  test('the maximum is the request’s own, else the default, else the model’s if that is smaller', async () => {
    const models = [{ id: 'model-1', maxOutputTokens: 1_000 }];
    expect((await toAnthropic({}, { models })).body['max_tokens']).toBe(1_000);
    expect((await toAnthropic({}, { models }, { maxTokens: 2_000 })).body['max_tokens']).toBe(2_000);
    expect((await toAnthropic({}, {}, { maxTokensDefault: 512 })).body['max_tokens']).toBe(512);
  });

  test('every setting has its field', async () => {
    const { body } = await toAnthropic(
      {
        temperature: 1.4,
        topP: 0.9,
        stop: ['END'],
        seed: 7,
        toolChoice: { type: 'required' },
        metadata: { secret: 'stays' },
        tools: [
          {
            name: 'weather',
            description: 'Tells',
            parameters: { properties: {} },
            strict: true,
            wireFields: { wire: 'anthropic', fields: { cache_control: { type: 'ephemeral' } } },
          },
          { name: 'clock' },
        ],
      },
      {},
      { model: 'claude-sonnet-4-5' },
    );
    expect(body).toEqual({
      model: 'claude-sonnet-4-5',
      max_tokens: 4_096,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }],
      temperature: 1,
      top_p: 0.9,
      stop_sequences: ['END'],
      tools: [
        {
          name: 'weather',
          description: 'Tells',
          strict: true,
          input_schema: { type: 'object', properties: {} },
          cache_control: { type: 'ephemeral' },
        },
        { name: 'clock', input_schema: { type: 'object' } },
      ],
      tool_choice: { type: 'any' },
    });
    expect(
      (await toAnthropic({ tools: [{ name: 'a' }], toolChoice: { type: 'tool', name: 'a' } })).body['tool_choice'],
    ).toEqual({ type: 'tool', name: 'a' });
    expect((await toAnthropic({ tools: [{ name: 'a' }], toolChoice: { type: 'none' } })).body['tool_choice']).toEqual({
      type: 'none',
    });
  });

  test.each<[string, boolean]>([
    ['claude-3-haiku-20240307', true],
    ['claude-3-7-sonnet-latest', true],
    ['claude-sonnet-4-20250514', true],
    ['claude-opus-4-6', true],
    ['claude-haiku-4-5-20251001', true],
    ['claude-opus-4-7', false],
    ['claude-sonnet-5', false],
    ['claude-haiku-5-5', false],
    ['claude-mythos-preview', false],
    ['anthropic/claude-opus-4-8', false],
  ])('%s takes a temperature: %s', async (model, takes) => {
    expect('temperature' in (await toAnthropic({ temperature: 0.3 }, {}, { model })).body).toBe(takes);
  });

  test('a schema is a structured output in the subset the wire takes, other JSON an instruction', async () => {
    const schema = { type: 'object', properties: { age: { type: 'integer', minimum: 3 } }, required: ['age'] };
    const { body } = await toAnthropic(
      { responseFormat: { type: 'json-schema', name: 'person', schema }, reasoningEffort: 'high' },
      {},
      { model: 'claude-sonnet-4-6' },
    );
    expect(body['output_config']).toEqual({
      effort: 'high',
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          properties: { age: { type: 'integer', description: '{minimum: 3}' } },
          required: ['age'],
          additionalProperties: false,
        },
      },
    });
    expect(schema.properties.age.minimum).toBe(3);
    const plain = await toAnthropic({
      responseFormat: { type: 'json' },
      messages: [
        { role: 'system', content: 'S' },
        { role: 'user', content: 'U' },
      ],
    });
    expect(plain.body['system']).toEqual([
      { type: 'text', text: 'S' },
      { type: 'text', text: expect.stringContaining('JSON object') },
    ]);
  });

  test('a schema is neither promised nor sent where there are no structured outputs', async () => {
    const adapter = createAnthropicAdapter(createProviderConfig({ adapter: 'anthropic' }), {
      fetch: fetch,
      clock: systemClock,
    });
    for (const [model, has] of [
      ['claude-sonnet-4-5', true],
      ['claude-opus-4-1', true],
      ['claude-sonnet-4-20250514', false],
      ['claude-3-5-haiku-latest', false],
      ['claude-fable-5', true],
    ] as const) {
      expect(adapter.supports('json-schema', model)).toBe(has);
    }
    const request: ParsedCompletion = {
      kind: 'completion',
      model: 'm',
      messages: [],
      responseFormat: { type: 'json-schema', name: 'x', schema: { type: 'object' } },
    };
    expect(
      adapter.classify(await rejectionOf(adapter.send(createCall({ request, model: 'claude-3-haiku-20240307' })))).kind,
    ).toBe('invalid-request');
    const odd: ParsedCompletion = {
      ...request,
      responseFormat: { type: 'json-schema', name: 'x', schema: { description: 'no type' } },
    };
    expect(
      adapter.classify(await rejectionOf(adapter.send(createCall({ request: odd, model: 'claude-sonnet-4-5' })))).kind,
    ).toBe('invalid-request');
  });

  test.each<[string, ReasoningEffort, number, unknown, unknown]>([
    ['claude-sonnet-4-5', 'low', 8_000, { type: 'enabled', budget_tokens: 2_048 }, undefined],
    ['claude-sonnet-4-5', 'high', 8_000, { type: 'enabled', budget_tokens: 4_000 }, undefined],
    ['claude-sonnet-4-5', 'high', 1_500, undefined, undefined],
    ['claude-3-7-sonnet-latest', 'minimal', 8_000, { type: 'enabled', budget_tokens: 1_024 }, undefined],
    ['claude-3-5-sonnet-latest', 'high', 8_000, undefined, undefined],
    ['claude-opus-4-6', 'xhigh', 8_000, { type: 'adaptive' }, { effort: 'high' }],
    ['claude-opus-4-7', 'xhigh', 8_000, { type: 'adaptive' }, { effort: 'xhigh' }],
    ['claude-sonnet-5-5', 'minimal', 8_000, { type: 'adaptive' }, { effort: 'low' }],
    ['claude-sonnet-5-5', 'none', 8_000, undefined, { effort: 'low' }],
    ['claude-sonnet-4-6', 'none', 8_000, undefined, undefined],
  ])('%s at effort %s within %i tokens', async (...row) => {
    const [model, reasoningEffort, maxTokens, thinking, outputConfig] = row;
    const { body } = await toAnthropic({ reasoningEffort, temperature: 0.5 }, {}, { model, maxTokens });
    expect(body['thinking']).toEqual(thinking);
    expect(body['output_config']).toEqual(outputConfig);
    if (thinking !== undefined) expect(body).not.toHaveProperty('temperature');
  });

  test('a forced tool and thinking are never asked for together', async () => {
    const { body } = await toAnthropic(
      { reasoningEffort: 'high', tools: [{ name: 'a' }], toolChoice: { type: 'required' } },
      {},
      { model: 'claude-sonnet-4-5', maxTokens: 9_000 },
    );
    expect(body).not.toHaveProperty('thinking');
  });

  test('fields of this wire and options for this adapter are merged one level deep, and neither moves the call', async () => {
    const { body } = await toAnthropic(
      {
        reasoningEffort: 'low',
        wireFields: {
          wire: 'anthropic',
          fields: { top_k: 4, output_config: { task_budget: { total: 9 } }, model: 'evil', stream: true },
        },
        providerOptions: { anthropic: { service_tier: 'auto' }, openai: { n: 3 } },
      },
      {},
      { model: 'claude-sonnet-4-6' },
    );
    expect(body).toMatchObject({
      model: 'claude-sonnet-4-6',
      top_k: 4,
      service_tier: 'auto',
      output_config: { effort: 'low', task_budget: { total: 9 } },
    });
    expect(body).not.toHaveProperty('stream');
    expect(body).not.toHaveProperty('n');
  });

  test('cache marks of this wire stay on their parts, messages and results', async () => {
    const mark = { wire: 'anthropic', fields: { cache_control: { type: 'ephemeral' } } };
    const { body } = await toAnthropic({
      messages: [
        { role: 'system', content: 'S', wireFields: mark },
        { role: 'user', content: [{ type: 'text', text: 'U', wireFields: mark }] },
        { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'x', arguments: '{}' } }] },
        { role: 'tool', tool_call_id: 'a', content: 'R', wireFields: mark },
      ],
    });
    expect(body['system']).toEqual([{ type: 'text', text: 'S', ...mark.fields }]);
    expect(body['messages']).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'U', ...mark.fields }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'x', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'R', ...mark.fields }] },
    ]);
  });

  test('signed thinking goes back first, to the provider it came from, and to no other', async () => {
    const blocks = [{ type: 'thinking', thinking: 'Hm', signature: 'S' }];
    const message = (provider: string): Message => ({
      role: 'assistant',
      content: 'Hi',
      reasoningDetails: { provider, blocks },
    });
    expect((await toAnthropic({ messages: [message('upstream')] })).body['messages']).toEqual([
      { role: 'assistant', content: [...blocks, { type: 'text', text: 'Hi' }] },
    ]);
    expect((await toAnthropic({ messages: [message('other')] })).body['messages']).toEqual([
      { role: 'assistant', content: [{ type: 'text', text: 'Hi' }] },
    ]);
  });

  test('empty content is left out, and arguments that are no object are wrapped', async () => {
    const call = (text: string): Message => ({
      role: 'assistant',
      content: '',
      tool_calls: [{ id: 'ü!', type: 'function', function: { name: 'x', arguments: text } }],
    });
    const { body } = await toAnthropic({
      messages: [{ role: 'user', content: '' }, { role: 'user', content: 'U' }, call('{"broken'), call('[1]')],
    });
    expect(body['messages']).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'U' }] },
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: '__', name: 'x', input: { INVALID_JSON: '{"broken' } },
          { type: 'tool_use', id: '__', name: 'x', input: { INVALID_JSON: '[1]' } },
        ],
      },
    ]);
  });

  test('an image that is no base64 cannot go', async () => {
    const adapter = createAnthropicAdapter(createProviderConfig({ adapter: 'anthropic' }), {
      fetch: fetch,
      clock: systemClock,
    });
    const request: ParsedCompletion = {
      kind: 'completion',
      model: 'm',
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/svg+xml,<svg/>' } }] }],
    };
    expect(adapter.classify(await rejectionOf(adapter.send(createCall({ request }))))).toMatchObject({
      kind: 'invalid-request',
    });
  });

  test.each([
    [undefined],
    ['https://api.anthropic.com'],
    ['https://api.anthropic.com/'],
    ['https://api.anthropic.com/v1'],
    ['https://api.anthropic.com/v1/'],
  ])('a base URL of %s leads to the same path', async (baseURL) => {
    expect((await toAnthropic({}, { baseURL })).url).toBe('https://api.anthropic.com/v1/messages');
  });

  test('the operator’s headers overrule the API version', async () => {
    expect(
      (await toAnthropic({}, { headers: { 'anthropic-version': '2026-10-21', 'anthropic-beta': 'x' } })).headers.get(
        'anthropic-version',
      ),
    ).toBe('2026-10-21');
  });
});
