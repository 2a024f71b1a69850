import { describe, expect, test } from 'vitest';
import { FAILURE_POLICY, type FailureKind } from '../../src/contract/failures.ts';
import { answer, fail } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT } from '../support/test-runtime.ts';

const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };

describe('candidates', () => {
  test('an alias is tried in the order it lists its candidates', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { priority: 1 }, b: { priority: 9 } },
      models: { smart: ['b/m', 'a/m'] },
    });
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('b');
    runtime.provider('b').always = fail('broken');
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('a');
  });

  test('a bare model id is tried at every provider that lists it, lowest priority first', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { priority: 3 }, b: { priority: 1 }, c: { priority: 2 }, d: { models: ['other'], priority: 0 } },
    });
    for (const name of ['b', 'c']) runtime.provider(name).always = fail('broken');
    const response = await runtime.complete(HELLO);
    expect(response.attempts.map((attempt) => attempt.provider)).toEqual(['b', 'c', 'a']);
    expect(runtime.provider('d').attempts).toEqual([]);
  });

  test('a pin never leaves its provider, whatever happens there', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = fail('upstream-error');
    const error = await runtime.failure(runtime.service.completion(ask('x', 'a/m')));
    expect(error).toMatchObject({ code: 'provider-error', provider: 'a' });
    expect(error.attempts).toHaveLength(3);
    expect(runtime.provider('b').attempts).toEqual([]);
  });

  test('fallbacks are tried after the candidates of the model, each once', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: {}, b: {}, c: {} },
      models: { pair: ['b/m', 'a/m'] },
    });
    for (const name of ['a', 'b']) runtime.provider(name).always = fail('broken');
    const response = await runtime.complete(ask('x', 'a/m'), { fallbacks: ['pair', 'c/m'] });
    expect(response.attempts.map((attempt) => attempt.provider)).toEqual(['a', 'b', 'c']);
  });

  test.each([['none' as const], [[]]])('fallbacks %j leave the first candidate only', async (fallbacks) => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = fail('broken');
    expect(await runtime.failure(runtime.service.completion(ask('x', 'smart'), { fallbacks }))).toMatchObject({
      code: 'provider-error',
    });
    expect(runtime.provider('b').attempts).toEqual([]);
  });

  test('an unknown model or fallback is refused with names that would have worked, and nothing is sent', async () => {
    await using runtime = await createTestRuntime(TWO);
    const error = await runtime.failure(runtime.service.completion(ask('x', 'nope')));
    expect(error).toMatchObject({ code: 'unknown-model', param: 'model' });
    expect(error.message).toMatch(/smart.*a\/m/);
    expect(await runtime.failure(runtime.service.completion(HELLO, { fallbacks: ['nope'] }))).toMatchObject({
      code: 'unknown-model',
    });
    expect(runtime.provider('a').attempts).toEqual([]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('an error names the target that failed last once, also where its adapter has named it already', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    for (const message of ['a: it answered 400', 'it answered 400']) {
      runtime.provider('a').always = fail('invalid-request', { message });
      expect((await runtime.failure(runtime.service.completion(ask('x', 'a/m')))).message).toBe('a/m: it answered 400');
    }
  });

  test('a model whose providers are all left out of the config is not offered, which is no outage', async () => {
    await using runtime = await createTestRuntime({
      providers: { on: {}, off: { enabled: 'whenKeyed', apiKey: '' } },
      models: { sleeping: ['off/m'], smart: ['off/m', 'on/m'] },
    });
    const { service } = runtime;
    for (const model of ['off/m', 'sleeping']) {
      const error = await runtime.failure(service.completion(ask('x', model)));
      expect(error).toMatchObject({ code: 'unknown-model', param: 'model', retryAfterMs: undefined });
      expect(error.message).toMatch(/is active.*set an API key or enable one and reload/);
    }
    const requestId = await service.completionAsync(ask('x', 'off/m'));
    expect(await runtime.result(requestId)).toMatchObject({ status: 'failed', error: { code: 'unknown-model' } });
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('on');
  });

  test('a provider that lacks what the request needs is passed over', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').lacks = new Set(['tools']);
    const tools = [{ name: 'look', parameters: { type: 'object' } }];
    expect((await runtime.complete({ ...ask('x', 'smart'), tools })).provider).toBe('b');
    runtime.provider('b').lacks = new Set(['tools']);
    const error = await runtime.failure(runtime.service.completion({ ...ask('x', 'smart'), tools }));
    expect(error).toMatchObject({ code: 'invalid-request' });
    expect(error.message).toContain('cannot serve tools');
  });
});

const KINDS = (Object.keys(FAILURE_POLICY) as FailureKind[]).filter(
  (kind) => !['deadline', 'deadline-overdue', 'abandoned'].includes(kind),
);

describe.each(KINDS)('a provider that always fails with %s', (kind) => {
  const meaning = FAILURE_POLICY[kind];
  const hasFallback = meaning.nextCandidate !== 'no';
  const here = meaning.retryHere === 'backoff' ? 3 : meaning.retryHere === 'gate' ? 2 : 1;

  test(`is asked ${here} times and then ${hasFallback ? 'the next candidate answers' : 'the caller is told'}`, async () => {
    await using runtime = await createTestRuntime({ ...TWO, seed: 7 });
    runtime.provider('a').always = fail(kind, { message: 'the reason' });
    const asked = runtime.service.completion(ask('x', 'smart'));
    if (hasFallback) {
      const response = await runtime.run(asked);
      expect(response.provider).toBe('b');
      expect(response.attempts.at(0)).toMatchObject({
        provider: 'a',
        outcome: meaning.outcome,
        code: meaning.code,
        message: 'the reason',
      });
    } else {
      const error = await runtime.failure(asked);
      expect(error).toMatchObject({ code: meaning.code, provider: 'a' });
      expect(error.message).toContain('the reason');
      expect(runtime.provider('b').attempts).toEqual([]);
    }
    expect(runtime.provider('a').attempts).toHaveLength(here);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test(`${meaning.breaker === 'failure' ? 'counts against' : 'leaves alone'} the breaker`, async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    runtime.provider('a').always = fail(kind);
    await runtime.failure(runtime.service.completion(HELLO));
    const { failureCount, state } = runtime.service.providerStates()['a']?.breaker ?? {};
    expect({ failureCount, state }).toEqual({ failureCount: meaning.breaker === 'failure' ? 1 : 0, state: 'closed' });
  });

  test('ends with its own code when nobody else is left', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    runtime.provider('a').always = fail(kind);
    const error = await runtime.failure(runtime.service.completion(HELLO));
    expect(error).toMatchObject({ code: meaning.code, provider: 'a' });
    expect(error.requestId).toMatch(/^req_/);
    expect(error.attempts).toHaveLength(1);
  });
});

describe('retries', () => {
  test.each([0, 1, 3])('maxRetries %i means that many retries and no more', async (maxRetries) => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries } } } });
    runtime.provider('a').always = fail('connection');
    await runtime.failure(runtime.service.completion(HELLO));
    expect(runtime.provider('a').attempts).toHaveLength(1 + maxRetries);
  });

  test('one request makes at most eight attempts, however many candidates there are', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    await using runtime = await createTestRuntime({ providers: Object.fromEntries(names.map((name) => [name, {}])) });
    for (const name of names) runtime.provider(name).always = fail('upstream-error');
    const error = await runtime.failure(runtime.service.completion(HELLO));
    expect(error.attempts).toHaveLength(8);
  });

  test('while everything fails, the retries of a credential stay within its budget', async () => {
    // Opens only when every call of the window failed, which the first one prevents.
    const breaker = { minimumCalls: 2, failureRate: 1, consecutiveFailures: 10_000 };
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 10 }, breaker } } });
    runtime.provider('a').plan(answer());
    await runtime.complete(HELLO);
    runtime.provider('a').always = fail('connection');
    const requests = Array.from({ length: 300 }, () => runtime.service.completion(HELLO).catch(() => undefined));
    await runtime.run(Promise.all(requests));
    const attempts = runtime.provider('a').attempts.length;
    expect(attempts).toBeLessThanOrEqual(301 * 1.2 + runtime.clock.nowMs() / 10_000 + 20);
    expect(attempts).toBeGreaterThan(301 + 20);
  });

  test('a retry is charged to the budget once', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { breaker: { failureRate: 1 } } } });
    runtime.provider('a').always = (call) => (call.number % 2 === 1 ? fail('connection') : answer())(call);
    // Each costs 1 and gains 0.2 of the 20 there are.
    for (let index = 0; index < 24; index++) expect((await runtime.complete(HELLO)).attempts).toHaveLength(2);
  });

  test('a backoff holds no slot', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1, retry: { baseMs: 8_000, capMs: 8_000 } } },
      seed: 3,
    });
    runtime.provider('a').plan(fail('connection'));
    const first = runtime.service.completion(ask('first'));
    await runtime.clock.settle();
    const second = await runtime.complete(ask('second'));
    expect(second.latency.totalMs).toBe(0);
    expect((await runtime.run(first)).attempts).toHaveLength(2);
    expect(runtime.clock.nowMs()).toBeGreaterThan(100);
  });
});
