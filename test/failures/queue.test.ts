/** A queue that is full, and a queue that is long: who is given up, who is refused, and how long those wait who are in a hurry. */
import { describe, expect, test } from 'vitest';
import type { Priority } from '../../src/contract/request.ts';
import { answer, fail, hang } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

const DEPTH = 6;
const FULL = { providers: { a: { concurrency: 1 } }, service: { queueDepthMax: DEPTH, timeoutMs: 7_200_000 } };

/** One call that runs and keeps everybody else waiting. */
async function occupy(runtime: TestRuntime): Promise<void> {
  runtime.provider('a').plan(answer('blocker', { afterMs: 10_000 }));
  void runtime.service.completion(ask('blocker')).catch(() => undefined);
  await runtime.clock.settle();
}

const submit = (runtime: TestRuntime, priority: Priority, prompt = 'x') =>
  runtime.service.completionAsync(ask(prompt), { priority });

async function submitMany(runtime: TestRuntime, count: number, priority: Priority): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) ids.push(await submit(runtime, priority));
  return ids;
}

const statusesOf = async ({ service }: TestRuntime, ids: readonly string[]) =>
  (await Promise.all(ids.map((id) => service.getResult(id)))).map((result) =>
    result.status === 'failed' ? result.error.code : result.status,
  );

describe('when the queue is full', () => {
  test('the request with the largest key that nobody waits on goes first, and is told so', async () => {
    await using runtime = await createTestRuntime(FULL);
    await occupy(runtime);
    const lows = await submitMany(runtime, 4, 'low');
    const normals = await submitMany(runtime, 2, 'normal');
    const high = runtime.service.completion(ask('high'), { priority: 'high' });
    await runtime.clock.settle();
    expect(await statusesOf(runtime, lows)).toEqual(['queued', 'queued', 'queued', 'queue-full']);
    expect(await statusesOf(runtime, normals)).toEqual(['queued', 'queued']);
    const given = await runtime.service.getResult(lows[3] ?? '');
    expect(given).toMatchObject({ status: 'failed', error: { code: 'queue-full', retryAfterMs: 1_000, attempts: [] } });
    expect(given.status === 'failed' && given.error.message).toMatch(/^the request was given up while it waited/);
    expect(runtime.eventsOf('request.settled')).toMatchObject([
      { requestId: lows[3], outcome: 'failed', code: 'queue-full' },
    ]);
    expect((await runtime.run(high)).text).toBe('fine');
    for (const id of [...lows.slice(0, 3), ...normals])
      expect(await runtime.result(id)).toMatchObject({ status: 'succeeded' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('whoever would be served last is refused itself', async () => {
    await using runtime = await createTestRuntime(FULL);
    await occupy(runtime);
    const lows = await submitMany(runtime, DEPTH, 'low');
    await runtime.clock.advance(1);
    await expect(submit(runtime, 'low')).rejects.toMatchObject({ code: 'queue-full', retryAfterMs: 1_000 });
    expect(await rejection(runtime.service.completion(HELLO, { priority: 'low' }))).toMatchObject({
      code: 'queue-full',
    });
    expect(new Set(await statusesOf(runtime, lows))).toEqual(new Set(['queued']));
    // An old low comes before a young normal.
    await runtime.clock.advance(9_000);
    expect(await rejection(submit(runtime, 'low'))).toMatchObject({ code: 'queue-full' });
    await submit(runtime, 'normal');
    await runtime.clock.settle();
    expect((await statusesOf(runtime, lows)).at(-1)).toBe('queue-full');
  });

  test('those whom somebody waits on stay: callers, readers of streams, and who asked for the result', async () => {
    await using runtime = await createTestRuntime(FULL);
    const { service } = runtime;
    await occupy(runtime);
    const callers = [
      service.completion(ask('sync'), { priority: 'low' }),
      service.completionStream(ask('stream'), { priority: 'low' }).response,
      service.completion(ask('keyed'), { priority: 'low', idempotencyKey: 'k' }),
    ];
    const joined = await service.completionAsync(ask('joined'), { priority: 'low', idempotencyKey: 'j' });
    const watched = await submit(runtime, 'low', 'watched');
    const waits = [
      service.getResult(watched, { waitMs: 60_000 }),
      service.completion(ask('joined'), { priority: 'low', idempotencyKey: 'j' }),
    ];
    await runtime.clock.settle();
    const free = await submit(runtime, 'low', 'free');
    await runtime.clock.settle();
    const first = service.completion(ask('high'), { priority: 'high' });
    await runtime.clock.settle();
    expect(await statusesOf(runtime, [watched, joined, free])).toEqual(['queued', 'queued', 'queue-full']);
    expect(await rejection(service.completion(HELLO, { priority: 'high' }))).toMatchObject({ code: 'queue-full' });
    await runtime.run(Promise.all([first, ...callers, ...waits]));
    expect(await statusesOf(runtime, [watched, joined])).toEqual(['succeeded', 'succeeded']);
  });

  test('who has stopped waiting can be given up again', async () => {
    await using runtime = await createTestRuntime(FULL);
    await occupy(runtime);
    const lows = await submitMany(runtime, DEPTH, 'low');
    for (const id of lows)
      expect(await runtime.run(runtime.service.getResult(id, { waitMs: 100 }))).toMatchObject({ status: 'queued' });
    const leaving = new AbortController();
    const waiting = runtime.service.getResult(lows.at(-1) ?? '', { waitMs: 60_000, signal: leaving.signal });
    await runtime.clock.settle();
    leaving.abort();
    await waiting;
    await submit(runtime, 'high');
    await runtime.clock.settle();
    expect((await statusesOf(runtime, lows)).at(-1)).toBe('queue-full');
    await runtime.clock.advance(20_000);
  });

  test('a burst of the urgent takes one place each and no more', async () => {
    await using runtime = await createTestRuntime(FULL);
    await occupy(runtime);
    const lows = await submitMany(runtime, DEPTH, 'low');
    const outcomes = Array.from({ length: DEPTH + 3 }, (_, index) =>
      runtime.service.completion(ask(`high ${index}`), { priority: 'high' }).then(
        () => 'answered',
        (error: { code: string }) => error.code,
      ),
    );
    await runtime.clock.settle();
    expect(new Set(await statusesOf(runtime, lows))).toEqual(new Set(['queue-full']));
    expect(runtime.service.queueStatus()).toMatchObject({ waiting: DEPTH, running: 1 });
    const ended = await runtime.run(Promise.all(outcomes));
    expect(ended.slice(0, DEPTH)).toEqual(Array.from({ length: DEPTH }, () => 'answered'));
    expect(ended.slice(DEPTH)).toEqual(['queue-full', 'queue-full', 'queue-full']);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('what runs is not given up, and what rests between two rounds is; neither blames the provider', async () => {
    await using runtime = await createTestRuntime({
      ...FULL,
      providers: { a: { retry: { maxRetries: 0 } }, b: { models: ['n'] } },
    });
    runtime.provider('a').plan(fail('connection'));
    runtime.provider('a').always = hang();
    const resting = await submit(runtime, 'low');
    await runtime.clock.settle();
    const running = await submitMany(runtime, DEPTH, 'low');
    await runtime.clock.settle();
    for (const id of running) expect(await runtime.service.getResult(id)).toMatchObject({ status: 'running' });
    await runtime.service.supervisor.suspend('b');
    const waiting = await Promise.all(
      Array.from({ length: DEPTH - 1 }, () => runtime.service.completionAsync(ask('x', 'n'), { priority: 'normal' })),
    );
    const failuresBefore = runtime.service.providerStates()['a']?.breaker.failureCount;
    await runtime.service.completionAsync(ask('x', 'n'), { priority: 'high' });
    await runtime.clock.settle();
    expect(await statusesOf(runtime, [resting])).toEqual(['queue-full']);
    expect(await runtime.service.getResult(resting)).toMatchObject({
      error: { attempts: [{ provider: 'a', outcome: 'failed', code: 'provider-error' }] },
    });
    expect(new Set(await statusesOf(runtime, [...running]))).toEqual(new Set(['running']));
    expect(new Set(await statusesOf(runtime, waiting))).toEqual(new Set(['queued']));
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(failuresBefore);
  });

  test('batch goes before normal, normal before interactive, the youngest first', async () => {
    await using runtime = await createTestRuntime({ ...FULL, service: { ...FULL.service, queueDepthMax: 9 } });
    await occupy(runtime);
    const ids: Record<string, string> = {};
    for (const priority of ['high', 'low', 'normal'] as const)
      for (const number of [1, 2, 3]) ids[await submit(runtime, priority)] = `${priority} ${number}`;
    runtime.service.on('request.settled', ({ requestId, code }) => {
      if (code === 'queue-full') shed.push(ids[requestId] ?? '');
    });
    const shed: string[] = [];
    const codes: string[] = [];
    for (let index = 0; index < 8; index += 1) {
      void runtime.service
        .completion(ask('now'), { priority: 'high' })
        .catch((error: { code: string }) => codes.push(error.code));
      await runtime.clock.settle();
    }
    expect(shed).toEqual(['low 3', 'low 2', 'low 1', 'normal 3', 'normal 2', 'normal 1']);
    expect(codes).toEqual(['queue-full', 'queue-full']);
    await runtime.clock.advance(20_000);
  });

  test('and ten thousand wait, it is known at once whom to give up', async () => {
    await using runtime = await createTestRuntime({ ...FULL, service: { queueDepthMax: 10_000 } });
    await occupy(runtime);
    await Promise.all(Array.from({ length: 10_000 }, () => submit(runtime, 'low')));
    const tookMs: number[] = [];
    for (let index = 0; index < 300; index += 1) {
      const startedAt = performance.now();
      const refused = rejection(runtime.service.completion(HELLO, { priority: 'low' }));
      tookMs.push(performance.now() - startedAt);
      await refused;
      const [, high] = [
        performance.now(),
        runtime.service.completion(HELLO, { priority: 'high' }).catch(() => undefined),
      ];
      void high;
    }
    tookMs.sort((left, right) => left - right);
    // The median, because the machine has other things to do; looking at all ten thousand takes longer.
    expect(tookMs[Math.floor(tookMs.length / 2)]).toBeLessThan(1);
    expect(runtime.service.queueStatus().waiting).toBeLessThanOrEqual(10_000);
  }, 60_000);
});

describe('at more load than the providers can take', () => {
  /** Calls with Poisson arrivals: batch is submitted as low, interactive is called as high. */
  async function overload(
    runtime: TestRuntime,
    { perSecond, seconds, batchShare }: { perSecond: number; seconds: number; batchShare: number },
  ) {
    const { service, clock } = runtime;
    const waits: number[] = [];
    const refusals: { readonly batchWaiting: number }[] = [];
    const calls: Promise<unknown>[] = [];
    const untilMs = seconds * 1_000;
    while (clock.nowMs() < untilMs) {
      await clock.advance((-Math.log(1 - clock.random()) / perSecond) * 1_000);
      if (clock.random() < batchShare) {
        await submit(runtime, 'low').catch(() => undefined);
        continue;
      }
      const call = service.completion(HELLO, { priority: 'high' }).then(
        ({ latency }) => waits.push(latency.queuedMs),
        () => refusals.push({ batchWaiting: service.openRequests().filter(isWaitingBatch).length }),
      );
      calls.push(call);
    }
    return { waits: waits.toSorted((left, right) => left - right), refusals };
  }

  const isWaitingBatch = ({ mode, status, ageMs }: { mode: string; status: string; ageMs: number }) =>
    mode === 'async' && status === 'queued' && ageMs < 600_000;

  test('twice as much, 60 % of it batch: 99 of 100 interactive calls wait two seconds at most', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 10 } } });
    runtime.provider('a').always = answer('fine', { afterMs: 1_000 });
    const { waits, refusals } = await overload(runtime, { perSecond: 20, seconds: 240, batchShare: 0.6 });
    expect(refusals).toEqual([]);
    expect(waits.length).toBeGreaterThan(1_500);
    expect(waits[Math.floor(0.99 * waits.length)]).toBeLessThanOrEqual(2_000);
    // It was overload: the batch is what waits.
    expect(runtime.service.queueStatus().waiting).toBeGreaterThan(1_500);
  }, 120_000);

  test('five times as much and the queue is full: no caller is refused while batch waits that nobody waits on', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 10 } },
      service: { queueDepthMax: 200, timeoutMs: 7_200_000 },
    });
    runtime.provider('a').always = answer('fine', { afterMs: 1_000 });
    const { waits, refusals } = await overload(runtime, { perSecond: 50, seconds: 60, batchShare: 0.6 });
    expect(refusals.length).toBeGreaterThan(100);
    expect(refusals.filter(({ batchWaiting }) => batchWaiting > 0)).toEqual([]);
    expect(waits.length).toBeGreaterThan(400);
    expect(runtime.service.queueStatus().waiting).toBe(200);
  }, 120_000);
});
