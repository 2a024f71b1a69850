/** Probes and admin routes. */
import { describe, expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { ProviderState } from '../../src/contract/state.ts';
import { startEdge } from '../support/http-edge.ts';
import { createProviderState } from '../support/http-service.ts';

describe('probes', () => {
  const closed = createProviderState();
  const states: readonly (readonly [string, Partial<ProviderState>, number])[] = [
    ['closed', {}, 200],
    ['half open', { breaker: { ...closed.breaker, state: 'halfOpen' } }, 200],
    ['held by a rate limit', { gate: 'held', credentials: [{ id: 'a', state: 'held', heldForMs: 5 }] }, 200],
    ['open', { breaker: { ...closed.breaker, state: 'open' } }, 503],
    ['down', { isDown: true }, 503],
    [
      'without a usable credential',
      {
        credentials: [
          { id: 'a', state: 'disabled' },
          { id: 'b', state: 'exhausted' },
        ],
      },
      503,
    ],
  ];

  test.each(states)('ready when the only provider is %s', async (_name, state, status) => {
    await using edge = await startEdge();
    edge.service.states = { first: createProviderState(state) };
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(status);
    expect((await fetch(`${edge.url}/healthz`)).status).toBe(200);
  });

  test('a suspended provider cannot answer', async () => {
    await using edge = await startEdge();
    edge.service.states = { first: createProviderState({ isSuspended: true }) };
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(503);
  });

  test('one usable provider is enough, none is not', async () => {
    await using edge = await startEdge();
    edge.service.states = { down: createProviderState({ isDown: true }), up: createProviderState() };
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(200);
    edge.service.states = {};
    const response = await fetch(`${edge.url}/readyz`);
    expect([response.status, await response.json()]).toEqual([503, { status: 'no-usable-provider' }]);
    expect(response.headers.get('x-switchgear-error')).toBe('providers-unavailable');
  });

  test.each(['draining', 'stopped', 'failed'] as const)('a %s service is alive but not ready', async (state) => {
    await using edge = await startEdge();
    edge.service.state = state;
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(503);
    expect(await (await fetch(`${edge.url}/healthz`)).json()).toEqual({ status: 'ok' });
  });
});

describe('admin reads', () => {
  test('the tree, the queue and the providers with health and state', async () => {
    await using edge = await startEdge();
    const read = async (path: string) => (await fetch(`${edge.url}${path}`)).json();
    expect(await read('/admin/tree')).toMatchObject({
      children: [{ id: 'providers', children: [{ id: 'first', restarts: 2 }] }],
    });
    expect(await read('/admin/queue')).toMatchObject({ open: 5, lanes: [{ provider: 'first', waiting: 3 }] });
    expect(await read('/admin/providers')).toMatchObject({
      providers: {
        first: {
          status: 'healthy',
          uptimePercent: 99.5,
          breaker: { state: 'closed' },
          state: { gate: 'clear', credentials: [{ state: 'usable' }] },
        },
      },
    });
  });

  test('the providers that the config leaves out, with the reason', async () => {
    const reason = 'its key is empty (OPENAI_API_KEY is not set)';
    await using edge = await startEdge({ config: { inactiveProviders: [{ name: 'openai', reason, models: [] }] } });
    expect(await (await fetch(`${edge.url}/admin/providers`)).json()).toMatchObject({
      leftOut: [{ name: 'openai', reason }],
    });
  });

  test('the costs of a time, a provider, a tenant, a tag', async () => {
    await using edge = await startEdge();
    const response = await fetch(
      `${edge.url}/admin/costs?since=2026-01-01T00:00:00Z&until=1767300000000&provider=first&tag=team%3Da`,
    );
    expect(await response.json()).toMatchObject({ recordCount: 1, tokenUsage: { totalTokens: 3 } });
    expect(edge.service.costQueries).toEqual([
      { since: 1_767_225_600_000, until: 1_767_300_000_000, provider: 'first', tag: 'team=a' },
    ]);
  });

  test.each([
    ['since=yesterday', 'since'],
    ['until=', 'until'],
    ['provider=a&provider=b', 'provider'],
    ['vendor=a', 'vendor'],
  ])('refuse the cost query %s', async (query, param) => {
    await using edge = await startEdge();
    const response = await fetch(`${edge.url}/admin/costs?${query}`);
    expect([response.status, (await response.json()).error.param]).toEqual([400, param]);
  });

  test('an unknown query parameter is named beside the known ones', async () => {
    await using edge = await startEdge();
    const { error } = await (await fetch(`${edge.url}/admin/explain?modle=smart`)).json();
    expect(error.message).toBe('expected the query to have known parameters only (model), got: modle');
  });

  test.each([
    ['provider=nope', 'provider', /^expected provider to be .*first, claude.*, got: nope$/],
    ['tenant=nobody', 'tenant', /^expected tenant to be .*, got: nobody$/],
    ['model=gpt-nope', 'model', /^expected model to be .*model-1.*, got: gpt-nope$/],
    ['model=smart', 'model', /smart is an alias of first\/model-1/],
    ['model=first/model-1', 'model', /ask for provider first and model model-1/],
    ['since=2026-01-01&provider=first&tenant=nobody', 'tenant', /got: nobody$/],
    [`provider=${'x'.repeat(300)}`, 'provider', /got: x{100}…$/],
  ])('a cost query for what nobody knows (%s) is refused, not answered with zeros', async (query, param, message) => {
    await using edge = await startEdge();
    edge.service.recordCount = () => 0;
    const response = await fetch(`${edge.url}/admin/costs?${query}`);
    expect(response.headers.get('x-switchgear-error')).toBe('invalid-request');
    const { error } = await response.json();
    expect([response.status, error.param]).toEqual([400, param]);
    expect(error.message).toMatch(message);
  });

  test.each([
    ['a configured provider', 'provider=first'],
    ['one that is left out', 'provider=sleeping'],
    ['a listed model', 'model=vendor/model-2'],
    ['a model of a provider that is left out', 'model=dream-1'],
    ['the default tenant', 'tenant=default'],
    ['a tag, which can be anything', 'tag=never-used'],
  ])('a cost query for %s that spent nothing is answered with zeros', async (_name, query) => {
    const inactiveProviders = [{ name: 'sleeping', reason: 'its key is empty', models: [{ id: 'dream-1' }] }];
    await using edge = await startEdge({ config: { inactiveProviders } });
    edge.service.recordCount = () => 0;
    const response = await fetch(`${edge.url}/admin/costs?${query}`);
    expect([response.status, (await response.json()).recordCount]).toEqual([200, 0]);
  });

  test('a provider that left the config is known as long as the ledger knows it, also outside of the time asked for', async () => {
    await using edge = await startEdge();
    edge.service.recordCount = ({ provider, since }) => (provider === 'removed' && since === undefined ? 3 : 0);
    const response = await fetch(`${edge.url}/admin/costs?provider=removed&since=2026-01-01`);
    expect([response.status, (await response.json()).recordCount]).toEqual([200, 0]);
  });

  test.each([
    ['', 100],
    ['?limit=3', 3],
    ['?limit=5000', 150],
  ])('open requests%s, bounded', async (query, count) => {
    await using edge = await startEdge();
    const { requests } = await (await fetch(`${edge.url}/admin/requests${query}`)).json();
    expect(requests).toHaveLength(count);
    expect(requests[0].requestId).toBe('req_0');
  });

  test.each(['0', '-1', 'x', '1.5'])('refuse limit=%s', async (limit) => {
    await using edge = await startEdge();
    expect((await fetch(`${edge.url}/admin/requests?limit=${limit}`)).status).toBe(400);
  });

  test('explain by model name or by body', async () => {
    await using edge = await startEdge();
    expect(await (await fetch(`${edge.url}/admin/explain?model=smart`)).json()).toMatchObject({
      candidates: [{ model: 'smart', usable: true }],
    });
    const body = {
      model: 'm',
      messages: [{ role: 'user', content: 'x' }],
      tools: [{ type: 'function', function: { name: 'f' } }],
    };
    expect(
      await (await edge.post('/admin/explain', body, { 'x-switchgear-fallbacks': 'a, b/c' })).json(),
    ).toMatchObject({ candidates: [{ model: 'm' }] });
    expect(edge.service.lastRequest.tools).toEqual([{ name: 'f' }]);
    expect(edge.service.lastOptions.fallbacks).toEqual(['a', 'b/c']);
  });
});

describe('admin acts', () => {
  test.each(['suspend', 'resume', 'restart'])('%s an actor by its id, with or without a body', async (verb) => {
    await using edge = await startEdge();
    expect(await (await fetch(`${edge.url}/admin/actors/first/${verb}`, { method: 'POST' })).json()).toMatchObject({
      id: 'first',
      state: 'running',
    });
    expect((await edge.post(`/admin/actors/first/${verb}`, '')).status).toBe(200);
    expect(edge.service.verbs).toEqual([`${verb} first`, `${verb} first`]);
    const refused = await edge.post(`/admin/actors/nobody/${verb}`, '');
    expect(refused.status).toBe(404);
    expect((await refused.json()).error.message).toBe('expected the actor to be one of providers, first, got: nobody');
  });

  test('only with POST and only with known verbs', async () => {
    await using edge = await startEdge();
    expect((await fetch(`${edge.url}/admin/actors/first/restart`)).status).toBe(404);
    expect((await edge.post('/admin/actors/first/kill', '')).status).toBe(404);
    expect(edge.service.verbs).toEqual([]);
  });

  test('try a provider and tell what went wrong', async () => {
    await using edge = await startEdge();
    expect(await (await edge.post('/admin/providers/first/test', '')).json()).toEqual({ ok: true, latencyMs: 7 });
    edge.service.testFailure = new SwitchgearError('timeout', 'too slow', { provider: 'first' });
    expect(await (await edge.post('/admin/providers/first/test', '')).json()).toEqual({
      ok: false,
      latencyMs: 7,
      error: { code: 'timeout', message: 'too slow', provider: 'first' },
    });
    for (const name of ['nobody', 'toString', '__proto__']) {
      const refused = await edge.post(`/admin/providers/${name}/test`, '');
      expect(refused.status).toBe(404);
      expect((await refused.json()).error.message).toBe(`expected the provider to be one of first, got: ${name}`);
    }
  });
});

test.each([
  ['POST', '/v1/responses'],
  ['GET', '/metrics'],
  ['GET', '/'],
  ['GET', '/v1/chat/completions'],
  ['OPTIONS', '/v1/embeddings'],
])('%s %s is 404 in the OpenAI shape', async (method, path) => {
  await using edge = await startEdge();
  const response = await fetch(`${edge.url}${path}`, { method });
  expect(response.status).toBe(404);
  expect(response.headers.get('x-switchgear-error')).toBe('invalid-request');
  expect(await response.json()).toMatchObject({
    error: { type: 'invalid_request_error', code: 'unknown_url', param: null },
  });
});
