import { describe, expect, test } from 'vitest';
import { answer, echo, fail, finish, hang, tokens, when } from '../support/scripted-provider.ts';
import { ANSWER_NANOS, ask, createTestRuntime, HELLO, PRICE, PRICED } from '../support/test-runtime.ts';

describe('healthStatus', () => {
  test('lists every provider from the start, in full shape and unknown', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} } });
    const fresh = {
      status: 'unknown',
      breaker: {
        state: 'closed',
        failureCount: 0,
        successCount: 0,
        lastFailureAt: undefined,
        lastError: undefined,
        openedAt: undefined,
        nextProbeAt: undefined,
      },
      uptimePercent: undefined,
      latency: { averageMs: undefined, p50Ms: undefined, p95Ms: undefined },
      lastCheckAt: undefined,
      recentErrors: [],
    };
    expect(await runtime.service.healthStatus()).toEqual({ a: fresh, b: fresh });
  });

  test('follows traffic: healthy, degraded, unhealthy, with latencies and the last errors', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    const { service, clock } = runtime;
    const provider = runtime.provider('a');
    for (const afterMs of [100, 200, 300]) {
      provider.plan(answer('x', { afterMs }));
      await runtime.complete();
    }
    expect((await service.healthStatus())['a']).toMatchObject({
      status: 'healthy',
      latency: { averageMs: 200, p50Ms: 200, p95Ms: 300 },
      breaker: { successCount: 3 },
    });
    provider.plan(fail('upstream-error', { message: 'first' }));
    await runtime.failure(service.completion(HELLO));
    expect((await service.healthStatus())['a']).toMatchObject({
      status: 'degraded',
      recentErrors: [{ code: 'provider-error', message: 'first', at: clock.wallMs() }],
    });
    provider.always = fail('connection', { message: 'later' });
    for (let index = 0; index < 5; index++) await runtime.failure(service.completion(HELLO));
    const { status, breaker, recentErrors } = (await service.healthStatus())['a'] ?? {};
    expect(status).toBe('unhealthy');
    expect(breaker).toMatchObject({ state: 'open', lastError: 'later', openedAt: clock.wallMs() });
    expect(breaker?.nextProbeAt).toBeGreaterThan(clock.wallMs() + 11_000);
    expect(recentErrors?.map((error) => error.message)).toEqual(['later', 'later', 'later', 'later', 'later', 'first']);
  });

  test('does not blame a provider for what callers did wrong', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = fail('invalid-request');
    for (let index = 0; index < 20; index++) await runtime.failure(runtime.service.completion(HELLO));
    expect((await runtime.service.healthStatus())['a']).toMatchObject({
      recentErrors: [],
      breaker: { state: 'closed', failureCount: 0 },
    });
  });

  test('weighs uptime by time', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    runtime.provider('a').always = when(({ clock }) =>
      clock.nowMs() >= 600_000 && clock.nowMs() < 612_000 ? fail('connection') : echo(),
    );
    await runtime.complete();
    await runtime.clock.advance(600_000);
    for (let index = 0; index < 5; index++) await runtime.failure(runtime.service.completion(HELLO));
    await runtime.clock.advance(10_000);
    const uptime = (await runtime.service.healthStatus())['a']?.uptimePercent ?? 0;
    expect(uptime).toBeGreaterThan(98);
    expect(uptime).toBeLessThan(98.6);
  });
});

describe('costSummary', () => {
  test('is all zero and full shape before anything was asked', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const none = { usd: 0, usdNanos: 0 };
    expect(await runtime.run(runtime.service.costSummary())).toEqual({
      totalCost: none,
      costByProvider: {},
      costByModel: {},
      costByTenant: {},
      averageCostPerRequest: undefined,
      recordCount: 0,
      unpricedCount: 0,
      tokenUsage: {
        inputTokens: 0,
        outputTokens: 0,
        totalTokens: 0,
        cachedInputTokens: 0,
        cacheWriteTokens: 0,
        reasoningTokens: 0,
      },
      timeRange: { start: undefined, end: undefined },
    });
  });

  test('adds up to the nano-dollar: answers, broken answers by what the provider told, unpriced ones', async () => {
    await using runtime = await createTestRuntime({
      providers: {
        a: { models: { m: { price: PRICE }, n: null }, retry: { maxRetries: 0 } },
        b: { models: { m: { price: { inputUsdPerMillionTokens: 0.15, outputUsdPerMillionTokens: 0.6 } } } },
      },
    });
    const { service, clock } = runtime;
    runtime.provider('a').plan(answer('1', { usage: { inputTokens: 1_000, outputTokens: 100 } }));
    expect((await runtime.complete(ask('x', 'a/m'), { tenant: 'acme', tags: { team: 'red' } })).cost).toEqual({
      usd: 0.0012,
      usdNanos: 1_200_000,
      priceVersion: 'config',
    });
    await clock.advance(60_000);
    runtime.provider('b').plan(answer('2', { usage: { inputTokens: 7, outputTokens: 3 } }));
    expect((await runtime.complete(ask('x', 'b/m'))).cost?.usdNanos).toBe(2_850);
    runtime.provider('a').plan(answer('3', { usage: { inputTokens: 50, outputTokens: 5 } }));
    expect((await runtime.complete(ask('x', 'a/n'))).cost).toBeUndefined();
    // Its usage is known before it breaks, and more than the text that had arrived.
    runtime.provider('a').plan(
      tokens(2, 1, async function* (call) {
        yield { type: 'usage', usage: { inputTokens: 40, outputTokens: 90 } };
        yield* fail('broken')(call);
      }),
    );
    await runtime.failure(service.completionStream(ask('x', 'a/m'), { tags: { team: 'red' } }).response);
    runtime.provider('a').plan(fail('upstream-error'));
    await runtime.failure(service.completion(ask('x', 'a/m')));

    const all = await runtime.run(service.costSummary());
    expect(all).toMatchObject({
      totalCost: { usdNanos: 1_200_000 + 2_850 + 220_000 },
      costByProvider: { a: { usdNanos: 1_420_000 }, b: { usdNanos: 2_850 } },
      costByTenant: { acme: { usdNanos: 1_200_000 }, default: { usdNanos: 222_850 } },
      recordCount: 4,
      unpricedCount: 1,
      tokenUsage: { inputTokens: 1_097, outputTokens: 198, totalTokens: 1_295 },
      timeRange: { start: Date.UTC(2026, 0, 1), end: Date.UTC(2026, 0, 1) + 60_001 },
    });
    const summary = async (query: Parameters<typeof service.costSummary>[0]) =>
      (await runtime.run(service.costSummary(query))).totalCost.usdNanos;
    expect(await summary({ provider: 'b' })).toBe(2_850);
    expect(await summary({ tenant: 'acme' })).toBe(1_200_000);
    expect(await summary({ tag: 'team=red' })).toBe(1_420_000);
    expect(await summary({ since: Date.UTC(2026, 0, 1) + 1 })).toBe(222_850);
    expect(await summary({ until: '2026-01-01T00:00:01Z' })).toBe(1_200_000);
  });

  test('counts each attempt that used something, and an answer that was retried once', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: PRICED } } });
    runtime.provider('a').plan(fail('connection'), fail('upstream-error'));
    const response = await runtime.complete();
    expect(response.attempts.map((attempt) => attempt.cost?.usdNanos)).toEqual([undefined, undefined, ANSWER_NANOS]);
    expect(await runtime.run(runtime.service.costSummary())).toMatchObject({
      recordCount: 1,
      averageCostPerRequest: { usdNanos: ANSWER_NANOS },
    });
  });
});

describe('explain', () => {
  test('sends nothing and names what blocks each candidate', async () => {
    await using runtime = await createTestRuntime({
      providers: {
        ready: {},
        open: { retry: { maxRetries: 0 } },
        held: {},
        keyless: {},
        blind: {},
        small: { models: { m: { contextWindow: 50 } } },
        gone: {},
        still: {},
        off: { enabled: false },
      },
      models: { all: ['ready/m', 'open/m', 'held/m', 'keyless/m', 'blind/m', 'small/m', 'gone/m', 'still/m'] },
    });
    const { service } = runtime;
    runtime.provider('open').always = fail('connection');
    for (let index = 0; index < 5; index++) await runtime.failure(service.completion(ask('x', 'open/m')));
    runtime.provider('held').always = fail('rate-limited', { retryAfterMs: 600_000 });
    await runtime.failure(service.completion(ask('x', 'held/m'), { timeoutMs: 1_000 }));
    runtime.provider('keyless').always = fail('unauthorized');
    for (let index = 0; index < 2; index++) await runtime.failure(service.completion(ask('x', 'keyless/m')));
    runtime.provider('gone').always = fail('model-not-found');
    await runtime.failure(service.completion(ask('x', 'gone/m')));
    runtime.provider('blind').lacks = new Set(['images']);
    await service.supervisor.suspend('still');
    const sent = () => runtime.eventsOf('attempt.started').length;
    const before = sent();
    const image = { type: 'image_url' as const, image_url: { url: 'https://example.com/a.png' } };
    const { candidates } = service.explain({
      model: 'all',
      messages: [{ role: 'user', content: [image, { type: 'text', text: 'word '.repeat(100) }] }],
    });
    expect(candidates.map(({ provider, usable, reasons }) => [provider, usable, reasons.join('; ')])).toEqual([
      ['ready', true, expect.stringContaining('alias candidate')],
      ['open', false, expect.stringMatching(/breaker is open, next probe in 1[2-8] s/)],
      ['held', false, expect.stringContaining('rate limited by the provider for another 600 s')],
      ['keyless', false, expect.stringMatching(/no usable credential.*keyless#1 unauthorized/)],
      ['blind', false, 'cannot serve images'],
      ['small', false, expect.stringContaining('context window of 50 tokens')],
      ['gone', false, expect.stringContaining('does not know model m')],
      ['still', false, expect.stringContaining('suspended')],
    ]);
    expect(service.explain(ask('x', 'off/m')).candidates).toEqual([
      {
        provider: 'off',
        model: 'm',
        usable: false,
        reasons: ['left out: enabled is false; an operator has to change that'],
      },
    ]);
    expect(sent()).toBe(before);
    expect(service.explain({ model: 'ready/m', input: 'x' }).candidates).toMatchObject([
      { provider: 'ready', usable: true },
    ]);
  });
});

describe('listModels', () => {
  test('shows model, provider, availability, window, features and price, and filters', async () => {
    await using runtime = await createTestRuntime({
      providers: {
        a: { models: { m: { price: PRICE, contextWindow: 8_000 } }, retry: { maxRetries: 0 } },
        b: { models: ['n'] },
      },
    });
    runtime.provider('b').lacks = new Set(['tools']);
    expect(await runtime.service.listModels()).toMatchObject([
      { model: 'm', provider: 'a', availability: 'available', contextWindow: 8_000, price: PRICE },
      { model: 'n', provider: 'b', availability: 'available', contextWindow: undefined, price: undefined },
    ]);
    expect((await runtime.service.listModels({ provider: 'b' })).map((listing) => listing.model)).toEqual(['n']);
    expect((await runtime.service.listModels({ feature: 'tools' })).map((listing) => listing.model)).toEqual(['m']);
    runtime.provider('a').always = fail('connection');
    for (let index = 0; index < 5; index++) await runtime.failure(runtime.service.completion(HELLO));
    expect((await runtime.service.listModels({ provider: 'a' }))[0]?.availability).toBe('unavailable');
  });
});

describe('testConnection', () => {
  test('makes one real call, tells how long it took and books what it cost', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: PRICED } } });
    runtime.provider('a').always = echo(70);
    expect(await runtime.run(runtime.service.testConnection('a'))).toEqual({ ok: true, latencyMs: 70 });
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(await runtime.run(runtime.service.costSummary({ tag: 'purpose=test-connection' }))).toMatchObject({
      recordCount: 1,
      totalCost: { usdNanos: ANSWER_NANOS },
    });
  });

  test('says what is wrong and harms no breaker; one that hangs is given up', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = fail('unauthorized', { message: 'bad key' });
    for (let index = 0; index < 10; index++) {
      expect(await runtime.run(runtime.service.testConnection('a'))).toMatchObject({
        ok: false,
        error: { code: 'provider-error', provider: 'a', message: expect.stringContaining('bad key') },
      });
    }
    runtime.provider('a').always = hang();
    expect(await runtime.run(runtime.service.testConnection('a'))).toMatchObject({
      ok: false,
      latencyMs: 10_000,
      error: { code: 'timeout' },
    });
    expect(runtime.service.providerStates()['a']).toMatchObject({
      breaker: { state: 'closed', failureCount: 0 },
      credentials: [{ state: 'usable' }],
    });
    expect(runtime.provider('a').running).toBe(0);
  });
});

describe('what is open', () => {
  test('openRequests and queueStatus say who waits and who runs, oldest first', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = tokens(2, 10_000, finish());
    const requestId = await service.completionAsync(ask('1'), { priority: 'low', tenant: 'acme' });
    await clock.advance(1_000);
    const sync = service.completion(ask('2'));
    const stream = service.completionStream(ask('3'), { priority: 'high' });
    await clock.advance(500);
    expect(service.openRequests()).toEqual([
      {
        requestId,
        mode: 'async',
        status: 'running',
        priority: 'low',
        model: 'm',
        tenant: 'acme',
        ageMs: 1_500,
        attempts: 0,
      },
      expect.objectContaining({ mode: 'sync', status: 'queued', ageMs: 500 }),
      expect.objectContaining({ requestId: stream.requestId, mode: 'stream', status: 'queued', priority: 'high' }),
    ]);
    expect(service.queueStatus()).toEqual({
      lanes: [{ provider: 'a', waiting: 2, running: 1, limit: 1, paused: false }],
      open: 3,
      waiting: 2,
      running: 1,
      parked: 0,
    });
    await runtime.run(Promise.all([sync, stream.response]));
    expect(service.queueStatus()).toEqual({
      lanes: [{ provider: 'a', waiting: 0, running: 0, limit: 1, paused: false }],
      open: 0,
      waiting: 0,
      running: 0,
      parked: 0,
    });
  });

  test('queueStatus counts a request that waits in the lanes of several providers once', async () => {
    const outage = { retry: { maxRetries: 0 }, breaker: { openMs: 60_000 } };
    await using runtime = await createTestRuntime({
      providers: { a: outage, b: outage },
      models: { smart: ['a/m', 'b/m'] },
    });
    const { service, clock } = runtime;
    for (const name of ['a', 'b']) {
      runtime.provider(name).always = fail('connection');
      for (let index = 0; index < 6; index++) await runtime.failure(service.completion(ask('x', `${name}/m`)));
    }
    const requestIds = [
      await service.completionAsync(ask('1', 'smart')),
      await service.completionAsync(ask('2', 'smart')),
    ];
    await clock.advance(10_000);
    const { lanes, ...totals } = service.queueStatus();
    expect(lanes.map(({ waiting }) => waiting)).toEqual([2, 2]);
    expect(totals).toEqual({ open: 2, waiting: 2, running: 0, parked: 0 });
    for (const requestId of requestIds) await service.cancel(requestId);
  });
});
