/** Bodies that are refused, bodies that pass, and where their unmodelled fields go. */
import { describe, expect, test } from 'vitest';
import { startEdge } from '../support/http-edge.ts';

const user = { role: 'user', content: 'Hello' };
const base = { model: 'smart', messages: [user] };
const anthropic = { ...base, max_tokens: 10 };

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

describe.each(['/v1/chat/completions', '/v1/messages', '/v1/embeddings', '/v1/requests', '/admin/explain'])(
  'POST %s',
  (path) => {
    test.each([
      ['not JSON', 'hello', 'application/json', 400],
      ['empty', '', 'application/json', 400],
      ['an array', '[]', 'application/json', 400],
      ['a string', '"x"', 'application/json', 400],
      ['null', 'null', 'application/json', 400],
      ['without a field', '{}', 'application/json', 400],
      ['with a prototype', '{"__proto__":{"x":1}}', 'application/json', 400],
      ['with an escaped prototype deep inside', '{"messages":[{"\\u005f_proto__":1}]}', 'application/json', 400],
      ['nested too deep', `{"messages":${nested(200_000)}}`, 'application/json', 400],
      ['text/plain', JSON.stringify(anthropic), 'text/plain', 415],
      ['a form', 'model=smart', 'application/x-www-form-urlencoded', 415],
      ['of a malformed type', '{}', '{', 415],
      [
        'too large',
        JSON.stringify({ ...anthropic, messages: [{ role: 'user', content: 'x'.repeat(4_194_304) }] }),
        'application/json',
        413,
      ],
    ])('refuses a body that is %s, in the shape of its API', async (_name, body, contentType, status) => {
      await using edge = await startEdge();
      const response = await edge.post(path, body, { 'content-type': contentType });
      expect(response.status).toBe(status);
      expect(response.headers.get('x-switchgear-error')).toBe('invalid-request');
      const answer = await response.json();
      expect(answer).toMatchObject(
        path === '/v1/messages'
          ? { type: 'error', error: { message: /./ } }
          : { error: { type: 'invalid_request_error' } },
      );
      expect(JSON.stringify(answer)).not.toContain('hello');
      expect(edge.service.requests).toEqual([]);
    });
  },
);

test('a body of exactly the limit passes', async () => {
  await using edge = await startEdge({ config: { http: { host: '127.0.0.1', port: 0, bodyLimitBytes: 1_000 } } });
  const frame = JSON.stringify({ ...base, messages: [{ role: 'user', content: '' }] }).length;
  const body = (size: number) => ({ ...base, messages: [{ role: 'user', content: 'x'.repeat(size - frame) }] });
  expect((await edge.post('/v1/chat/completions', body(1_000))).status).toBe(200);
  expect((await edge.post('/v1/chat/completions', body(1_001))).status).toBe(413);
});

describe('a chat completion is refused with the field named when', () => {
  test.each([
    ['messages', { messages: undefined }],
    ['messages', { messages: [] }],
    ['messages', { messages: 'hi' }],
    ['messages[0]', { messages: [null] }],
    ['messages[0].role', { messages: [{ content: 'x' }] }],
    ['messages[0].role', { messages: [{ role: 'robot', content: 'x' }] }],
    ['messages[0].role', { messages: [{ role: 'function', name: 'f', content: 'x' }] }],
    ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[0].content', { messages: [{ role: 'user', content: [] }] }],
    ['messages[0].content', { messages: [{ role: 'user', content: 7 }] }],
    ['messages[0].content[1].type', { messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }, {}] }] }],
    ['messages[0].content[0].text', { messages: [{ role: 'user', content: [{ type: 'text' }] }] }],
    [
      'messages[0].content[0].image_url.url',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }] },
    ],
    [
      'messages[0].content[0].image_url',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: 'https://x' }] }] },
    ],
    ['messages[0].tool_call_id', { messages: [{ role: 'tool', content: 'x' }] }],
    [
      'messages[0].tool_calls[0].function.arguments',
      {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: {} } }] },
        ],
      },
    ],
    ['messages[0].function_call', { messages: [{ role: 'assistant', function_call: { name: 'f', arguments: '{}' } }] }],
    ['messages[0].reasoningDetails.blocks', { messages: [{ role: 'assistant', reasoningDetails: { provider: 'x' } }] }],
    ['model', { model: '' }],
    ['model', { model: 7 }],
    ['temperature', { temperature: 'hot' }],
    ['temperature', { temperature: 2.1 }],
    ['top_p', { top_p: -0.1 }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: 1.5 }],
    ['max_tokens', { max_tokens: 5, max_completion_tokens: 6 }],
    ['max_completion_tokens', { max_completion_tokens: '5' }],
    ['stop', { stop: 7 }],
    ['seed', { seed: 0.5 }],
    ['stream', { stream: 'yes' }],
    ['stream_options', { stream_options: { include_usage: true } }],
    ['stream_options.include_usage', { stream: true, stream_options: { include_usage: 1 } }],
    ['n', { n: 0 }],
    ['n', { n: 2, stream: true }],
    ['logprobs', { logprobs: true, stream: true }],
    ['tools', { tools: {} }],
    ['tools[0].function', { tools: [{ type: 'function' }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: { name: 'a b' } }] }],
    ['tools[0].function.parameters', { tools: [{ type: 'function', function: { name: 'f', parameters: 'x' } }] }],
    ['tool_choice', { tool_choice: 'maybe' }],
    ['tool_choice.function.name', { tool_choice: { type: 'function', function: {} } }],
    ['response_format', { response_format: 'json' }],
    ['response_format.json_schema.schema', { response_format: { type: 'json_schema', json_schema: { name: 'x' } } }],
    ['metadata.a', { metadata: { a: 1 } }],
    ['functions', { functions: [] }],
    ['function_call', { function_call: 'auto' }],
    ['api_base', { api_base: 'https://evil.example' }],
    ['base_url', { base_url: 'https://evil.example' }],
    ['api_key', { api_key: 'x' }],
    ['fallbacks', { fallbacks: ['x'] }],
  ])('%s is wrong: %j', async (param, fields) => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/chat/completions', { ...base, ...fields });
    const body = await response.json();
    expect({ status: response.status, param: body.error.param }).toEqual({ status: 400, param });
    expect(body.error.message).toMatch(/^expected \S+ to be .+, got: .+|^expected \S+ to be absent/);
    expect(edge.service.requests).toEqual([]);
  });

  test('a legacy field names its replacement', async () => {
    await using edge = await startEdge();
    const body = await (await edge.post('/v1/chat/completions', { ...base, functions: [{ name: 'f' }] })).json();
    expect(body.error.message).toContain('use tools instead');
  });
});

describe('a message is refused with the field named when', () => {
  test.each([
    ['max_tokens', { max_tokens: undefined }],
    ['max_tokens', { max_tokens: 0 }],
    ['messages', { messages: [] }],
    ['messages[0].role', { messages: [{ role: 'tool', content: 'x' }] }],
    ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[0].content', { messages: [{ role: 'user', content: [] }] }],
    ['messages[0].content[0].text', { messages: [{ role: 'user', content: [{ type: 'text', text: 3 }] }] }],
    ['messages[0].content[0].source', { messages: [{ role: 'user', content: [{ type: 'image' }] }] }],
    [
      'messages[0].content[0].source.data',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '?' } }],
          },
        ],
      },
    ],
    [
      'messages[0].content[0].source.media_type',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image', source: { type: 'base64', media_type: 'text/html', data: 'aa' } }],
          },
        ],
      },
    ],
    [
      'messages[0].content[0].source.url',
      { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'http://x' } }] }] },
    ],
    ['messages[0].content[0].tool_use_id', { messages: [{ role: 'user', content: [{ type: 'tool_result' }] }] }],
    [
      'messages[0].content[0].input',
      { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: 'x' }] }] },
    ],
    ['system', { system: 7 }],
    ['system[0].type', { system: [{ type: 'image' }] }],
    ['temperature', { temperature: 1.5 }],
    ['stop_sequences', { stop_sequences: 'x' }],
    ['tools[0].input_schema', { tools: [{ name: 'f' }] }],
    ['tool_choice.type', { tool_choice: { type: 'some' } }],
    ['tool_choice.name', { tool_choice: { type: 'tool' } }],
    ['output_config.format.type', { output_config: { format: { type: 'xml' } } }],
    ['api_base', { api_base: 'https://evil.example' }],
  ])('%s is wrong: %j', async (param, fields) => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/messages', { ...anthropic, ...fields });
    const body = await response.json();
    expect({ status: response.status, type: body.error.type }).toEqual({ status: 400, type: 'invalid_request_error' });
    expect(body.error.message).toContain(`expected ${param} to be `);
    expect(edge.service.requests).toEqual([]);
  });
});

describe('fields of the OpenAI wire', () => {
  test.each([
    [{ n: 1, logprobs: false, frequency_penalty: 0, parallel_tool_calls: true, logit_bias: {}, modalities: ['text'] }],
    [
      {
        temperature: null,
        stop: null,
        n: null,
        logit_bias: null,
        tools: null,
        stream: null,
        stream_options: null,
        max_tokens: null,
      },
    ],
    [{ response_format: { type: 'text' }, tools: [], stream: false }],
  ])('that say nothing are dropped: %j', async (fields) => {
    await using edge = await startEdge();
    expect((await edge.post('/v1/chat/completions', { ...base, ...fields })).status).toBe(200);
    expect(edge.service.lastRequest).toEqual(base);
  });

  test('that change no answer travel as options of that adapter and narrow nothing', async () => {
    await using edge = await startEdge();
    const harmless = {
      user: 'ann',
      store: true,
      service_tier: 'flex',
      safety_identifier: 's',
      prompt_cache_key: 'k',
      metadata: { a: 'b' },
    };
    await edge.post('/v1/chat/completions', { ...base, ...harmless });
    expect(edge.service.lastRequest).toEqual({ ...base, metadata: { a: 'b' }, providerOptions: { openai: harmless } });
  });

  test.each([
    [
      { n: 2, logit_bias: { 50256: -100 }, top_k: 5 },
      { n: 2, logit_bias: { 50256: -100 }, top_k: 5 },
    ],
    [{ reasoning_effort: 'max' }, { reasoning_effort: 'max' }],
    [{ response_format: { type: 'grammar', grammar: 'x' } }, { response_format: { type: 'grammar', grammar: 'x' } }],
    [
      { tools: [{ type: 'custom', custom: { name: 'c' } }], tool_choice: 'auto' },
      { tools: [{ type: 'custom', custom: { name: 'c' } }], tool_choice: 'auto' },
    ],
    [
      { tool_choice: { type: 'allowed_tools', allowed_tools: {} } },
      { tool_choice: { type: 'allowed_tools', allowed_tools: {} } },
    ],
  ])('that we do not model are kept for candidates of the wire: %j', async (fields, carried) => {
    await using edge = await startEdge();
    await edge.post('/v1/chat/completions', { ...base, ...fields });
    expect(edge.service.lastRequest).toEqual({ ...base, wireFields: { wire: 'openai', fields: carried } });
  });

  test('below the request stay where they stood, and the request names them', async () => {
    await using edge = await startEdge();
    const cache_control = { type: 'ephemeral' };
    const audio = { type: 'input_audio', input_audio: { data: 'x', format: 'wav' } };
    const custom = { id: 'c', type: 'custom', custom: { name: 'x', input: 'y' } };
    await edge.post('/v1/chat/completions', {
      model: 'smart',
      messages: [
        { role: 'system', content: 'x', name: 'sys' },
        { role: 'user', content: [{ type: 'text', text: 'a', cache_control }, audio] },
        { role: 'assistant', content: null, tool_calls: [custom] },
      ],
      tools: [
        { type: 'function', function: { name: 'f' }, cache_control },
        { type: 'function', function: { name: 'g', examples: [1] } },
      ],
    });
    const wire = 'openai';
    expect(edge.service.lastRequest).toEqual({
      model: 'smart',
      messages: [
        { role: 'system', content: 'x', wireFields: { wire, fields: { name: 'sys' } } },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a', wireFields: { wire, fields: { cache_control } } },
            { type: 'wire', wireFields: { wire, fields: audio } },
          ],
        },
        { role: 'assistant', content: null, wireFields: { wire, fields: { tool_calls: [custom] } } },
      ],
      tools: [
        { name: 'f', wireFields: { wire, fields: { cache_control } } },
        { name: 'g', wireFields: { wire, fields: { function: { name: 'g', examples: [1] } } } },
      ],
      wireFields: { wire, fields: expect.anything() },
    });
    expect(Object.keys(edge.service.lastRequest.wireFields?.fields ?? {})).toEqual([
      'messages[0].name',
      'messages[1].content[0].cache_control',
      'messages[1].content[1].input_audio',
      'messages[2].tool_calls',
      'tools[0].cache_control',
      'tools[1].function',
    ]);
    expect(JSON.stringify(edge.service.lastRequest.wireFields?.fields)).toBe('{}');
  });

  test('that only answers have are dropped from a conversation', async () => {
    await using edge = await startEdge();
    const answer = {
      role: 'assistant',
      content: [{ type: 'refusal', refusal: 'No' }],
      annotations: [],
      parsed: {},
      reasoning_content: 'hm',
      function_call: null,
      audio: null,
    };
    await edge.post('/v1/chat/completions', { ...base, messages: [user, answer] });
    expect(edge.service.lastRequest).toEqual({
      ...base,
      messages: [user, { role: 'assistant', content: null, refusal: 'No' }],
    });
  });
});

describe('fields of the Anthropic wire', () => {
  const ours = { model: 'smart', maxTokens: 10, messages: [user] };

  test.each([
    [
      { thinking: { type: 'enabled', budget_tokens: 1024 }, top_k: 5, container: null },
      { thinking: { type: 'enabled', budget_tokens: 1024 }, top_k: 5 },
    ],
    [{ output_config: { effort: 'max' } }, { output_config: { effort: 'max' } }],
    [
      { tools: [{ type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'auto' } },
      { tools: [{ type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'auto' } },
    ],
    [
      { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
    ],
  ])('that we do not model are kept for candidates of the wire: %j', async (fields, carried) => {
    await using edge = await startEdge();
    await edge.post('/v1/messages', { ...anthropic, ...fields });
    expect(edge.service.lastRequest).toEqual({ ...ours, wireFields: { wire: 'anthropic', fields: carried } });
  });

  test('below the request stay where they stood, and the request names them', async () => {
    await using edge = await startEdge();
    const cache_control = { type: 'ephemeral' };
    const document = { type: 'document', source: { type: 'text', data: 'x' } };
    const use = { type: 'tool_use', id: 'a', name: 'f', input: {}, cache_control };
    const thinking = { type: 'thinking', thinking: 'hm', signature: 'elsewhere' };
    await edge.post('/v1/messages', {
      ...anthropic,
      system: [{ type: 'text', text: 's', cache_control }],
      messages: [
        { role: 'user', content: [document] },
        { role: 'assistant', content: [thinking, use] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'x', cache_control }] },
      ],
      tools: [{ name: 'f', input_schema: {}, cache_control }],
    });
    const wire = 'anthropic';
    const wireFields = { wire, fields: { cache_control } };
    expect(edge.service.lastRequest).toEqual({
      model: 'smart',
      maxTokens: 10,
      messages: [
        { role: 'system', content: [{ type: 'text', text: 's', wireFields }] },
        { role: 'user', content: [{ type: 'wire', wireFields: { wire, fields: document } }] },
        {
          role: 'assistant',
          content: [{ type: 'wire', wireFields: { wire, fields: use } }],
          reasoningDetails: { provider: 'claude', blocks: [thinking] },
        },
        { role: 'tool', tool_call_id: 'a', content: 'x', wireFields },
      ],
      tools: [{ name: 'f', parameters: {}, wireFields }],
      wireFields: { wire, fields: expect.anything() },
    });
    expect(Object.keys(edge.service.lastRequest.wireFields?.fields ?? {})).toEqual([
      'system[0].cache_control',
      'messages[0].content[0].document',
      'messages[1].content[1].cache_control',
      'messages[2].content[0].cache_control',
      'tools[0].cache_control',
    ]);
  });

  test('thinking without a signature is dropped, and sealed reasoning that was damaged is refused', async () => {
    await using edge = await startEdge();
    const damaged = { type: 'redacted_thinking', data: 'switchgear:%%%' };
    await edge.post('/v1/messages', {
      ...anthropic,
      messages: [
        user,
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'x', signature: '' },
            { type: 'text', text: 'y' },
          ],
        },
      ],
    });
    expect(edge.service.lastRequest.messages[1]).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'y' }] });
    const response = await edge.post('/v1/messages', {
      ...anthropic,
      messages: [user, { role: 'assistant', content: [damaged] }],
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('expected messages[1].content to be reasoning as it was sent');
  });
});
