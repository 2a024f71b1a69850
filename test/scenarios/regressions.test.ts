/** What a review under concurrency found, and what its mends must not break. */
import { describe, expect, test, vi } from 'vitest';
import { ProviderControl } from '../../src/actors/provider-control.ts';
import type { Adapter, Failure } from '../../src/contract/adapter.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import { answer, echo, fail, hang, type ScriptedProvider, tokens, finish } from '../support/scripted-provider.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const DAY_MS = 86_400_000;
/** Opens and stays open for as long as any test here lasts. */
const OPENS_LONG = { openMs: 300_000, openMaxMs: 300_000 };

/** Changes every adapter that a provider builds from now on, and has it build one. */
async function alterAdapter(
  runtime: TestRuntime,
  name: string,
  change: (adapter: Adapter, config: ProviderConfig) => Partial<Adapter>,
): Promise<void> {
  const provider = runtime.provider(name);
  const { createAdapter } = provider;
  Object.assign(provider, {
    createAdapter: (...args: Parameters<typeof createAdapter>) => {
      const adapter = createAdapter(...args);
      return { ...adapter, ...change(adapter, args[0]) };
    },
  } satisfies Partial<ScriptedProvider>);
  await runtime.run(runtime.service.updateProvider(name, { headers: { 'x-altered': '1' } }));
}

/** Asks a provider that breaks until its breaker is open. */
async function openBreaker(runtime: TestRuntime, name: string): Promise<void> {
  runtime.provider(name).always = fail('broken');
  await runtime.run(
    Promise.allSettled(Array.from({ length: 6 }, () => runtime.service.completion(ask('x', `${name}/m`)))),
  );
  expect(breakerOf(runtime, name)).toBe('open');
}

function breakerOf({ service }: TestRuntime, name: string): string | undefined {
  return service.providerStates()[name]?.breaker.state;
}

const textOrCode = (promise: Promise<{ readonly text: string }>): Promise<string> =>
  promise.then(
    (response) => response.text,
    (error: { code: string }) => error.code,
  );

describe('an adapter whose classify gives no failure', () => {
  const senseless: readonly (readonly [string, unknown])[] = [
    ['nothing', undefined],
    ['null', null],
    ['a kind that nobody knows', { kind: 'timeout', message: 'x' }],
    ['a kind that every object has', { kind: 'toString', message: 'x' }],
    ['no message', { kind: 'broken' }],
  ];

  test.each(senseless)(
    'as in %s keeps neither permit nor slot, and its failure is adapter-error',
    async (_name, given) => {
      using stray = watchStrayErrors();
      await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1, retry: { maxRetries: 0 } } } });
      // A JavaScript adapter may give anything.
      await alterAdapter(runtime, 'a', () => ({ classify: () => given as Failure }));
      runtime.provider('a').plan(fail('broken'), fail('broken'));
      for (let index = 0; index < 2; index++)
        expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({ code: 'provider-error' });
      expect(runtime.eventsOf('attempt.failed').map(({ kind }) => kind)).toEqual(['adapter-error', 'adapter-error']);
      expect((await runtime.complete()).text).toBe('fine');
      expect(runtime.clock.nowMs()).toBe(0);
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
      await stray.finish();
    },
  );

  test('and that throws what has no text keeps neither permit nor slot', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    await alterAdapter(runtime, 'a', (adapter) => ({
      send: async (call) => {
        if (runtime.provider('a').attempts.length > 0) return adapter.send(call);
        await adapter.send(call);
        throw Object.create(null);
      },
      // As above.
      classify: () => undefined as unknown as Failure,
    }));
    expect(await runtime.failure(runtime.service.completion(HELLO))).toMatchObject({ code: 'provider-error' });
    expect((await runtime.complete()).text).toBe('fine');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test.each(senseless)('as in %s rejects nowhere in a health check and is looked at again', async (_name, given) => {
    using stray = watchStrayErrors();
    await using runtime = await createTestRuntime({ providers: { a: { health: { intervalMs: 2_000 } } } });
    const provider = runtime.provider('a');
    // As above.
    await alterAdapter(runtime, 'a', () => ({ classify: () => given as Failure }));
    provider.check = fail('connection');
    await runtime.clock.advance(21_000);
    expect(provider.calls.filter(({ kind }) => kind === 'check').length).toBeGreaterThanOrEqual(5);
    expect(new Set(runtime.eventsOf('check.failed').map(({ kind }) => kind))).toEqual(new Set(['adapter-error']));
    await stray.finish();
  });
});

describe('requests that are parked', () => {
  test.each([32, 1_000])(
    'over a half-open recovery at concurrency %i settle, and a lane claims a handful of times',
    async (concurrency) => {
      await using runtime = await createTestRuntime({
        providers: { a: { concurrency, breaker: { openMs: 5_000 } }, b: { concurrency, breaker: { openMs: 5_000 } } },
        models: { smart: ['a/m', 'b/m'] },
      });
      const { service } = runtime;
      for (const name of ['a', 'b']) await openBreaker(runtime, name);
      // The forced probe of each round is used up.
      await runtime.failure(service.completion(ask('x', 'smart')));
      await runtime.failure(service.completion(ask('x', 'smart')));
      for (const name of ['a', 'b']) runtime.provider(name).always = answer('fine', { afterMs: 1_000 });
      const ids = await Promise.all(
        Array.from({ length: 6 }, (_, index) => service.completionAsync(ask(`q${index}`, 'smart'))),
      );
      await runtime.clock.settle();
      expect(service.queueStatus().lanes.map(({ waiting }) => waiting)).toEqual([6, 6]);
      using claim = vi.spyOn(ProviderControl.prototype, 'claim');
      const results = await Promise.all(ids.map((requestId) => runtime.result(requestId)));
      expect(results.map(({ status }) => status)).toEqual(ids.map(() => 'succeeded'));
      expect(claim.mock.calls.length).toBeLessThan(30);
      expect(runtime.eventsOf('actor.crashed')).toEqual([]);
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
  );

  test('give a slow but healthy provider until their deadline when nobody else is ready', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { timeouts: { unstreamedMs: 10_000 } }, b: { breaker: OPENS_LONG } },
      models: { smart: ['a/m', 'b/m'] },
    });
    for (const name of ['a', 'b']) await openBreaker(runtime, name);
    for (let index = 0; index < 2; index++) await runtime.failure(runtime.service.completion(ask('x', 'smart')));
    expect([breakerOf(runtime, 'a'), breakerOf(runtime, 'b')]).toEqual(['open', 'open']);
    const before = runtime.provider('a').attempts.length;
    runtime.provider('a').always = answer('slow but fine', { afterMs: 14_000 });
    const requestId = await runtime.service.completionAsync(ask('q', 'smart'));
    await runtime.clock.settle();
    expect(runtime.service.queueStatus().lanes.map(({ waiting }) => waiting)).toEqual([1, 1]);
    expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded', response: { text: 'slow but fine' } });
    expect(runtime.provider('a').attempts).toHaveLength(before + 1);
  });

  test('are sent back by a breaker that opens, also those that waited for a gate to clear', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { retry: { maxRetries: 0 }, breaker: OPENS_LONG }, b: { breaker: OPENS_LONG } },
      models: { smart: ['a/m', 'b/m'] },
    });
    const { service, clock } = runtime;
    await openBreaker(runtime, 'b');
    runtime.provider('b').always = answer('from b');
    // Six calls that will break after a second, and one that holds the gate until after that.
    const breaking = Array.from({ length: 6 }, () => fail('broken', { afterMs: 1_000 }));
    runtime.provider('a').plan(...breaking, fail('rate-limited', { retryAfterMs: 3_000 }));
    const doomed = Array.from({ length: 7 }, () =>
      textOrCode(service.completion(ask('x', 'a/m'), { timeoutMs: 2_000 })),
    );
    await clock.advance(10);
    const parked = textOrCode(service.completion(ask('parked', 'smart')));
    await clock.advance(10);
    expect(service.queueStatus().lanes).toMatchObject([
      { provider: 'a', waiting: 1 },
      { provider: 'b', waiting: 0 },
    ]);
    await clock.advance(1_000);
    expect(breakerOf(runtime, 'a')).toBe('open');
    expect(service.queueStatus().lanes).toMatchObject([{ waiting: 0 }, { waiting: 0 }]);
    // Routed again: nobody but b, whose forced probe is left.
    expect(await runtime.run(parked)).toBe('from b');
    expect(clock.nowMs()).toBeLessThan(1_100);
    await runtime.run(Promise.all(doomed));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a request that waited in a lane while the other provider opened', () => {
  test('is bounded by its deadline and not by the limit for asking somebody else', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1, timeouts: { unstreamedMs: 10_000 } }, b: { breaker: OPENS_LONG } },
      models: { smart: ['a/m', 'b/m'] },
    });
    runtime.provider('a').plan(answer('one', { afterMs: 8_000 }), answer('two', { afterMs: 15_000 }));
    const first = runtime.service.completion(ask('1', 'a/m'));
    const second = textOrCode(runtime.service.completion(ask('2', 'smart')));
    await openBreaker(runtime, 'b');
    await runtime.run(first);
    expect(await runtime.run(second)).toBe('two');
    expect(runtime.clock.nowMs()).toBe(23_000);
  });
});

describe('the bound of the queue', () => {
  test.each(['sync', 'async', 'stream'] as const)(
    'counts %s requests that wait for their second candidate: n are admitted, n+1 is queue-full',
    async (mode) => {
      await using runtime = await createTestRuntime({
        providers: { a: {}, b: { concurrency: 1 } },
        models: { smart: ['a/m', 'b/m'] },
        service: { queueDepthMax: 10 },
      });
      const { service, clock } = runtime;
      runtime.provider('a').always = fail('context-too-long');
      runtime.provider('b').always = hang();
      const codes: (string | undefined)[] = [];
      for (let index = 0; index < 12; index++) {
        const asked = ask(`r${index}`, 'smart');
        const promise: Promise<unknown> =
          mode === 'async'
            ? service.completionAsync(asked)
            : mode === 'sync'
              ? service.completion(asked)
              : service.completionStream(asked).response;
        promise.catch((error: { code: string }) => (codes[index] = error.code));
        await clock.settle();
      }
      expect(service.queueStatus().lanes).toMatchObject([{ waiting: 0 }, { waiting: 10, running: 1 }]);
      expect(codes.filter((code) => code !== undefined)).toEqual(['queue-full']);
      expect(codes[11]).toBe('queue-full');
      await runtime.run(service.stop({ graceMs: 0 }));
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
  );
});

describe('two reloads of a provider whose actor does not hear of them', () => {
  test('leave the adapter of the last config', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { headers: { x: 'one' } } } });
    const { service } = runtime;
    await alterAdapter(runtime, 'a', (_adapter, { headers }) => ({
      send: async () => ({ text: `served with ${headers['x']}`, toolCalls: [], finishReason: 'stop', usage: {} }),
    }));
    await runtime.reload({ a: { headers: { x: 'one' } } });
    expect((await runtime.complete()).text).toBe('served with one');
    await service.supervisor.suspend('a');
    await runtime.reload({ a: { headers: { x: 'two' } } });
    await runtime.reload({ a: { headers: { x: 'one' } } });
    await service.supervisor.resume('a');
    expect((await runtime.complete()).text).toBe('served with one');
  });
});

describe('an adapter whose close', () => {
  const closings: readonly (readonly [string, () => Promise<void>])[] = [
    [
      'throws',
      () => {
        throw new Error('close threw');
      },
    ],
    ['rejects', () => Promise.reject(new Error('close rejected'))],
    ['hangs', () => new Promise<void>(() => undefined)],
  ];

  test.each(closings)('%s keeps no stop from finishing', async (_name, close) => {
    using stray = watchStrayErrors();
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} } });
    await alterAdapter(runtime, 'a', () => ({ close }));
    const { closed } = runtime.provider('b');
    await runtime.run(runtime.service.stop());
    expect(runtime.service.state).toBe('stopped');
    expect(runtime.provider('b').closed).toBe(closed + 1);
    expect(runtime.clock.nowMs()).toBeLessThanOrEqual(10_000);
    expect(runtime.clock.pendingTimers).toBe(0);
    await stray.finish();
  });

  test.each(closings)(
    '%s keeps no reload from changing every provider, nor the stop after it',
    async (_name, close) => {
      using stray = watchStrayErrors();
      await using runtime = await createTestRuntime({ providers: { a: {}, b: {}, gone: {} } });
      for (const name of ['a', 'b', 'gone']) {
        await alterAdapter(runtime, name, (_adapter, { headers }) => ({
          close,
          send: async () => ({ text: `${name} ${headers['x']}`, toolCalls: [], finishReason: 'stop', usage: {} }),
        }));
      }
      for (const x of ['one', 'two']) {
        await runtime.reload({ a: { headers: { x } }, b: { headers: { x } } });
        for (const name of ['a', 'b'])
          expect((await runtime.complete(ask('x', `${name}/m`))).text).toBe(`${name} ${x}`);
      }
      expect(Object.keys(runtime.service.providerStates())).toEqual(['a', 'b']);
      expect(runtime.clock.nowMs()).toBe(0);
      await runtime.run(runtime.service.stop());
      expect(runtime.service.state).toBe('stopped');
      expect(runtime.clock.pendingTimers).toBe(0);
      await stray.finish();
    },
  );
});

describe('a sync request with an idempotency key', () => {
  test('goes on when its caller leaves, and the same key gives its answer', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service, clock } = runtime;
    runtime.provider('a').always = answer('fine', { afterMs: 5_000 });
    const leaving = new AbortController();
    const first = rejection(service.completion(HELLO, { idempotencyKey: 'k', signal: leaving.signal }));
    await clock.advance(100);
    const second = service.completion(HELLO, { idempotencyKey: 'k' });
    await clock.advance(100);
    leaving.abort();
    expect(await runtime.run(first)).toMatchObject({ code: 'cancelled' });
    expect(clock.nowMs()).toBe(200);
    expect((await runtime.run(second)).text).toBe('fine');
    await clock.advance(3_600_000);
    expect((await runtime.complete(HELLO, { idempotencyKey: 'k' })).text).toBe('fine');
    expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: false }]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('goes on when the only caller had left before anybody was asked', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const options = { idempotencyKey: 'k', signal: AbortSignal.abort() };
    expect(await runtime.failure(runtime.service.completion(HELLO, options))).toMatchObject({ code: 'cancelled' });
    expect((await runtime.complete(HELLO, { idempotencyKey: 'k' })).text).toBe('fine');
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });
});

describe('pacing', () => {
  test.each([
    { inputTokens: Number.NaN, outputTokens: 1 },
    { inputTokens: 1, outputTokens: Number.NaN },
    { inputTokens: 1, outputTokens: 9e15 },
    { inputTokens: Number.POSITIVE_INFINITY, outputTokens: 1 },
    { inputTokens: -1e9, outputTokens: 0 },
    { inputTokens: Number.NEGATIVE_INFINITY, outputTokens: 0 },
  ])('is neither off nor at a standstill for ever after a usage of $inputTokens and $outputTokens', async (usage) => {
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { tokensPerMinute: 6_000 } } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = answer('x', { usage: { inputTokens: 500, outputTokens: 500 } });
    runtime.provider('a').plan(answer('x', { usage }));
    await runtime.complete();
    for (let index = 0; index < 200; index++) service.completion(HELLO, { timeoutMs: DAY_MS }).catch(() => undefined);
    await clock.advance(300_000);
    // 5,400 tokens a minute, so five calls and four tenths; nonsense costs a minute at most.
    const sent = runtime.provider('a').attempts.length - 1;
    expect(sent).toBeGreaterThanOrEqual(19);
    expect(sent).toBeLessThanOrEqual(29);
  });

  test('of a big low does not hold up a high that needs few tokens', async () => {
    const big = 'word '.repeat(5_300);
    const waitOfHighMs = async (isBehindLow: boolean) => {
      await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { tokensPerMinute: 60_000 } } } });
      const { service, clock } = runtime;
      runtime.provider('a').always = answer('x', { usage: {} });
      await runtime.complete(ask(big));
      const low = isBehindLow ? service.completion(ask(big), { priority: 'low' }) : undefined;
      await clock.advance(1);
      const { latency } = await runtime.complete(ask('hi'), { priority: 'high' });
      // The low is not forgotten.
      await (low && runtime.run(low));
      return latency.totalMs;
    };
    const aloneMs = await waitOfHighMs(false);
    expect(aloneMs).toBeGreaterThan(0);
    expect(Math.abs((await waitOfHighMs(true)) - aloneMs)).toBeLessThanOrEqual(1);
  });

  test('grants no further burst when its rate is changed five times', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { requestsPerMinute: 600 } } } });
    const { service, clock } = runtime;
    for (let index = 0; index < 400; index++) service.completion(HELLO).catch(() => undefined);
    await clock.advance(10);
    const { length: burst } = runtime.provider('a').attempts;
    expect(burst).toBe(54);
    for (let index = 1; index <= 5; index++) {
      await service.updateProvider('a', { rateLimit: { requestsPerMinute: 600 + (index % 2) } });
      await clock.advance(1);
    }
    expect(runtime.provider('a').attempts.length).toBeLessThanOrEqual(burst + 1);
  });
});

describe('a crash of an actor', () => {
  test.each([900, 50])('of a provider inside a claim is not seen by a caller with %i ms', async (timeoutMs) => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    let crashes = 0;
    runtime.inject((_actor, { type }) => type === 'permit.claimed' && crashes++ === 0);
    expect((await runtime.complete(HELLO, { timeoutMs })).text).toBe('fine');
    expect(runtime.eventsOf('actor.crashed')).toHaveLength(1);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('by one event again and again ends after three: the event is dropped and told, and the service lives', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service, clock } = runtime;
    let poison = '';
    runtime.inject((_actor, event) => {
      if (event.type !== 'entry.recorded' || !('entry' in event)) return false;
      // The event is the cost tracker's own.
      const { requestId } = event.entry as { readonly requestId: string };
      poison ||= requestId;
      return requestId === poison;
    });
    for (let index = 0; index < 3; index++) await runtime.complete();
    await clock.advance(10_000);
    expect(service.state).toBe('running');
    const told = runtime.eventsOf('actor.crashed').map(({ actor, message }) => `${actor}: ${message}`);
    expect(told.filter((line) => line.includes('injected'))).toHaveLength(3);
    expect(told.filter((line) => line.includes('dropping entry.recorded'))).toEqual([
      'cost-tracker: 3 incarnations crashed on the same event; dropping entry.recorded',
    ]);
    // What was behind it in the line is booked.
    expect(await runtime.run(service.costSummary())).toMatchObject({ recordCount: 2 });
  });
});

describe('an adapter', () => {
  test('is not asked when its request was cancelled before', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service, clock } = runtime;
    runtime.provider('a').always = hang();
    for (let turns = 0; turns < 40; turns++) {
      const requestId = await service.completionAsync(HELLO);
      for (let index = 0; index < turns; index++) await Promise.resolve();
      const cancelling = service.cancel(requestId);
      await clock.settle();
      expect(await runtime.run(cancelling)).toBe(true);
    }
    // Whoever was asked heard of the cancellation afterwards; a signal that comes aborted fires no event.
    const { attempts } = runtime.provider('a');
    expect(attempts.length).toBeGreaterThan(0);
    expect(attempts.length).toBeLessThan(40);
    expect(attempts.filter(({ isAborted }) => !isAborted)).toEqual([]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a second reader of a stream', () => {
  test('is told so at once, and the first one reads everything', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = tokens(3, 10, finish());
    const stream = runtime.service.completionStream(HELLO);
    const read = async () => {
      const texts: string[] = [];
      for await (const part of stream) if (part.type === 'text') texts.push(part.text);
      return texts;
    };
    const first = read();
    expect(await runtime.failure(read())).toMatchObject({
      code: 'invalid-request',
      message: expect.stringContaining('a second reader'),
    });
    expect(await runtime.run(first)).toEqual(['t0 ', 't1 ', 't2 ']);
    expect((await stream.response).text).toBe('t0 t1 t2 ');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('the end of a service', () => {
  test('by a root that gives up while draining is told, and ends what is open at once', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(8_000);
    const open = Array.from({ length: 3 }, () => textOrCode(service.completion(HELLO)));
    await clock.advance(100);
    const stopping = service.stop({ graceMs: 25_000 });
    runtime.inject((actor) => actor === 'health-monitor');
    expect(await runtime.run(Promise.all(open))).toEqual(['shutting-down', 'shutting-down', 'shutting-down']);
    await runtime.run(stopping);
    expect(clock.nowMs()).toBeLessThan(7_000);
    expect(runtime.eventsOf('service.failed')).toHaveLength(1);
    expect(service.state).toBe('stopped');
    expect(clock.pendingTimers).toBe(0);
  });

  test('is told as a failure by no stop that is wanted', async () => {
    for (const graceMs of [0, 1_000]) {
      await using runtime = await createTestRuntime({ providers: { a: {} } });
      runtime.provider('a').always = hang();
      const open = textOrCode(runtime.service.completion(HELLO));
      await runtime.clock.settle();
      await runtime.run(runtime.service.stop({ graceMs }));
      expect(await open).toBe('shutting-down');
      expect(runtime.service.state).toBe('stopped');
      expect(runtime.eventsOf('service.failed')).toEqual([]);
    }
  });

  test('is the end of updateProvider and reload too: both are refused with shutting-down and start nothing', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service, clock } = runtime;
    await runtime.run(service.stop());
    const { closed } = runtime.provider('a');
    const update = service.updateProvider('a', { headers: { 'x-new': '1' } });
    expect(await rejection(update)).toMatchObject({ code: 'shutting-down' });
    expect(await rejection(runtime.reload({ a: {}, z: {} }))).toMatchObject({ code: 'shutting-down' });
    expect(Object.keys(service.providerStates())).toEqual(['a']);
    expect(runtime.provider('a').closed).toBe(closed);
    expect(runtime.eventsOf('config.reloaded')).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });
});
