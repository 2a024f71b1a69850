/** The `x-switchgear-*` headers, in both directions. */
import { describe, expect, test } from 'vitest';
import { formatUsd, retryAfterHeaders } from '../../src/http/response-headers.ts';
import { startEdge } from '../support/http-edge.ts';

const body = { model: 'smart', max_tokens: 5, messages: [{ role: 'user', content: 'x' }] };

describe.each(['/v1/chat/completions', '/v1/messages'])('on POST %s', (path) => {
  test('good values become options', async () => {
    await using edge = await startEdge();
    const headers = {
      'x-switchgear-priority': 'high',
      'x-switchgear-timeout-ms': '1500',
      'x-switchgear-delivery': 'whole',
      'x-switchgear-recovery': 'atMostOnce',
      'x-switchgear-tenant': 'acme',
      'x-switchgear-fallbacks': 'openai/gpt-4.1 , vendor/a/b',
    };
    expect((await edge.post(path, body, headers)).status).toBe(200);
    expect(edge.service.lastOptions).toEqual({
      priority: 'high',
      timeoutMs: 1_500,
      delivery: 'whole',
      recovery: 'atMostOnce',
      tenant: 'acme',
      fallbacks: ['openai/gpt-4.1', 'vendor/a/b'],
      signal: expect.any(AbortSignal),
    });
    await edge.post(path, body, { 'x-switchgear-fallbacks': 'none' });
    expect(edge.service.lastOptions.fallbacks).toBe('none');
  });

  test.each([
    ['x-switchgear-priority', 'urgent'],
    ['x-switchgear-priority', ''],
    ['x-switchgear-priority', 'HIGH'],
    ['x-switchgear-timeout-ms', '0'],
    ['x-switchgear-timeout-ms', '-5'],
    ['x-switchgear-timeout-ms', '1.5'],
    ['x-switchgear-timeout-ms', '1e3'],
    ['x-switchgear-timeout-ms', '604800001'],
    ['x-switchgear-timeout-ms', 'soon'],
    ['x-switchgear-timeout-ms', ''],
    ['x-switchgear-delivery', 'restart'],
    ['x-switchgear-delivery', 'LIVE'],
    ['x-switchgear-recovery', 'atleastonce'],
    ['x-switchgear-tenant', ''],
    ['x-switchgear-tenant', 'a b'],
    ['x-switchgear-tenant', 'x'.repeat(129)],
    ['x-switchgear-tenant', '../x'],
    ['x-switchgear-fallbacks', ''],
    ['x-switchgear-fallbacks', 'a,,b'],
    ['x-switchgear-fallbacks', 'a,none'],
    ['x-switchgear-fallbacks', Array(17).fill('a').join(',')],
  ])('%s: %j is refused by name', async (name, value) => {
    await using edge = await startEdge();
    const response = await edge.post(path, body, { [name]: value });
    expect(response.status).toBe(400);
    expect((await response.json()).error.message).toContain(`expected ${name} to be `);
    expect(edge.service.requests).toEqual([]);
  });
});

test('a provider name that is no header text cannot break the response', async () => {
  await using edge = await startEdge();
  edge.service.target = { provider: 'naïve\r\nx-injected: 1', model: 'm' };
  const response = await edge.post('/v1/chat/completions', { ...body, stream: true });
  expect(response.status).toBe(200);
  expect(response.headers.has('x-injected')).toBe(false);
  expect(response.headers.get('x-switchgear-provider')).toBe('na?ve??x-injected: 1');
});

test('a stream whose runtime does not tell who answers still runs, under the name it was asked by', async () => {
  await using edge = await startEdge();
  edge.service.target = undefined;
  const response = await edge.post('/v1/chat/completions', { ...body, stream: true });
  expect(response.headers.has('x-switchgear-provider')).toBe(false);
  expect(await response.text()).toContain('"model":"smart"');
});

test.each([
  [0, '0'],
  [1, '0.000000001'],
  [12_300, '0.0000123'],
  [1_000_000_000, '1'],
  [1_500_000_000, '1.5'],
  [-5, '-0.000000005'],
  [9_007_199_254_740_991, '9007199.254740991'],
])('%i nano-dollars are written as %s', (nanos, text) => expect(formatUsd(nanos)).toBe(text));

test.each([
  [0, '0', '0'],
  [0.2, '1', '1'],
  [1, '1', '1'],
  [1_000, '1', '1000'],
  [1_000.5, '2', '1001'],
  [1_001, '2', '1001'],
  [-5, '0', '0'],
])('a retry after %j ms is %s whole seconds or %s ms', (retryAfterMs, seconds, ms) =>
  expect(retryAfterHeaders(retryAfterMs)).toEqual({ 'retry-after': seconds, 'retry-after-ms': ms }),
);

test.each([Number.NaN, Number.POSITIVE_INFINITY, undefined])('%j is no time to retry after', (retryAfterMs) =>
  expect(retryAfterHeaders(retryAfterMs)).toEqual({}),
);
