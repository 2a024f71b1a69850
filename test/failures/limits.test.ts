/** When an attempt is given up: its limits bind while somebody else is left, and the deadline binds always. */
import { describe, expect, test } from 'vitest';
import type { CompletionResponse } from '../../src/contract/response.ts';
import { answer, type Behaviour, fail, finish, hang, pause, tokens } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const SMART = ask('x', 'smart');

/** Says nothing for `waitMs`, then goes on as told. */
const late = (waitMs: number, then: Behaviour = tokens(3, 0, finish())): Behaviour =>
  async function* (call) {
    await pause(call, waitMs);
    yield* then(call);
  };

const MODES = [
  ['stream', 12_000],
  ['sync', 60_000],
] as const;
type Mode = (typeof MODES)[number][0];

function send({ service }: TestRuntime, mode: Mode, options = {}): Promise<CompletionResponse> {
  return mode === 'stream' ? service.completionStream(SMART, options).response : service.completion(SMART, options);
}

/** Holds the gate of `b` for `heldMs`, at no cost of time. */
async function hold(runtime: TestRuntime, heldMs: number): Promise<void> {
  runtime.provider('b').plan(fail('rate-limited', { retryAfterMs: heldMs }));
  await runtime.failure(runtime.service.completion(ask('x', 'b/m'), { timeoutMs: 400 }));
}

describe.each(MODES)('the first limit of a %s (%i ms)', (mode, limitMs) => {
  test('is met by an answer just before it, and passed just after it', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(late(limitMs - 1), late(limitMs + 1));
    expect((await runtime.run(send(runtime, mode))).provider).toBe('a');
    const second = await runtime.run(send(runtime, mode));
    expect(second.attempts).toMatchObject([
      { provider: 'a', outcome: 'failed', code: 'timeout', durationMs: limitMs, isMaybeBilled: true },
      { provider: 'b', outcome: 'answered' },
    ]);
    expect(runtime.eventsOf('attempt.failed')).toMatchObject([{ kind: 'silent' }]);
  });

  test('does not bind when the other candidate has gone by the time it passes', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = late(2 * limitMs);
    const response = send(runtime, mode);
    await runtime.clock.advance(limitMs - 1_000);
    await runtime.service.supervisor.suspend('b');
    expect((await runtime.run(response)).provider).toBe('a');
    expect(runtime.clock.nowMs()).toBe(2 * limitMs);
  });

  test('binds again as soon as another candidate is back', async () => {
    await using runtime = await createTestRuntime(TWO);
    await hold(runtime, 2.5 * limitMs);
    runtime.provider('a').always = hang();
    const response = await runtime.run(send(runtime, mode));
    expect(response.attempts.map(({ provider, outcome }) => [provider, outcome])).toEqual([
      ['a', 'failed'],
      ['b', 'answered'],
    ]);
    expect(runtime.clock.nowMs()).toBe(3 * limitMs);
    expect(runtime.provider('a').attempts).toMatchObject([{ isAborted: true }]);
  });

  test('is one failure of the breaker when it is passed, however long the attempt goes on', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} }, models: { smart: ['a/m'] } });
    runtime.provider('a').always = hang();
    const ended = runtime.failure(send(runtime, mode, { timeoutMs: 5 * limitMs + 1 }));
    expect(await ended).toMatchObject({ code: 'timeout', attempts: [{ outcome: 'failed' }] });
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(
      // The window is a minute wide: what was counted at the limit may have left it.
      4 * limitMs < 60_000 ? 1 : 0,
    );
    expect(runtime.eventsOf('breaker.opened')).toEqual([]);
  });
});

test('an attempt that no limit binds is told to the breaker once: looking at it again opens nothing', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
  const { service, clock } = runtime;
  for (let index = 0; index < 6; index += 1) await runtime.complete();
  await clock.advance(30_000);
  runtime.provider('a').plan(...Array.from({ length: 4 }, () => fail('connection')));
  for (let index = 0; index < 4; index += 1) await runtime.failure(service.completion(HELLO));
  runtime.provider('a').always = hang();
  const hung = runtime.failure(service.completionStream(HELLO, { timeoutMs: 55_000 }).response);
  await clock.advance(13_000);
  expect(service.providerStates()['a']?.breaker).toMatchObject({ state: 'closed', failureCount: 5, successCount: 6 });
  // The successes leave the window, and five failures in a row stand alone in it: time alone is no evidence.
  await clock.advance(30_000);
  expect(service.providerStates()['a']?.breaker).toMatchObject({ state: 'closed', failureCount: 5, successCount: 0 });
  await hung;
});

test('a submitted request sits through one hung attempt for as long as a caller would, and asks again', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} }, service: { timeoutMs: 100_000 } });
  runtime.provider('a').plan(hang());
  const result = await runtime.result(await runtime.service.completionAsync(HELLO));
  expect(result).toMatchObject({
    status: 'succeeded',
    response: { attempts: [{ code: 'timeout', durationMs: 100_000 }, {}] },
  });
});

describe('a stall', () => {
  test.each([
    ['live', 1],
    ['whole', 2],
    ['restart', 2],
  ] as const)('on the last candidate, delivered %s: binds %i checks after it began', async (delivery, checks) => {
    await using runtime = await createTestRuntime(TWO);
    await hold(runtime, 20_000);
    runtime.provider('a').always = tokens(3, 0, hang());
    const stream = runtime.service.completionStream(SMART, { delivery });
    const ended = stream.response.then(
      ({ provider }) => provider,
      (error: { code: string }) => error.code,
    );
    expect(await runtime.run(ended)).toBe(delivery === 'live' ? 'provider-error' : 'b');
    expect(runtime.clock.nowMs()).toBe(checks * 15_000);
  });

  test('is measured from the last piece, whatever kind it was, and not from the start', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = tokens(20, 14_999, finish());
    expect((await runtime.run(send(runtime, 'stream'))).provider).toBe('a');
    runtime.provider('a').always = tokens(2, 15_001, finish());
    await expect(runtime.run(send(runtime, 'stream'))).rejects.toMatchObject({ partial: { text: 't0 ' } });
  });

  test('is not ended by usage or keep-alives: they are no content', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = async function* (call) {
      for (let index = 0; index < 100; index += 1) {
        yield { type: 'usage', usage: { inputTokens: index } };
        await pause(call, 1_000);
      }
    };
    expect((await runtime.run(send(runtime, 'stream'))).provider).toBe('b');
    expect(runtime.clock.nowMs()).toBe(12_000);
  });
});

describe('after a finish reason', () => {
  test('two seconds are all there is, also for a stream that goes on chattering', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = tokens(2, 0, async function* (call) {
      yield { type: 'finish', finishReason: 'stop' };
      for (let index = 0; index < 100; index += 1) {
        await pause(call, 900);
        yield { type: 'activity' };
      }
    });
    expect((await runtime.run(send(runtime, 'stream'))).text).toBe('t0 t1 ');
    expect(runtime.clock.nowMs()).toBe(2_000);
  });

  test('usage that comes within them counts, and what comes later does not', async () => {
    const usageAfter = (waitMs: number) =>
      tokens(1, 0, async function* (call) {
        yield { type: 'finish', finishReason: 'stop' };
        await pause(call, waitMs);
        yield { type: 'usage', usage: { inputTokens: 7, outputTokens: 3 } };
      });
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').plan(usageAfter(1_999), usageAfter(2_001));
    expect((await runtime.run(send(runtime, 'stream'))).usage).toEqual({ inputTokens: 7, outputTokens: 3 });
    expect((await runtime.run(send(runtime, 'stream'))).usage).toEqual({});
    expect(runtime.service.providerStates()['a']?.breaker).toMatchObject({ successCount: 2, failureCount: 0 });
  });
});

const DEADLINES: readonly {
  readonly title: string;
  readonly mode: Mode;
  readonly timeoutMs: number;
  readonly behaviour: Behaviour;
  readonly failures: number;
}[] = [
  {
    title: 'within its own limit, no content: says nothing about the provider',
    mode: 'sync',
    timeoutMs: 59_999,
    behaviour: hang(),
    failures: 0,
  },
  {
    title: 'older than its own limit, no content: a failure',
    mode: 'sync',
    timeoutMs: 60_001,
    behaviour: hang(),
    failures: 1,
  },
  { title: 'a second is nobody’s fault', mode: 'stream', timeoutMs: 1_000, behaviour: hang(), failures: 0 },
  {
    title: 'older than its own limit, with content: neutral',
    mode: 'stream',
    timeoutMs: 100_000,
    behaviour: tokens(10, 10_500, hang()),
    failures: 0,
  },
];

describe('the deadline', () => {
  test.each(DEADLINES)('$title ($mode, $timeoutMs ms)', async ({ mode, timeoutMs, behaviour, failures }) => {
    await using runtime = await createTestRuntime({ providers: { a: {} }, models: { smart: ['a/m'] } });
    runtime.provider('a').always = behaviour;
    const error = await runtime.failure(send(runtime, mode, { timeoutMs }));
    const outcome = failures === 0 ? 'abandoned' : 'failed';
    expect(error).toMatchObject({ code: 'timeout', attempts: [{ outcome }] });
    expect(runtime.clock.nowMs()).toBe(timeoutMs);
    expect(runtime.service.providerStates()['a']?.breaker.failureCount).toBe(failures);
  });

  test.each<[string, (runtime: TestRuntime, leaving: AbortController) => void]>([
    ['a deadline that passes', (runtime) => runtime.lag(700_000)],
    ['a caller who leaves', (_runtime, leaving) => leaving.abort()],
  ])('%s between any two steps before the call keeps it from being sent, and bills nobody', async (_name, stop) => {
    const seen = new Set<string>();
    for (let steps = 0; steps < 40; steps += 1) {
      await using runtime = await createTestRuntime({ providers: { a: {} } });
      runtime.provider('a').always = hang();
      const leaving = new AbortController();
      const ended = runtime.failure(runtime.service.completion(HELLO, { signal: leaving.signal }));
      for (let step = 0; step < steps; step += 1) await Promise.resolve();
      const before = runtime.provider('a').calls.length;
      stop(runtime, leaving);
      const { attempts } = await ended;
      const asked = runtime.provider('a').calls.length;
      expect(asked).toBe(before);
      expect(attempts.map(({ isMaybeBilled = false }) => isMaybeBilled)).toEqual(attempts.map(() => asked === 1));
      seen.add(`${attempts.length} begun, ${asked} sent`);
      expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
    }
    // Also the moment between the claim and the call was met.
    expect(seen).toEqual(new Set(['0 begun, 0 sent', '1 begun, 0 sent', '1 begun, 1 sent']));
  });

  test('is left over, not begun again, for the attempt after a failover', async () => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = fail('broken', { afterMs: 20_000 });
    runtime.provider('b').always = answer('late', { afterMs: 15_000 });
    const error = await runtime.failure(runtime.service.completion(SMART, { timeoutMs: 30_000 }));
    expect(error).toMatchObject({
      code: 'timeout',
      attempts: [
        { provider: 'a', outcome: 'failed' },
        { provider: 'b', outcome: 'abandoned', durationMs: 10_000 },
      ],
    });
  });
});
