import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CompletionStream, StreamPart } from '../../src/contract/response.ts';
import { type Behaviour, cut, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const ONE = { providers: { a: {} } };
const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };

let stray: StrayErrors;
beforeEach(() => {
  stray = watchStrayErrors();
});
afterEach(() => stray.finish());

const textOf = (count: number) => Array.from({ length: count }, (_, index) => `t${index} `).join('');

/** Reads a stream, `gapMs` per part. */
async function collect(runtime: TestRuntime, stream: CompletionStream, gapMs = 0): Promise<readonly StreamPart[]> {
  const parts: StreamPart[] = [];
  for await (const part of stream) {
    parts.push(part);
    if (gapMs > 0) await pause({ clock: runtime.clock, signal: new AbortController().signal }, gapMs);
  }
  return parts;
}

describe('a stream', () => {
  test('gives its parts as they come and the whole response at the end', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = async function* (call) {
      yield { type: 'reasoning', text: 'hm' };
      yield { type: 'activity' };
      yield { type: 'toolCall', id: 'c1', name: 'look', arguments: '{"at":1}' };
      yield* tokens(2, 1_000, finish(undefined, 'tool-calls'))(call);
    };
    const stream = runtime.service.completionStream(HELLO);
    const parts = await runtime.run(collect(runtime, stream));
    const response = await stream.response;
    expect(parts).toEqual([
      { type: 'reasoning', text: 'hm' },
      { type: 'toolCall', id: 'c1', name: 'look', arguments: '{"at":1}' },
      { type: 'text', text: 't0 ' },
      { type: 'text', text: 't1 ' },
      { type: 'finish', response },
    ]);
    expect(response).toMatchObject({
      requestId: stream.requestId,
      text: 't0 t1 ',
      finishReason: 'tool-calls',
      toolCalls: [{ name: 'look' }],
      latency: { firstTokenMs: 0, totalMs: 1_000 },
    });
    expect(response.message.tool_calls).toEqual([
      { id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at":1}' } },
    ]);
  });

  test('delivered whole gives the reasoning too, before the answer and never that of a broken attempt', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = async function* (call) {
      yield { type: 'reasoning', text: 'lost' };
      yield* tokens(2, 0, cut())(call);
    };
    runtime.provider('b').always = async function* (call) {
      yield { type: 'reasoning', text: 'h' };
      yield { type: 'reasoning', text: 'm' };
      yield* tokens(2, 0, finish())(call);
    };
    const stream = runtime.service.completionStream(ask('?', 'smart'), { delivery: 'whole' });
    const parts = await runtime.run(collect(runtime, stream));
    expect(parts).toEqual([
      { type: 'reasoning', text: 'hm' },
      { type: 'text', text: 't0 t1 ' },
      { type: 'finish', response: await stream.response },
    ]);
  });

  test('that broke after the request was sent says that it may be billed', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = hang();
    const { attempts } = await runtime.run(runtime.service.completionStream(ask('?', 'smart')).response);
    expect(attempts).toMatchObject([
      { provider: 'a', outcome: 'failed', isMaybeBilled: true },
      { provider: 'b', outcome: 'answered' },
    ]);
    expect(attempts[1]).not.toHaveProperty('isMaybeBilled');
  });

  test('delivered whole gives nothing before its end', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(10, 100, finish());
    const stream = runtime.service.completionStream(HELLO, { delivery: 'whole' });
    const seen: number[] = [];
    const reading = (async () => {
      for await (const part of stream) if (part.type === 'text') seen.push(runtime.clock.nowMs(), part.text.length);
    })();
    await runtime.run(reading);
    expect(seen).toEqual([900, textOf(10).length]);
  });

  test('whose response alone is awaited is drained, however long it is', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(5_000, 0, finish());
    expect((await runtime.run(runtime.service.completionStream(HELLO).response)).text).toBe(textOf(5_000));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('that is read after its response was asked for still ends with the finish part', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(500, 1, finish());
    const stream = runtime.service.completionStream(HELLO);
    const { response } = stream;
    await runtime.clock.advance(300);
    const parts = await runtime.run(collect(runtime, stream));
    expect(parts).toEqual([{ type: 'finish', response: expect.objectContaining({ text: textOf(500) }) }]);
    expect((await runtime.run(response)).text).toBe(textOf(500));
  });

  test('that fails before it began rejects in the loop and in the response, and nowhere else', async () => {
    await using runtime = await createTestRuntime(ONE);
    const stream = runtime.service.completionStream(ask('x', 'nope'));
    await expect(collect(runtime, stream)).rejects.toMatchObject({ code: 'unknown-model' });
    await expect(stream.response).rejects.toMatchObject({ code: 'unknown-model' });
    runtime.service.completionStream(ask('x', 'nope'));
    await runtime.clock.settle();
  });

  test('that fails while nobody looks is no unhandled rejection', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    runtime.provider('a').always = fail('upstream-error');
    runtime.service.completionStream(HELLO);
    await runtime.clock.advance(60_000);
    expect(runtime.eventsOf('request.settled')).toMatchObject([{ outcome: 'failed' }]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a reader who leaves', () => {
  const leave: [string, (stream: CompletionStream) => Promise<void>][] = [
    [
      'breaks out of the loop',
      async (stream) => {
        for await (const part of stream) if (part.type === 'text') break;
      },
    ],
    [
      'throws inside the loop',
      async (stream) => {
        await expect(
          (async () => {
            for await (const _ of stream) throw new Error('mine');
          })(),
        ).rejects.toThrow('mine');
      },
    ],
    [
      'cancels',
      async (stream) => {
        for await (const part of stream) if (part.type === 'text') stream.cancel();
      },
    ],
  ];

  test.each(leave)('and %s stops the upstream call and leaves nothing behind', async (_name, act) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(100, 1_000, finish());
    const stream = runtime.service.completionStream(HELLO);
    const ended = rejection(stream.response);
    await runtime.run(act(stream));
    await runtime.clock.settle();
    expect(await ended).toMatchObject({ code: 'cancelled', partial: { text: 't0 ' } });
    expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: true }]);
    expect(runtime.provider('a').running).toBe(0);
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(0);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('after the finish part cancels nothing', async () => {
    await using runtime = await createTestRuntime(ONE);
    const stream = runtime.service.completionStream(HELLO);
    const reading = (async () => {
      for await (const part of stream) if (part.type === 'finish') break;
    })();
    await runtime.run(reading);
    expect((await stream.response).text).toBe('fine');
  });
});

describe('a slow reader', () => {
  test('holds the provider back: no more than a bounded number of parts pile up', async () => {
    await using runtime = await createTestRuntime(ONE);
    let written = 0;
    runtime.provider('a').always = async function* (call) {
      for (; written < 10_000; written++) yield { type: 'text', text: 'x' };
      yield* finish()(call);
    };
    const stream = runtime.service.completionStream(HELLO);
    const iterator = stream[Symbol.asyncIterator]();
    await runtime.clock.advance(10_000);
    expect(written).toBeLessThanOrEqual(70);
    for (let index = 0; index < 100; index++) await runtime.run(iterator.next());
    await runtime.clock.settle();
    expect(written).toBeLessThanOrEqual(170);
    await iterator.return?.();
  });

  test('is not mistaken for a provider that stalls: its clock stands still meanwhile', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(100, 0, finish());
    const stream = runtime.service.completionStream(HELLO, { timeoutMs: 7_200_000 });
    // Slower than `stallMs` allows the provider to be.
    const parts = await runtime.run(collect(runtime, stream, 20_000));
    expect(parts).toHaveLength(101);
    expect(runtime.clock.nowMs()).toBe(101 * 20_000);
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ failureCount: 0, lastFailureAt: undefined });
  });
});

/** Says nothing for `waitMs`, then answers in parts `gapMs` apart. */
const slow = (waitMs: number, gapMs: number): Behaviour =>
  async function* (call) {
    await pause(call, waitMs);
    yield* tokens(3, gapMs, finish())(call);
  };

describe('the limits of a stream', () => {
  test('a first token that comes late is waited for when no other candidate is left, and counts as overdue meanwhile', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = slow(100_000, 10);
    const response = runtime.service.completionStream(HELLO).response;
    await runtime.clock.advance(13_000);
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(1);
    expect((await runtime.run(response)).text).toBe(textOf(3));
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ failureCount: 0, successCount: 1 });
  });

  test('an unstreamed answer is waited for in the same way', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = slow(100_000, 0);
    expect((await runtime.complete()).text).toBe(textOf(3));
  });

  test.each([
    ['live', 'failed'],
    ['whole', 'answered'],
    ['restart', 'answered'],
  ] as const)('a stall of 20 s on the last candidate, delivered %s, ends as %s', async (delivery, outcome) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = slow(0, 20_000);
    const stream = runtime.service.completionStream(HELLO, { delivery });
    if (outcome === 'answered') expect((await runtime.run(stream.response)).text).toBe(textOf(3));
    else
      expect(await runtime.failure(stream.response)).toMatchObject({
        code: 'provider-error',
        partial: { text: 't0 ' },
      });
  });

  test.each(['whole', 'restart'] as const)(
    'a stall with another candidate left fails over when delivered %s',
    async (delivery) => {
      await using runtime = await createTestRuntime(TWO);
      runtime.provider('a').always = slow(0, 20_000);
      const response = await runtime.run(runtime.service.completionStream(ask('x', 'smart'), { delivery }).response);
      expect(response).toMatchObject({
        provider: 'b',
        text: 'fine',
        attempts: [{ provider: 'a', outcome: 'failed' }, { provider: 'b' }],
      });
      expect(runtime.clock.nowMs()).toBe(15_000);
    },
  );

  test('activity without a visible part keeps a stream alive', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = async function* (call) {
      for (let index = 0; index < 10; index++) {
        yield { type: 'activity' };
        await pause(call, 10_000);
      }
      yield { type: 'toolCall', id: 'c', name: 'look', arguments: '{}' };
      yield* finish(undefined, 'tool-calls')(call);
    };
    expect(await runtime.run(runtime.service.completionStream(ask('x', 'smart')).response)).toMatchObject({
      provider: 'a',
      finishReason: 'tool-calls',
    });
  });
});

describe('a stream without a proper end', () => {
  test('that just stops is a failure with what had come, never a short success', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(4, 10, cut());
    expect(await runtime.failure(runtime.service.completionStream(HELLO).response)).toMatchObject({
      code: 'provider-error',
      partial: { text: textOf(4) },
    });
  });

  test('that hangs after content ends at the deadline, with what had come', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { timeouts: { stallMs: 600_000 } } } });
    runtime.provider('a').always = tokens(4, 10, hang());
    const error = await runtime.failure(runtime.service.completionStream(HELLO, { timeoutMs: 30_000 }).response);
    expect(error).toMatchObject({ code: 'timeout', partial: { text: textOf(4) } });
    expect(runtime.clock.nowMs()).toBe(30_000);
  });

  test('that carries an error event after content says what had come and what it cost', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(4, 10, async function* (call) {
      yield { type: 'usage', usage: { inputTokens: 9 } };
      yield* fail('overloaded', { message: 'too many' })(call);
    });
    const error = await runtime.failure(runtime.service.completionStream(HELLO).response);
    expect(error).toMatchObject({ code: 'overloaded', partial: { text: textOf(4), usage: { inputTokens: 9 } } });
    expect(error.message).toContain('too many');
  });
});
