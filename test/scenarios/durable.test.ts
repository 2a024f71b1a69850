/** What was submitted is ours until it has ended: over kills, stops, full memory and changed configs. */
import { describe, expect, test } from 'vitest';
import type { RequestOptions } from '../../src/contract/request.ts';
import { type DurableProcess, DurableWorld } from '../support/durable-world.ts';
import { answer, type Behaviour, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { ask, HELLO, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;

async function submitMany(
  { service }: DurableProcess,
  count: number,
  options: (index: number) => RequestOptions = () => ({}),
): Promise<readonly string[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) => service.completionAsync(ask(`${index}`), options(index))),
  );
}

async function statusesOf({ service }: DurableProcess, ids: readonly string[]): Promise<readonly string[]> {
  const results = await Promise.all(ids.map((requestId) => service.getResult(requestId)));
  return results.map(({ status }) => status);
}

describe('a process that is killed', () => {
  test('loses nothing that was acknowledged: what waited is run, what was running is run again', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 2, always: hang() });
    const ids = await world.run(submitMany(first, 5));
    await world.clock.advance(1_000);
    expect(first.provider.attempts).toHaveLength(2);
    first.kill();

    const second = await world.start({ concurrency: 2 });
    const results = await world.run(
      Promise.all(ids.map((requestId) => second.service.getResult(requestId, { waitMs: HOUR_MS }))),
    );
    expect(results.map(({ status }) => status)).toEqual(ids.map(() => 'succeeded'));
    expect(second.provider.attempts).toHaveLength(5);
    expect(world.recovered).toEqual([{ queued: 5, requeued: 2, interrupted: 0 }]);
    await world.run(second.service.stop());
  });

  test('leaves the attempt it died in to be seen: abandoned, interrupted, maybe billed', async () => {
    using world = new DurableWorld();
    const first = await world.start({ always: hang() });
    const requestId = await world.run(first.service.completionAsync(HELLO));
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start();
    const result = await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }));
    expect(result).toMatchObject({
      status: 'succeeded',
      response: {
        attempts: [
          { provider: 'a', model: 'm', outcome: 'abandoned', code: 'interrupted', isMaybeBilled: true },
          { provider: 'a', model: 'm', outcome: 'answered' },
        ],
      },
    });
    await world.run(second.service.stop());
  });

  test('ends what may be sent at most once, without sending it again', async () => {
    using world = new DurableWorld();
    const first = await world.start({ always: hang() });
    const running = await world.run(first.service.completionAsync(HELLO, { recovery: 'atMostOnce' }));
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start();
    await world.clock.advance(10_000);
    expect(await second.service.getResult(running)).toMatchObject({
      status: 'failed',
      error: { code: 'interrupted', attempts: [{ code: 'interrupted' }] },
    });
    expect(second.provider.attempts).toHaveLength(0);
    await world.run(second.service.stop());
  });

  test('runs what may be sent at most once and was not sent yet', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: hang() });
    const options = { recovery: 'atMostOnce' } as const;
    const [, waiting = ''] = await world.run(submitMany(first, 2, () => options));
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start();
    expect(await world.run(second.service.getResult(waiting, { waitMs: HOUR_MS }))).toMatchObject({
      status: 'succeeded',
    });
    await world.run(second.service.stop());
  });

  test('three times while the same request runs: it ends as failed and says why, and innocents go on', async () => {
    using world = new DurableWorld();
    let ids: readonly string[] = [];
    for (let life = 1; life <= 3; life++) {
      const process = await world.start({ concurrency: 1, always: hang() });
      if (life === 1) ids = await world.run(submitMany(process, 2));
      await world.clock.advance(1_000);
      expect(process.provider.attempts).toHaveLength(1);
      process.kill();
    }
    const last = await world.start({ concurrency: 1 });
    const [poison, innocent] = await world.run(
      Promise.all(ids.map((requestId) => last.service.getResult(requestId, { waitMs: HOUR_MS }))),
    );
    expect(poison).toMatchObject({ status: 'failed', error: { code: 'interrupted', message: /^3 processes ended/ } });
    expect(innocent).toMatchObject({ status: 'succeeded' });
    await world.run(last.service.stop());
  });

  test('does not change what had ended: the same end is told before and after', async () => {
    using world = new DurableWorld();
    const first = await world.start();
    first.provider.plan(answer('kept'));
    const succeeded = await world.run(first.service.completionAsync(HELLO));
    const before = await world.run(first.service.getResult(succeeded, { waitMs: HOUR_MS }));
    first.provider.always = fail('invalid-request');
    const failed = await world.run(first.service.completionAsync(HELLO));
    const wrong = await world.run(first.service.getResult(failed, { waitMs: HOUR_MS }));
    first.kill();
    const second = await world.start();
    expect(await second.service.getResult(succeeded)).toEqual(before);
    const again = await second.service.getResult(failed);
    expect(JSON.stringify(again)).toEqual(JSON.stringify(wrong));
    expect(second.provider.attempts).toHaveLength(0);
    await world.run(second.service.stop());
  });

  test('does not stretch a deadline: it goes on from when the request was submitted', async () => {
    using world = new DurableWorld();
    const first = await world.start({ always: hang() });
    const requestId = await world.run(first.service.completionAsync(HELLO, { timeoutMs: 60_000 }));
    await world.clock.advance(20_000);
    first.kill();
    await world.clock.advance(20_000);
    const second = await world.start({ always: hang() });
    await world.clock.advance(19_000);
    expect(await second.service.getResult(requestId)).toMatchObject({ status: 'running' });
    await world.clock.advance(2_000);
    expect(await second.service.getResult(requestId)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    await world.run(second.service.stop());
  });

  test.each([-24, 24])(
    'and a wall clock that moved by %i h meanwhile neither forgets nor double-charges time',
    async (hours) => {
      using world = new DurableWorld();
      const first = await world.start({ always: hang() });
      const requestId = await world.run(first.service.completionAsync(HELLO, { timeoutMs: 60_000 }));
      await world.clock.advance(1_000);
      first.kill();
      world.clock.jumpWall(hours * HOUR_MS);
      const second = await world.start();
      const result = await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }));
      // Set forward, its deadline has passed for all anybody knows; set back, it has all its time again and no more.
      expect(result.status).toBe(hours > 0 ? 'failed' : 'succeeded');
      await world.run(second.service.stop());
    },
  );

  test('leaves a request that the next config cannot serve: it ends and says so', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: hang() });
    const ids = await world.run(submitMany(first, 2));
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start({ models: ['other'] });
    const results = await world.run(
      Promise.all(ids.map((requestId) => second.service.getResult(requestId, { waitMs: HOUR_MS }))),
    );
    for (const result of results) expect(result).toMatchObject({ status: 'failed', error: { code: 'unknown-model' } });
    await world.run(second.service.stop());
  });
});

describe('an idempotency key', () => {
  test('gives one id to a hundred callers at once, and the same one in the next process', async () => {
    using world = new DurableWorld();
    const options = { idempotencyKey: 'k' };
    const first = await world.start({ always: hang() });
    const ids = await world.run(
      Promise.all(Array.from({ length: 100 }, () => first.service.completionAsync(HELLO, options))),
    );
    expect(new Set(ids).size).toBe(1);
    first.kill();
    const second = await world.start();
    expect(await world.run(second.service.completionAsync(HELLO, options))).toBe(ids[0]);
    const other = await rejection(second.service.completionAsync(ask('another'), options));
    expect(other).toMatchObject({ code: 'idempotency-conflict', requestId: ids[0] });
    const result = await world.run(second.service.getResult(ids[0] ?? '', { waitMs: HOUR_MS }));
    expect(result.status).toBe('succeeded');
    expect(second.provider.attempts).toHaveLength(1);
    await world.run(second.service.stop());
  });

  test('of a sync call brings its answer back after the process that was asked has ended', async () => {
    using world = new DurableWorld();
    const options = { idempotencyKey: 'k' };
    const first = await world.start({ always: hang() });
    first.service.completion(HELLO, options).catch(() => undefined);
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start();
    const response = await world.run(second.service.completion(HELLO, options));
    expect(response.text).toBe('fine');
    expect(second.provider.attempts).toHaveLength(1);
    await world.run(second.service.stop());
  });
});

describe('a queue in memory that is full', () => {
  test('takes what is submitted all the same: it waits in the store and is fed from there, in order', async () => {
    using world = new DurableWorld();
    const process = await world.start({ service: { queueDepthMax: 4 }, concurrency: 1 });
    process.provider.always = async function* (call) {
      await pause(call, 100);
      yield* answer()(call);
    };
    const ids = await world.run(submitMany(process, 40));
    expect(process.service.queueStatus().parked).toBeGreaterThanOrEqual(30);
    expect(process.service.queueStatus().waiting).toBeLessThanOrEqual(4);
    const results = await world.run(
      Promise.all(ids.map((requestId) => process.service.getResult(requestId, { waitMs: HOUR_MS }))),
    );
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    expect(process.provider.attempts.map(({ prompt }) => Number(prompt))).toEqual(ids.map((_, index) => index));
    expect(process.service.queueStatus()).toMatchObject({ open: 0, parked: 0 });
    await world.run(process.service.stop());
  });

  test('lets the more urgent in and gives the least urgent back to the store, where it is not lost', async () => {
    using world = new DurableWorld();
    const process = await world.start({ service: { queueDepthMax: 2 }, concurrency: 1 });
    process.provider.always = async function* (call) {
      await pause(call, 1_000);
      yield* answer()(call);
    };
    const low = await world.run(submitMany(process, 3, () => ({ priority: 'low' })));
    const high = await world.run(process.service.completionAsync(ask('high'), { priority: 'high' }));
    expect(world.events.map(({ name }) => name)).toContain('request.parked');
    const all = [...low, high];
    await world.run(Promise.all(all.map((requestId) => process.service.getResult(requestId, { waitMs: HOUR_MS }))));
    expect(await statusesOf(process, all)).toEqual(all.map(() => 'succeeded'));
    expect(process.provider.attempts.map(({ prompt }) => prompt)).toEqual(['0', 'high', '1', '2']);
    await world.run(process.service.stop());
  });

  test('refuses a sync call only while everybody in memory is one, and says when to come back', async () => {
    using world = new DurableWorld();
    const process = await world.start({ service: { queueDepthMax: 2 }, concurrency: 1 });
    process.provider.always = hang();
    const ends: Promise<unknown>[] = [];
    for (let caller = 1; caller <= 3; caller++) {
      ends.push(rejection(process.service.completion(HELLO, { timeoutMs: 5_000 })));
      await world.clock.advance(10);
    }
    const refused = await rejection(process.service.completion(HELLO));
    expect(refused).toMatchObject({ code: 'queue-full' });
    expect(refused.retryAfterMs).toBeGreaterThanOrEqual(1_000);
    expect(await world.run(process.service.completionAsync(HELLO))).toMatch(/^req_/);
    await world.run(Promise.all(ends));
    process.provider.always = answer();
    await world.run(process.service.stop());
  });

  test('does not hold a deadline up: who still waits in the store when its time is over is told so', async () => {
    using world = new DurableWorld();
    const slow = tokens(200, 5_000, finish());
    const process = await world.start({ service: { queueDepthMax: 1 }, concurrency: 1, always: slow });
    const ids = await world.run(submitMany(process, 6, (index) => ({ timeoutMs: index < 3 ? 300_000 : 60_000 })));
    await world.clock.advance(59_000);
    expect(await statusesOf(process, ids.slice(1))).toEqual(ids.slice(1).map(() => 'queued'));
    await world.clock.advance(12_000);
    const late = await Promise.all(ids.slice(3).map((requestId) => process.service.getResult(requestId)));
    for (const result of late) expect(result).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    expect(process.service.queueStatus()).toMatchObject({ parked: 1, waiting: 1, running: 1 });
    await world.run(process.service.stop({ graceMs: 0 }));
  });

  test('of callers who come without end still takes in what waits in the store', async () => {
    using world = new DurableWorld();
    const aSecond: Behaviour = async function* (call) {
      await pause(call, 1_000);
      yield* answer()(call);
    };
    const process = await world.start({ service: { queueDepthMax: 8 }, concurrency: 2, always: aSecond });
    const ids = await world.run(submitMany(process, 30, () => ({ priority: 'low' })));
    const ends: Promise<unknown>[] = [];
    for (let second = 0; second < 650; second++) {
      for (let caller = 0; caller < 3; caller++)
        ends.push(process.service.completion(HELLO).catch((error: unknown) => error));
      await world.clock.advance(1_000);
    }
    // More callers than the provider can serve: the lows have waited their ten minutes, and then it was their turn.
    expect(await statusesOf(process, ids)).toEqual(ids.map(() => 'succeeded'));
    await world.run(Promise.all(ends));
    await world.run(process.service.stop());
  });

  test('is waited for without asking the store again and again', async () => {
    using world = new DurableWorld();
    const process = await world.start({ service: { queueDepthMax: 1 }, concurrency: 1 });
    process.provider.always = async function* (call) {
      await pause(call, 60_000);
      yield* answer()(call);
    };
    const ids = await world.run(submitMany(process, 10));
    const last = ids.at(-1) ?? '';
    const before = process.askedFor('load');
    expect(await world.run(process.service.getResult(last, { waitMs: HOUR_MS }))).toMatchObject({
      status: 'succeeded',
    });
    expect(process.askedFor('load') - before).toBeLessThanOrEqual(2);
    await world.run(process.service.stop());
  });
});

describe('cancel', () => {
  test('ends what waits in the store, what waits in memory and what runs, each once', async () => {
    using world = new DurableWorld();
    const process = await world.start({ service: { queueDepthMax: 1 }, concurrency: 1 });
    process.provider.always = hang();
    const ids = await world.run(submitMany(process, 4));
    await world.clock.advance(100);
    expect(process.service.queueStatus()).toMatchObject({ running: 1, waiting: 1, parked: 2 });
    for (const requestId of ids) {
      expect(await world.run(process.service.cancel(requestId))).toBe(true);
      expect(await world.run(process.service.cancel(requestId))).toBe(false);
    }
    expect(await statusesOf(process, ids)).toEqual(ids.map(() => 'cancelled'));
    expect(process.service.queueStatus()).toMatchObject({ open: 0, parked: 0 });
    const settled = world.events.filter(({ name }) => name === 'request.settled');
    expect(settled).toHaveLength(4);
    await world.run(process.service.stop());
  });

  test('of the process before is not forgotten, and what it left can be cancelled', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: hang() });
    const [running = '', waiting = '', cancelled = ''] = await world.run(submitMany(first, 3));
    await world.clock.advance(100);
    expect(await world.run(first.service.cancel(cancelled))).toBe(true);
    first.kill();
    const second = await world.start({ concurrency: 1, always: hang() });
    await world.clock.advance(100);
    expect(await statusesOf(second, [running, waiting, cancelled])).toEqual(['running', 'queued', 'cancelled']);
    expect(await world.run(second.service.cancel(running))).toBe(true);
    expect(await world.run(second.service.cancel(waiting))).toBe(true);
    expect(await statusesOf(second, [running, waiting, cancelled])).toEqual(['cancelled', 'cancelled', 'cancelled']);
    await world.run(second.service.stop());
  });
});

describe('a stop', () => {
  test('gives what waits back to the store at once, and what is running after its grace; the next process goes on', async () => {
    using world = new DurableWorld();
    const first = await world.start({ concurrency: 1, always: hang() });
    const ids = await world.run(submitMany(first, 3));
    await world.clock.advance(100);
    const startedAt = world.clock.nowMs();
    const stopped = first.service.stop({ graceMs: 5_000 });
    await world.clock.advance(10);
    expect(first.service.queueStatus().open).toBe(1);
    await world.run(stopped);
    expect(world.clock.nowMs() - startedAt).toBe(5_000);
    expect(world.events.filter(({ name }) => name === 'request.settled')).toEqual([]);

    const second = await world.start({ concurrency: 1 });
    const results = await world.run(
      Promise.all(ids.map((requestId) => second.service.getResult(requestId, { waitMs: HOUR_MS }))),
    );
    expect(results.map(({ status }) => status)).toEqual(['succeeded', 'succeeded', 'succeeded']);
    // It was told to end: nobody crashed.
    expect(world.recovered).toEqual([{ queued: 3, requeued: 0, interrupted: 0 }]);
    await world.run(second.service.stop());
  });

  test('lets what is running finish within its grace', async () => {
    using world = new DurableWorld();
    const process = await world.start();
    process.provider.always = async function* (call) {
      await pause(call, 3_000);
      yield* answer()(call);
    };
    const requestId = await world.run(process.service.completionAsync(HELLO));
    await world.clock.advance(100);
    const waiting = process.service.getResult(requestId, { waitMs: HOUR_MS });
    const stopped = process.service.stop();
    expect(await world.run(waiting)).toMatchObject({ status: 'succeeded' });
    await world.run(stopped);
  });

  test('tells whoever waits for a request that goes on later that it is queued', async () => {
    using world = new DurableWorld();
    const process = await world.start({ always: hang() });
    const requestId = await world.run(process.service.completionAsync(HELLO));
    await world.clock.advance(100);
    const waiting = process.service.getResult(requestId, { waitMs: HOUR_MS });
    const stopped = process.service.stop({ graceMs: 1_000 });
    expect(await world.run(waiting)).toEqual({ requestId, status: 'queued' });
    await world.run(stopped);
  });
});

describe('results', () => {
  test('can be read for their time in any process, then their id says expired for as long again, then nothing', async () => {
    using world = new DurableWorld();
    const first = await world.start();
    const requestId = await world.run(first.service.completionAsync(HELLO));
    await world.run(first.service.getResult(requestId, { waitMs: HOUR_MS }));
    await world.clock.advance(23 * HOUR_MS);
    expect(await first.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    first.kill();
    const second = await world.start();
    expect(await second.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    await world.clock.advance(2 * HOUR_MS);
    expect(await rejection(second.service.getResult(requestId))).toMatchObject({ code: 'request-expired' });
    await world.clock.advance(24 * HOUR_MS);
    expect(await rejection(second.service.getResult(requestId))).toMatchObject({ code: 'request-not-found' });
    await world.run(second.service.stop());
    expect(world.file.read('SELECT count(*) AS rows FROM requests')).toEqual([{ rows: 0 }]);
  });
});
