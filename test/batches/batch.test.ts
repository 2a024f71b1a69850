/** Many requests handed over at once: what a program gets back, and what it may rely on. The store is the memory. */
import { describe, expect, test } from 'vitest';
import type { Batch, BatchCounts, BatchResult } from '../../src/contract/batches.ts';
import { startService } from '../../src/compose.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { CompletionRequest } from '../../src/contract/request.ts';
import { MemoryBatches } from '../../src/stores/memory-batches.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { answer, echo, fail, hang, ScriptedProvider, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const questions = (count: number): readonly CompletionRequest[] =>
  Array.from({ length: count }, (_, index) => ask(`${index}`));

async function collect(batch: Batch, results: BatchResult[] = []): Promise<readonly BatchResult[]> {
  for await (const result of batch) results.push(result);
  return results;
}

async function start(concurrency = 4): Promise<TestRuntime> {
  return createTestRuntime({ providers: { first: { concurrency } } });
}

describe('a batch', () => {
  test('gives the result of every request in the order of the requests', async () => {
    await using runtime = await start();
    runtime.provider('first').always = when(({ number }) => echo(number % 7));
    const batch = await runtime.run(runtime.service.completionBatch(questions(40)));
    expect(batch.batchId).toMatch(/^batch_[A-Za-z0-9]{21}$/);
    const results = await runtime.run(batch.results());
    expect(results.map((result) => result.status === 'succeeded' && result.response.text)).toEqual(
      questions(40).map((_, index) => `first: ${index}`),
    );
    expect(results.map(({ index }) => index)).toEqual(questions(40).map((_, index) => index));
    expect(new Set(results.map(({ requestId }) => requestId)).size).toBe(40);
    expect(batch.counts).toEqual({ total: 40, queued: 0, running: 0, succeeded: 40, failed: 0, cancelled: 0 });
    await runtime.clock.advance(60_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('is iterated as requests end, each result once, by any number of readers from the beginning', async () => {
    await using runtime = await start(3);
    runtime.provider('first').plan(echo(3_000), echo(1_000), echo(2_000));
    const batch = await runtime.run(runtime.service.completionBatch(questions(3)));
    const early: BatchResult[] = [];
    const reading = collect(batch, early);
    await runtime.clock.advance(1_500);
    expect(early.map(({ index }) => index)).toEqual([1]);
    await runtime.clock.advance(1_000);
    expect(early.map(({ index }) => index)).toEqual([1, 2]);
    const late = await runtime.run(collect(batch));
    expect(late.map(({ index }) => index)).toEqual([1, 2, 0]);
    expect((await reading).map(({ index }) => index)).toEqual([1, 2, 0]);
    expect((await runtime.run(collect(batch))).map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  test('tells how far it is while it runs, and exactly at its end', async () => {
    await using runtime = await start(2);
    runtime.provider('first').always = echo(1_000);
    const told: BatchCounts[] = [];
    const onProgress = (counts: BatchCounts) => void told.push(counts);
    const batch = await runtime.run(runtime.service.completionBatch(questions(6), { onProgress }));
    await runtime.clock.advance(1_500);
    expect(batch.counts).toEqual({ total: 6, queued: 2, running: 2, succeeded: 2, failed: 0, cancelled: 0 });
    await runtime.run(batch.results());
    expect(told.at(-1)).toEqual({ total: 6, queued: 0, running: 0, succeeded: 6, failed: 0, cancelled: 0 });
    for (const { total, ...rest } of told) expect(Object.values(rest).reduce((sum, count) => sum + count)).toBe(total);
    // A few times a second, not once for each of many.
    expect(told.length).toBeLessThan(16);
  });

  test('goes on when whoever listens to its progress throws, which is told', async () => {
    await using runtime = await start();
    const onProgress = () => {
      throw new Error('not today');
    };
    const batch = await runtime.run(runtime.service.completionBatch(questions(2), { onProgress }));
    expect(await runtime.run(batch.results())).toHaveLength(2);
    expect(runtime.eventsOf('listener.failed')[0]).toEqual({ event: 'onProgress', message: 'Error: not today' });
  });

  test('with failures ends all the same: each is an error of its own request', async () => {
    await using runtime = await start();
    runtime.provider('first').always = when(({ request }) =>
      JSON.stringify(request).includes('"1"') ? fail('invalid-request', { message: 'no such tool' }) : answer('fine'),
    );
    const batch = await runtime.run(runtime.service.completionBatch(questions(3)));
    const results = await runtime.run(batch.results());
    expect(results.map(({ status }) => status)).toEqual(['succeeded', 'failed', 'succeeded']);
    const [, failed] = results;
    if (failed?.status !== 'failed') throw new Error('expected the second request to fail');
    expect(failed.error).toBeInstanceOf(SwitchgearError);
    expect(failed.error).toMatchObject({ code: 'invalid-request', requestId: failed.requestId });
    expect(batch.counts).toMatchObject({ succeeded: 2, failed: 1 });
    expect(runtime.eventsOf('batch.finished')).toEqual([
      expect.objectContaining({ batchId: batch.batchId, status: 'completed', total: 3, succeeded: 2, failed: 1 }),
    ]);
  });

  test('is given again by its id, running or done', async () => {
    await using runtime = await start(1);
    runtime.provider('first').always = echo(1_000);
    const { batchId } = await runtime.run(runtime.service.completionBatch(questions(3)));
    const running = await runtime.run(runtime.service.getBatch(batchId));
    const results = await runtime.run(running.results());
    const done = await runtime.run(runtime.service.getBatch(batchId));
    expect(done.counts).toEqual({ total: 3, queued: 0, running: 0, succeeded: 3, failed: 0, cancelled: 0 });
    expect(await runtime.run(done.results())).toEqual(results);
    expect(await runtime.run(done.cancel())).toBe(false);
  });

  test('costs what its requests cost, and the ledger knows it by its tag', async () => {
    await using runtime = await createTestRuntime({
      providers: { first: { models: { m: { price: { inputUsdPerMillionTokens: 1, outputUsdPerMillionTokens: 2 } } } } },
    });
    const tags = { job: 'nightly' };
    const batch = await runtime.run(runtime.service.completionBatch(questions(3), { tags }));
    await runtime.run(batch.results());
    await runtime.complete();
    const costOf = async (tag: string) => (await runtime.run(runtime.service.costSummary({ tag }))).totalCost.usdNanos;
    expect(await costOf(`batch=${batch.batchId}`)).toBe(60_000);
    expect(await costOf('job=nightly')).toBe(60_000);
  });

  test('is low in priority unless asked for: a caller who waits goes first', async () => {
    await using runtime = await start(1);
    runtime.provider('first').always = echo(1_000);
    await runtime.run(runtime.service.completionBatch(questions(5)));
    await runtime.clock.advance(500);
    await runtime.complete(ask('now'));
    expect(
      runtime
        .provider('first')
        .attempts.map(({ prompt }) => prompt)
        .slice(0, 2),
    ).toEqual(['0', 'now']);
    const urgent = await runtime.run(runtime.service.completionBatch([ask('urgent')], { priority: 'high' }));
    await runtime.run(urgent.results());
    expect(
      runtime
        .provider('first')
        .attempts.map(({ prompt }) => prompt)
        .slice(0, 4),
    ).toEqual(['0', 'now', '1', 'urgent']);
  });

  test('goes on when its reader leaves the loop', async () => {
    await using runtime = await start(1);
    runtime.provider('first').always = echo(1_000);
    const batch = await runtime.run(runtime.service.completionBatch(questions(4)));
    const first = async () => {
      for await (const { index } of batch) return index;
      return undefined;
    };
    expect(await runtime.run(first())).toBe(0);
    await runtime.clock.advance(10_000);
    expect(runtime.provider('first').attempts).toHaveLength(4);
    expect(batch.counts).toMatchObject({ succeeded: 4 });
  });
});

describe('what cannot be a batch', () => {
  test.each([
    ['no requests', []],
    ['more than 50,000', Array.from({ length: 50_001 }, () => HELLO)],
  ])('%s: it is refused', async (_name, requests) => {
    await using runtime = await start();
    const error = await runtime.failure(runtime.service.completionBatch(requests));
    expect(error).toMatchObject({ code: 'invalid-request', param: 'requests' });
    expect(error.message).toContain(`expected requests to be a list of 1 to 50000, got: ${requests.length}`);
  });

  test.each([
    ['a request that is none', { model: 'm', messages: [] }, 'invalid-request', 'requests[2].messages'],
    ['an unknown field', { ...HELLO, max_tokens: 5 }, 'invalid-request', 'requests[2].max_tokens'],
    ['a model that nobody has', ask('x', 'none'), 'unknown-model', 'requests[2].model'],
  ])('%s is named by its place, and nothing is stored', async (_name, wrong, code, param) => {
    await using runtime = await start();
    const requests = [HELLO, HELLO, wrong, HELLO];
    const error = await runtime.failure(runtime.service.completionBatch(requests));
    expect(error).toMatchObject({ code, param });
    expect(error.message).toMatch(/^requests\[2\]: expected /);
    await runtime.clock.advance(10_000);
    expect(runtime.provider('first').attempts).toEqual([]);
    expect(await runtime.run(runtime.service.batches.listStates({ max: 9 }))).toEqual([]);
  });

  test.each([
    [{ priority: 'urgent' }, 'priority'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ onProgress: 'later' }, 'onProgress'],
    [{ metadata: { note: 'x'.repeat(513) } }, 'metadata.note'],
    [{ delivery: 'live' }, 'delivery'],
  ])('the option %j is refused by name', async (options, param) => {
    await using runtime = await start();
    // Only a program without types can say this.
    const error = await runtime.failure(runtime.service.completionBatch([HELLO], options as object));
    expect(error).toMatchObject({ code: 'invalid-request', param });
  });

  test('an id that is none is not found', async () => {
    await using runtime = await start();
    expect(await runtime.failure(runtime.service.getBatch('batch_none'))).toMatchObject({ code: 'request-not-found' });
  });

  test('a storage of requests alone keeps no batches, and says so', async () => {
    await using runtime = await createTestRuntime({ providers: { first: {} } });
    const requests = new MemoryStore({ clock: runtime.clock, resultTtlMs: 1_000 });
    const service = await startService(
      { providers: { p: { adapter: 'mock', models: ['m'] } } },
      { clock: runtime.clock, storage: { requests } },
    );
    expect(await rejection(service.completionBatch([HELLO]))).toMatchObject({ code: 'invalid-config' });
    await runtime.run(service.stop());
  });
});

describe('an idempotency key', () => {
  test('stands for one batch: the same requests again give the same one, also at the same moment', async () => {
    await using runtime = await start();
    const options = { idempotencyKey: 'nightly' };
    const [one, two] = await runtime.run(
      Promise.all([
        runtime.service.completionBatch(questions(3), options),
        runtime.service.completionBatch(questions(3), options),
      ]),
    );
    await runtime.run(one.results());
    const three = await runtime.run(runtime.service.completionBatch(questions(3), options));
    expect([two.batchId, three.batchId]).toEqual([one.batchId, one.batchId]);
    expect(runtime.provider('first').attempts).toHaveLength(3);
    expect(await runtime.run(three.results())).toHaveLength(3);
  });

  test('with other requests, or others after them, is a conflict', async () => {
    await using runtime = await start();
    const options = { idempotencyKey: 'nightly' };
    await runtime.run(runtime.service.completionBatch(questions(3), options));
    for (const other of [questions(4), questions(3).toReversed(), questions(3).slice(1)])
      expect(await runtime.failure(runtime.service.completionBatch(other, options))).toMatchObject({
        code: 'idempotency-conflict',
      });
    const fallbacks = ['m'];
    expect(
      await runtime.failure(runtime.service.completionBatch(questions(3), { ...options, fallbacks })),
    ).toMatchObject({
      code: 'idempotency-conflict',
    });
  });

  test('of a batch that is done tells its counts to whoever listens', async () => {
    await using runtime = await start();
    const options = { idempotencyKey: 'nightly' };
    const batch = await runtime.run(runtime.service.completionBatch(questions(2), options));
    await runtime.run(batch.results());
    const told: BatchCounts[] = [];
    await runtime.run(
      runtime.service.completionBatch(questions(2), { ...options, onProgress: (now) => told.push(now) }),
    );
    expect(told).toEqual([{ total: 2, queued: 0, running: 0, succeeded: 2, failed: 0, cancelled: 0 }]);
  });
});

describe('a batch that is cancelled', () => {
  test('ends what runs and what waits, keeps what has ended, and has a result for every request', async () => {
    await using runtime = await start(2);
    const provider = runtime.provider('first');
    provider.plan(echo(100), echo(100));
    provider.always = hang();
    const batch = await runtime.run(runtime.service.completionBatch(questions(300)));
    await runtime.clock.advance(1_000);
    expect(await runtime.run(batch.cancel())).toBe(true);
    expect(await runtime.run(batch.cancel())).toBe(false);
    const results = await runtime.run(batch.results());
    expect(results.slice(0, 2).map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    expect(new Set(results.slice(2).map(({ status }) => status))).toEqual(new Set(['cancelled']));
    expect(results).toHaveLength(300);
    expect(batch.counts).toEqual({ total: 300, queued: 0, running: 0, succeeded: 2, failed: 0, cancelled: 298 });
    expect(provider.calls.filter(({ isAborted }) => isAborted)).toHaveLength(2);
    expect(provider.attempts).toHaveLength(4);
    expect(runtime.eventsOf('batch.finished')[0]).toMatchObject({ status: 'cancelled' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a batch that is cancelled at once', () => {
  test.each([0, 1, 3, 5])(
    'while its first lines come in, %i moments after it was taken in, is cancelled',
    async (moments) => {
      await using runtime = await start(2);
      runtime.provider('first').always = hang();
      const batch = await runtime.run(runtime.service.completionBatch(questions(300)));
      for (let moment = 0; moment < moments; moment++) await runtime.clock.step();
      expect(await runtime.run(batch.cancel())).toBe(true);
      const results = await runtime.run(batch.results());
      expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['cancelled']));
      expect(batch.counts).toMatchObject({ total: 300, cancelled: 300 });
    },
  );
});

describe('the time of a batch', () => {
  test('is one for all its requests: what has not ended then fails with timeout, sent or not', async () => {
    await using runtime = await start(1);
    runtime.provider('first').always = echo(4_000);
    const batch = await runtime.run(runtime.service.completionBatch(questions(200), { timeoutMs: 10_000 }));
    const results = await runtime.run(batch.results());
    expect(runtime.clock.nowMs()).toBeLessThan(16_000);
    expect(results.slice(0, 2).map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    const codes = results.slice(2).map((result) => (result.status === 'failed' ? result.error.code : result.status));
    expect(new Set(codes)).toEqual(new Set(['timeout']));
    expect(runtime.eventsOf('batch.finished')[0]).toMatchObject({ status: 'expired', failed: 198 });
    const last = results.at(-1);
    expect(last?.status === 'failed' && last.error.message).toContain('this request was not sent');
  });

  test('its results expire together, after the batch has ended', async () => {
    await using runtime = await createTestRuntime({
      providers: { first: { concurrency: 1 } },
      store: { kind: 'memory', resultTtlMs: 60_000 },
    });
    runtime.provider('first').always = echo(50_000);
    const batch = await runtime.run(runtime.service.completionBatch(questions(3)));
    const [first] = await runtime.run(batch.results());
    await runtime.clock.advance(59_000);
    expect((await runtime.result(first?.requestId ?? '')).status).toBe('succeeded');
    expect(await runtime.run(batch.results())).toHaveLength(3);
    await runtime.clock.advance(2_000);
    expect(await runtime.failure(runtime.service.getBatch(batch.batchId))).toMatchObject({ code: 'request-expired' });
    expect(await runtime.failure(runtime.service.getResult(first?.requestId ?? ''))).toMatchObject({
      code: 'request-expired',
    });
    expect(await runtime.failure(batch.results())).toMatchObject({ code: 'request-expired' });
  });
});

describe('a queue in memory', () => {
  test('is never full of one batch: lines come in as others end, and half is left to everybody else', async () => {
    await using runtime = await createTestRuntime({
      providers: { first: { concurrency: 1 } },
      service: { queueDepthMax: 8 },
    });
    runtime.provider('first').always = echo(1_000);
    const batch = await runtime.run(runtime.service.completionBatch(questions(30)));
    let most = 0;
    for (let second = 0; second < 10; second++) {
      most = Math.max(most, runtime.service.queueStatus().open);
      await runtime.clock.advance(1_000);
    }
    expect(most).toBe(4);
    expect(await runtime.complete(ask('now'))).toMatchObject({ text: 'first: now' });
    expect((await runtime.run(batch.results())).map(({ status }) => status)).toEqual(Array(30).fill('succeeded'));
  });

  test('gives up no line for others that are more urgent: whoever comes last is refused', async () => {
    await using runtime = await createTestRuntime({
      providers: { first: { concurrency: 1 } },
      service: { queueDepthMax: 8 },
    });
    runtime.provider('first').always = echo(1_000);
    const batch = await runtime.run(runtime.service.completionBatch(questions(10)));
    await runtime.clock.advance(10);
    const submit = (index: number) => runtime.service.completionAsync(ask(`other ${index}`), { priority: 'high' });
    const others = await Promise.allSettled(Array.from({ length: 9 }, (_, index) => submit(index)));
    expect(others.some(({ status }) => status === 'rejected')).toBe(true);
    const results = await runtime.run(batch.results());
    expect(results.map(({ status }) => status)).toEqual(Array(10).fill('succeeded'));
  });

  test('that others have filled is waited for, and no line is given up for them', async () => {
    await using runtime = await createTestRuntime({
      providers: { first: { concurrency: 1 } },
      service: { queueDepthMax: 4 },
    });
    runtime.provider('first').always = echo(1_000);
    const others = [];
    for (let index = 0; index < 5; index++) {
      others.push(await runtime.run(runtime.service.completionAsync(ask(`other ${index}`), { priority: 'high' })));
      if (index === 0) await runtime.clock.advance(10);
    }
    const batch = await runtime.run(runtime.service.completionBatch(questions(6)));
    await runtime.clock.advance(100);
    expect(runtime.service.openRequests().some(({ priority }) => priority === 'low')).toBe(false);
    expect((await runtime.run(batch.results())).map(({ status }) => status)).toEqual(Array(6).fill('succeeded'));
    for (const requestId of others) expect((await runtime.result(requestId)).status).toBe('succeeded');
  });
});

describe('a store of a program', () => {
  test('that does what it is asked and says that it failed has no line run twice', async () => {
    const clock = new VirtualClock();
    const resultTtlMs = 3_600_000;
    const requests = new MemoryStore({ clock, resultTtlMs });
    const batches = new MemoryBatches({ clock, resultTtlMs, records: requests });
    const enter = batches.enter.bind(batches);
    let calls = 0;
    batches.enter = async (...args) => {
      const isEntered = await enter(...args);
      calls += 1;
      if (calls === 3 || calls === 4 || calls === 30) throw new Error('the answer was lost');
      return isEntered;
    };
    const provider = new ScriptedProvider('first', clock);
    const service = await startService(
      { providers: { first: { adapter: 'scripted', models: ['m'] } } },
      { clock, storage: { requests, batches }, adapters: { scripted: provider.createAdapter } },
    );
    provider.always = echo(10);
    const batch = await clock.waitFor(service.completionBatch(questions(40)));
    const results = await clock.waitFor(batch.results());
    expect(results.map((result) => result.status === 'succeeded' && result.response.text)).toEqual(
      questions(40).map((_, index) => `first: ${index}`),
    );
    expect(provider.attempts).toHaveLength(40);
    await clock.waitFor(service.stop());
  });
});

describe('a service that stops', () => {
  test('lets whoever waits for a batch in memory know that it is lost', async () => {
    await using runtime = await start(1);
    runtime.provider('first').always = hang();
    const batch = await runtime.run(runtime.service.completionBatch(questions(300)));
    const results = batch.results();
    const failed = rejection(results);
    const looping = rejection(collect(batch));
    await runtime.clock.advance(1_000);
    await runtime.run(runtime.service.stop({ graceMs: 0 }));
    expect(await failed).toMatchObject({ code: 'shutting-down' });
    expect((await looping).message).toContain(`batch ${batch.batchId} is lost with its memory`);
  });

  test('takes no further batches', async () => {
    await using runtime = await start();
    await runtime.run(runtime.service.stop());
    expect(await rejection(runtime.service.completionBatch([HELLO]))).toMatchObject({ code: 'shutting-down' });
  });
});
