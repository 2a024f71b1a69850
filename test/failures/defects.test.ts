/** The breaker's rules as a caller meets them: how fast an outage is seen, how rarely one is imagined, and what time jumps do. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tripReason } from '../../src/policy/breaker.ts';
import { createWindow, recordFailure, recordSuccess } from '../../src/policy/window.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';
import { ProviderRig } from '../support/provider-rig.ts';
import { answer, fail, hang, when } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT } from '../support/test-runtime.ts';
import { propertyRuns } from '../support/properties.ts';

const { breaker: RULE_B } = createProviderConfig({ adapter: 'mock' });
const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const DAY_S = 86_400;

describe('an outage is seen', () => {
  test.each([
    ['in the tenth call when calls are many', 40, 10],
    ['in the fifth when they are few', 0, 5],
  ])('of errors %s', async (_name, successes, callsMax) => {
    await using runtime = await createTestRuntime({ ...TWO, providers: { a: { retry: { maxRetries: 0 } }, b: {} } });
    for (let index = 0; index < successes; index += 1) await runtime.complete(ask('x', 'smart'));
    runtime.provider('a').always = fail('upstream-error');
    for (let index = 0; index < 30; index += 1) await runtime.complete(ask('x', 'smart'));
    expect(runtime.eventsOf('breaker.opened')).toMatchObject([{ provider: 'a' }]);
    // One more is the forced probe's; there is none while the fallback is ready.
    expect(runtime.provider('a').attempts).toHaveLength(successes + callsMax);
  });

  test.each([
    ['stream', 12_000],
    ['sync', 60_000],
  ] as const)(
    'of silence (%s) when the fifth hung call is older than its limit, not when it ends',
    async (mode, limitMs) => {
      await using runtime = await createTestRuntime({ providers: { a: {} } });
      const { service, clock } = runtime;
      runtime.provider('a').always = hang();
      let openedAtMs: number | undefined;
      service.on('breaker.opened', () => (openedAtMs ??= clock.nowMs()));
      for (let index = 0; index < 8; index += 1) {
        if (mode === 'stream') service.completionStream(HELLO);
        else service.completion(HELLO).catch(() => undefined);
        await clock.advance(1_000);
      }
      await clock.advance(limitMs);
      expect(openedAtMs).toBe(4_000 + limitMs);
      expect(service.openRequests()).toHaveLength(8);
    },
  );

  test('also by calls that take longer than the window is wide', async () => {
    const rig = new ProviderRig();
    const hung = Array.from({ length: 5 }, () => rig.permit({ limitMs: 300_000 }));
    await rig.clock.advance(300_000);
    for (const permit of hung) rig.report(permit, 'upstream-error');
    expect(rig.breaker).toBe('open');
  });
});

/** How often rule B trips in a day of calls with Poisson arrivals, of which a share fails at random. */
function falseOpensPerDay(perSecond: number, failureShare: number, { days, seed }: { days: number; seed: number }) {
  const random = createRandom(seed);
  let opens = 0;
  let nowMs = 0;
  let window = createWindow(RULE_B.windowMs, nowMs);
  while (nowMs < days * DAY_S * 1_000) {
    nowMs += (-Math.log(1 - random()) / perSecond) * 1_000;
    window = random() < failureShare ? recordFailure(window, nowMs) : recordSuccess(window, nowMs);
    if (tripReason(window, RULE_B) === undefined) continue;
    opens += 1;
    window = createWindow(RULE_B.windowMs, nowMs);
  }
  return opens / days;
}

/** Mulberry32, by Tommy Ettinger (public domain). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe('an outage is not imagined: of calls that fail at random, 20 % of them,', () => {
  test.each([
    [20, 1, 0],
    [1, 5, 0],
    // A handful of calls in a window is little to judge by: five in a row happen.
    [0.05, 400, 2],
  ])('at %d per second, %d days open no breaker more than %d times a day', (perSecond, days, most) => {
    expect(falseOpensPerDay(perSecond, 0.2, { days, seed: 11 })).toBeLessThanOrEqual(most);
  });

  test('and the same measure does see a provider that fails more than half of them', () => {
    expect(falseOpensPerDay(1, 0.55, { days: 0.05, seed: 11 })).toBeGreaterThan(20);
  });
});

describe('a jump of the wall clock', () => {
  /** What a provider was asked and when, through a 429, backoffs, a deadline, an outage and its end. */
  const live = async (jumpMs: number) => {
    await using runtime = await createTestRuntime({
      ...TWO,
      providers: { a: { rateLimit: { requestsPerMinute: 30 } }, b: {} },
    });
    const { service, clock } = runtime;
    runtime.provider('a').plan(fail('rate-limited', { retryAfterMs: 4_000 }), fail('upstream-error'), hang());
    runtime.provider('a').always = when((call) => (call.clock.nowMs() < 90_000 ? fail('connection') : answer()));
    const settled: (readonly [number, string])[] = [];
    for (let index = 0; index < 60; index += 1) {
      void service.completion(ask('x', 'smart'), { timeoutMs: 30_000 }).then(
        ({ provider }) => settled.push([clock.nowMs(), provider]),
        (error: { code: string }) => settled.push([clock.nowMs(), error.code]),
      );
      await clock.advance(3_000);
      if (index % 10 === 0) clock.jumpWall(index % 20 === 0 ? jumpMs : -jumpMs);
    }
    await clock.advance(60_000);
    return { asked: runtime.provider('a').attempts.map(({ atMs }) => atMs), settled };
  };

  test('of a day, there and back, changes no breaker, gate, backoff, pace or deadline', async () => {
    const reference = await live(0);
    expect(reference.asked.length).toBeGreaterThan(20);
    expect(await live(86_400_000)).toEqual(reference);
  });
});

describe('recovery', () => {
  test('of a provider that is healthy again is seen after its open time and two probes', async () => {
    await using runtime = await createTestRuntime({ ...TWO, providers: { a: { retry: { maxRetries: 0 } }, b: {} } });
    runtime.provider('a').always = fail('connection');
    for (let index = 0; index < 5; index += 1) await runtime.complete(ask('x', 'smart'));
    runtime.provider('a').always = answer();
    await runtime.clock.advance(18_000);
    const providers: string[] = [];
    for (let index = 0; index < 3; index += 1) providers.push((await runtime.complete(ask('x', 'smart'))).provider);
    expect(providers).toEqual(['a', 'a', 'a']);
    expect(runtime.eventsOf('breaker.closed')).toHaveLength(1);
  });

  test('brings one call at a time at first, and in ten seconds no more than one for each round of successes', async () => {
    await using runtime = await createTestRuntime({ ...TWO, providers: { a: { retry: { maxRetries: 0 } }, b: {} } });
    const provider = runtime.provider('a');
    provider.always = fail('connection');
    for (let index = 0; index < 5; index += 1) await runtime.complete(ask('x', 'smart'));
    provider.always = answer('fine', { afterMs: 1_000 });
    await runtime.clock.advance(18_000);
    for (let index = 0; index < 2; index += 1) await runtime.complete(ask('x', 'smart'));
    expect(runtime.service.providerStates()['a']?.breaker.state).toBe('closed');
    provider.peak = 0;
    const answers: Promise<unknown>[] = [];
    for (let index = 0; index < 100; index += 1) {
      answers.push(runtime.service.completion(ask('x', 'smart')));
      await runtime.clock.advance(100);
      if (index === 9) expect(provider.peak).toBe(1);
    }
    // A round takes a second; the former limit was 32.
    expect(provider.peak).toBeLessThanOrEqual(1 + 10);
    expect(provider.peak).toBeGreaterThan(4);
    await runtime.run(Promise.all(answers));
    await runtime.clock.advance(60_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('the ramp', () => {
  test('grows by successes in a row only: a failure in between begins the row again', () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    rig.attempt('rate-limited', { holdMs: 0 });
    expect(rig.state.concurrency.limit).toBe(5);
    for (let round = 0; round < 4; round += 1) {
      rig.attempts(4, 'success');
      rig.attempt('upstream-error');
    }
    expect(rig.state.concurrency.limit).toBe(5);
    rig.attempts(5, 'success');
    expect(rig.state.concurrency.limit).toBe(6);
  });

  test('is not set back by what says nothing of the provider', () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    rig.attempt('rate-limited', { holdMs: 0 });
    for (let count = 0; count < 5; count += 1) {
      rig.attempts(1, 'success');
      rig.attempt('abandoned');
    }
    expect(rig.state.concurrency.limit).toBe(6);
  });

  test('a row of any successes and failures gives the limit that counting by hand gives', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('success', 'upstream-error', 'overloaded', 'abandoned'), { maxLength: 60 }),
        (kinds) => {
          const rig = new ProviderRig({
            config: {
              concurrency: 6,
              breaker: { ...RULE_B, windowMs: 1_000, minimumCalls: 1, consecutiveFailures: 10_000, failureRate: 1 },
            },
          });
          let [limit, row] = [6, 0];
          rig.attempt('success');
          for (const kind of kinds) {
            rig.attempt(kind);
            if (kind === 'success') row += 1;
            if (kind === 'upstream-error') row = 0;
            if (kind === 'overloaded') [limit, row] = [Math.max(1, Math.floor(limit * 0.7)), 0];
            if (row >= limit) [limit, row] = [Math.min(6, limit + 1), 0];
            expect(rig.state.concurrency.limit).toBe(limit);
          }
        },
      ),
      propertyRuns(100),
    );
  });
});
