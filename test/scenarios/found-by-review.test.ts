/** What reviewers found by reading, each as the shortest story that shows it. */
import { describe, expect, test } from 'vitest';
import { heapUsed } from '../support/heap.ts';
import { answer, fail, hang } from '../support/scripted-provider.ts';
import { createStoreWorld } from '../support/store-world.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

/** Stays closed while its window holds a single answer. */
const NEVER_TRIPS = { minimumCalls: 1, failureRate: 1, consecutiveFailures: 10_000 };
const SMART = { smart: ['a/m', 'b/m'] };

test('a submitted request waits for a provider whose retry budget is used up, whatever another one says', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { breaker: NEVER_TRIPS }, b: {} }, models: SMART });
  const [a, b] = [runtime.provider('a'), runtime.provider('b')];
  a.plan(answer());
  await runtime.complete(ask('x', 'a/m'));
  a.always = fail('upstream-error');
  b.always = fail('unauthorized');
  const drain = Array.from({ length: 120 }, () => rejection(runtime.service.completion(ask('x', 'a/m'))));
  await runtime.run(Promise.all(drain));
  const requestId = await runtime.service.completionAsync(ask('x', 'smart'));
  await runtime.clock.advance(15_000);
  expect((await runtime.service.getResult(requestId)).status).toBe('queued');
  a.always = answer('at last');
  expect(await runtime.result(requestId)).toMatchObject({ status: 'succeeded', response: { provider: 'a' } });
});

test('calls that hang keep nobody from a provider that has recovered', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: SMART });
  const a = runtime.provider('a');
  a.plan(...Array.from({ length: 10 }, () => hang()));
  const hung = Array.from({ length: 10 }, () => rejection(runtime.service.completion(ask('x', 'a/m'))));
  await runtime.clock.advance(61_000);
  expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
  await runtime.clock.advance(20_000);
  const before = a.attempts.length;
  const providers: string[] = [];
  for (let request = 0; request < 6; request++) {
    providers.push((await runtime.complete(ask('x', 'smart'))).provider);
    await runtime.clock.advance(4_000);
  }
  expect(providers).toEqual(['a', 'a', 'a', 'a', 'a', 'a']);
  expect(a.attempts.length - before).toBe(6);
  await runtime.run(Promise.all(hung));
});

test('a quota that was reset is no lasting throttle', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { health: { intervalMs: 30_000 } } } });
  runtime.provider('a').plan(fail('quota-exhausted', { retryAfterMs: 60_000 }));
  await runtime.failure(runtime.service.completion(HELLO));
  await runtime.clock.advance(70_000);
  for (let minute = 0; minute < 10; minute++) {
    await runtime.complete();
    await runtime.clock.advance(60_000);
  }
  expect((await runtime.service.healthStatus())['a']?.status).toBe('healthy');
});

describe('a store that hangs', () => {
  test('keeps no request beyond its deadline, and no slot', async () => {
    await using world = await createStoreWorld();
    world.fails.markRunning = 'hang';
    const requestId = await world.service.completionAsync(HELLO, { timeoutMs: 3_000 });
    await world.clock.advance(4_000);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    expect(world.service.providerStates()['a']?.concurrency.inFlight).toBe(0);
  });

  test('is not waited for with a slot for longer than ten seconds, and what it has not recorded is not sent', async () => {
    await using world = await createStoreWorld();
    world.fails.markRunning = 'hang';
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(10_500);
    expect(world.service.providerStates()['a']?.concurrency.inFlight).toBe(0);
    expect(world.provider.calls).toHaveLength(0);
    delete world.fails.markRunning;
    await world.clock.advance(11_500);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    expect(world.provider.calls).toHaveLength(1);
  });

  test('cannot hold up a submission, a cancellation or a stop', async () => {
    await using world = await createStoreWorld();
    world.provider.always = hang();
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(10);
    world.fails.settle = 'hang';
    world.fails.insert = 'hang';
    world.fails.load = 'hang';
    const refused = [world.service.completionAsync(HELLO), world.service.cancel(requestId)].map(rejection);
    for (const error of await world.clock.waitFor(Promise.all(refused), 30_000))
      expect(error.code).toBe('store-unavailable');
    await world.clock.waitFor(world.service.stop({ graceMs: 1_000 }), 60_000);
    expect(world.clock.pendingTimers).toBe(0);
  });
});

test('a stop waits for what is being stored, and gives it an end', async () => {
  await using world = await createStoreWorld();
  world.slowMs = 2_000;
  const submitted = world.service.completionAsync(HELLO);
  await world.clock.advance(500);
  const stopped = world.service.stop({ graceMs: 0 });
  const requestId = await world.clock.waitFor(submitted);
  expect(world.settled).toEqual([]);
  await world.clock.waitFor(stopped);
  expect(world.settled).toEqual([requestId]);
});

test('an end that could not be written before the service ended is told to nobody', async () => {
  await using world = await createStoreWorld();
  world.fails.settle = 'before';
  const told: string[] = [];
  world.service.on('request.settled', ({ outcome, code }) => told.push(`${outcome} ${code}`));
  const keyed = rejection(world.service.completion(HELLO, { idempotencyKey: 'k' }));
  await world.clock.advance(1_000);
  await world.clock.waitFor(world.service.stop({ graceMs: 1_000 }));
  expect((await world.clock.waitFor(keyed)).code).toBe('store-unavailable');
  expect(told).toEqual(['failed store-unavailable']);
});

test('a claim from a provider that a reload has replaced meanwhile is not sent to its successor', async () => {
  await using world = await createStoreWorld();
  world.slowMs = 0;
  const submitted = world.service.completionAsync(HELLO);
  // It is stored at once; that it runs takes longer to write than two reloads take.
  world.slowMs = 1_000;
  const requestId = await submitted;
  await world.clock.advance(10);
  await world.reloadWith({ other: 'other-key' });
  await world.reloadWith({ a: 'new-key' });
  await world.clock.advance(10_000);
  expect(await world.clock.waitFor(world.service.getResult(requestId))).toMatchObject({ status: 'succeeded' });
  expect(world.keysSeen).toEqual(['new-key']);
});

test('polling leaves nothing behind while a request is open', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} } });
  runtime.provider('a').always = hang();
  const requestId = await runtime.service.completionAsync(HELLO);
  const poll = async (times: number) => {
    for (let count = 0; count < times; count++) await runtime.run(runtime.service.getResult(requestId, { waitMs: 1 }));
  };
  await poll(500);
  const before = heapUsed();
  await poll(5_000);
  // Left behind, they would be more than two million bytes.
  expect(heapUsed() - before).toBeLessThan(1_000_000);
  await runtime.run(runtime.service.cancel(requestId));
  expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
});

test('a submitted request sits through one attempt for no longer than a caller would, however long the limit is', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} }, service: { timeoutMs: 20_000 } });
  runtime.provider('a').plan(hang());
  const requestId = await runtime.service.completionAsync(HELLO);
  await runtime.clock.advance(19_000);
  expect(runtime.provider('a').attempts).toHaveLength(1);
  await runtime.clock.advance(11_000);
  expect(await runtime.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
});

test('an adapter that throws when asked what it supports does so to nobody', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: SMART });
  runtime.provider('a').plan(hang());
  const answered = runtime.service.completion(ask('x', 'smart'), { timeoutMs: 90_000 });
  await runtime.clock.advance(1);
  Object.assign(runtime.provider('b'), { lacks: undefined });
  expect(await runtime.failure(answered)).toMatchObject({ code: 'timeout' });
});

test('who has ended and is not written takes up the room of one, and is running', async () => {
  await using world = await createStoreWorld({ queueDepthMax: 4 });
  world.provider.always = hang();
  const running = Array.from({ length: 32 }, () => rejection(world.service.completion(HELLO, { timeoutMs: 60_000 })));
  await world.clock.advance(1);
  const ids = [await world.service.completionAsync(HELLO), await world.service.completionAsync(HELLO)];
  world.fails.settle = 'before';
  const refused = ids.map((requestId) => rejection(world.service.cancel(requestId)));
  await world.clock.advance(100);
  expect(await Promise.all(ids.map((requestId) => world.service.getResult(requestId)))).toMatchObject([
    { status: 'running' },
    { status: 'running' },
  ]);
  await expect(world.service.completionAsync(HELLO)).resolves.toMatch(/^req_/);
  await world.clock.waitFor(Promise.all([...running, ...refused]));
});

test('the record says that a request waits, also when it waits in the lane of its second provider', async () => {
  await using world = await createStoreWorld();
  await world.reloadWith({ a: 'one', b: 'two' });
  world.provider.always = hang();
  const full = Array.from({ length: 32 }, () =>
    rejection(world.service.completion(ask('x', 'b/m'), { timeoutMs: 30_000 })),
  );
  await world.clock.advance(1);
  world.provider.plan(fail('broken', { afterMs: 5 }));
  const requestId = await world.service.completionAsync(HELLO);
  await world.clock.advance(1);
  expect(await world.load(requestId)).toMatchObject({ record: { status: 'running' } });
  await world.clock.advance(100);
  expect(await world.service.getResult(requestId)).toMatchObject({ status: 'queued' });
  expect(await world.load(requestId)).toMatchObject({ record: { status: 'queued', attempts: [{ provider: 'a' }] } });
  await world.clock.waitFor(Promise.all(full));
});
