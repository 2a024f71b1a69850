/** Reading along with submitted requests: what each reader is given, whenever it comes, and what it never disturbs. */
import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ResultStream, StreamPart } from '../../src/contract/response.ts';
import { answer, type Behaviour, cut, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import { heapUsed } from '../support/heap.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const ONE = { providers: { a: {} } };
const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const CALL = { type: 'toolCall', id: 'c1', name: 'look', arguments: '{"at":1}' } as const;

let stray: StrayErrors;
beforeEach(() => {
  stray = watchStrayErrors();
});
afterEach(() => stray.finish());

const textOf = (count: number) => Array.from({ length: count }, (_, index) => `t${index} `).join('');

/** What a reader was given, and when. */
interface Reading {
  readonly parts: { readonly atMs: number; readonly part: StreamPart }[];
  /** What a careful caller has: text since the last restart. */
  readonly text: () => string;
  readonly types: () => string;
  /** Resolves with what it ended with: `undefined` is a regular end. */
  readonly ended: Promise<unknown>;
}

/** Reads to the end, `gapMs` per part. */
function read(runtime: TestRuntime, stream: ResultStream, gapMs = 0): Reading {
  const parts: Reading['parts'] = [];
  const reading = async () => {
    for await (const part of stream) {
      parts.push({ atMs: runtime.clock.nowMs(), part });
      if (gapMs > 0) await pause({ clock: runtime.clock, signal: new AbortController().signal }, gapMs);
    }
  };
  return {
    parts,
    text: () => {
      const begun = parts.findLastIndex(({ part }) => part.type === 'restart') + 1;
      return parts
        .slice(begun)
        .map(({ part }) => (part.type === 'text' ? part.text : ''))
        .join('');
    },
    types: () => parts.map(({ part }) => part.type).join(' '),
    ended: reading().catch((error: unknown) => error),
  };
}

describe('a reader of a submitted request', () => {
  test('who comes while it waits gets its parts as they come, and the whole response at the end', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').plan(answer('first', { afterMs: 5_000 }), tokens(3, 1_000, finish()));
    await runtime.service.completionAsync(ask('1'));
    const requestId = await runtime.service.completionAsync(ask('2'));
    const stream = runtime.service.resultStream(requestId);
    const reading = read(runtime, stream);
    await runtime.clock.advance(4_000);
    expect({ types: reading.types(), target: stream.target }).toEqual({ types: '', target: undefined });
    await runtime.clock.advance(1_500);
    expect({ types: reading.types(), target: stream.target }).toEqual({
      types: 'text',
      target: { provider: 'a', model: 'm' },
    });
    await runtime.run(reading.ended);
    const response = await stream.response;
    expect(reading.parts).toEqual([
      { atMs: 5_000, part: { type: 'text', text: 't0 ' } },
      { atMs: 6_000, part: { type: 'text', text: 't1 ' } },
      { atMs: 7_000, part: { type: 'text', text: 't2 ' } },
      { atMs: 7_000, part: { type: 'finish', response } },
    ]);
    expect(response).toMatchObject({ requestId, text: textOf(3), latency: { firstTokenMs: 0 } });
    expect(stream).toMatchObject({ requestId, target: { provider: 'a', model: 'm' } });
  });

  test('who comes while it runs gets what was produced, at once, and then the rest as it comes', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = async function* (call) {
      yield { type: 'reasoning', text: 'hm' };
      yield CALL;
      yield* tokens(5, 1_000, finish())(call);
    };
    const requestId = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(2_500);
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(reading.ended);
    expect(reading.parts).toMatchObject([
      { atMs: 2_500, part: { type: 'reasoning', text: 'hm' } },
      { atMs: 2_500, part: CALL },
      { atMs: 2_500, part: { type: 'text', text: 't0 t1 t2 ' } },
      { atMs: 3_000, part: { type: 'text', text: 't3 ' } },
      { atMs: 4_000, part: { type: 'text', text: 't4 ' } },
      { atMs: 4_000, part: { type: 'finish', response: { text: textOf(5), toolCalls: [{ name: 'look' }] } } },
    ]);
  });

  test('who comes after its end gets text, tool calls and finish from the record, again and again', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = async function* (call) {
      yield { type: 'text', text: 'look: ' };
      yield CALL;
      yield* finish(undefined, 'tool-calls')(call);
    };
    const requestId = await runtime.service.completionAsync(HELLO);
    const result = await runtime.result(requestId);
    const stream = runtime.service.resultStream(requestId);
    for (let repeat = 0; repeat < 3; repeat++) {
      const reading = read(runtime, stream);
      expect(await runtime.run(reading.ended)).toBeUndefined();
      const response = await stream.response;
      expect({ requestId, status: 'succeeded', response }).toEqual(result);
      expect(reading.parts.map(({ part }) => part)).toEqual([
        { type: 'text', text: 'look: ' },
        CALL,
        { type: 'finish', response },
      ]);
    }
    expect(runtime.provider('a').attempts).toHaveLength(1);
  });

  test('gets the same answer as any other, each from the beginning and at its own pace', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(200, 100, finish());
    const requestId = await runtime.service.completionAsync(HELLO);
    const stream = runtime.service.resultStream(requestId);
    const readings: Reading[] = [];
    for (const gapMs of [0, 1, 70, 130, 900, 5_000]) {
      readings.push(read(runtime, stream, gapMs), read(runtime, runtime.service.resultStream(requestId), gapMs));
      await runtime.clock.advance(2_500);
    }
    await runtime.run(Promise.all(readings.map(({ ended }) => ended)));
    for (const reading of readings) {
      expect(reading.text()).toBe(textOf(200));
      expect(reading.parts.at(-1)?.part.type).toBe('finish');
    }
    expect(runtime.provider('a').attempts).toMatchObject([{ kind: 'stream', isAborted: false }]);
  });

  test.each([
    ['reads nothing for an hour', 3_600_000],
    ['reads a part a second', 1_000],
  ])('and %s holds up neither the request nor the others', async (_how, gapMs) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(1_000, 10, finish());
    const requestId = await runtime.service.completionAsync(HELLO);
    const slow = read(runtime, runtime.service.resultStream(requestId), gapMs);
    const quick = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(quick.ended);
    expect(runtime.clock.nowMs()).toBe(9_990);
    expect(runtime.eventsOf('request.settled')).toMatchObject([{ outcome: 'succeeded', totalMs: 9_990 }]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    await runtime.run(slow.ended);
    expect(slow.text()).toBe(textOf(1_000));
  });

  test('who leaves the loop ends nothing but the reading', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(100, 1_000, finish());
    const requestId = await runtime.service.completionAsync(HELLO);
    const stream = runtime.service.resultStream(requestId);
    const leaving = (async () => {
      for await (const part of stream) if (part.type === 'text') break;
    })();
    await runtime.run(leaving);
    expect(runtime.clock.nowMs()).toBe(0);
    expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded', response: { text: textOf(100) } });
    expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: false }]);
  });

  test('who returns while a part is awaited is let go at once', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = answer('late', { afterMs: 5_000 });
    const requestId = await runtime.service.completionAsync(HELLO);
    const iterator = runtime.service.resultStream(requestId)[Symbol.asyncIterator]();
    const awaited = iterator.next();
    await runtime.clock.settle();
    await iterator.return?.();
    expect(await awaited).toEqual({ done: true, value: undefined });
    expect(runtime.clock.nowMs()).toBe(0);
    expect((await runtime.result(requestId)).status).toBe('succeeded');
  });

  test.each([
    ['before it begins', 0],
    ['while it waits', 1_000],
  ])('whose signal aborts %s is let go with an error that says that the request goes on', async (_when, afterMs) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = answer('late', { afterMs: 5_000 });
    const requestId = await runtime.service.completionAsync(HELLO);
    const leaving = new AbortController();
    if (afterMs === 0) leaving.abort();
    const stream = runtime.service.resultStream(requestId, { signal: leaving.signal });
    const reading = read(runtime, stream);
    await runtime.clock.advance(afterMs);
    leaving.abort();
    expect(await reading.ended).toMatchObject({ code: 'cancelled', requestId });
    expect(await rejection(stream.response)).toMatchObject({ code: 'cancelled' });
    expect((await runtime.result(requestId)).status).toBe('succeeded');
  });

  test('leaves nothing behind, however many come and go', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(2, 1_000, hang());
    const requestId = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(5_000);
    const signal = new AbortController().signal;
    const come = async (times: number) => {
      for (let count = 0; count < times; count++) {
        const iterator = runtime.service.resultStream(requestId, { signal })[Symbol.asyncIterator]();
        await iterator.next();
        const awaited = iterator.next();
        await runtime.clock.settle();
        await iterator.return?.();
        await awaited;
      }
    };
    await come(200);
    const before = { bytes: heapUsed(), timers: runtime.clock.pendingTimers };
    await come(5_000);
    expect(runtime.clock.pendingTimers).toBe(before.timers);
    // Left behind, they would be some millions of bytes.
    expect(heapUsed() - before.bytes).toBeLessThan(1_000_000);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    await runtime.run(runtime.service.cancel(requestId));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('keeps a waiting request from being given up for others, for as long as it reads', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1 } },
      service: { queueDepthMax: 2 },
    });
    runtime.provider('a').always = answer('fine', { afterMs: 5_000 });
    const [running, watched, other] = [
      await runtime.service.completionAsync(ask('running')),
      await runtime.service.completionAsync(ask('watched'), { priority: 'low' }),
      await runtime.service.completionAsync(ask('other')),
    ];
    const iterator = runtime.service.resultStream(watched)[Symbol.asyncIterator]();
    void iterator.next();
    await runtime.clock.settle();
    await runtime.service.completionAsync(ask('urgent'), { priority: 'high' });
    expect(await runtime.service.getResult(watched)).toMatchObject({ status: 'queued' });
    expect(await runtime.result(other)).toMatchObject({ status: 'failed', error: { code: 'queue-full' } });
    await iterator.return?.();
    await runtime.clock.settle();
    await runtime.service.completionAsync(ask('urgent too'), { priority: 'high' });
    expect(await runtime.result(watched)).toMatchObject({ status: 'failed', error: { code: 'queue-full' } });
    expect((await runtime.result(running)).status).toBe('succeeded');
  });
});

describe('when an attempt fails after content had come', () => {
  const broken: [string, Behaviour][] = [
    ['breaks off', tokens(3, 100, cut())],
    ['stalls', tokens(3, 100, hang())],
    ['tells of an error', tokens(3, 100, fail('upstream-error'))],
  ];

  test.each(broken)(
    'whoever saw it %s is told to start over, and who comes later sees the new one alone',
    async (_how, behaviour) => {
      await using runtime = await createTestRuntime({
        ...TWO,
        providers: { a: { retry: { maxRetries: 0 }, timeouts: { stallMs: 2_000 } }, b: {} },
      });
      runtime.provider('a').always = behaviour;
      runtime.provider('b').always = tokens(5, 1_000, finish());
      const requestId = await runtime.service.completionAsync(ask('x', 'smart'));
      const early = read(runtime, runtime.service.resultStream(requestId));
      await runtime.clock.advance(3_300);
      const late = read(runtime, runtime.service.resultStream(requestId));
      await runtime.run(Promise.all([early.ended, late.ended]));
      expect(early.types()).toBe('text text text restart text text text text text finish');
      expect(late.types()).not.toContain('restart');
      for (const reading of [early, late]) expect(reading.text()).toBe(textOf(5));
      expect(runtime.provider('b').attempts).toHaveLength(1);
    },
  );

  test('a retry at the same provider starts over too', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').plan(tokens(2, 100, fail('upstream-error')));
    runtime.provider('a').always = answer('whole');
    const requestId = await runtime.service.completionAsync(HELLO);
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(reading.ended);
    expect(reading.types()).toBe('text text restart text finish');
    expect(reading.text()).toBe('whole');
  });

  test('whoever was given nothing of it is told nothing of it', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = async function* (call) {
      yield { type: 'activity' };
      yield* cut()(call);
    };
    const requestId = await runtime.service.completionAsync(ask('x', 'smart'));
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(reading.ended);
    expect(reading.types()).toBe('text finish');
  });

  test('whoever comes while nobody is asked sees nothing of it, and is given the answer when it comes', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').plan(tokens(2, 100, cut()), tokens(3, 100, finish()));
    const requestId = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(1_000);
    expect(await runtime.service.getResult(requestId)).toMatchObject({ status: 'queued' });
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.clock.settle();
    expect(reading.types()).toBe('');
    await runtime.run(reading.ended);
    expect(reading.types()).toBe('text text text finish');
  });

  test('an unstreamed answer comes whole after the restart', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = tokens(2, 100, cut());
    runtime.provider('b').lacks = new Set(['stream']);
    const requestId = await runtime.service.completionAsync(ask('x', 'smart'));
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(reading.ended);
    expect(reading.types()).toBe('text text restart text finish');
    expect(reading.text()).toBe('fine');
    expect(runtime.provider('b').attempts).toMatchObject([{ kind: 'send' }]);
  });
});

describe('a request that ends without an answer', () => {
  test('gives its readers what they were given and then its error, and who comes later the error alone', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(3, 100, fail('invalid-request', { message: 'no more of this' }));
    const requestId = await runtime.service.completionAsync(HELLO);
    const early = read(runtime, runtime.service.resultStream(requestId));
    const behind = read(runtime, runtime.service.resultStream(requestId), 10_000);
    expect(await runtime.run(early.ended)).toMatchObject({
      code: 'invalid-request',
      requestId,
      provider: 'a',
      partial: { text: textOf(3) },
    });
    expect(early.types()).toBe('text text text');
    expect(await runtime.run(behind.ended)).toMatchObject({ code: 'invalid-request' });
    expect(behind.text()).toBe(textOf(3));
    const late = runtime.service.resultStream(requestId);
    const lateReading = read(runtime, late);
    expect(await runtime.run(lateReading.ended)).toMatchObject({
      name: 'SwitchgearError',
      code: 'invalid-request',
      partial: { text: textOf(3) },
    });
    expect(lateReading.types()).toBe('');
    expect(await rejection(late.response)).toMatchObject({ code: 'invalid-request', requestId });
  });

  test.each([
    ['queued', 2, ''],
    ['running', 1, 'text text'],
  ])('and is cancelled while it is %s, says so', async (_status, which, types) => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').always = tokens(100, 1_000, finish());
    const ids = [await runtime.service.completionAsync(ask('1')), await runtime.service.completionAsync(ask('2'))];
    const requestId = ids[which - 1] ?? '';
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.clock.advance(1_500);
    await runtime.run(runtime.service.cancel(requestId));
    expect(await reading.ended).toMatchObject({ code: 'cancelled', requestId });
    expect(reading.types()).toBe(types);
  });

  test('whose deadline passes between two rounds throws that, and nobody is told to start over', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').plan(tokens(2, 100, cut()));
    runtime.provider('a').always = hang();
    const requestId = await runtime.service.completionAsync(HELLO, { timeoutMs: 1_000 });
    const reading = read(runtime, runtime.service.resultStream(requestId));
    expect(await runtime.run(reading.ended)).toMatchObject({ code: 'timeout', partial: { text: textOf(2) } });
    expect(reading.types()).toBe('text text');
  });

  test('because the service ends, says that', async () => {
    const runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').always = tokens(2, 100, hang());
    const ids = [await runtime.service.completionAsync(ask('1')), await runtime.service.completionAsync(ask('2'))];
    const readings = ids.map((requestId) => read(runtime, runtime.service.resultStream(requestId)));
    await runtime.clock.advance(1_000);
    await runtime[Symbol.asyncDispose]();
    for (const reading of readings) expect(await reading.ended).toMatchObject({ code: 'shutting-down' });
    expect(readings.map((reading) => reading.types())).toEqual(['text text', '']);
  });
});

describe('what cannot be read', () => {
  test.each([
    ['an id that nobody gave', 'req_nope', 'request-not-found'],
    ['no id at all', '', 'invalid-request'],
    // A caller in JavaScript is not held back by types.
    ['something else', 7 as unknown as string, 'invalid-request'],
  ])('is %s: told in the loop and in the response, and nowhere else', async (_what, requestId, code) => {
    await using runtime = await createTestRuntime(ONE);
    const stream = runtime.service.resultStream(requestId);
    expect(await read(runtime, stream).ended).toMatchObject({ name: 'SwitchgearError', code });
    expect(await rejection(stream.response)).toMatchObject({ code });
    void runtime.service.resultStream(requestId).response;
    await runtime.clock.settle();
  });

  test('is a result that has expired', async () => {
    await using runtime = await createTestRuntime({ ...ONE, store: { resultTtlMs: 60_000 } });
    const requestId = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(61_000);
    const reading = read(runtime, runtime.service.resultStream(requestId));
    expect(await reading.ended).toMatchObject({ code: 'request-expired', requestId });
  });

  test.each([
    ['while it runs', 0],
    ['after its end', 10_000],
  ])('is an embedding, %s', async (_when, afterMs) => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = answer('', { afterMs: 5_000 });
    const embedding = runtime.service.embedding({ model: 'm', input: 'x' }, { idempotencyKey: 'k' });
    await runtime.clock.advance(afterMs);
    const requestId = runtime.provider('a').attempts[0]?.requestId ?? '';
    const reading = read(runtime, runtime.service.resultStream(requestId));
    expect(await reading.ended).toMatchObject({ code: 'request-not-found', requestId });
    expect(reading.types()).toBe('');
    await runtime.run(embedding);
  });

  test('is told of options that cannot be meant', async () => {
    await using runtime = await createTestRuntime(ONE);
    const requestId = await runtime.service.completionAsync(HELLO);
    // A caller in JavaScript is not held back by types.
    const options = { signal: 'no' as unknown as AbortSignal };
    const reading = read(runtime, runtime.service.resultStream(requestId, options));
    expect(await reading.ended).toMatchObject({ code: 'invalid-request' });
  });
});

describe('the response of a result stream', () => {
  test('comes without anybody reading the parts, however long the answer is', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = tokens(5_000, 0, finish());
    const requestId = await runtime.service.completionAsync(HELLO);
    const stream = runtime.service.resultStream(requestId);
    expect((await runtime.run(stream.response)).text).toBe(textOf(5_000));
    expect(await stream.response).toBe(await stream.response);
  });

  test('of an answer that was not streamed comes whole, and is what its record holds', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').lacks = new Set(['stream']);
    runtime.provider('a').always = answer('in one piece', { afterMs: 1_000 });
    const requestId = await runtime.service.completionAsync(HELLO);
    const reading = read(runtime, runtime.service.resultStream(requestId));
    await runtime.run(reading.ended);
    expect(reading.parts).toMatchObject([
      { atMs: 1_000, part: { type: 'text', text: 'in one piece' } },
      { atMs: 1_000, part: { type: 'finish' } },
    ]);
    const response = await runtime.service.resultStream(requestId).response;
    expect(reading.parts.at(-1)?.part).toEqual({ type: 'finish', response });
  });

  test('of a request with an idempotency key that somebody waits for can be read by others', async () => {
    await using runtime = await createTestRuntime(ONE);
    runtime.provider('a').always = answer('mine too', { afterMs: 1_000 });
    const waiting = runtime.service.completion(HELLO, { idempotencyKey: 'k' });
    await runtime.clock.settle();
    const requestId = runtime.provider('a').attempts[0]?.requestId ?? '';
    const reading = read(runtime, runtime.service.resultStream(requestId));
    expect((await runtime.run(waiting)).text).toBe('mine too');
    expect(await runtime.run(reading.ended)).toBeUndefined();
    expect(reading.text()).toBe('mine too');
  });
});
