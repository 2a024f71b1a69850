/** What other gateways learned the hard way, each lesson a guarantee of ours. The names in brackets are theirs. */
import { describe, expect, test } from 'vitest';
import { answer, type Behaviour, cut, fail, finish, hang, pause, tokens, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

const TWO = { providers: { a: { retry: { maxRetries: 0 } }, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const SMART = ask('x', 'smart');
const HOUR_MS = 3_600_000;

const breakerOf = (runtime: TestRuntime) => runtime.service.providerStates()['a']?.breaker;

/** Opens the breaker of `a` and waits until it would take a probe. */
async function halfOpen(runtime: TestRuntime): Promise<void> {
  runtime.provider('a').always = fail('connection');
  while (breakerOf(runtime)?.state === 'closed') await runtime.complete(SMART);
  await runtime.clock.advance(18_001);
  expect(breakerOf(runtime)?.state).toBe('halfOpen');
}

describe('a half-open breaker whose probe says nothing of the provider (voidllm)', () => {
  test.each<[string, Behaviour]>([
    ['is throttled', fail('rate-limited', { retryAfterMs: 30_000 })],
    ['is refused its key', fail('unauthorized')],
    ['asks for an unknown model', fail('model-not-found')],
    ['is too long', fail('context-too-long')],
    ['is refused its content', fail('content-filtered')],
    ['is no valid request', fail('invalid-request')],
  ])('that %s: stays half-open, counts nothing, and lets others probe it', async (_name, behaviour) => {
    await using runtime = await createTestRuntime({
      ...TWO,
      providers: { a: { retry: { maxRetries: 0 }, models: ['m', 'n'] }, b: {} },
    });
    await halfOpen(runtime);
    runtime.provider('a').plan(behaviour);
    await runtime.run(runtime.service.completion(SMART).catch(() => undefined));
    expect(breakerOf(runtime)).toMatchObject({ state: 'halfOpen', successCount: 0 });
    runtime.provider('a').always = answer();
    await runtime.clock.advance(30_000);
    for (let index = 0; index < 2; index += 1) expect((await runtime.complete(ask('x', 'a/n'))).provider).toBe('a');
    expect(breakerOf(runtime)?.state).toBe('closed');
  });

  test('is not closed by a hundred of them: never answered is no success (langwatch)', async () => {
    await using runtime = await createTestRuntime(TWO);
    await halfOpen(runtime);
    runtime.provider('a').always = fail('invalid-request');
    for (let index = 0; index < 100; index += 1) await runtime.failure(runtime.service.completion(SMART));
    expect(breakerOf(runtime)).toMatchObject({ state: 'halfOpen', successCount: 0 });
    expect((await runtime.service.healthStatus())['a']?.status).toBe('degraded');
  });
});

test('four hours of 429 are no standstill: every request is answered elsewhere, and few are spent on asking (langwatch)', async () => {
  await using runtime = await createTestRuntime(TWO);
  runtime.provider('a').always = fail('rate-limited', { retryAfterMs: 60_000 });
  for (let minute = 0; minute < 240; minute += 1) {
    for (let index = 0; index < 5; index += 1) {
      expect((await runtime.complete(SMART)).provider).toBe('b');
      await runtime.clock.advance(12_000);
    }
  }
  expect(runtime.provider('a').attempts.length).toBeLessThanOrEqual(4 * 60 + 1);
  expect(breakerOf(runtime)).toMatchObject({ state: 'closed', failureCount: 0 });
  runtime.provider('a').always = answer();
  await runtime.clock.advance(60_000);
  expect((await runtime.complete(SMART)).provider).toBe('a');
});

describe('the outcome of a stream (ferro-labs)', () => {
  test('is recorded at its end, not at its headers or its first token', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = tokens(5, 1_000, finish());
    const response = runtime.service.completionStream(SMART).response;
    await runtime.clock.advance(3_500);
    expect(breakerOf(runtime)).toMatchObject({ successCount: 0, failureCount: 0 });
    await runtime.run(response);
    expect(breakerOf(runtime)).toMatchObject({ successCount: 1, failureCount: 0 });
  });

  test('is a failure when it breaks after content, whatever was delivered by then', async () => {
    await using runtime = await createTestRuntime(TWO);
    for (const delivery of ['live', 'whole', 'restart'] as const) {
      runtime.provider('a').plan(tokens(5, 0, cut()));
      await runtime.run(runtime.service.completionStream(SMART, { delivery }).response.catch(() => undefined));
    }
    expect(breakerOf(runtime)).toMatchObject({ successCount: 0, failureCount: 3 });
  });

  test.each(['before', 'after'] as const)(
    'whose caller leaves %s content is neither a success nor a failure',
    async (moment) => {
      await using runtime = await createTestRuntime(TWO);
      runtime.provider('a').always = moment === 'before' ? hang() : tokens(2, 0, hang());
      for (let index = 0; index < 20; index += 1) {
        const stream = runtime.service.completionStream(SMART);
        const ended = runtime.failure(stream.response);
        await runtime.clock.advance(1_000);
        stream.cancel();
        expect((await ended).code).toBe('cancelled');
      }
      expect(breakerOf(runtime)).toMatchObject({ state: 'closed', successCount: 0, failureCount: 0 });
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
  );
});

describe('a refusal of our own making (OmniRoute)', () => {
  test('pacing holds no gate, shrinks no limit and counts nowhere', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { requestsPerMinute: 10 } } } });
    const answers = Array.from({ length: 12 }, () =>
      runtime.service.completion(HELLO, { timeoutMs: 30_000 }).then(
        () => 'answered',
        (error: { code: string }) => error.code,
      ),
    );
    const outcomes = await runtime.run(Promise.all(answers));
    expect(new Set(outcomes)).toEqual(new Set(['answered', 'timeout']));
    expect(runtime.service.providerStates()['a']).toMatchObject({
      breaker: { state: 'closed', failureCount: 0 },
      gate: 'clear',
      credentials: [{ state: 'usable' }],
      concurrency: { limit: 32 },
    });
    expect(runtime.eventsOf('gate.held')).toEqual([]);
  });

  test('a full queue does as little', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1 } },
      service: { queueDepthMax: 1 },
    });
    runtime.provider('a').always = answer('fine', { afterMs: 1_000 });
    const before = runtime.service.providerStates()['a'];
    const running = runtime.service.completion(HELLO);
    await runtime.clock.settle();
    const waiting = runtime.service.completion(HELLO);
    for (let index = 0; index < 50; index += 1)
      expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({ code: 'queue-full' });
    await runtime.run(Promise.all([running, waiting]));
    expect(runtime.service.providerStates()['a']).toEqual({
      ...before,
      breaker: { ...before?.breaker, successCount: 2 },
    });
  });
});

describe('a fallback (agentmemory)', () => {
  test('is asked for its own model name, not for that of the one it stands in for', async () => {
    await using runtime = await createTestRuntime({
      providers: {
        a: { models: ['big-one'], retry: { maxRetries: 0 } },
        b: { models: ['other-name'] },
        c: { models: ['third'] },
      },
      models: { smart: ['a/big-one', 'b/other-name'] },
    });
    for (const name of ['a', 'b'])
      runtime.provider(name).always = when(({ provider, model }) =>
        model === (provider === 'a' ? 'big-one' : 'other-name') ? fail('broken') : fail('model-not-found'),
      );
    const response = await runtime.complete(ask('x', 'smart'), { fallbacks: ['c/third'] });
    expect(response).toMatchObject({ provider: 'c', model: 'third' });
    expect(['a', 'b', 'c'].map((name) => runtime.provider(name).attempts.map(({ model }) => model))).toEqual([
      ['big-one'],
      ['other-name'],
      ['third'],
    ]);
    expect(runtime.service.providerStates()['b']?.quarantinedModels).toEqual([]);
  });

  test('is asked what the first one was asked: an answer that broke is never continued by prefilling another model', async () => {
    await using runtime = await createTestRuntime(TWO);
    const asked: unknown[] = [];
    const note =
      (then: Behaviour): Behaviour =>
      (call) => {
        asked.push(call.request);
        return then(call);
      };
    runtime.provider('a').always = note(tokens(40, 10, cut()));
    runtime.provider('b').always = note(tokens(60, 10, finish()));
    for (const delivery of ['whole', 'restart'] as const)
      await runtime.run(runtime.service.completionStream(SMART, { delivery }).response);
    expect(asked).toHaveLength(4);
    for (const request of asked) expect(request).toEqual(asked[0]);
    expect(JSON.stringify(asked)).not.toContain('assistant');
  });
});

describe('a very long Retry-After (cline, Bifrost)', () => {
  test('is kept to, told to callers and shown to operators, and nobody sleeps through it', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = fail('rate-limited', { retryAfterMs: 6 * HOUR_MS });
    const first = await runtime.failure(runtime.service.completion(HELLO));
    expect(first).toMatchObject({ code: 'rate-limited', retryAfterMs: 6 * HOUR_MS });
    await runtime.clock.advance(HOUR_MS);
    expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({
      code: 'rate-limited',
      retryAfterMs: 5 * HOUR_MS,
      attempts: [],
    });
    expect(runtime.service.providerStates()['a']?.credentials).toEqual([
      { id: 'a#1', state: 'held', heldForMs: 5 * HOUR_MS },
    ]);
    expect(runtime.clock.nowMs()).toBe(HOUR_MS);
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });
});

describe('one forced probe when everybody is open', () => {
  test('goes to the one that re-opens first; async requests stay and are woken, one per slot', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { retry: { maxRetries: 0 } }, b: { retry: { maxRetries: 0 } } },
      models: TWO.models,
    });
    const { service, clock } = runtime;
    for (const name of ['a', 'b']) runtime.provider(name).always = fail('connection');
    for (let index = 0; index < 5; index += 1) await runtime.failure(service.completion(ask('x', 'b/m')));
    await clock.advance(5_000);
    for (let index = 0; index < 5; index += 1) await runtime.failure(service.completion(ask('x', 'a/m')));
    const asked = () => ['a', 'b'].map((name) => runtime.provider(name).attempts.length);
    expect(asked()).toEqual([5, 5]);
    // `b` opened first and re-opens first.
    const errors = [];
    for (let index = 0; index < 10; index += 1) errors.push(await runtime.failure(service.completion(SMART)));
    expect(asked()).toEqual([6, 6]);
    expect(runtime.eventsOf('attempt.started').filter(({ isProbe }) => isProbe)).toMatchObject([
      { provider: 'b' },
      { provider: 'a' },
    ]);
    const { retryAfterMs = 0 } = errors.at(-1) ?? {};
    expect(errors.at(-1)).toMatchObject({ code: 'providers-unavailable', attempts: [] });
    const opens = Object.values(service.providerStates()).map(
      ({ breaker }) => (breaker.nextProbeAt ?? 0) - clock.wallMs(),
    );
    expect(Math.abs(retryAfterMs - Math.min(...opens))).toBeLessThanOrEqual(1);
    const ids = await Promise.all(Array.from({ length: 30 }, () => service.completionAsync(SMART)));
    await clock.advance(retryAfterMs - 1);
    expect(asked()).toEqual([6, 6]);
    for (const name of ['a', 'b'])
      runtime.provider(name).always = async function* (call) {
        await pause(call, 1_000);
        yield* answer()(call);
      };
    runtime.provider('a').peak = 0;
    runtime.provider('b').peak = 0;
    await clock.advance(2);
    expect(runtime.provider('a').running + runtime.provider('b').running).toBe(1);
    for (const id of ids) expect(await runtime.result(id)).toMatchObject({ status: 'succeeded' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});
