import { describe, expect, test } from 'vitest';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { echo, fail, hang } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

describe('updateProvider', () => {
  test('changes a running provider; breaker, queue and requests in flight are kept', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { concurrency: 1, priority: 1 }, b: { priority: 2 } },
    });
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(1_000);
    const requests = Array.from({ length: 6 }, (_, index) => service.completion(ask(`r${index}`, 'a/m')));
    await clock.advance(500);
    await service.updateProvider('a', { concurrency: 5, priority: 3, headers: { 'x-new': '1' } });
    await clock.advance(1_000);
    expect(runtime.provider('a').peak).toBe(5);
    expect(runtime.provider('a').closed).toBe(1);
    expect((await runtime.run(Promise.all(requests))).map((response) => response.text)).toEqual(
      requests.map((_, index) => `a: r${index}`),
    );
    expect((await runtime.complete()).provider).toBe('b');
    expect(runtime.eventsOf('config.reloaded')).toEqual([{ added: [], removed: [], changed: ['a'] }]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('with a higher rate ends a wait that the lower one had begun', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { requestsPerMinute: 1 } } } });
    await runtime.complete();
    const second = runtime.service.completion(HELLO);
    await runtime.clock.advance(1_000);
    await runtime.service.updateProvider('a', { rateLimit: { requestsPerMinute: 600 } });
    await runtime.run(second);
    expect(runtime.clock.nowMs()).toBeLessThan(2_000);
  });

  test('with a new key brings a provider back whose key was refused', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { apiKey: 'old-key-canary' } } });
    runtime.provider('a').always = (call) => (call.apiKey === 'new-key-canary' ? echo() : fail('unauthorized'))(call);
    for (let index = 0; index < 3; index++) await runtime.failure(runtime.service.completion(HELLO));
    await runtime.service.updateProvider('a', { apiKey: 'new-key-canary' });
    expect((await runtime.complete()).provider).toBe('a');
  });

  test('with a mistake changes nothing and names it', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 3 } } });
    const { service } = runtime;
    expect(await rejection(service.updateProvider('a', { concurrency: 0, priority: 9 }))).toMatchObject({
      code: 'invalid-config',
      message: expect.stringContaining('providers.a.concurrency'),
    });
    expect(await rejection(service.updateProvider('nobody', { priority: 1 }))).toMatchObject({
      code: 'invalid-request',
      param: 'name',
    });
    expect(service.providerStates()['a']?.concurrency.limit).toBe(3);
    expect(runtime.eventsOf('config.reloaded')).toEqual([]);
    await service.updateProvider('a', { concurrency: 4 });
    expect(service.providerStates()['a']?.concurrency.limit).toBe(4);
  });
});

describe('reload', () => {
  test('adds, changes and removes providers with requests in flight, and loses none of them', async () => {
    await using runtime = await createTestRuntime({
      providers: { keep: { concurrency: 1 }, go: {} },
      models: { all: ['go/m', 'keep/m'] },
    });
    const { service, clock } = runtime;
    for (const name of ['keep', 'go']) runtime.provider(name).always = echo(1_000);
    const going = service.completion(ask('going', 'go/m'));
    const kept = Array.from({ length: 3 }, (_, index) => service.completion(ask(`kept ${index}`, 'keep/m')));
    await clock.advance(100);
    await runtime.reload({ keep: { concurrency: 2 }, come: {} }, { models: { all: ['come/m', 'keep/m'] } });
    runtime.provider('come').always = echo();
    expect((await runtime.run(going)).text).toBe('go: going');
    expect((await runtime.run(Promise.all(kept))).map((response) => response.text)).toEqual([
      'keep: kept 0',
      'keep: kept 1',
      'keep: kept 2',
    ]);
    expect((await runtime.complete(ask('x', 'all'))).provider).toBe('come');
    expect(await runtime.failure(service.completion(ask('x', 'go/m')))).toMatchObject({ code: 'unknown-model' });
    expect(runtime.eventsOf('config.reloaded')).toEqual([{ added: ['come'], removed: ['go'], changed: ['keep'] }]);
    expect(runtime.actors()).not.toHaveProperty('go');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('sends those who wait for a removed provider on to the next candidate, or tells them', async () => {
    await using runtime = await createTestRuntime({
      providers: { go: { concurrency: 1 }, keep: {} },
      models: { all: ['go/m', 'keep/m'] },
    });
    runtime.provider('go').always = hang();
    const stuck = rejection(runtime.service.completion(ask('stuck', 'go/m'), { timeoutMs: 5_000 }));
    await runtime.clock.settle();
    const routed = runtime.service.completion(ask('routed', 'all'));
    const pinned = rejection(runtime.service.completion(ask('pinned', 'go/m')));
    await runtime.clock.settle();
    await runtime.reload({ keep: {} }, { models: { all: ['keep/m'] } });
    expect((await runtime.run(routed)).provider).toBe('keep');
    expect(await runtime.run(pinned)).toMatchObject({ code: 'providers-unavailable' });
    expect(await runtime.run(stuck)).toMatchObject({ code: 'timeout' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('with a mistake changes nothing', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    await expect(runtime.reload({ a: {}, b: { priority: -1 } })).rejects.toMatchObject({ code: 'invalid-config' });
    expect(Object.keys(runtime.service.providerStates())).toEqual(['a']);
    expect((await runtime.complete()).provider).toBe('a');
  });

  test('keeps an open breaker open', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    runtime.provider('a').always = fail('connection');
    for (let index = 0; index < 5; index++) await runtime.failure(runtime.service.completion(HELLO));
    await runtime.reload({ a: { retry: { maxRetries: 1 }, concurrency: 5 } });
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('open');
  });
});

describe('stop', () => {
  test('lets open requests finish, refuses new ones, and leaves no timer', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = echo(1_000);
    const open = Array.from({ length: 5 }, (_, index) => service.completion(ask(`r${index}`)));
    await clock.settle();
    const stopping = service.stop();
    expect(service.stop({ graceMs: 1 })).toBe(stopping);
    expect(service.state).toBe('draining');
    const refused = [
      service.completion(HELLO),
      service.completionAsync(HELLO),
      service.completionStream(HELLO).response,
      service.embedding({ model: 'm', input: 'x' }),
    ];
    for (const promise of refused) expect(await rejection(promise)).toMatchObject({ code: 'shutting-down' });
    expect(await runtime.run(Promise.all(open))).toHaveLength(5);
    await runtime.run(stopping);
    expect(service.state).toBe('stopped');
    expect(clock.pendingTimers).toBe(0);
    expect(clock.nowMs()).toBe(5_000);
    expect(runtime.provider('a').closed).toBe(1);
    expect(runtime.eventsOf('service.draining')).toEqual([{ graceMs: 25_000, open: 5 }]);
  });

  test('ends what is still open after graceMs with shutting-down', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
    const { service, clock } = runtime;
    runtime.provider('a').always = hang();
    const sync = [rejection(service.completion(ask('runs'))), rejection(service.completion(ask('waits')))];
    const requestId = await service.completionAsync(ask('async'));
    const result = service.getResult(requestId, { waitMs: 60_000 });
    const stream = rejection(service.completionStream(ask('stream')).response);
    await clock.settle();
    await runtime.run(service.stop({ graceMs: 3_000 }));
    expect(clock.nowMs()).toBe(3_000);
    for (const error of await Promise.all([...sync, stream])) expect(error.code).toBe('shutting-down');
    expect(await result).toMatchObject({ status: 'failed', error: { code: 'shutting-down' } });
    expect(runtime.provider('a').running).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  test('asked for again with no grace ends the grace of the first call', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').always = hang();
    const cut = rejection(runtime.service.completion(HELLO));
    await runtime.clock.settle();
    const stopping = runtime.service.stop();
    await runtime.clock.advance(1_000);
    expect(runtime.service.stop({ graceMs: 0 })).toBe(stopping);
    await runtime.run(stopping);
    expect((await cut).code).toBe('shutting-down');
    expect(runtime.clock.nowMs()).toBe(1_000);
  });

  test('that comes while a submit is being stored leaves no request hanging', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service } = runtime;
    runtime.provider('a').always = hang();
    const submitted = service.completionAsync(HELLO).then(
      () => 'accepted',
      (error: { code: string }) => error.code,
    );
    const stopping = service.stop({ graceMs: 0 });
    expect(['accepted', 'shutting-down']).toContain(await submitted);
    await runtime.run(stopping);
    await runtime.clock.settle();
    expect(runtime.service.openRequests()).toEqual([]);
    expect(runtime.clock.pendingTimers).toBe(0);
  });
});

describe('listeners', () => {
  test('that throw or reject harm nobody, are counted, and are told about', async () => {
    using stray = watchStrayErrors();
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const heard: string[] = [];
    runtime.service.on('request.settled', () => {
      throw new Error('thrown');
    });
    // oxlint-disable-next-line typescript/no-misused-promises -- what callers do by mistake is the point
    runtime.service.on('request.settled', async () => {
      await Promise.resolve();
      throw new Error('rejected');
    });
    const off = runtime.service.on('request.settled', ({ outcome }) => heard.push(outcome));
    expect((await runtime.complete()).text).toBe('fine');
    await runtime.clock.settle();
    expect(heard).toEqual(['succeeded']);
    expect(runtime.eventsOf('listener.failed')).toEqual([
      { event: 'request.settled', message: 'thrown' },
      { event: 'request.settled', message: 'rejected' },
    ]);
    off();
    await runtime.complete();
    await runtime.clock.settle();
    expect(heard).toHaveLength(1);
    expect(stray.errors).toEqual([]);
  });
});
