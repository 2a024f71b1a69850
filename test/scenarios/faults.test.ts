/** The sixteen provider faults of the public Failover Bench, seen from the caller's side and from the provider's log. */
import { describe, expect, test } from 'vitest';
import type { CompletionResponse, StreamPart } from '../../src/contract/response.ts';
import {
  answer,
  type Behaviour,
  cut,
  echo,
  fail,
  finish,
  hang,
  pause,
  tokens,
  when,
} from '../support/scripted-provider.ts';
import {
  ANSWER_NANOS,
  ask,
  createTestRuntime,
  NOTHING_LEFT,
  PRICED,
  type TestRuntime,
} from '../support/test-runtime.ts';

const TWO = {
  providers: { a: { models: PRICED }, b: { models: { large: { contextWindow: 1_000_000 } } } },
  models: { smart: ['a/m', 'b/large'] },
};
const WHOLE = 60;
const TEXT = Array.from({ length: WHOLE }, (_, index) => `t${index} `).join('');

const create = (seed = 1) => createTestRuntime({ ...TWO, seed });
const request = ask('x', 'smart');
const timesOf = (runtime: TestRuntime, name: string) => runtime.provider(name).attempts.map((call) => call.atMs);

async function read(
  stream: AsyncIterable<StreamPart>,
): Promise<{ text: string; error: unknown; response: CompletionResponse | undefined }> {
  let text = '';
  let response: CompletionResponse | undefined;
  try {
    for await (const part of stream) {
      if (part.type === 'text') text += part.text;
      if (part.type === 'finish') response = part.response;
    }
  } catch (error) {
    return { text, error, response };
  }
  return { text, error: undefined, response };
}

const after = (waitMs: number, next: Behaviour): Behaviour =>
  async function* (call) {
    await pause(call, waitMs);
    yield* next(call);
  };

describe.each([1, 2, 3, 4, 5])('with seed %i', (seed) => {
  test('S01: a 429 with Retry-After 2 is retried at the same provider, not before', async () => {
    await using runtime = await create(seed);
    runtime.provider('a').plan(fail('rate-limited', { retryAfterMs: 2_000 }));
    expect((await runtime.complete(request)).provider).toBe('a');
    const [first = 0, second = 0, ...more] = timesOf(runtime, 'a');
    expect(second - first).toBeGreaterThanOrEqual(2_000);
    expect(second - first).toBeLessThan(2_100);
    expect(more).toEqual([]);
  });

  test('S02: 429 for ever is left for the fallback after a few attempts', async () => {
    await using runtime = await create(seed);
    runtime.provider('a').always = fail('rate-limited');
    expect((await runtime.complete(request)).provider).toBe('b');
    expect(timesOf(runtime, 'a')).toHaveLength(2);
    expect(runtime.clock.nowMs()).toBeLessThan(3_000);
  });

  test('S15: down for 60 s with a request every 4 s: every one is answered, and the primary is used again soon', async () => {
    await using runtime = await create(seed);
    runtime.provider('a').always = when(({ clock }) => (clock.nowMs() < 60_000 ? fail('connection') : echo()));
    const providers: { atMs: number; provider: string }[] = [];
    for (let atMs = 0; atMs < 120_000; atMs += 4_000) {
      await runtime.clock.advance(Math.max(0, atMs - runtime.clock.nowMs()));
      providers.push({ atMs, provider: (await runtime.complete(request)).provider });
    }
    expect(providers).toHaveLength(30);
    const back = providers.find(({ atMs, provider }) => atMs >= 60_000 && provider === 'a')?.atMs;
    expect(back).toBeLessThanOrEqual(90_000);
    const failed = runtime.eventsOf('attempt.failed').filter((event) => event.provider === 'a');
    expect(failed.length).toBeLessThanOrEqual(5 + 3 + 6);
  });
});

describe('one provider fails, the caller has an answer', () => {
  test('S03: a single 500 is retried at the same provider', async () => {
    await using runtime = await create();
    runtime.provider('a').plan(fail('upstream-error', { status: 500 }));
    const response = await runtime.complete(request);
    expect(response.attempts.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ['a', 'failed'],
      ['a', 'answered'],
    ]);
  });

  test('S04 and S16: 503 for ever: the fallback answers under its own name, and failed attempts are not billed', async () => {
    await using runtime = await create();
    runtime.provider('a').always = fail('upstream-error', { status: 503 });
    runtime.provider('b').always = answer('from b', { usage: { inputTokens: 7, outputTokens: 3 } });
    const response = await runtime.complete(request);
    expect(timesOf(runtime, 'a')).toHaveLength(3);
    expect(response).toMatchObject({
      provider: 'b',
      model: 'large',
      text: 'from b',
      usage: { inputTokens: 7, outputTokens: 3 },
    });
    expect(await runtime.run(runtime.service.costSummary())).toMatchObject({
      recordCount: 1,
      totalCost: { usdNanos: 0 },
      tokenUsage: { totalTokens: 10 },
    });
  });

  test('S05: a reset before any byte is retried', async () => {
    await using runtime = await create();
    runtime.provider('a').plan(fail('connection'));
    expect((await runtime.complete(request)).attempts).toHaveLength(2);
  });

  test.each(['completion', 'stream'] as const)(
    'S06: silence is given one attempt (%s), then the fallback answers',
    async (kind) => {
      await using runtime = await create();
      runtime.provider('a').always = hang();
      const response = await runtime.run(
        kind === 'stream' ? runtime.service.completionStream(request).response : runtime.service.completion(request),
      );
      expect(response.provider).toBe('b');
      expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: true }]);
      expect(runtime.clock.nowMs()).toBe(kind === 'stream' ? 12_000 : 60_000);
    },
  );

  test('S07: a first token after 20 s is not waited for', async () => {
    await using runtime = await create();
    runtime.provider('a').always = after(20_000, tokens(WHOLE, 1, finish()));
    const stream = runtime.service.completionStream(request);
    expect((await runtime.run(stream.response)).provider).toBe('b');
    expect(runtime.clock.nowMs()).toBeLessThanOrEqual(15_000);
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });

  test('S12: a context that is too long costs one attempt there, and a larger model answers', async () => {
    await using runtime = await create();
    runtime.provider('a').always = fail('context-too-long', { status: 400 });
    expect((await runtime.complete(request)).model).toBe('large');
    expect(runtime.provider('a').attempts).toHaveLength(1);
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(0);
  });

  test('S13: a refusal by the content filter is told with its reason and not routed around', async () => {
    await using runtime = await create();
    runtime.provider('a').always = fail('content-filtered', { message: 'violates our policy on fireworks' });
    const error = await runtime.failure(runtime.service.completion(request));
    expect(error).toMatchObject({
      code: 'content-filtered',
      provider: 'a',
      message: expect.stringContaining('policy on fireworks'),
    });
    expect([...timesOf(runtime, 'a'), ...timesOf(runtime, 'b')]).toHaveLength(1);
  });
});

const BROKEN: readonly [string, Behaviour][] = [
  ['S08: it dies after 40 of 60 tokens', tokens(40, 50, cut())],
  ['S09: it goes silent after 20 tokens', tokens(20, 50, hang())],
  ['S10: its tenth event is no JSON', tokens(9, 50, fail('broken'))],
  ['S14: it dies after 40 tokens by an error event', tokens(40, 50, fail('upstream-error'))],
];

describe.each(BROKEN)('a stream that breaks: %s', (_name, broken) => {
  const arrange = async () => {
    const runtime = await create();
    runtime.provider('a').plan(broken);
    for (const name of ['a', 'b']) runtime.provider(name).always = tokens(WHOLE, 50, finish());
    return runtime;
  };

  test('delivered whole: the caller gets one whole answer of the fallback', async () => {
    await using runtime = await arrange();
    const { text, error, response } = await runtime.run(
      read(runtime.service.completionStream(request, { delivery: 'whole' })),
    );
    expect({ text, error }).toEqual({ text: TEXT, error: undefined });
    expect(response?.text).toBe(TEXT);
    expect(runtime.clock.nowMs()).toBeLessThan(45_000);
  });

  test('delivered live: the caller gets a clean error with what had arrived, never a second answer', async () => {
    await using runtime = await arrange();
    const stream = runtime.service.completionStream(request);
    const { text, error } = await runtime.run(read(stream));
    expect(TEXT.startsWith(text)).toBe(true);
    expect(text.length).toBeLessThan(TEXT.length);
    expect(error).toMatchObject({ name: 'SwitchgearError', code: 'provider-error', provider: 'a', partial: { text } });
    expect(await runtime.failure(stream.response)).toBe(error);
    expect(runtime.provider('b').attempts).toEqual([]);
    expect(runtime.clock.nowMs()).toBeLessThan(45_000);
    expect((await runtime.run(read(runtime.service.completionStream(request)))).text).toBe(TEXT);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('delivered with restart: the caller is told to discard, then gets the whole answer', async () => {
    await using runtime = await arrange();
    const parts: StreamPart[] = [];
    const reading = (async () => {
      for await (const part of runtime.service.completionStream(request, { delivery: 'restart' })) parts.push(part);
    })();
    await runtime.run(reading);
    const restart = parts.findIndex((part) => part.type === 'restart');
    expect(parts.filter((part) => part.type === 'restart')).toHaveLength(1);
    expect(restart).toBeGreaterThan(5);
    const afterwards = parts.slice(restart).map((part) => (part.type === 'text' ? part.text : ''));
    expect(afterwards.join('')).toBe(TEXT);
    expect(parts.at(-1)).toMatchObject({ type: 'finish', response: { provider: 'b', text: TEXT } });
  });

  test('what had been delivered is charged as an estimate', async () => {
    await using runtime = await arrange();
    await runtime.run(read(runtime.service.completionStream(request)));
    const summary = await runtime.run(runtime.service.costSummary());
    expect(summary.recordCount).toBe(1);
    expect(summary.totalCost.usdNanos).toBeGreaterThan(0);
    expect(summary.totalCost.usdNanos).toBeLessThan(100 * ANSWER_NANOS);
  });
});

test('S11: a complete stream whose connection stays open is finished two seconds after its finish reason, with usage', async () => {
  await using runtime = await create();
  runtime.provider('a').always = tokens(5, 10, async function* (call) {
    yield* finish()(call);
    yield* hang()(call);
  });
  const { error, response } = await runtime.run(read(runtime.service.completionStream(request)));
  expect(error).toBeUndefined();
  expect(response).toMatchObject({ finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } });
  expect(runtime.clock.nowMs()).toBe(2_040);
  expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
});
