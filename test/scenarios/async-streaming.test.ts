/** Submitted requests are asked as streams where that can be had: what they gain by it, and that none of them pays for it. */
import { describe, expect, test } from 'vitest';
import { answer, cut, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, PRICED, rejection } from '../support/test-runtime.ts';

const ONE = { providers: { a: {} } };
const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const STREAM_REFUSED = { message: 'verify your organization to stream this model', status: 400, isStreamRefused: true };

const textOf = (count: number) => Array.from({ length: count }, (_, index) => `t${index} `).join('');

describe('a submitted request', () => {
  test('is asked as a stream, one that somebody waits for is not', async () => {
    await using runtime = await createTestRuntime(ONE);
    await runtime.result(await runtime.service.completionAsync(HELLO));
    await runtime.complete();
    await runtime.complete(HELLO, { idempotencyKey: 'k' });
    await runtime.run(runtime.service.embedding({ model: 'm', input: 'x' }));
    expect(runtime.provider('a').attempts.map(({ kind }) => kind)).toEqual(['stream', 'send', 'send', 'embed']);
  });

  test('is asked without where the provider has no streams, or cannot say', async () => {
    await using runtime = await createTestRuntime(ONE);
    const provider = runtime.provider('a');
    provider.lacks = new Set(['stream']);
    const { status } = await runtime.result(await runtime.service.completionAsync(HELLO));
    provider.lacks = {
      has: (feature: string) => {
        if (feature === 'stream') throw new Error('I never know');
        return false;
      },
    } as unknown as ReadonlySet<never>; // As an adapter of a user may be.
    const unsure = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect([status, unsure.status]).toEqual(['succeeded', 'succeeded']);
    expect(provider.attempts.map(({ kind }) => kind)).toEqual(['send', 'send']);
  });

  test('goes to another provider when its first token does not come in time, not a minute later', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = hang();
    const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
    expect(result).toMatchObject({
      status: 'succeeded',
      response: {
        provider: 'b',
        attempts: [{ provider: 'a', outcome: 'failed', durationMs: 12_000 }, { provider: 'b' }],
      },
    });
    expect(runtime.clock.nowMs()).toBe(12_000);
  });

  test('may take as long as it goes on, with others ready to take over', async () => {
    await using runtime = await createTestRuntime(TWO);
    // Eight minutes, where the whole of an unstreamed answer may take one.
    runtime.provider('a').always = tokens(100, 5_000, finish());
    const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
    expect(result).toMatchObject({
      status: 'succeeded',
      response: { provider: 'a', text: textOf(100), attempts: [{}] },
    });
  });

  test.each(['live', 'whole', 'restart'] as const)(
    'whose answer breaks off is answered by another, whatever delivery (%s) stands for streams, and the break is billed',
    async (delivery) => {
      await using runtime = await createTestRuntime({
        ...TWO,
        service: { delivery },
        providers: { a: { models: PRICED }, b: { models: PRICED } },
      });
      runtime.provider('a').always = tokens(40, 10, cut());
      const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
      expect(result).toMatchObject({
        status: 'succeeded',
        response: { provider: 'b', text: 'fine', attempts: [{ provider: 'a', outcome: 'failed' }, { provider: 'b' }] },
      });
      const { costByProvider } = await runtime.service.costSummary();
      expect(costByProvider['a']?.usdNanos).toBeGreaterThan(0);
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
  );

  test('that stalls at the last provider left is waited for as long as a caller would, and then asked again', async () => {
    await using runtime = await createTestRuntime({ ...ONE, service: { timeoutMs: 100_000 } });
    runtime.provider('a').plan(
      async function* (call) {
        yield { type: 'text', text: 'slow ' };
        await pause(call, 90_000);
        yield { type: 'text', text: 'but sure' };
        yield* finish()(call);
      },
      tokens(2, 0, hang()),
    );
    const slow = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(slow).toMatchObject({ status: 'succeeded', response: { text: 'slow but sure', attempts: [{}] } });
    const beganAtMs = runtime.clock.nowMs();
    const hung = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(hung).toMatchObject({
      status: 'succeeded',
      response: { text: 'fine', attempts: [{ outcome: 'failed', durationMs: 100_000 }, { outcome: 'answered' }] },
    });
    expect(runtime.clock.nowMs() - beganAtMs).toBeLessThan(110_000);
  });

  test('does not hold a slot while its stream stalls', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').plan(tokens(2, 0, hang()), answer('next'));
    await runtime.service.completionAsync(ask('1'));
    const next = await runtime.service.completionAsync(ask('2'));
    expect(await runtime.result(next)).toMatchObject({ status: 'succeeded', response: { text: 'next' } });
    expect(runtime.clock.nowMs()).toBe(15_000);
  });

  test('that fails for good tells what had come', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(4, 10, fail('content-filtered'));
    const result = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(result).toMatchObject({
      status: 'failed',
      error: { code: 'content-filtered', partial: { text: textOf(4) } },
    });
  });
});

describe('a model that refuses to stream', () => {
  test('is asked without in the same attempt, and from then on always without', async () => {
    await using runtime = await createTestRuntime(TWO);
    const { provider } = { provider: runtime.provider('a') };
    provider.plan(fail('invalid-request', STREAM_REFUSED));
    provider.always = answer('in one piece');
    const first = await runtime.result(await runtime.service.completionAsync(ask('1', 'smart')));
    const second = await runtime.result(await runtime.service.completionAsync(ask('2', 'smart')));
    for (const result of [first, second])
      expect(result).toMatchObject({
        status: 'succeeded',
        response: { provider: 'a', text: 'in one piece', attempts: [{ outcome: 'answered' }] },
      });
    expect(provider.attempts.map(({ kind }) => kind)).toEqual(['stream', 'send', 'send']);
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ failureCount: 0, successCount: 2 });
  });

  test('says nothing of other models, and is asked again after its provider was replaced', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: ['m', 'n'] } } });
    const provider = runtime.provider('a');
    provider.plan(fail('false-success', STREAM_REFUSED));
    for (const model of ['m', 'm', 'n']) await runtime.result(await runtime.service.completionAsync(ask('x', model)));
    await runtime.reload({ a: { models: ['m', 'n'], baseURL: 'http://127.0.0.1:1' } });
    await runtime.result(await runtime.service.completionAsync(ask('x', 'm')));
    expect(provider.attempts.map(({ kind, model }) => `${kind} ${model}`)).toEqual([
      'stream m',
      'send m',
      'send m',
      'stream n',
      'stream m',
    ]);
  });

  test('has as long for the whole answer as any that is not streamed', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(fail('invalid-request', STREAM_REFUSED));
    runtime.provider('a').always = answer('in one piece', { afterMs: 50_000 });
    for (const prompt of ['1', '2']) {
      const result = await runtime.result(await runtime.service.completionAsync(ask(prompt, 'smart')));
      expect(result).toMatchObject({ response: { provider: 'a', attempts: [{ durationMs: 50_000 }] } });
    }
    runtime.provider('a').always = hang();
    const hung = await runtime.result(await runtime.service.completionAsync(ask('3', 'smart')));
    expect(hung).toMatchObject({ response: { provider: 'b', attempts: [{ durationMs: 60_000 }, {}] } });
  });

  test('and the request too is refused for what is wrong with the request, and streams the next time', async () => {
    await using runtime = await createTestRuntime(ONE);
    const provider = runtime.provider('a');
    provider.plan(fail('invalid-request', STREAM_REFUSED), fail('invalid-request', { message: 'temperature is 3' }));
    const refused = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(refused).toMatchObject({
      status: 'failed',
      error: { code: 'invalid-request', message: 'a/m: temperature is 3', attempts: [{ outcome: 'refused' }] },
    });
    await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(provider.attempts.map(({ kind }) => kind)).toEqual(['stream', 'send', 'stream']);
  });

  test('and then says nothing at all is asked to stream the next time', async () => {
    await using runtime = await createTestRuntime(TWO);
    const provider = runtime.provider('a');
    provider.plan(fail('invalid-request', STREAM_REFUSED), answer('', { usage: {} }));
    for (const prompt of ['1', '2']) await runtime.result(await runtime.service.completionAsync(ask(prompt, 'smart')));
    expect(provider.attempts.map(({ kind }) => kind)).toEqual(['stream', 'send', 'stream']);
  });

  test('is not blamed before its own limit, and any other is after its first token is late', async () => {
    await using runtime = await createTestRuntime(ONE);
    const lastError = () => runtime.service.providerStates()['a']?.breaker.lastError;
    runtime.provider('a').plan(hang(), fail('invalid-request', STREAM_REFUSED), answer(), hang());
    const hung = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(12_000);
    expect(lastError()).toBe('no answer within 12000 ms');
    await runtime.run(runtime.service.cancel(hung));
    await runtime.result(await runtime.service.completionAsync(HELLO));
    await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(60_000);
    expect(lastError()).toBe('no answer within 60000 ms');
  });

  test.each([
    ['without saying that it is about streams', fail('invalid-request', { message: 'no' })],
    ['after content', tokens(1, 0, fail('invalid-request', STREAM_REFUSED))],
  ])('%s is not asked again', async (_how, behaviour) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').plan(behaviour);
    const result = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(result).toMatchObject({ status: 'failed', error: { code: 'invalid-request' } });
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });

  test('tells so to whoever asked for a stream', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('invalid-request', STREAM_REFUSED);
    const error = await runtime.failure(runtime.service.completionStream(HELLO).response);
    expect(error).toMatchObject({ code: 'invalid-request' });
    expect(error.message).toContain('verify your organization');
    expect(runtime.provider('a').attempts).toMatchObject([{ kind: 'stream' }]);
  });
});

describe('an answer without an end', () => {
  test.each(['stream', 'async'] as const)('is broken off at sixteen million characters (%s)', async (mode) => {
    await using runtime = await createTestRuntime({ ...ONE, service: { delivery: 'whole' } });
    const piece = 'x'.repeat(1_048_576);
    let written = 0;
    runtime.provider('a').always = async function* () {
      for (;;) {
        written += 1;
        yield { type: 'text', text: piece };
      }
    };
    const { service } = runtime;
    if (mode === 'stream') {
      const error = await runtime.run(rejection(service.completionStream(HELLO).response));
      expect(error).toMatchObject({ code: 'provider-error' });
    } else {
      const requestId = await service.completionAsync(HELLO);
      await runtime.clock.settle();
      expect(await service.getResult(requestId)).toMatchObject({ status: 'queued' });
      await runtime.run(service.cancel(requestId));
    }
    expect(runtime.eventsOf('attempt.failed')).toMatchObject([{ kind: 'broken' }]);
    expect(written).toBe(17);
  });
});
