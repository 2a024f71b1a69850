/** What failing costs the provider: attempts against a target that fails for ever while its breaker is held closed. */
import { describe, expect, test } from 'vitest';
import type { ProviderInput } from '../../src/config/input.ts';
import { propertyRuns } from '../support/properties.ts';
import { answer, fail, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

/** With a single success in its window this breaker stays closed; the rows of failures are cut by `relieve`. */
const HELD_CLOSED: Omit<ProviderInput, 'adapter'> = {
  models: ['m', 'ok'],
  breaker: { windowMs: 86_400_000, minimumCalls: 2, failureRate: 1, consecutiveFailures: 10_000 },
};
const BROKEN = when(({ model }) => (model === 'ok' ? answer() : fail('upstream-error')));
const RELIEF_EVERY = 4_000;
const BUCKET = 20;

/** The bound: every first attempt earns a fifth of a retry, every ten seconds one, and there are twenty to begin with. */
const boundOf = (first: number, elapsedMs: number) => 1.2 * first + elapsedMs / 10_000 + BUCKET;

async function relieve(runtime: TestRuntime, name: string): Promise<void> {
  await runtime.complete(ask('relief', `${name}/ok`));
}

const attemptsAt = (runtime: TestRuntime, name: string) =>
  runtime.provider(name).attempts.filter((call) => call.model === 'm').length;

describe('requests that all fail, the breaker held closed', () => {
  test.each([
    [propertyRuns(1_500).numRuns, 1],
    [propertyRuns(5_000).numRuns, 20],
    [propertyRuns(1_500).numRuns, 200],
  ])(
    '%i of them at %i per second are amplified to at most 1.2 and the floor',
    async (count, perSecond) => {
      await using runtime = await createTestRuntime({ providers: { a: HELD_CLOSED } });
      runtime.provider('a').always = BROKEN;
      const codes = new Set<string>();
      let reliefs = 0;
      for (let index = 0; index < count; index += 1) {
        if (index % RELIEF_EVERY === 0) {
          await relieve(runtime, 'a');
          reliefs += 1;
        }
        void runtime.service.completion(ask('x')).catch((error: { code: string }) => codes.add(error.code));
        await runtime.clock.advance(1_000 / perSecond);
      }
      await runtime.clock.advance(60_000);
      expect(runtime.service.providerStates()['a']?.breaker.state).toBe('closed');
      expect(codes).toEqual(new Set(['provider-error']));
      const attempts = attemptsAt(runtime, 'a');
      expect(attempts).toBeLessThanOrEqual(boundOf(count + reliefs, runtime.clock.nowMs()));
      // And the budget is used: it does not work by refusing every retry.
      expect(attempts).toBeGreaterThan(1.19 * count);
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    },
    120_000,
  );
});

describe('submitted requests that start round after round', () => {
  const COUNT = 200;
  const submit = (runtime: TestRuntime, timeoutMs: number) =>
    Promise.all(
      Array.from({ length: COUNT }, (_, index) => runtime.service.completionAsync(ask(`r${index}`), { timeoutMs })),
    );

  test('pay for each round at a target they asked before: an hour of failures stays within the budget', async () => {
    await using runtime = await createTestRuntime({ providers: { a: HELD_CLOSED } });
    runtime.provider('a').always = BROKEN;
    await relieve(runtime, 'a');
    await submit(runtime, 7_200_000);
    await runtime.clock.advance(3_600_000);
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('closed');
    expect(attemptsAt(runtime, 'a')).toBeLessThanOrEqual(boundOf(COUNT + 1, 3_600_000));
    // They do go on trying, one at least for each token that the floor gives.
    expect(attemptsAt(runtime, 'a')).toBeGreaterThan(COUNT + 3_600_000 / 10_000 / 2);
  }, 60_000);

  test('get the price of a round back when it is answered: the backlog of an outage is gone in minutes', async () => {
    await using runtime = await createTestRuntime({ providers: { a: HELD_CLOSED } });
    const { service, clock } = runtime;
    runtime.provider('a').always = BROKEN;
    await relieve(runtime, 'a');
    const ids = await submit(runtime, 86_400_000);
    await clock.advance(1_800_000);
    runtime.provider('a').always = answer('fine', { afterMs: 1_000 });
    await clock.advance(600_000);
    const states = await Promise.all(ids.map((id) => service.getResult(id)));
    expect(new Set(states.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  }, 60_000);

  test('end at their own deadline while there is no budget for them', async () => {
    await using runtime = await createTestRuntime({ providers: { a: HELD_CLOSED } });
    runtime.provider('a').always = BROKEN;
    await relieve(runtime, 'a');
    const ids = await submit(runtime, 120_000);
    await runtime.clock.advance(120_001);
    const results = await Promise.all(ids.map((id) => runtime.service.getResult(id)));
    for (const result of results) {
      if (result.status !== 'failed') throw new Error(`expected a failure, got: ${result.status}`);
      expect(result.error.code).toBe('timeout');
      expect(result.error.message).toContain('scripted upstream-error');
    }
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });

  test('that were never asked yet are not held up by an empty bucket', async () => {
    await using runtime = await createTestRuntime({ providers: { a: HELD_CLOSED } });
    runtime.provider('a').always = BROKEN;
    await relieve(runtime, 'a');
    await submit(runtime, 7_200_000);
    await runtime.clock.advance(600_000);
    runtime.provider('a').always = answer();
    const startedAtMs = runtime.clock.nowMs();
    await runtime.complete(ask('newcomer'));
    expect(runtime.clock.nowMs()).toBe(startedAtMs);
  });
});

describe('going somewhere else', () => {
  test('is charged to the bucket of the other candidate and never refused, however empty that is', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { ...HELD_CLOSED, retry: { maxRetries: 0 } }, b: HELD_CLOSED },
      models: { smart: ['a/m', 'b/m'] },
    });
    for (const name of ['a', 'b']) {
      runtime.provider(name).always = BROKEN;
      await relieve(runtime, name);
    }
    for (let index = 0; index < 300; index += 1) await runtime.failure(runtime.service.completion(ask('x', 'smart')));
    expect(attemptsAt(runtime, 'a')).toBe(300);
    // Each came here once; what is beyond that was paid from the twenty and the floor.
    const retries = attemptsAt(runtime, 'b') - 300;
    expect(retries).toBeGreaterThanOrEqual(0);
    expect(retries).toBeLessThanOrEqual(BUCKET + runtime.clock.nowMs() / 10_000);
  });

  test('to another key is charged to the bucket of that key', async () => {
    await using runtime = await createTestRuntime({
      providers: {
        a: { ...HELD_CLOSED, apiKeys: ['key-one-canary', 'key-two-canary'] },
        b: { models: ['m'] },
      },
      models: { smart: ['a/m', 'b/m'] },
    });
    await relieve(runtime, 'a');
    runtime.provider('a').always = when(({ apiKey }) =>
      apiKey === 'key-one-canary' ? fail('rate-limited', { retryAfterMs: 600_000 }) : fail('upstream-error'),
    );
    // Arrives at the second key by rotation at first, directly afterwards; never with more retries than its own bucket holds.
    for (let index = 0; index < 60; index += 1) await runtime.complete(ask('x', 'smart'));
    const atSecond = runtime.provider('a').attempts.filter((call) => call.credentialId === 'a#2');
    expect(atSecond.length - 60).toBeLessThanOrEqual(59 * 0.2 + runtime.clock.nowMs() / 10_000 + BUCKET - 1);
  });

  test('happens at once when a retry here is not affordable', async () => {
    await using runtime = await createTestRuntime({
      providers: { a: { ...HELD_CLOSED, retry: { maxRetries: 10 } }, b: { models: ['m'] } },
      models: { smart: ['a/m', 'b/m'] },
    });
    runtime.provider('a').always = BROKEN;
    await relieve(runtime, 'a');
    while ((await runtime.failure(runtime.service.completion(ask('x', 'a/m')))).attempts.length > 1) {
      // Until the bucket is empty.
    }
    const startedAtMs = runtime.clock.nowMs();
    const response = await runtime.complete(ask('x', 'smart'));
    expect(response.attempts.map(({ provider }) => provider)).toEqual(['a', 'b']);
    expect(runtime.clock.nowMs()).toBe(startedAtMs);
  });
});

test('a submitted request whose last candidate has a bad key goes on waiting for the first, which time may mend', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } });
  runtime.provider('a').always = when(({ clock }) => (clock.nowMs() < 60_000 ? fail('connection') : answer()));
  runtime.provider('b').always = fail('unauthorized');
  const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
  expect(result).toMatchObject({ status: 'succeeded', response: { provider: 'a' } });
});

test('a submitted request that the last candidate calls invalid ends at once, whatever happened before', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } });
  runtime.provider('a').always = fail('connection');
  runtime.provider('b').always = fail('invalid-request', { message: 'no such field' });
  const result = await runtime.result(await runtime.service.completionAsync(ask('x', 'smart')));
  expect(result).toMatchObject({ status: 'failed', error: { code: 'invalid-request' } });
  expect(runtime.provider('b').attempts).toHaveLength(1);
});
