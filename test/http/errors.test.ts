/** What clients learn of failures: status, shape, headers, and whether their SDK tries again. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { type ErrorCode, SwitchgearError } from '../../src/contract/errors.ts';
import { ERROR_POLICY } from '../../src/contract/failures.ts';
import { CANARY, sendRaw, startEdge, type TestEdge } from '../support/http-edge.ts';
import { createResponse, yieldAll } from '../support/http-service.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];
const base = { model: 'smart', max_tokens: 100, messages };

/** Written out by hand from the documented table, so that a change of the table shows here. */
const TABLE: readonly (readonly [ErrorCode, number, string, string])[] = [
  ['invalid-request', 400, 'invalid_request', 'invalid_request_error'],
  ['context-too-long', 400, 'context_length_exceeded', 'invalid_request_error'],
  ['content-filtered', 400, 'content_filter', 'invalid_request_error'],
  ['unauthorized', 401, 'invalid_api_key', 'authentication_error'],
  ['budget-exhausted', 402, 'insufficient_quota', 'billing_error'],
  ['unknown-model', 404, 'model_not_found', 'not_found_error'],
  ['request-not-found', 404, 'request_not_found', 'not_found_error'],
  ['idempotency-conflict', 409, 'idempotency_conflict', 'invalid_request_error'],
  ['request-expired', 410, 'request_expired', 'not_found_error'],
  ['rate-limited', 429, 'rate_limit_exceeded', 'rate_limit_error'],
  ['cancelled', 499, 'cancelled', 'api_error'],
  ['invalid-config', 500, 'invalid_config', 'api_error'],
  ['provider-error', 502, 'provider_error', 'api_error'],
  ['interrupted', 502, 'interrupted', 'api_error'],
  ['queue-full', 503, 'queue_full', 'overloaded_error'],
  ['overloaded', 503, 'overloaded', 'overloaded_error'],
  ['providers-unavailable', 503, 'providers_unavailable', 'overloaded_error'],
  ['store-unavailable', 503, 'store_unavailable', 'api_error'],
  ['shutting-down', 503, 'shutting_down', 'api_error'],
  ['timeout', 504, 'timeout', 'timeout_error'],
];

/** The rest the runtime has already retried, or no retry could mend. */
const RETRIED_BY_CLIENTS: ReadonlySet<ErrorCode> = new Set(['queue-full', 'store-unavailable', 'shutting-down']);

function fail(edge: TestEdge, error: unknown): void {
  edge.service.answer = async () => {
    throw error;
  };
  edge.service.parts = () => {
    throw error;
  };
  edge.service.submit = () => Promise.reject(error);
  edge.service.embed = () => Promise.reject(error);
}

test('an error after attempts says how many there were, and who failed last', async () => {
  await using edge = await startEdge();
  const attempt = { provider: 'first', model: 'm', outcome: 'failed', durationMs: 1 } as const;
  fail(
    edge,
    new SwitchgearError('provider-error', 'broken', {
      requestId: 'req_1',
      provider: 'first',
      attempts: [attempt, attempt],
    }),
  );
  const response = await fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(base),
  });
  expect(response.headers.get('x-switchgear-attempts')).toBe('2');
  expect(response.headers.get('x-switchgear-provider')).toBe('first');
});

test.each([
  ['POST', '/chat/completions', 'POST /v1/chat/completions'],
  ['POST', '/v1/v1/messages', 'POST /v1/messages'],
  ['POST', '/v1/embeddings/', 'POST /v1/embeddings'],
  ['GET', '/v1/chat/completions', 'POST /v1/chat/completions'],
])('%s %s is refused with the route that was probably meant', async (method, path, meant) => {
  await using edge = await startEdge();
  const response = await fetch(`${edge.url}${path}`, { method });
  expect(response.status).toBe(404);
  expect(await response.text()).toContain(`did you mean ${meant}?`);
});

test('the table of codes below is complete', () => {
  expect(TABLE.map(([code]) => code).toSorted()).toEqual(Object.keys(ERROR_POLICY).toSorted());
});

describe.each(TABLE)('%s', (code, status, openaiCode, anthropicType) => {
  test(`is ${status} with the same headers from every route that takes requests`, async () => {
    await using edge = await startEdge();
    fail(edge, new SwitchgearError(code, 'it broke', { requestId: 'req_9', retryAfterMs: 61_000 }));
    const bodies = { '/v1/embeddings': { model: 'm', input: 'x' }, '/v1/requests': base };
    for (const [path, body] of Object.entries(bodies)) {
      const { status: got, headers } = await edge.post(path, body);
      const names = ['error', 'request-id'].map((name) => headers.get(`x-switchgear-${name}`));
      expect([path, got, ...names]).toEqual([path, status, code, 'req_9']);
      expect(headers.get('retry-after')).toBe('61');
      expect(headers.get('x-should-retry'), 'more than a minute is too long for a client to sit out').toBe('false');
    }
  });

  test('is named in our own header when it became of a submitted request, which can be read all the same', async () => {
    await using edge = await startEdge();
    const error = new SwitchgearError(code, 'it broke', { requestId: 'req_9' });
    edge.service.results.set('req_9', { requestId: 'req_9', status: 'failed', error });
    const { status: got, headers } = await fetch(`${edge.url}/v1/requests/req_9`);
    expect([got, headers.get('x-switchgear-error'), headers.get('x-should-retry')]).toEqual([200, code, null]);
  });

  test(`is ${status} in both shapes, streamed or not`, async () => {
    await using edge = await startEdge();
    fail(edge, new SwitchgearError(code, 'it broke', { requestId: 'req_9', param: 'model', retryAfterMs: 1_001 }));
    for (const stream of [false, true]) {
      const openai = await edge.post('/v1/chat/completions', { ...base, stream });
      expect(openai.status).toBe(status);
      expect(await openai.json()).toEqual({
        error: { message: 'it broke', type: ERROR_POLICY[code].openaiType, param: 'model', code: openaiCode },
      });
      const anthropic = await edge.post('/v1/messages', { ...base, stream });
      expect(anthropic.status).toBe(status);
      expect(await anthropic.json()).toEqual({
        type: 'error',
        error: { type: anthropicType, message: 'it broke' },
        request_id: 'req_9',
      });
      for (const { headers } of [openai, anthropic]) {
        expect(headers.get('content-type')).toMatch(/^application\/json/);
        expect(headers.get('x-switchgear-error')).toBe(code);
        expect(headers.get('x-switchgear-request-id')).toBe('req_9');
        expect(headers.get('retry-after')).toBe('2');
        expect(headers.get('retry-after-ms')).toBe('1001');
        expect(headers.get('x-should-retry')).toBe(RETRIED_BY_CLIENTS.has(code) ? null : 'false');
      }
    }
  });
});

describe('what HTTP itself refuses', () => {
  const head = (line: string, ...headers: string[]) => [line, 'Host: localhost', ...headers, '', ''].join('\r\n');
  const json = 'Content-Type: application/json';
  test.each([
    [
      'a body that is no JSON',
      400,
      head('POST /v1/messages HTTP/1.1', json, 'Content-Length: 1', 'Connection: close') + 'x',
    ],
    ['a foreign host', 403, 'GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'],
    ['a foreign origin', 403, head('GET /v1/models HTTP/1.1', 'Origin: http://evil.example', 'Connection: close')],
    ['a proxied admin call', 403, head('GET /admin/tree HTTP/1.1', 'X-Forwarded-For: 10.0.0.1', 'Connection: close')],
    ['an unknown path', 404, head('GET /v2/models HTTP/1.1', 'Connection: close')],
    [
      'an unknown actor',
      404,
      head('POST /admin/actors/nobody/restart HTTP/1.1', 'Content-Length: 0', 'Connection: close'),
    ],
    [
      'a body that is too large',
      413,
      head('POST /v1/messages HTTP/1.1', json, 'Content-Length: 99999999', 'Connection: close'),
    ],
    [
      'a form',
      415,
      head('POST /v1/messages HTTP/1.1', 'Content-Type: text/plain', 'Content-Length: 1', 'Connection: close') + 'x',
    ],
    ['headers that are too long', 431, head('GET /healthz HTTP/1.1', `X: ${'y'.repeat(17_000)}`)],
  ])('(%s: %i) is invalid-request in our own header; a retry would change nothing', async (_name, status, bytes) => {
    await using edge = await startEdge();
    const answer = await sendRaw(edge.port, bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer.toLowerCase()).toContain('\r\nx-switchgear-error: invalid-request\r\n');
    expect(answer.toLowerCase()).toContain('\r\nx-should-retry: false\r\n');
  });

  test('(a request that came too slowly: 408) is too, but it may be sent again: nothing was done with it', async () => {
    await using edge = await startEdge({
      limits: { headersTimeoutMs: 100, requestTimeoutMs: 200, checkIntervalMs: 50 },
    });
    const answer = await sendRaw(edge.port, 'GET /healthz HTTP/1.1\r\nHost: local');
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('\r\nx-switchgear-error: invalid-request\r\n');
    expect(answer).not.toContain('x-should-retry');
  });
});

describe('client SDKs', () => {
  test.each([
    ['invalid-request', OpenAI.BadRequestError, Anthropic.BadRequestError],
    ['unauthorized', OpenAI.AuthenticationError, Anthropic.AuthenticationError],
    ['unknown-model', OpenAI.NotFoundError, Anthropic.NotFoundError],
    ['idempotency-conflict', OpenAI.ConflictError, Anthropic.ConflictError],
    ['rate-limited', OpenAI.RateLimitError, Anthropic.RateLimitError],
    ['budget-exhausted', OpenAI.APIError, Anthropic.APIError],
    ['provider-error', OpenAI.InternalServerError, Anthropic.InternalServerError],
    ['overloaded', OpenAI.InternalServerError, Anthropic.InternalServerError],
    ['timeout', OpenAI.InternalServerError, Anthropic.InternalServerError],
  ] as const)('raise their own error for %s, after one request', async (code, openaiError, anthropicError) => {
    await using edge = await startEdge();
    fail(edge, new SwitchgearError(code, 'it broke', { param: 'model' }));
    const openai = await edge.openai.chat.completions
      .create({ model: 'smart', messages })
      .catch((error: unknown) => error);
    expect(openai).toBeInstanceOf(openaiError);
    expect(openai).toMatchObject({
      status: ERROR_POLICY[code].httpStatus,
      code: ERROR_POLICY[code].openaiCode,
      param: 'model',
    });
    const anthropic = await edge.anthropic.messages.create(base).catch((error: unknown) => error);
    expect(anthropic).toBeInstanceOf(anthropicError);
    expect(edge.arrivals()).toBe(2);
  });

  test.each(['queue-full', 'store-unavailable', 'shutting-down'] as const)(
    'may try again after %s, unless the wait is over a minute',
    async (code) => {
      await using edge = await startEdge();
      fail(edge, new SwitchgearError(code, 'it broke', { retryAfterMs: 0 }));
      await expect(edge.openai.chat.completions.create({ model: 'smart', messages })).rejects.toBeInstanceOf(
        OpenAI.InternalServerError,
      );
      expect(edge.arrivals()).toBe(3);
      fail(edge, new SwitchgearError(code, 'it broke', { retryAfterMs: 60_001 }));
      await expect(edge.anthropic.messages.create(base)).rejects.toMatchObject({ status: 503 });
      expect(edge.arrivals()).toBe(4);
    },
  );

  test('raise an error for a break after content, never a silent end', async () => {
    await using edge = await startEdge();
    edge.service.parts = () =>
      yieldAll([{ type: 'text', text: 'Hel' }], new SwitchgearError('provider-error', 'the stream broke'));
    const texts: string[] = [];
    const readOpenai = async () => {
      for await (const chunk of await edge.openai.chat.completions.create({ model: 'smart', messages, stream: true })) {
        texts.push(chunk.choices[0]?.delta.content ?? '');
      }
    };
    await expect(readOpenai()).rejects.toMatchObject({ code: 'provider_error', type: 'server_error' });
    expect(texts.join('')).toBe('Hel');
    const failure = await edge.anthropic.messages
      .stream(base)
      .finalMessage()
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Anthropic.APIError);
    expect(failure).toMatchObject({ type: 'api_error' });
    expect(edge.arrivals()).toBe(2);
  });
});

describe('a stream', () => {
  test.each([
    ['that breaks before its first part', [], new SwitchgearError('timeout', 'too slow')],
    [
      'in whole delivery that breaks after some parts',
      [{ type: 'text', text: 'x' }],
      new SwitchgearError('timeout', 'too slow'),
    ],
  ] as const)('%s is an HTTP error with nothing sent', async (name, parts, error) => {
    await using edge = await startEdge();
    edge.service.parts = () => yieldAll(parts, error);
    const headers: Record<string, string> = name.includes('whole') ? { 'x-switchgear-delivery': 'whole' } : {};
    const response = await edge.post('/v1/chat/completions', { ...base, stream: true }, headers);
    expect(response.status).toBe(504);
    expect(response.headers.get('x-should-retry')).toBe('false');
  });

  test('that ends without a finish is a failure, before and after content', async () => {
    await using edge = await startEdge();
    edge.service.parts = () => yieldAll([]);
    expect((await edge.post('/v1/messages', { ...base, stream: true })).status).toBe(502);
    edge.service.parts = () => yieldAll([{ type: 'text', text: 'x' }]);
    const body = await (await edge.post('/v1/messages', { ...base, stream: true })).text();
    expect(body).toContain('event: error\n');
    expect(body).not.toContain('message_stop');
  });

  test('that starts over before content is sent starts over unseen, after content it is an error', async () => {
    await using edge = await startEdge();
    const finish = { type: 'finish', response: createResponse() } as const;
    edge.service.parts = () => yieldAll([{ type: 'restart' }, { type: 'text', text: 'new' }, finish]);
    expect(await (await edge.post('/v1/chat/completions', { ...base, stream: true })).text()).toContain('[DONE]');
    edge.service.parts = () =>
      yieldAll([{ type: 'text', text: 'old' }, { type: 'restart' }, { type: 'text', text: 'new' }, finish]);
    const broken = await (await edge.post('/v1/chat/completions', { ...base, stream: true })).text();
    expect(broken).toContain('"code":"interrupted"');
    expect(broken).not.toContain('new');
    expect(broken).not.toContain('[DONE]');
    const whole = await (
      await edge.post('/v1/chat/completions', { ...base, stream: true }, { 'x-switchgear-delivery': 'whole' })
    ).text();
    expect(whole).toContain('new');
    expect(whole).not.toContain('old');
  });
});

describe('nothing secret is shown', () => {
  test('a configured key, or what looks like one, is removed from messages in bodies and streams', async () => {
    await using edge = await startEdge();
    const error = new SwitchgearError('provider-error', `rejected ${CANARY} and Bearer abc.def and sk-ant-REDACTED`);
    fail(edge, error);
    const texts = [
      await (await edge.post('/v1/chat/completions', base)).text(),
      await (await edge.post('/v1/messages', base)).text(),
    ];
    edge.service.parts = () => yieldAll([{ type: 'text', text: 'x' }], error);
    texts.push(await (await edge.post('/v1/messages', { ...base, stream: true })).text());
    edge.service.testFailure = error;
    texts.push(await (await edge.post('/admin/providers/first/test', '')).text());
    for (const text of texts) {
      expect(text).toContain('rejected [removed] and [removed] and [removed]');
      expect(text).not.toMatch(/canary|abc\.def|verysecret/);
    }
  });

  test('a defect is a 500 that says nothing about itself, and the server lives on', async () => {
    await using edge = await startEdge();
    for (const defect of [
      new TypeError(`cannot read ${CANARY}`),
      'a string',
      undefined,
      Object.assign(new Error('x'), { statusCode: 418 }),
    ]) {
      fail(edge, defect);
      for (const path of ['/v1/chat/completions', '/v1/messages']) {
        const response = await edge.post(path, base);
        expect(response.status).toBe(500);
        expect(response.headers.get('x-switchgear-error')).toBe('internal-error');
        expect(await response.text()).not.toMatch(/canary|cannot read|418/);
      }
    }
    edge.service.answer = async () => createResponse();
    expect((await edge.post('/v1/messages', base)).status).toBe(200);
  });
});
