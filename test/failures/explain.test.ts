/** `explain` says of every candidate why it would, or would not, be used now: each reason there is, one by one. */
import { describe, expect, test } from 'vitest';
import type { CompletionRequest, RequestOptions } from '../../src/contract/request.ts';
import { fail, hang } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, type TestRuntime, type TestRuntimeOptions } from '../support/test-runtime.ts';

const ONE: TestRuntimeOptions = { providers: { a: { retry: { maxRetries: 0 } } } };

/** Of the only candidate: whether it would be used, and why. */
function explained(runtime: TestRuntime, request: CompletionRequest = HELLO, options: RequestOptions = {}) {
  const before = runtime.provider('a').calls.length;
  const [first] = runtime.service.explain(request, options).candidates;
  expect(runtime.provider('a').calls).toHaveLength(before);
  return { usable: first?.usable, why: first?.reasons.join('; ') };
}

async function failTimes(runtime: TestRuntime, times: number): Promise<void> {
  for (let index = 0; index < times; index += 1) await runtime.failure(runtime.service.completion(HELLO));
}

describe('a candidate that would be used', () => {
  test.each<[string, string, RequestOptions, string]>([
    ['of an alias', 'smart', {}, 'alias candidate, breaker admits'],
    ['that was pinned', 'a/m', {}, 'pin candidate, breaker admits'],
    ['that lists the model', 'm', {}, 'model candidate, breaker admits'],
  ])('%s says so', async (_name, model, options, why) => {
    await using runtime = await createTestRuntime({ ...ONE, models: { smart: ['a/m'] } });
    expect(explained(runtime, ask('x', model), options)).toEqual({ usable: true, why });
  });

  test('as a fallback says so', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} } });
    const { candidates } = runtime.service.explain(ask('x', 'a/m'), { fallbacks: ['b/m'] });
    expect(candidates.map(({ reasons }) => reasons)).toEqual([
      ['pin candidate, breaker admits'],
      ['fallback candidate, breaker admits'],
    ]);
  });

  test('says that it ramps up and has no slot free', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('rate-limited', { retryAfterMs: 0 });
    for (let index = 0; index < 12; index += 1) {
      await runtime.failure(runtime.service.completion(HELLO));
      await runtime.clock.advance(60_000);
    }
    runtime.provider('a').always = hang();
    void runtime.service.completion(HELLO).catch(() => undefined);
    await runtime.clock.settle();
    expect(explained(runtime)).toEqual({
      usable: true,
      why: 'model candidate, breaker admits, but its slots are taken while it ramps up',
    });
  });

  test('says that it is half-open and the request would be its probe', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('connection', { message: 'connect refused' });
    await failTimes(runtime, 6);
    await runtime.clock.advance(36_000);
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('halfOpen');
    expect(explained(runtime)).toEqual({
      usable: true,
      why: 'model candidate, breaker is half-open and this would be its probe',
    });
  });
});

describe('an open breaker', () => {
  test('says when it takes its next probe, what opened it and what the last error was', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('upstream-error', { message: 'answered 503: try later' });
    await failTimes(runtime, 5);
    const { usable, why } = explained(runtime);
    expect(usable).toBe(false);
    expect(why).toMatch(
      /^breaker is open, next probe in 1[2-8] s; opened because 5 calls in a row failed, the last one with: answered 503: try later$/,
    );
  });

  test('that a share of calls opened says which share', async () => {
    await using runtime = await createTestRuntime(ONE);
    for (let index = 0; index < 5; index += 1) {
      await runtime.complete();
      runtime.provider('a').plan(fail('connection'));
      await runtime.failure(runtime.service.completion(HELLO));
    }
    expect(explained(runtime).why).toContain('opened because 5 of 10 calls failed within 60000 ms');
  });

  test('that a failed probe opened again says so', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('connection', { message: 'connect refused' });
    await failTimes(runtime, 6);
    expect(explained(runtime).why).toContain('opened because the probe failed, the last one with: connect refused');
  });

  test('that a probe without an end opened again says so', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { retry: { maxRetries: 0 }, timeouts: { unstreamedMs: 1_000 } } },
    });
    runtime.provider('a').always = fail('connection');
    await failTimes(runtime, 6);
    await runtime.clock.advance(18_000);
    runtime.provider('a').always = hang();
    void runtime.service.completion(HELLO).catch(() => undefined);
    await runtime.clock.advance(5_000);
    expect(explained(runtime).why).toBe(
      'breaker is half-open and its one probe is under way; opened because the probe failed, the last one with: scripted connection',
    );
    await runtime.clock.advance(1_000);
    expect(explained(runtime).why).toContain('opened because the probe did not end within its lease');
    expect(runtime.eventsOf('breaker.opened').at(-1)?.reason).toBe('the probe did not end within its lease');
  });

  test('keeps its reason when its actor crashes', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('connection');
    await failTimes(runtime, 5);
    await runtime.run(runtime.service.supervisor.restart('a'));
    expect(explained(runtime).why).toContain('opened because 5 calls in a row failed');
  });

  test('tells its callers when to come back, and not what others were told', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('connection', { message: 'what another caller was told' });
    await failTimes(runtime, 6);
    const error = await runtime.failure(runtime.service.completion(HELLO));
    expect(error).toMatchObject({ code: 'providers-unavailable', attempts: [] });
    expect(error.message).toContain('breaker is open, next probe in');
    expect(error.message).not.toContain('another caller');
  });
});

describe('a candidate that would not be used', () => {
  test('is held by a 429', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('rate-limited', { retryAfterMs: 90_000 });
    await runtime.failure(runtime.service.completion(HELLO, { timeoutMs: 1_000 }));
    expect(explained(runtime)).toEqual({ usable: false, why: 'rate limited by the provider for another 90 s' });
  });

  test.each([
    ['unauthorized', 2],
    ['quota-exhausted', 1],
  ] as const)('has no key left: %s', async (kind, times) => {
    await using runtime = await createTestRuntime({
      providers: { a: { apiKeys: ['key-one-canary', 'key-two-canary'], retry: { maxRetries: 0 } } },
    });
    runtime.provider('a').always = fail(kind);
    await failTimes(runtime, times);
    const { usable, why } = explained(runtime);
    expect(usable).toBe(false);
    expect(why).toMatch(new RegExp(`^no usable credential \\(a#1 ${kind}.*, a#2 ${kind}.*\\); set a working key`));
    expect(why).not.toContain('canary');
  });

  test('does not know the model', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('model-not-found');
    await failTimes(runtime, 1);
    await runtime.clock.advance(60_000);
    expect(explained(runtime)).toEqual({
      usable: false,
      why: 'the provider does not know model m; asked again in 540 s',
    });
  });

  test('is suspended by an operator', async () => {
    await using runtime = await createTestRuntime(ONE);
    await runtime.service.supervisor.suspend('a');
    expect(explained(runtime)).toEqual({ usable: false, why: 'its actor is suspended by an operator' });
  });

  test('has an actor that is restarting, and later one that was given up', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.inject((actor) => actor === 'provider/a');
    void runtime.service.completion(HELLO).catch(() => undefined);
    await runtime.clock.settle();
    expect(explained(runtime)).toEqual({ usable: false, why: 'its actor is restarting' });
    for (let index = 0; index < 10; index += 1) {
      void runtime.service.completion(HELLO).catch(() => undefined);
      await runtime.clock.advance(5_000);
    }
    expect(explained(runtime)).toEqual({
      usable: false,
      why: 'its actor kept crashing and was given up; revive it with supervisor.restart',
    });
  });

  test('lacks a feature', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').lacks = new Set(['tools', 'json']);
    const request: CompletionRequest = {
      ...HELLO,
      tools: [{ name: 'look', parameters: { type: 'object' } }],
      responseFormat: { type: 'json' },
    };
    expect(explained(runtime, request)).toEqual({ usable: false, why: 'cannot serve tools; cannot serve json' });
  });

  test('has too small a window', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: { m: { contextWindow: 20 } } } } });
    const { usable, why } = explained(runtime, ask('word '.repeat(100)));
    expect(usable).toBe(false);
    expect(why).toMatch(/^context window of 20 tokens is smaller than the input \(about 1\d\d\)$/);
  });

  test.each([
    ['off/m', /^left out: enabled is false; an operator has to change that$/],
    ['keyless/m', /^left out: .*key.*; an operator has to change that$/],
  ])('was left out of the config: %s', async (model, why) => {
    await using runtime = await createTestRuntime({
      providers: { a: {}, off: { enabled: false }, keyless: { enabled: 'whenKeyed', apiKey: '' } },
    });
    const { usable, why: said } = explained(runtime, ask('x', model));
    expect(usable).toBe(false);
    expect(said).toMatch(why);
  });
});
