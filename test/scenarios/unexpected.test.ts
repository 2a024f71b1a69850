import { describe, expect, test } from 'vitest';
import type { AdapterReply } from '../../src/contract/adapter.ts';
import { answer, cut, echo, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };

describe('adapters that lie', () => {
  test.each([
    ['nothing', undefined],
    ['an empty object', {}],
    ['no usage', { text: 'x', toolCalls: [], finishReason: 'stop' }],
    ['no text', { usage: {}, toolCalls: [], finishReason: 'stop' }],
    ['no list of tool calls', { text: 'x', usage: {}, finishReason: 'stop' }],
  ])('a reply that is %s fails over and leaves no slot taken', async (_name, reply) => {
    await using runtime = await createTestRuntime(TWO);
    const provider = runtime.provider('a');
    const { createAdapter } = provider;
    // A JavaScript adapter may reply with anything.
    Object.assign(provider, {
      createAdapter: (...args: Parameters<typeof createAdapter>) => ({
        ...createAdapter(...args),
        send: async () => reply as AdapterReply,
      }),
    });
    await runtime.run(runtime.service.updateProvider('a', { headers: { 'x-new': '1' } }));
    const response = await runtime.complete(ask('x', 'smart'));
    expect(response.attempts.map(({ provider: name, outcome, code }) => ({ name, outcome, code }))).toEqual([
      { name: 'a', outcome: 'failed', code: 'provider-error' },
      { name: 'b', outcome: 'answered', code: undefined },
    ]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test.each([Number.NaN, -5, 1.5, Number.POSITIVE_INFINITY])(
    'a token count of %d prices nothing and takes no slot with it',
    async (inputTokens) => {
      await using runtime = await createTestRuntime({
        providers: { a: { models: { m: { price: { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 1 } } } } },
      });
      runtime.provider('a').always = answer('x', { usage: { inputTokens, outputTokens: 1 } });
      const response = await runtime.complete();
      expect(response.cost).toBeUndefined();
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
      const summary = await runtime.run(runtime.service.costSummary());
      expect(summary).toMatchObject({ recordCount: 1, unpricedCount: 1, totalCost: { usdNanos: 0 } });
      expect(summary.tokenUsage.totalTokens).toBeTypeOf('number');
      expect(Number.isFinite(summary.tokenUsage.totalTokens)).toBe(true);
    },
  );

  test('an adapter that goes on talking after its attempt was given up reaches nobody', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = async function* ({ clock }) {
      await pause({ clock, signal: new AbortController().signal }, 13_000);
      for (let index = 0; index < 20; index++) {
        yield { type: 'text', text: 'too late ' };
        await pause({ clock, signal: new AbortController().signal }, 100);
      }
      yield { type: 'finish', finishReason: 'stop' };
    };
    runtime.provider('b').always = tokens(30, 100, finish());
    const stream = runtime.service.completionStream(ask('x', 'smart'));
    const texts: string[] = [];
    const reading = (async () => {
      for await (const part of stream) if (part.type === 'text') texts.push(part.text);
    })();
    await runtime.run(reading);
    expect(texts.join('')).toBe(Array.from({ length: 30 }, (_, index) => `t${index} `).join(''));
    expect((await stream.response).text).toBe(texts.join(''));
  });
});

describe('an async request between a provider that recovered and one that did not', () => {
  test('goes back to the one that recovered instead of waiting for the other one', async () => {
    await using runtime = await createTestRuntime(TWO);
    const { service, clock } = runtime;
    for (const name of ['a', 'b']) runtime.provider(name).always = fail('broken');
    const ids = await Promise.all(Array.from({ length: 40 }, () => service.completionAsync(ask('x', 'smart'))));
    await clock.advance(60_000);
    runtime.provider('a').always = echo();
    await clock.advance(420_000);
    const results = await Promise.all(ids.map((id) => service.getResult(id)));
    expect(results.filter((result) => result.status !== 'succeeded')).toEqual([]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a provider that is replaced while it works', () => {
  test('reports of the old one mean nothing to the new one', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { retry: { maxRetries: 0 } }, keeper: { models: ['k'] } },
    });
    const { service, clock } = runtime;
    runtime.provider('a').always = fail('upstream-error', { afterMs: 10_000 });
    const old = rejection(service.completion(HELLO, { timeoutMs: 12_000 }));
    await clock.settle();
    await runtime.reload({ keeper: { models: ['k'] } });
    await runtime.reload({ a: { retry: { maxRetries: 0 } }, keeper: { models: ['k'] } });
    runtime.provider('a').always = hang();
    const fresh = service.completion(HELLO, { timeoutMs: 60_000 }).catch(() => undefined);
    await clock.advance(11_000);
    expect(service.providerStates()['a']).toMatchObject({ breaker: { failureCount: 0 }, concurrency: { inFlight: 1 } });
    await Promise.all([old, runtime.run(fresh)]);
  });
});

describe('when the event loop was blocked', () => {
  test('no work is sent after its deadline, even before the deadline timer has fired', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    const gate = Promise.withResolvers<void>();
    runtime.provider('a').plan(async function* (call) {
      await gate.promise;
      yield* answer()(call);
    });
    const first = service.completion(ask('first'));
    const second = rejection(service.completion(ask('second'), { timeoutMs: 5_000 }));
    await clock.settle();
    runtime.lag(6_000);
    gate.resolve();
    await clock.settle();
    expect(runtime.provider('a').attempts.map((call) => call.prompt)).toEqual(['first']);
    expect(await runtime.run(second)).toMatchObject({ code: 'timeout' });
    await first;
  });
});

describe('a suspended service actor', () => {
  test('holds back more requests than its mailbox can take without freezing the process, and loses none', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1_000 } } });
    await runtime.service.supervisor.suspend('service');
    const answers = Array.from({ length: 5_100 }, (_, index) => runtime.service.completion(ask(`r${index}`)));
    await runtime.clock.advance(250);
    expect(runtime.provider('a').attempts).toEqual([]);
    await runtime.service.supervisor.resume('service');
    expect(await runtime.run(Promise.all(answers))).toHaveLength(5_100);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('lets go of a caller who had left before it asked', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    await runtime.service.supervisor.suspend('service');
    const error = await runtime.failure(
      runtime.service.completion(HELLO, { signal: AbortSignal.abort(), timeoutMs: 600_000 }),
    );
    expect(error.code).toBe('cancelled');
    expect(runtime.clock.nowMs()).toBe(0);
  });
});

describe('messages that wait for a suspended actor', () => {
  test.each(['restart', 'resume-and-crash'])('survive %s: no slot leaks and no cost is lost', async (how) => {
    await using runtime = await createTestRuntime({
      providers: { a: { models: { m: { price: { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 2 } } } } },
    });
    const { service, clock } = runtime;
    runtime.provider('a').always = answer('x', { afterMs: 1_000 });
    const answers = Array.from({ length: 5 }, () => service.completion(HELLO));
    await clock.settle();
    for (const id of ['a', 'cost-tracker']) await service.supervisor.suspend(id);
    await runtime.run(Promise.all(answers));
    const crashed = new Set<string>();
    for (const id of ['a', 'cost-tracker']) {
      if (how === 'restart') await runtime.run(service.supervisor.restart(id));
      else {
        runtime.inject((actor) => actor.endsWith(id) && !crashed.has(actor) && crashed.add(actor) !== undefined);
        await service.supervisor.resume(id);
      }
    }
    await clock.advance(10_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    expect(await runtime.run(service.costSummary())).toMatchObject({
      recordCount: 5,
      totalCost: { usdNanos: 100_000 },
    });
  });
});

describe('streams that end at once', () => {
  test('a stream cut before any content fails over unseen', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = cut();
    const stream = runtime.service.completionStream(ask('x', 'smart'));
    expect((await runtime.run(stream.response)).provider).toBe('b');
  });
});
