/** What reviewers found by reading, each as the shortest story that shows it. */
import { describe, expect, test } from 'vitest';
import { answer, fail, hang } from '../support/scripted-provider.ts';
import { createStoreWorld } from '../support/store-world.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

const NEVER_TRIPS = { minimumCalls: 10_000, consecutiveFailures: 10_000 };
const SMART = { smart: ['a/m', 'b/m'] };

test('a submitted request waits for a provider whose retry budget is used up, whatever another one says', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { breaker: NEVER_TRIPS }, b: {} }, models: SMART });
  const [a, b] = [runtime.provider('a'), runtime.provider('b')];
  a.always = fail('upstream-error');
  b.always = fail('unauthorized');
  for (let drained = 0; drained < 15; drained++) await runtime.failure(runtime.service.completion(ask('x', 'a/m')));
  const requestId = await runtime.service.completionAsync(ask('x', 'smart'));
  await runtime.clock.advance(60_000);
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

  test('is not waited for with an attempt for longer than ten seconds', async () => {
    await using world = await createStoreWorld();
    world.fails.markRunning = 'hang';
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(11_000);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
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

test('polling leaves nothing behind', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} } });
  runtime.provider('a').always = hang();
  const requestId = await runtime.service.completionAsync(HELLO);
  await runtime.clock.advance(1);
  const timers = runtime.clock.pendingTimers;
  for (let poll = 0; poll < 100; poll++) await runtime.run(runtime.service.getResult(requestId, { waitMs: 1 }));
  expect(runtime.clock.pendingTimers).toBe(timers);
  await runtime.run(runtime.service.cancel(requestId));
  expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
});
