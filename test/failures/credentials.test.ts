/** Keys, gates and quarantines over time: what takes one out, what brings it back, and who waits for it meanwhile. */
import { describe, expect, test } from 'vitest';
import { ProviderRig } from '../support/provider-rig.ts';
import { answer, echo, fail, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;
/** As the machine's own timers have it. */
const TIMER_MAX_MS = 2_147_483_647;
const TWO_KEYS = { apiKeys: ['key-one-canary', 'key-two-canary'] };
const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };

const keysOf = (runtime: TestRuntime) => runtime.service.providerStates()['a']?.credentials.map(({ state }) => state);

describe('a refused key', () => {
  test('is taken out by the second refusal in a row; a success in between begins the row again', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
    const { service } = runtime;
    runtime.provider('a').plan(fail('unauthorized'), answer(), fail('unauthorized'), fail('upstream-error'));
    await runtime.failure(service.completion(HELLO));
    await runtime.complete();
    await runtime.failure(service.completion(HELLO));
    await runtime.failure(service.completion(HELLO));
    expect(keysOf(runtime)).toEqual(['usable']);
    // A failure of another kind in between is no success.
    runtime.provider('a').plan(fail('unauthorized'));
    await runtime.failure(service.completion(HELLO));
    expect(keysOf(runtime)).toEqual(['disabled']);
    expect(runtime.eventsOf('credential.disabled')).toEqual([
      { provider: 'a', credential: 'a#1', reason: 'unauthorized' },
    ]);
    expect(runtime.log.filter((line) => line['credential'] === 'a#1')).toMatchObject([{ level: 50, provider: 'a' }]);
  });

  test('takes out neither the provider nor its other keys, and closes or opens no breaker', async () => {
    await using runtime = await createTestRuntime({ providers: { a: TWO_KEYS } });
    runtime.provider('a').always = when(({ apiKey }) =>
      apiKey === 'key-one-canary' ? fail('unauthorized') : answer(),
    );
    for (let index = 0; index < 20; index += 1) expect((await runtime.complete()).text).toBe('fine');
    expect(keysOf(runtime)).toEqual(['disabled', 'usable']);
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ state: 'closed', failureCount: 0 });
    expect(runtime.provider('a').attempts.filter(({ credentialId }) => credentialId === 'a#1')).toHaveLength(2);
    expect(runtime.clock.nowMs()).toBe(0);
  });
});

describe('an exhausted key', () => {
  test('is taken out by its first refusal, and stays out until an operator acts', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { retry: { maxRetries: 0 } }, b: {} },
      models: TWO.models,
    });
    runtime.provider('a').plan(fail('quota-exhausted'));
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('b');
    expect(keysOf(runtime)).toEqual(['exhausted']);
    await runtime.clock.advance(2 * HOUR_MS);
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('b');
    await runtime.run(runtime.service.supervisor.restart('a'));
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('a');
  });

  test('whose reset the provider named is back at that moment, and told again when it is exhausted again', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(fail('quota-exhausted', { retryAfterMs: 2 * HOUR_MS }));
    await runtime.complete(ask('x', 'smart'));
    await runtime.clock.advance(2 * HOUR_MS - 1);
    expect(keysOf(runtime)).toEqual(['exhausted']);
    expect(runtime.service.explain(ask('x', 'a/m')).candidates[0]).toMatchObject({
      usable: false,
      reasons: ['its quota is used up; the provider takes it again in 1 s'],
    });
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('b');
    await runtime.clock.advance(1);
    expect(keysOf(runtime)).toEqual(['usable']);
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('a');
    runtime.provider('a').plan(fail('quota-exhausted', { retryAfterMs: HOUR_MS }));
    await runtime.complete(ask('x', 'smart'));
    expect(runtime.eventsOf('credential.disabled')).toHaveLength(2);
  });

  test('with a reset a month away makes callers wait for nothing and submitted requests for as long as they have', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    const { service, clock } = runtime;
    runtime.provider('a').plan(fail('quota-exhausted', { retryAfterMs: 31 * 24 * HOUR_MS }));
    expect(await runtime.failure(service.completion(HELLO))).toMatchObject({ code: 'provider-error' });
    const error = await runtime.failure(service.completion(HELLO));
    expect(error).toMatchObject({ code: 'providers-unavailable', retryAfterMs: 31 * 24 * HOUR_MS });
    expect(clock.nowMs()).toBe(0);
    const short = await service.completionAsync(ask('short'), { timeoutMs: 60_000 });
    const long = await service.completionAsync(ask('long'), { timeoutMs: 7 * 24 * HOUR_MS });
    expect(await runtime.result(short)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    await runtime.run(service.updateProvider('a', { apiKey: 'another-key-canary' }));
    expect(await runtime.result(long)).toMatchObject({ status: 'succeeded' });
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('does not end a submitted request that has the time to wait for its reset', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.provider('a').plan(fail('quota-exhausted', { retryAfterMs: HOUR_MS }));
    const result = await runtime.result(await runtime.service.completionAsync(HELLO));
    expect(result).toMatchObject({ status: 'succeeded' });
    expect(runtime.provider('a').attempts.map(({ atMs }) => atMs)).toEqual([0, HOUR_MS]);
  });
});

describe('a gate', () => {
  test('of the last candidate keeps no submitted request from one that recovers before', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = when(({ clock }) => (clock.nowMs() < 60_000 ? fail('connection') : echo()));
    runtime.provider('b').always = fail('rate-limited', { retryAfterMs: HOUR_MS });
    const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
    expect(result).toMatchObject({ status: 'succeeded', response: { provider: 'a' } });
    expect(runtime.clock.nowMs()).toBeLessThan(240_000);
  });

  test.each([30 * 24 * HOUR_MS, 400 * 24 * HOUR_MS])(
    'of %d ms, longer than any timer runs, holds for all of it',
    async (holdMs) => {
      const rig = new ProviderRig();
      const setTimeout = rig.clock.setTimeout.bind(rig.clock);
      rig.clock.setTimeout = (callback, delayMs) => setTimeout(callback, Math.min(delayMs, TIMER_MAX_MS));
      rig.attempt('rate-limited', { holdMs });
      await rig.clock.advance(holdMs - 1);
      expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'held', retryAfterMs: 1 } });
      await rig.clock.advance(1);
      expect(rig.claim().kind).toBe('claimed');
    },
  );

  test('that is long keeps no caller from another candidate whose gate clears before', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('b').plan(fail('rate-limited', { retryAfterMs: 30_000 }));
    await runtime.failure(runtime.service.completion(ask('x', 'b/m'), { timeoutMs: 1_000 }));
    runtime.provider('a').plan(fail('rate-limited', { retryAfterMs: 300_000 }));
    const response = await runtime.complete(ask('x', 'smart'));
    expect(response.attempts.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ['a', 'refused'],
      ['b', 'answered'],
    ]);
    expect(runtime.clock.nowMs()).toBeLessThan(30_100);
  });

  test('is one key’s own: what another key is asked meanwhile neither lengthens nor clears it', async () => {
    await using runtime = await createTestRuntime({ providers: { a: TWO_KEYS } });
    runtime.provider('a').always = when(({ apiKey }) =>
      apiKey === 'key-one-canary' ? fail('rate-limited', { retryAfterMs: 30_000 }) : answer(),
    );
    for (let index = 0; index < 29; index += 1) {
      await runtime.complete();
      await runtime.clock.advance(1_000);
    }
    expect(runtime.service.providerStates()['a']?.credentials).toEqual([
      { id: 'a#1', state: 'held', heldForMs: 1_000 },
      { id: 'a#2', state: 'usable' },
    ]);
  });
});

describe.each(['upstream-error', 'overloaded'] as const)('%s with a Retry-After', (kind) => {
  test('of 5 s is waited for here, by this request and by all others', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(fail(kind, { retryAfterMs: 5_000 }));
    const first = runtime.service.completion(ask('first', 'smart'));
    await runtime.clock.advance(100);
    const second = await runtime.complete(ask('second', 'smart'));
    const third = await runtime.complete(ask('third', 'a/m'));
    expect((await runtime.run(first)).attempts.map(({ provider }) => provider)).toEqual(['a', 'a']);
    expect([second.provider, third.provider]).toEqual(['b', 'a']);
    const [, ...later] = runtime.provider('a').attempts.map(({ atMs }) => atMs);
    expect(Math.min(...later)).toBeGreaterThanOrEqual(5_000);
  });

  test('of more is not waited for while another candidate is ready, and is when there is none and it fits', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(fail(kind, { retryAfterMs: 5_001 }), fail(kind, { retryAfterMs: 60_000 }));
    expect((await runtime.complete(ask('x', 'smart'))).provider).toBe('b');
    expect(runtime.clock.nowMs()).toBe(0);
    await runtime.clock.advance(5_001);
    expect((await runtime.complete(ask('x', 'a/m'))).attempts).toHaveLength(2);
    expect(runtime.provider('a').attempts.map(({ atMs }) => Math.floor(atMs / 1_000))).toEqual([0, 5, 65]);
    runtime.provider('a').plan(fail(kind, { retryAfterMs: 60_000 }));
    const error = await runtime.failure(runtime.service.completion(ask('x', 'a/m'), { timeoutMs: 59_000 }));
    expect(error).toMatchObject({ retryAfterMs: 60_000, attempts: [{ outcome: 'failed' }] });
  });

  test('counts against the breaker like any other failure', async () => {
    await using runtime = await createTestRuntime({
      ...TWO,
      providers: { a: { apiKeys: ['one-canary', 'two-canary'] }, b: {} },
    });
    runtime.provider('a').always = fail(kind, { retryAfterMs: 6_000 });
    for (let index = 0; index < 3; index += 1) {
      await runtime.complete(ask('x', 'smart'));
      await runtime.clock.advance(6_000);
    }
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBeGreaterThanOrEqual(3);
  });
});

describe('a quarantine', () => {
  test('is of one model at one provider for ten minutes: nine minutes 59 s and ten minutes', async () => {
    await using runtime = await createTestRuntime({ providers: { a: { models: ['m', 'n'] }, b: {} } });
    runtime.provider('a').always = when(({ model }) => (model === 'm' ? fail('model-not-found') : answer()));
    expect((await runtime.complete()).provider).toBe('b');
    await runtime.clock.advance(599_999);
    expect((await runtime.complete()).provider).toBe('b');
    expect((await runtime.complete(ask('x', 'a/n'))).provider).toBe('a');
    runtime.provider('a').always = answer();
    await runtime.clock.advance(1);
    expect((await runtime.complete()).provider).toBe('a');
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(0);
  });
});
