import { describe, expect, test } from 'vitest';
import { answer, fail, hang, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT } from '../support/test-runtime.ts';

const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const SECONDS = [0, 1, 61, 3_600];

describe.each(SECONDS)('Retry-After: %i', (seconds) => {
  const retryAfterMs = seconds * 1_000;
  const throttled = fail('rate-limited', { retryAfterMs });

  test('is a floor: nothing is sent to that credential before, by anybody', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} }, service: { timeoutMs: 7_200_000 } });
    runtime.provider('a').plan(throttled);
    const first = runtime.service.completion(ask('first'));
    await runtime.clock.advance(1);
    const others = Array.from({ length: 5 }, (_, index) => runtime.service.completion(ask(`other ${index}`)));
    const ids = await Promise.all(
      Array.from({ length: 5 }, (_, index) => runtime.service.completionAsync(ask(`async ${index}`))),
    );
    await runtime.run(Promise.all([first, ...others]));
    for (const id of ids) expect(await runtime.result(id)).toMatchObject({ status: 'succeeded' });
    const [, ...later] = runtime.provider('a').attempts;
    expect(later).toHaveLength(11);
    expect(Math.min(...later.map((call) => call.atMs))).toBeGreaterThanOrEqual(Math.max(500, retryAfterMs));
  });

  test('is waited for here when it is short, and left for the next candidate at once when it is long', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(throttled);
    const response = await runtime.complete(ask('x', 'smart'));
    expect(response.provider).toBe(seconds <= 5 ? 'a' : 'b');
    if (seconds > 5) expect(runtime.clock.nowMs()).toBe(0);
  });

  test('is told to the caller at once when it does not fit the deadline', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = throttled;
    const error = await runtime.failure(runtime.service.completion(HELLO, { timeoutMs: 400 }));
    expect(error).toMatchObject({ code: 'rate-limited', retryAfterMs });
    expect(runtime.clock.nowMs()).toBe(0);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a held gate', () => {
  test('keeps a sync request that fits its deadline waiting, and refuses one that does not with the true time', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').plan(fail('rate-limited', { retryAfterMs: 61_000 }));
    const first = runtime.service.completion(HELLO, { timeoutMs: 120_000 });
    await runtime.clock.advance(1_000);
    const error = await runtime.failure(runtime.service.completion(HELLO, { timeoutMs: 30_000 }));
    expect(error).toMatchObject({ code: 'rate-limited', retryAfterMs: 60_000 });
    expect(runtime.clock.nowMs()).toBe(1_000);
    expect(runtime.service.providerStates()['a']).toMatchObject({
      gate: 'held',
      credentials: [{ state: 'held', heldForMs: 60_000 }],
    });
    expect((await runtime.run(first)).provider).toBe('a');
    expect(runtime.service.providerStates()['a']?.gate).toBe('clear');
  });

  test('never opens a breaker, however often a provider throttles', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = fail('rate-limited', { retryAfterMs: 1_000 });
    for (let index = 0; index < 30; index++) {
      await runtime.complete(ask('x', 'smart'));
      await runtime.clock.advance(1_500);
    }
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ state: 'closed', failureCount: 0 });
    expect(runtime.service.providerStates()['a']?.concurrency.limit).toBe(1);
  });
});

describe('several credentials', () => {
  const keys = { providers: { a: { apiKeys: ['key-one-canary', 'key-two-canary'] } } };

  test('the other one is used at once while one is throttled', async () => {
    await using runtime = await createTestRuntime(keys);
    runtime.provider('a').always = when(({ apiKey }) =>
      apiKey === 'key-one-canary' ? fail('rate-limited', { retryAfterMs: 3_600_000 }) : answer(),
    );
    for (let index = 0; index < 5; index++) await runtime.complete();
    expect(runtime.provider('a').attempts.map((call) => call.credentialId)).toEqual([
      'a#1',
      'a#2',
      'a#2',
      'a#2',
      'a#2',
      'a#2',
    ]);
    expect(runtime.clock.nowMs()).toBe(0);
  });

  test.each(['unauthorized', 'quota-exhausted'] as const)(
    '%s takes one out; with the last one gone the provider is unusable until it is restarted',
    async (kind) => {
      await using runtime = await createTestRuntime(keys);
      const { service } = runtime;
      runtime.provider('a').always = when(({ apiKey }) => (apiKey === 'key-one-canary' ? fail(kind) : answer()));
      for (let index = 0; index < 4; index++) expect((await runtime.complete()).text).toBe('fine');
      expect(service.providerStates()['a']?.credentials.map(({ state }) => state)).toEqual([
        kind === 'unauthorized' ? 'disabled' : 'exhausted',
        'usable',
      ]);
      expect(runtime.eventsOf('credential.disabled')).toEqual([{ provider: 'a', credential: 'a#1', reason: kind }]);
      runtime.provider('a').always = fail(kind);
      for (let index = 0; index < 3; index++) await runtime.failure(service.completion(HELLO));
      const asked = runtime.provider('a').attempts.length;
      expect(await runtime.failure(service.completion(HELLO))).toMatchObject({ code: 'providers-unavailable' });
      expect(runtime.provider('a').attempts).toHaveLength(asked);
      expect((await service.healthStatus())['a']?.status).toBe('unhealthy');
      runtime.provider('a').always = answer();
      await runtime.run(service.supervisor.restart('a'));
      expect((await runtime.complete()).text).toBe('fine');
    },
  );
});

describe('a model the provider does not know', () => {
  test('is left alone for ten minutes, and the provider is not', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: ['m', 'n'] }, b: {} } });
    runtime.provider('a').always = when(({ model }) => (model === 'm' ? fail('model-not-found') : answer()));
    for (let index = 0; index < 3; index++) expect((await runtime.complete()).provider).toBe('b');
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(runtime.service.providerStates()['a']?.quarantinedModels).toEqual(['m']);
    expect((await runtime.complete(ask('x', 'a/n'))).provider).toBe('a');
    await runtime.clock.advance(600_001);
    runtime.provider('a').always = answer();
    expect((await runtime.complete()).provider).toBe('a');
  });
});

describe('a context that is too long', () => {
  const model = (contextWindow: number) => ({ models: { m: { contextWindow } } });

  test('goes to candidates with a larger known window only', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: model(1_000), b: model(1_000), c: model(500), d: model(2_000) },
    });
    runtime.provider('a').always = fail('context-too-long');
    expect((await runtime.complete()).attempts.map((attempt) => attempt.provider)).toEqual(['a', 'd']);
  });

  test('is told when nobody has a larger one', async () => {
    await using runtime = await createTestRuntime({ providers: { a: model(2_000), b: model(1_000) } });
    runtime.provider('a').always = fail('context-too-long');
    expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({
      code: 'context-too-long',
      provider: 'a',
    });
    expect(runtime.provider('b').attempts).toEqual([]);
  });

  test('is not sent to a model whose window is known to be smaller than the input', async () => {
    await using runtime = await createTestRuntime({ providers: { a: model(100), b: model(100_000) } });
    expect((await runtime.complete(ask('word '.repeat(2_000)))).provider).toBe('b');
    expect(await runtime.failure(runtime.service.completion(ask('word '.repeat(2_000), 'a/m')))).toMatchObject({
      code: 'context-too-long',
    });
    expect(runtime.provider('a').attempts).toEqual([]);
  });
});

describe('the deadline', () => {
  test('ends a request that waits in the queue, and it is never sent', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').always = answer('slow', { afterMs: 10_000 });
    const first = runtime.service.completion(ask('first'));
    expect(await runtime.failure(runtime.service.completion(ask('second'), { timeoutMs: 3_000 }))).toMatchObject({
      code: 'timeout',
      attempts: [],
    });
    expect(runtime.clock.nowMs()).toBe(3_000);
    await runtime.run(first);
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test.each([
    [30_000, 0],
    [90_000, 1],
  ])('of %i ms ends an attempt and blames the provider for %i failures', async (timeoutMs, failures) => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = hang();
    const error = await runtime.failure(runtime.service.completion(HELLO, { timeoutMs }));
    expect(error).toMatchObject({
      code: 'timeout',
      attempts: [{ provider: 'a', outcome: failures === 0 ? 'abandoned' : 'failed', durationMs: timeoutMs }],
    });
    expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: true }]);
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(failures);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('is checked before a retry: one that would come too late is not waited for', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = fail('upstream-error', { retryAfterMs: 4_000 });
    const error = await runtime.failure(runtime.service.completion(HELLO, { timeoutMs: 3_000 }));
    expect(error).toMatchObject({ code: 'provider-error', retryAfterMs: 4_000 });
    expect(runtime.clock.nowMs()).toBe(0);
  });

  test('covers all attempts together', async () => {
    await using runtime = await createTestRuntime(TWO);
    for (const name of ['a', 'b']) runtime.provider(name).always = fail('upstream-error', { afterMs: 2_000 });
    const error = await runtime.failure(runtime.service.completion(ask('x', 'smart'), { timeoutMs: 7_000 }));
    expect(error.code).toBe('timeout');
    expect(error.message).toContain('scripted upstream-error');
    expect(runtime.clock.nowMs()).toBe(7_000);
  });
});
