/** The story of one request, as observers are told it: events and log lines in order, numbered without a gap, under one id. */
import { describe, expect, test } from 'vitest';
import type { SwitchgearError } from '../../src/contract/errors.ts';
import { answer, type Behaviour, cut, fail, hang, tokens } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

const TWO = { providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } };
const SMART = ask('x', 'smart');

/** What is told of a request, in the order it was told: `attempt.started 2 at b`. */
function storyOf(runtime: TestRuntime, requestId: string): readonly string[] {
  return runtime.events.flatMap((event) => {
    if (!('requestId' in event.payload) || event.payload.requestId !== requestId) return [];
    switch (event.name) {
      case 'attempt.started':
        return [`attempt.started ${event.payload.attempt} at ${event.payload.provider}`];
      case 'attempt.failed':
        return [`attempt.failed ${event.payload.attempt} at ${event.payload.provider}: ${event.payload.kind}`];
      case 'request.settled':
        return [`request.settled ${event.payload.outcome} after ${event.payload.attempts.length}`];
      default:
        return [event.name];
    }
  });
}

/** The numbers of attempts are 1, 2, 3, … and each that failed had been started. */
function expectOrder(story: readonly string[]): void {
  expect(story[0]).toBe('request.admitted');
  expect(story.at(-1)).toMatch(/^request\.settled/);
  expect(story.filter((line) => line.startsWith('request.'))).toHaveLength(2);
  const numbers = story.filter((line) => line.startsWith('attempt.started')).map((line) => Number(line.split(' ')[1]));
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  let open: string | undefined;
  for (const line of story.slice(1, -1)) {
    const [name, number = ''] = line.split(' ');
    if (name === 'attempt.failed') expect(number).toBe(open);
    open = name === 'attempt.started' ? number : undefined;
  }
}

const ENDINGS: readonly [string, Behaviour, Behaviour, readonly string[]][] = [
  ['answered at once', answer(), answer(), ['attempt.started 1 at a', 'request.settled succeeded after 1']],
  [
    'retried, then failed over',
    fail('upstream-error'),
    answer(),
    [
      ...['attempt.started 1 at a', 'attempt.failed 1 at a: upstream-error'],
      ...['attempt.started 2 at a', 'attempt.failed 2 at a: upstream-error'],
      ...['attempt.started 3 at a', 'attempt.failed 3 at a: upstream-error'],
      ...['attempt.started 4 at b', 'request.settled succeeded after 4'],
    ],
  ],
  [
    'failed everywhere',
    fail('broken'),
    fail('false-success'),
    [
      ...['attempt.started 1 at a', 'attempt.failed 1 at a: broken'],
      ...['attempt.started 2 at b', 'attempt.failed 2 at b: false-success', 'request.settled failed after 2'],
    ],
  ],
  [
    'refused for good',
    fail('content-filtered'),
    answer(),
    ['attempt.started 1 at a', 'attempt.failed 1 at a: content-filtered', 'request.settled failed after 1'],
  ],
];

describe.each(['sync', 'stream', 'async'] as const)('a %s request', (mode) => {
  const send = async ({ service }: TestRuntime): Promise<unknown> => {
    if (mode === 'sync') return service.completion(SMART);
    if (mode === 'stream') return service.completionStream(SMART).response;
    const result = await service.getResult(await service.completionAsync(SMART, { timeoutMs: 4_000 }), {
      waitMs: 9_000,
    });
    return result.status === 'failed' ? Promise.reject(result.error) : result;
  };

  test.each(ENDINGS)('that is %s tells its story in order', async (_name, a, b, expected) => {
    await using runtime = await createTestRuntime(TWO);
    runtime.provider('a').always = a;
    runtime.provider('b').always = b;
    const ended = await runtime.run(send(runtime).catch((error: SwitchgearError) => error));
    await runtime.clock.settle();
    const [admitted] = runtime.eventsOf('request.admitted');
    const story = storyOf(runtime, admitted?.requestId ?? '');
    expectOrder(story);
    expect(admitted).toMatchObject({ model: 'smart', priority: 'normal', mode });
    // A submitted request that may still be answered rests and starts over; its story begins alike.
    const isResting = mode === 'async' && expected.at(-1) === 'request.settled failed after 2';
    if (isResting) expect(story.slice(1, 5)).toEqual(expected.slice(0, 4));
    else expect(story.slice(1)).toEqual(expected);
    if (!(ended instanceof Error)) return;
    const { attempts } = ended as SwitchgearError; // Callers are given no other error.
    const failed = runtime.eventsOf('attempt.failed');
    expect(attempts.map(({ provider, outcome, code }) => ({ provider, outcome, code }))).toEqual(
      failed.map(({ provider, outcome, code }) => ({ provider, outcome, code })),
    );
    for (const attempt of attempts) expect(attempt.code).toBeTypeOf('string');
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

test('a request that its caller leaves says so, whether it waited or ran', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { concurrency: 1 } } });
  runtime.provider('a').always = hang();
  const leaving = new AbortController();
  const calls = ['first', 'second'].map((prompt) =>
    runtime.failure(runtime.service.completion(ask(prompt), { signal: leaving.signal })),
  );
  await runtime.clock.advance(1_000);
  leaving.abort();
  await Promise.all(calls);
  await runtime.clock.settle();
  const stories = runtime.eventsOf('request.admitted').map(({ requestId }) => storyOf(runtime, requestId));
  expect(stories).toEqual([
    [
      'request.admitted',
      'attempt.started 1 at a',
      'attempt.failed 1 at a: abandoned',
      'request.settled cancelled after 1',
    ],
    ['request.admitted', 'request.settled cancelled after 0'],
  ]);
});

test('the stories of many requests at once do not get mixed up, and their log lines follow the same order', async () => {
  await using runtime = await createTestRuntime({
    ...TWO,
    providers: { a: { breaker: { failureRate: 1, minimumCalls: 1_000, consecutiveFailures: 1_000 } }, b: {} },
  });
  const behaviours = [
    answer('x', { afterMs: 50 }),
    fail('upstream-error', { afterMs: 20 }),
    tokens(2, 30, cut()),
    fail('broken'),
  ];
  for (const name of ['a', 'b'])
    runtime.provider(name).always = (call) => (behaviours[call.number % behaviours.length] ?? answer())(call);
  const calls = Array.from({ length: 60 }, (_, index) =>
    index % 2 === 0
      ? runtime.service.completion(SMART).catch(() => undefined)
      : runtime.service.completionStream(SMART).response.catch(() => undefined),
  );
  await runtime.run(Promise.all(calls));
  await runtime.clock.settle();
  const admitted = runtime.eventsOf('request.admitted');
  expect(admitted).toHaveLength(60);
  for (const { requestId } of admitted) {
    const story = storyOf(runtime, requestId);
    expectOrder(story);
    const told = story.filter((line) => /^(attempt\.failed|request\.settled)/.test(line));
    const lines = runtime.log.filter((line) => line['requestId'] === requestId);
    expect(lines).toHaveLength(told.length);
    expect(
      lines
        .slice(0, -1)
        .map(
          (line) => `attempt.failed ${String(line['attempt'])} at ${String(line['provider'])}: ${String(line['kind'])}`,
        ),
    ).toEqual(told.slice(0, -1));
    expect(lines.at(-1)?.['msg']).toMatch(/^request (succeeded|failed)$/);
  }
});
