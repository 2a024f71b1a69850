import { describe, expect, test } from 'vitest';
import { echo, fail, hang, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

/** Down until `untilMs`, then healthy. */
const downUntil = (untilMs: number, afterMs = 0) =>
  when(({ clock }) => (clock.nowMs() < untilMs ? fail('connection') : echo(afterMs)));

describe('a total outage of 90 s', () => {
  test('is outlived by an async low request, with few attempts and a result that can be read again', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } });
    for (const name of ['a', 'b']) runtime.provider(name).always = downUntil(90_000);
    const requestId = await runtime.service.completionAsync(ask('patience', 'smart'), { priority: 'low' });
    await runtime.clock.advance(89_000);
    expect(['queued', 'running']).toContain((await runtime.service.getResult(requestId)).status);
    const result = await runtime.result(requestId);
    expect(result).toMatchObject({ status: 'succeeded', response: { text: expect.stringContaining('patience') } });
    expect(runtime.clock.nowMs()).toBeLessThan(90_000 + 60_000);
    expect(runtime.provider('a').attempts.length + runtime.provider('b').attempts.length).toBeLessThanOrEqual(40);
    expect(await runtime.service.getResult(requestId)).toEqual(result);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('is outlived by 500 of them; afterwards concurrency ramps up from one', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 50 } } });
    const provider = runtime.provider('a');
    provider.always = downUntil(90_000, 1_000);
    const ids = await Promise.all(
      Array.from({ length: 500 }, (_, index) => runtime.service.completionAsync(ask(`r${index}`), { priority: 'low' })),
    );
    await runtime.clock.advance(90_000);
    const during = provider.attempts.length;
    expect(during).toBeLessThanOrEqual(100);
    provider.peak = 0;
    const curve: number[] = [];
    const watched = provider.always;
    provider.always = (call) => {
      curve.push(provider.running);
      return watched(call);
    };
    const results = await Promise.all(
      ids.map((id) => runtime.service.getResult(id, { waitMs: 3_600_000 })).map((result) => runtime.run(result)),
    );
    expect(results.map((result) => result.status === 'succeeded' && result.response.text)).toEqual(
      ids.map((_, index) => `a: r${index}`),
    );
    expect(curve.slice(0, 3)).toEqual([1, 1, 1]);
    for (const [index, running] of curve.entries()) expect(running).toBeLessThanOrEqual(1 + Math.sqrt(2 * index + 2));
    expect(provider.attempts.length - during).toBeLessThanOrEqual(510);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('is not noticed by an async request that is submitted while every breaker is open', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = downUntil(90_000);
    await openBreaker(runtime);
    const requestId = await runtime.service.completionAsync(HELLO);
    expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded' });
  });

  test('ends an async request at its own deadline when that comes first', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = downUntil(90_000);
    const requestId = await runtime.service.completionAsync(HELLO, { timeoutMs: 30_000 });
    expect(await runtime.result(requestId)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    expect(runtime.clock.nowMs()).toBe(30_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

/** Fails sync requests until the breaker of `a` is open and its forced probe is used. */
async function openBreaker(runtime: TestRuntime): Promise<void> {
  for (let index = 0; index < 4; index++) await runtime.failure(runtime.service.completion(HELLO));
  expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
}

describe('when every candidate is open', () => {
  test('one forced probe goes out, and then sync callers learn at once when it is worth coming back', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const provider = runtime.provider('a');
    provider.always = fail('connection');
    await openBreaker(runtime);
    const before = { asked: provider.attempts.length, nowMs: runtime.clock.nowMs() };
    const errors = await Promise.all(
      Array.from({ length: 20 }, () => runtime.failure(runtime.service.completion(HELLO))),
    );
    expect(runtime.clock.nowMs()).toBe(before.nowMs);
    expect(provider.attempts.length - before.asked).toBeLessThanOrEqual(1);
    const { code, retryAfterMs = 0 } = errors.at(-1) ?? {};
    expect(code).toBe('providers-unavailable');
    provider.always = echo();
    await runtime.clock.advance(retryAfterMs - 1_000);
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
    await runtime.clock.advance(1_000);
    expect((await runtime.complete()).provider).toBe('a');
  });

  test('a forced probe that succeeds brings the provider back before its time', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    const provider = runtime.provider('a');
    provider.plan(...Array.from({ length: 5 }, () => fail('connection')));
    for (let index = 0; index < 5; index++) await runtime.failure(runtime.service.completion(HELLO));
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
    expect((await runtime.complete()).text).toBe('fine');
    expect((await runtime.complete()).text).toBe('fine');
    expect(runtime.clock.nowMs()).toBe(0);
    expect(runtime.eventsOf('breaker.closed')).toHaveLength(1);
  });

  test('a probe that hangs keeps nobody waiting and ends with its lease', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { timeouts: { unstreamedMs: 20_000 } } } });
    const provider = runtime.provider('a');
    provider.always = fail('connection');
    await openBreaker(runtime);
    provider.always = hang();
    await runtime.clock.advance(18_500);
    const probe = rejection(runtime.service.completion(HELLO, { timeoutMs: 120_000 }));
    await runtime.clock.settle();
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('halfOpen');
    const error = await runtime.failure(runtime.service.completion(HELLO));
    expect(error).toMatchObject({ code: 'providers-unavailable' });
    expect(error.retryAfterMs).toBeLessThanOrEqual(25_000);
    await runtime.clock.advance(25_001);
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
    expect(await runtime.run(probe)).toMatchObject({ code: 'timeout' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('an idle provider', () => {
  test('is known to be down by its free checks before a caller pays for it, and comes back by a request only', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { health: { intervalMs: 5_000 } }, b: {} },
      models: { smart: ['a/m', 'b/m'] },
    });
    runtime.provider('a').check = fail('connection');
    await runtime.clock.advance(40_000);
    expect((await runtime.service.healthStatus())['a']).toMatchObject({
      status: 'unhealthy',
      breaker: { state: 'open', lastError: expect.stringMatching(/^health check: /) },
      recentErrors: expect.arrayContaining([
        expect.objectContaining({ message: expect.stringMatching(/^health check: /) }),
      ]),
    });
    runtime.provider('a').always = fail('connection');
    expect((await runtime.complete(ask('x', 'smart'))).attempts).toHaveLength(1);
    runtime.provider('a').check = echo();
    await runtime.clock.advance(600_000);
    expect(runtime.service.providerStates()['a']?.breaker.state).not.toBe('closed');
  });
});
