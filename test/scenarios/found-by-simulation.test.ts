/** What the simulation found, each as the shortest story that shows it. */
import { describe, expect, test } from 'vitest';
import { OPEN_MAX_JITTERED_MS, ProviderRig } from '../support/provider-rig.ts';
import { answer, fail, hang } from '../support/scripted-provider.ts';
import { createStoreWorld } from '../support/store-world.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;

describe('a call that never ends', () => {
  test('holds its slot no longer than its own limit, although nobody else could take the request', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    runtime.provider('a').plan(hang(), answer('fine'));
    const stuck = rejection(runtime.service.completion(HELLO));
    await runtime.clock.advance(1);
    const next = await runtime.complete();
    expect(next.text).toBe('fine');
    expect(next.latency.queuedMs).toBeGreaterThan(59_000);
    expect(next.latency.queuedMs).toBeLessThan(61_000);
    expect((await runtime.run(stuck)).code).toBe('timeout');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('does not keep the probe of a half-open breaker waiting', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 2 } } });
    const provider = runtime.provider('a');
    provider.plan(hang(), hang(), fail('upstream-error'), fail('upstream-error'), fail('upstream-error'));
    provider.always = fail('upstream-error');
    const hung = [1, 2].map(() => rejection(runtime.service.completion(HELLO)));
    await runtime.clock.advance(61_000);
    while (runtime.service.providerStates()['a']?.breaker.state === 'closed')
      await runtime.failure(runtime.service.completion(HELLO));
    provider.always = answer('back');
    await runtime.clock.advance(20_000);
    expect((await runtime.complete()).text).toBe('back');
    for (const error of hung) expect((await runtime.run(error)).code).toBe('timeout');
  });

  test('costs a submitted request ten minutes and not its day', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').plan(hang(), answer('at last'));
    const requestId = await runtime.service.completionAsync(HELLO);
    await runtime.clock.advance(HOUR_MS / 4);
    const result = await runtime.service.getResult(requestId);
    expect(result).toMatchObject({ status: 'succeeded', response: { text: 'at last' } });
  });
});

describe('a breaker that opens', () => {
  test('makes whoever is first in line its forced probe, and not whoever waited longest', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const provider = runtime.provider('a');
    provider.plan(hang());
    provider.always = fail('upstream-error');
    const ends = [rejection(runtime.service.completion(ask('blocker')))];
    await runtime.clock.advance(1);
    for (const [prompt, priority] of [
      ['low', 'low'],
      ['high', 'high'],
    ] as const)
      ends.push(rejection(runtime.service.completion(ask(prompt), { priority })));
    // Failed checks open it, and the call under way keeps everybody else waiting until then.
    provider.check = fail('connection');
    await runtime.run(runtime.service.updateProvider('a', { health: { intervalMs: 1_000 } }));
    await runtime.clock.advance(30_000);
    expect(runtime.eventsOf('breaker.opened').length).toBeGreaterThan(0);
    expect(provider.attempts.map(({ prompt }) => prompt)).toEqual(['blocker', 'high']);
    await runtime.run(Promise.all(ends));
  });
});

describe('a window that got old', () => {
  /** Eleven answers, and half a minute later eleven failures: half of what the window holds, once the answers have left it. */
  async function createOldWindow(): Promise<ProviderRig> {
    const rig = new ProviderRig();
    for (let index = 0; index < 23; index++) rig.attempt('success');
    await rig.clock.advance(30_000);
    for (let index = 0; index < 11; index++) rig.attempt(index === 5 ? 'success' : 'upstream-error');
    return rig;
  }

  test.each(['rate-limited', 'abandoned', 'invalid-request'] as const)(
    'does not open a breaker because of a call that ends with %s',
    async (kind) => {
      const rig = await createOldWindow();
      const permit = rig.permit();
      await rig.clock.advance(35_000);
      rig.report(permit, kind);
      expect(rig.breaker).toBe('closed');
    },
  );

  test('does not open a breaker because of a failure of another generation', async () => {
    const rig = new ProviderRig();
    const late = rig.permit();
    for (let index = 0; index < 5; index++) rig.attempt('upstream-error');
    await rig.clock.advance(OPEN_MAX_JITTERED_MS);
    for (let index = 0; index < 2; index++) rig.attempt('success');
    expect(rig.breaker).toBe('closed');
    for (let index = 0; index < 23; index++) rig.attempt('success');
    await rig.clock.advance(30_000);
    for (let index = 0; index < 11; index++) rig.attempt(index === 5 ? 'success' : 'upstream-error');
    await rig.clock.advance(35_000);
    rig.report(late, 'upstream-error');
    expect(rig.breaker).toBe('closed');
  });

  test('opens it with the next failure', async () => {
    const rig = await createOldWindow();
    await rig.clock.advance(35_000);
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });
});

describe('a store that is slow', () => {
  test('lets a 429 come between claim and sending, and then nothing is sent', async () => {
    await using world = await createStoreWorld();
    world.provider.plan(fail('rate-limited', { afterMs: 10, retryAfterMs: 60_000 }), answer('later'));
    const sync = rejection(world.service.completion(HELLO, { timeoutMs: 5_000 }));
    const submitted = world.service.completionAsync(HELLO);
    // It is stored at once; that it runs takes longer to write than the 429 takes to come.
    world.slowMs = 50;
    const requestId = await submitted;
    await world.clock.advance(59_000);
    expect(world.provider.attempts).toHaveLength(1);
    expect(world.service.providerStates()['a']?.concurrency.inFlight).toBe(0);
    await world.clock.advance(5_000);
    expect(await world.clock.waitFor(world.service.getResult(requestId))).toMatchObject({ status: 'succeeded' });
    expect((await sync).code).toBe('rate-limited');
  });
});

describe('a store that fails', () => {
  test('for longer than a few tries loses no end: it is told once it is written', async () => {
    await using world = await createStoreWorld();
    world.fails.settle = 'before';
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(60_000);
    expect(await world.service.getResult(requestId)).toEqual({ requestId, status: 'running' });
    delete world.fails.settle;
    await world.clock.advance(20_000);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    expect(world.provider.attempts).toHaveLength(1);
  });

  test('at the end of the service is given up after a few tries, and the stop ends', async () => {
    await using world = await createStoreWorld();
    world.fails.settle = 'before';
    await world.service.completionAsync(HELLO);
    await world.clock.advance(60_000);
    await world.clock.waitFor(world.service.stop({ graceMs: 1_000 }), 10_000);
    expect(world.clock.pendingTimers).toBe(0);
  });

  test('takes up room in the queue while ends cannot be written, so that memory stays bounded', async () => {
    await using world = await createStoreWorld({ queueDepthMax: 3 });
    world.fails.settle = 'before';
    const submit = () => world.service.completionAsync(HELLO);
    for (let index = 0; index < 3; index++) {
      await submit();
      await world.clock.advance(100);
    }
    await expect(submit()).rejects.toMatchObject({ code: 'queue-full' });
    delete world.fails.settle;
    await world.clock.advance(20_000);
    await expect(submit()).resolves.toMatch(/^req_/);
  });

  test('makes a cancellation that cannot be written say so', async () => {
    await using world = await createStoreWorld();
    world.provider.always = hang();
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(10);
    world.fails.settle = 'before';
    expect(await world.clock.waitFor(rejection(world.service.cancel(requestId)))).toMatchObject({
      code: 'store-unavailable',
    });
    delete world.fails.settle;
    await world.clock.advance(20_000);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'cancelled' });
  });

  test('after it stored a request did store it: the submission is acknowledged and answered', async () => {
    await using world = await createStoreWorld();
    world.fails.insert = 'after';
    const requestId = await world.service.completionAsync(HELLO);
    await world.clock.advance(1_000);
    expect(await world.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
  });

  test('and cannot say whether it stored a request leaves it to whoever comes back with the key', async () => {
    await using world = await createStoreWorld();
    world.fails.insert = 'after';
    world.fails.load = 'before';
    const submit = () => world.service.completionAsync(HELLO, { idempotencyKey: 'k' });
    await expect(submit()).rejects.toMatchObject({ code: 'store-unavailable' });
    await world.clock.advance(HOUR_MS);
    expect(world.provider.attempts).toHaveLength(0);
    delete world.fails.insert;
    delete world.fails.load;
    const ids = await Promise.all([submit(), submit()]);
    expect(new Set(ids).size).toBe(1);
    await world.clock.advance(1_000);
    expect(await world.service.getResult(ids[0] ?? '')).toMatchObject({ status: 'succeeded' });
    expect(world.provider.attempts).toHaveLength(1);
  });

  test('while a key is being stored keeps whoever comes with the same key waiting for the truth', async () => {
    await using world = await createStoreWorld();
    world.fails.insert = 'after';
    world.fails.load = 'before';
    world.slowMs = 500;
    const first = rejection(world.service.completionAsync(HELLO, { idempotencyKey: 'k' }));
    await world.clock.advance(250);
    delete world.fails.insert;
    const second = world.service.completionAsync(HELLO, { idempotencyKey: 'k' });
    await world.clock.advance(600);
    delete world.fails.load;
    expect(await world.clock.waitFor(first)).toMatchObject({ code: 'store-unavailable' });
    const requestId = await world.clock.waitFor(second);
    await world.clock.advance(10_000);
    expect(await world.clock.waitFor(world.service.getResult(requestId))).toMatchObject({ status: 'succeeded' });
  });
});
