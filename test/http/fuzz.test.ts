/** Whatever is sent, the edge answers properly: never a 500, never a hang, always the error shape of the API. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseMessageRequest } from '../../src/http/anthropic/parse.ts';
import { parseEmbedding as parseEmbeddingBody } from '../../src/http/openai/embedding.ts';
import { parseChatCompletion } from '../../src/http/openai/parse.ts';
import { parseCompletion, parseEmbedding } from '../../src/runtime/parse-request.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { sendRaw, startEdge } from '../support/http-edge.ts';
import { propertyRuns } from '../support/properties.ts';

/** Thousands of runs take long where the machine has other work. */
const LONG = { timeout: 90_000 * Math.max(1, propertyRuns(1).numRuns) };

const PATHS = ['/v1/chat/completions', '/v1/messages', '/v1/embeddings', '/v1/requests', '/admin/explain'] as const;
const NAMES = [
  'model',
  'messages',
  'role',
  'content',
  'type',
  'text',
  'image_url',
  'url',
  'source',
  'data',
  'media_type',
  'tool_calls',
  'function',
  'name',
  'arguments',
  'id',
  'tools',
  'tool_choice',
  'input_schema',
  'response_format',
  'json_schema',
  'schema',
  'system',
  'thinking',
  'signature',
  'input',
  'max_tokens',
  'temperature',
  'stop',
  'stream',
  'stream_options',
  'n',
  'metadata',
  'output_config',
  'format',
  'tool_use_id',
  'is_error',
  'refusal',
  'reasoningDetails',
  'provider',
  'blocks',
  'dimensions',
  'encoding_format',
  'constructor',
  'toString',
  '',
  '0',
];
const VALUES = [
  'user',
  'assistant',
  'system',
  'tool',
  'text',
  'image',
  'image_url',
  'tool_use',
  'tool_result',
  'thinking',
  'redacted_thinking',
  'document',
  'function',
  'json_schema',
  'json_object',
  'auto',
  'base64',
  'url',
  'https://example.com/x.png',
  'data:image/png;base64,AA==',
  'switchgear:eyJ9',
  '\ud800',
  '',
];

/** JSON made of the words of both wires, so that it gets past the first check. */
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom<unknown>(...VALUES, null, true, false, 0, 1, -1, 2.5, 1e308),
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 6 }),
  ),
})).value;

/** A body that is right but for one value somewhere. */
const nearlyRight = fc
  .tuple(
    fc.constantFrom(...NAMES.slice(0, 43)),
    json,
    fc.array(fc.dictionary(fc.constantFrom(...NAMES), json, { maxKeys: 5 }), { maxLength: 3 }),
  )
  .map(([name, value, blocks]) => ({
    model: 'smart',
    max_tokens: 5,
    input: 'x',
    messages: [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: [{ type: 'text', text: 'y' }, ...blocks] },
      { role: 'user', content: [{ type: 'text', text: 'z' }, ...blocks] },
    ],
    [name]: value,
  }));

test('bodies', LONG, async () => {
  const runs = propertyRuns(1_500);
  await using edge = await startEdge();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), fc.oneof(json, nearlyRight), async (path, body) => {
      const response = await edge.post(path, JSON.stringify(body) ?? 'null');
      const text = await response.text();
      expect([200, 202, 400]).toContain(response.status);
      if (response.status === 400) expect(JSON.parse(text).error.message).toMatch(/^expected /);
      if (response.status === 400) expect(response.headers.get('x-switchgear-error')).toBe('invalid-request');
    }),
    runs,
  );
  expect(edge.service.requests.length).toBeGreaterThan(runs.numRuns / 60);
});

test('what the edge lets through, the runtime takes', LONG, () => {
  const runs = propertyRuns(10_000);
  let taken = 0;
  const parsers = [
    (body: unknown) => parseCompletion(parseChatCompletion(body).request, 'smart'),
    (body: unknown) => parseCompletion(parseMessageRequest(body, 'claude').request, 'smart'),
    (body: unknown) => parseEmbedding(parseEmbeddingBody(body).request),
  ];
  const stages = [parseChatCompletion, (body: unknown) => parseMessageRequest(body, 'claude'), parseEmbeddingBody];
  fc.assert(
    fc.property(fc.nat(2), fc.oneof(json, nearlyRight), (index, body) => {
      try {
        stages[index]?.(body);
      } catch (error) {
        expect(error).toBeInstanceOf(SwitchgearError);
        return;
      }
      parsers[index]?.(body);
      taken += 1;
    }),
    runs,
  );
  expect(taken).toBeGreaterThan(runs.numRuns / 10);
});

test('header values', LONG, async () => {
  // A wrong length makes the server wait for a body that does not come.
  await using edge = await startEdge({ limits: { headersTimeoutMs: 40, requestTimeoutMs: 40, checkIntervalMs: 20 } });
  const names = [
    'x-switchgear-priority',
    'x-switchgear-timeout-ms',
    'x-switchgear-delivery',
    'x-switchgear-recovery',
    'x-switchgear-tenant',
    'x-switchgear-fallbacks',
    'idempotency-key',
    'authorization',
    'x-api-key',
    'anthropic-version',
    'anthropic-beta',
    'openai-beta',
    'content-type',
    'host',
    'origin',
    'content-length',
    'transfer-encoding',
    'expect',
  ];
  const value = fc.oneof(
    fc.string({ unit: 'binary-ascii', maxLength: 40 }),
    fc.constantFrom(
      "' OR 1=1 --",
      'chunked',
      '100-continue',
      'application/json; charset=utf-7',
      'null',
      'x'.repeat(20_000),
      '\0',
      'a\tb',
      '-1',
      '99999999999999999999',
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      value,
      fc.constantFrom('GET /v1/models', 'POST /v1/requests', 'POST /v1/messages', 'DELETE /v1/requests/x'),
      async (name, text, line) => {
        const body = '{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}';
        edge.service.results
          .set('x', { requestId: 'x', status: 'running' })
          .set('req_async', { requestId: 'req_async', status: 'queued' });
        const standard = {
          host: 'localhost',
          'content-type': 'application/json',
          'content-length': String(body.length),
          connection: 'close',
        };
        const headers = Object.entries({ ...standard, [name]: text }).map(([key, header]) => `${key}: ${header}`);
        const answer = await sendRaw(
          edge.port,
          `${line} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${line.startsWith('POST') ? body : ''}`,
        );
        // An empty answer is a socket closed on bytes that make no request.
        if (answer !== '')
          expect([100, 200, 202, 400, 403, 404, 408, 413, 415, 417, 431]).toContain(Number(answer.split(' ')[1]));
      },
    ),
    propertyRuns(400),
  );
  // A busy machine may be too slow for these limits once.
  await expect.poll(async () => (await fetch(`${edge.url}/healthz`)).status).toBe(200);
});

test('paths and queries', async () => {
  await using edge = await startEdge();
  edge.service.results.set('x', { requestId: 'x', status: 'running' });
  const starts = [
    '/',
    '/v1/',
    '/v1/models/',
    '/v1/requests/x?',
    '/v1/requests/x?wait=',
    '/admin/costs?',
    '/admin/requests?limit=',
    '/admin/explain?model=',
    '/admin/actors/',
    '//',
    '/%2e%2e/',
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...starts),
      fc.string({ unit: 'binary-ascii', maxLength: 30 }),
      async (start, rest) => {
        const path = start + rest.replaceAll(/[\s\0-\x20\x7f]/g, '');
        const answer = await sendRaw(edge.port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
        expect([200, 400, 404]).toContain(Number(answer.split(' ')[1]));
      },
    ),
    propertyRuns(500),
  );
});
