import { describe, expect, test } from 'vitest';
import { answer, echo, fail, hang } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

const ONE = { providers: { a: {} } };

describe('getResult', () => {
  test('says queued, running and succeeded, and reading never deletes', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(1_000);
    const [first, second] = [await service.completionAsync(ask('1')), await service.completionAsync(ask('2'))];
    await clock.settle();
    expect(await service.getResult(first)).toEqual({ requestId: first, status: 'running' });
    expect(await service.getResult(second)).toEqual({ requestId: second, status: 'queued' });
    await clock.advance(2_000);
    const result = await service.getResult(second);
    expect(result).toMatchObject({
      requestId: second,
      status: 'succeeded',
      response: { requestId: second, text: 'a: 2', latency: { queuedMs: 1_000, totalMs: 2_000 } },
    });
    for (let index = 0; index < 3; index++) expect(await service.getResult(second)).toEqual(result);
  });

  test('waits up to waitMs, wakes at once when the request settles, and gives up waiting when its signal aborts', async () => {
    await using runtime = await createTestRuntime(ONE);
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(5_000);
    const requestId = await service.completionAsync(HELLO);
    const timers = clock.pendingTimers;
    const leaving = new AbortController();
    const [short, long, left] = [{ waitMs: 1_000 }, { waitMs: 60_000 }, { waitMs: 60_000, signal: leaving.signal }].map(
      (options) => {
        const wait = service.getResult(requestId, options).then(({ status }) => ({ status, atMs: clock.nowMs() }));
        return wait;
      },
    );
    await clock.advance(2_000);
    leaving.abort();
    await clock.advance(10_000);
    expect(await Promise.all([short, long, left])).toEqual([
      { status: 'running', atMs: 1_000 },
      { status: 'succeeded', atMs: 5_000 },
      { status: 'running', atMs: 2_000 },
    ]);
    expect(clock.pendingTimers).toBeLessThanOrEqual(timers);
  });

  test('of a failed request gives the error with its code, attempts and reason', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('invalid-request', { message: 'no such temperature' });
    const requestId = await runtime.service.completionAsync(HELLO);
    const result = await runtime.result(requestId);
    expect(result).toMatchObject({
      status: 'failed',
      error: {
        name: 'SwitchgearError',
        code: 'invalid-request',
        requestId,
        provider: 'a',
        attempts: [{ outcome: 'refused' }],
      },
    });
  });

  test('tells an unknown id from an expired one', async () => {
    await using runtime = await createTestRuntime({ ...ONE, store: { resultTtlMs: 60_000 } });
    const { service, clock } = runtime;
    const requestId = await service.completionAsync(HELLO);
    await clock.advance(59_000);
    expect((await service.getResult(requestId)).status).toBe('succeeded');
    await clock.advance(2_000);
    expect(await rejection(service.getResult(requestId))).toMatchObject({ code: 'request-expired', requestId });
    expect(await rejection(service.getResult('req_nope'))).toMatchObject({ code: 'request-not-found' });
    expect(await rejection(service.cancel('req_nope'))).toMatchObject({ code: 'request-not-found' });
  });
});

describe('cancel', () => {
  test('ends a queued and a running request and says so; a settled one it does not', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').plan(hang());
    const [running, queued] = [
      await service.completionAsync(ask('running')),
      await service.completionAsync(ask('queued')),
    ];
    await clock.settle();
    expect(await Promise.all([service.cancel(queued), service.cancel(running), service.cancel(running)])).toEqual([
      true,
      true,
      true,
    ]);
    for (const id of [running, queued])
      expect(await service.getResult(id)).toMatchObject({
        status: 'cancelled',
        error: { code: 'cancelled', requestId: id },
      });
    expect(runtime.provider('a').attempts).toMatchObject([{ prompt: 'running', isAborted: true }]);
    const done = await service.completionAsync(HELLO);
    await runtime.result(done);
    expect(await service.cancel(done)).toBe(false);
    expect(await service.cancel(running)).toBe(false);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('reaches a request that rests between two rounds, and one that waits for a breaker', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = fail('connection');
    const ids = await Promise.all(Array.from({ length: 5 }, () => runtime.service.completionAsync(HELLO)));
    await runtime.clock.advance(10_000);
    expect(await Promise.all(ids.map((id) => runtime.service.cancel(id)))).toEqual(ids.map(() => true));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('an idempotency key', () => {
  const keyed = { idempotencyKey: 'k1' };

  test('gives a hundred concurrent submits one request and one call', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = echo(100);
    const ids = await Promise.all(Array.from({ length: 100 }, () => runtime.service.completionAsync(HELLO, keyed)));
    expect(new Set(ids).size).toBe(1);
    expect(runtime.service.openRequests()).toHaveLength(1);
    expect((await runtime.result(ids[0] ?? '')).status).toBe('succeeded');
    expect(await runtime.service.completionAsync(HELLO, keyed)).toBe(ids[0]);
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('gives a hundred concurrent sync callers the same answer, and later ones too', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = echo(100);
    const responses = await runtime.run(
      Promise.all(Array.from({ length: 100 }, () => runtime.service.completion(HELLO, keyed))),
    );
    const later = await runtime.complete(HELLO, keyed);
    expect(new Set([...responses, later].map((response) => response.requestId)).size).toBe(1);
    expect(later.text).toBe('a: hello');
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });

  test('with another request is a conflict; so is the same request with other fallbacks', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} } });
    const requestId = await runtime.service.completionAsync(HELLO, keyed);
    expect(await rejection(runtime.service.completionAsync(ask('other'), keyed))).toMatchObject({
      code: 'idempotency-conflict',
      requestId,
    });
    expect(await rejection(runtime.service.completion(HELLO, { ...keyed, fallbacks: 'none' }))).toMatchObject({
      code: 'idempotency-conflict',
    });
    expect(await runtime.service.completionAsync(HELLO, { ...keyed, tenant: 'other' })).not.toBe(requestId);
    expect(await runtime.service.completionAsync({ messages: HELLO.messages, model: 'm' }, keyed)).toBe(requestId);
  });

  test('gives back the error of a request that failed', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').plan(fail('invalid-request'));
    const first = await runtime.failure(runtime.service.completion(HELLO, keyed));
    expect(await runtime.failure(runtime.service.completion(HELLO, keyed))).toMatchObject({
      code: 'invalid-request',
      requestId: first.requestId,
    });
  });

  test('lets a caller who joins keep a deadline and a signal of its own', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = echo(60_000);
    const first = runtime.service.completion(HELLO, keyed);
    await runtime.clock.settle();
    const leaving = new AbortController();
    const left = rejection(runtime.service.completion(HELLO, { ...keyed, signal: leaving.signal }));
    const late = rejection(runtime.service.completion(HELLO, { ...keyed, timeoutMs: 1_000 })).then((error) => ({
      code: error.code,
      atMs: runtime.clock.nowMs(),
    }));
    leaving.abort();
    await runtime.clock.advance(5_000);
    expect(await left).toMatchObject({ code: 'cancelled' });
    expect(await late).toEqual({ code: 'timeout', atMs: 1_000 });
    expect((await runtime.run(first)).text).toBe('a: hello');
  });

  test('works for embeddings, also after they were answered; getResult says that it does not serve them', async () => {
    await using runtime = await createTestRuntime(ONE);
    const embed = () => runtime.run(runtime.service.embedding({ model: 'm', input: ['ab', 'abc'] }, keyed));
    const first = await embed();
    expect(await embed()).toEqual(first);
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(await rejection(runtime.service.getResult(first.requestId))).toMatchObject({ code: 'request-not-found' });
  });

  test('is refused on a stream', async () => {
    await using runtime = await createTestRuntime(ONE);
    expect(await rejection(runtime.service.completionStream(HELLO, keyed).response)).toMatchObject({
      code: 'invalid-request',
      param: 'idempotencyKey',
    });
  });
});

describe('embedding', () => {
  test('takes the same path: one vector per input, usage, retries and fallback', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { embed: ['a/m', 'b/m'] } });
    runtime.provider('a').always = fail('broken');
    runtime.provider('b').plan(fail('connection'), answer('', { usage: { inputTokens: 4 }, finishReason: 'stop' }));
    const response = await runtime.run(runtime.service.embedding({ model: 'embed', input: ['one', 'three'] }));
    expect(response).toMatchObject({
      kind: 'embedding',
      provider: 'b',
      model: 'm',
      vectors: [
        [3, 1],
        [5, 1],
      ],
      usage: { inputTokens: 4 },
    });
    expect(response.attempts.map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
      'a failed',
      'b failed',
      'b answered',
    ]);
  });

  test('is priced by its input alone, with or without a price for output', async () => {
    const prices = {
      m: { price: { inputUsdPerMillionTokens: 2, outputUsdPerMillionTokens: 8 } },
      n: { price: { inputUsdPerMillionTokens: 2 } },
    };
    await using runtime = await createTestRuntime({ providers: { a: { models: prices } } });
    runtime.provider('a').always = answer('', { usage: { inputTokens: 3 }, finishReason: 'stop' });
    for (const model of ['m', 'n']) {
      const response = await runtime.run(runtime.service.embedding({ model, input: 'x' }));
      expect(response.cost?.usdNanos).toBe(6_000);
    }
    expect(await runtime.run(runtime.service.costSummary())).toMatchObject({
      unpricedCount: 0,
      totalCost: { usdNanos: 12_000 },
    });
  });

  test('passes over providers that cannot embed', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} } });
    runtime.provider('a').lacks = new Set(['embedding']);
    expect((await runtime.run(runtime.service.embedding({ model: 'm', input: 'x' }))).provider).toBe('b');
  });
});
