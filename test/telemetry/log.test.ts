import { expect, test } from 'vitest';
import { answer, echo, fail } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, HELLO, PRICED, rejection } from '../support/test-runtime.ts';

const KEY = 'sk-canary-key-0123456789abcdef';
const PROMPT = 'canary-prompt-of-the-caller';
const ANSWER = 'canary-answer-of-the-model';

test('each settled request is one line with the fields that operators count by, and nothing else', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { models: PRICED } } });
  runtime.provider('a').always = answer('x', { afterMs: 70 });
  const { requestId } = await runtime.complete();
  await runtime.clock.settle();
  const lines = runtime.log.filter((line) => line['requestId'] === requestId);
  expect(lines).toEqual([
    {
      level: 30,
      msg: 'request succeeded',
      requestId,
      provider: 'a',
      model: 'm',
      outcome: 'succeeded',
      totalMs: 70,
      attempts: 1,
      tokens: { inputTokens: 10, outputTokens: 5 },
      costUsd: 0.000_02,
    },
  ]);
});

test('a request that failed or was cancelled is one line too, with its code', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} } });
  runtime.provider('a').plan(fail('invalid-request'));
  const failed = await runtime.failure(runtime.service.completion(HELLO));
  const cancelled = await runtime.failure(runtime.service.completion(HELLO, { signal: AbortSignal.abort() }));
  await runtime.clock.settle();
  const settled = runtime.log.filter((line) => String(line['msg']).startsWith('request '));
  expect(settled).toMatchObject([
    { requestId: failed.requestId, outcome: 'failed', code: 'invalid-request', attempts: 1 },
    { requestId: cancelled.requestId, outcome: 'cancelled', code: 'cancelled', attempts: 0 },
  ]);
});

test('each failed attempt is one warning that says where, why and how often', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } });
  runtime
    .provider('a')
    .plan(fail('upstream-error', { status: 503, message: 'no capacity' }), fail('connection', { message: 'reset' }));
  const { requestId } = await runtime.complete(ask('x', 'smart'));
  await runtime.clock.settle();
  expect(runtime.log.filter((line) => line['level'] === 40)).toMatchObject([
    {
      msg: 'attempt failed',
      requestId,
      attempt: 1,
      provider: 'a',
      model: 'm',
      kind: 'upstream-error',
      status: 503,
      error: 'no capacity',
    },
    { msg: 'attempt failed', requestId, attempt: 2, provider: 'a', kind: 'connection', error: 'reset' },
  ]);
});

test('breaker transitions and restarts of actors are one line each', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { retry: { maxRetries: 0 } } } });
  runtime.provider('a').plan(...Array.from({ length: 5 }, () => fail('connection')));
  for (let index = 0; index < 5; index++) await runtime.failure(runtime.service.completion(HELLO));
  for (let index = 0; index < 2; index++) await runtime.complete();
  let isCrashed = false;
  runtime.inject((actor) => actor === 'service' && !isCrashed && (isCrashed = true));
  await runtime.complete();
  await runtime.clock.advance(1_000);
  const told = runtime.log
    .filter((line) => /^(breaker|actor)/.test(String(line['msg'])))
    .map(({ msg, provider, actor, incarnation }) => [msg, provider ?? actor, incarnation]);
  expect(told).toEqual([
    ['breaker opened', 'a', undefined],
    ['breaker half-open', 'a', undefined],
    ['breaker closed', 'a', undefined],
    ['actor crashed', 'service', 1],
    ['actor restarted', 'service', 2],
  ]);
});

test('no key, prompt or answer appears in any log line, event, error, state, health, summary or tree', async () => {
  await using runtime = await createTestRuntime({
    providers: { a: { apiKey: KEY, models: PRICED }, b: { apiKeys: [KEY, `${KEY}2`] } },
    models: { smart: ['a/m', 'b/m'] },
  });
  const { service } = runtime;
  const kinds = [
    'connection',
    'upstream-error',
    'rate-limited',
    'unauthorized',
    'quota-exhausted',
    'invalid-request',
    'content-filtered',
    'broken',
    'false-success',
  ] as const;
  const errors: unknown[] = [];
  for (const kind of kinds) {
    for (const name of ['a', 'b']) runtime.provider(name).plan(fail(kind), fail(kind));
    const asked = service.completion(ask(PROMPT, 'smart'), { timeoutMs: 5_000 });
    errors.push(
      await runtime.run(
        asked.then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    );
  }
  for (const name of ['a', 'b']) runtime.provider(name).always = answer('fine');
  await runtime.run(service.testConnection('a'));
  errors.push(
    await rejection(service.completion({ ...ask(PROMPT), temperature: 9 })),
    await rejection(service.completion(ask(PROMPT, 'nope'))),
  );
  await service.updateProvider('a', { priority: 2 });
  errors.push(await rejection(service.updateProvider('a', { apiKey: `${KEY}3`, concurrency: 0 })));
  runtime.inject((actor) => actor === 'cost-tracker');
  const requestId = await service.completionAsync(ask(PROMPT, 'a/m'));
  await runtime.clock.advance(100);
  runtime.inject(() => false);
  await runtime.clock.advance(60_000);
  const shown = {
    log: runtime.lines,
    events: runtime.events,
    errors,
    states: service.providerStates(),
    health: await service.healthStatus(),
    costs: await runtime.run(service.costSummary()),
    tree: service.supervisor.children(),
    queue: service.queueStatus(),
    open: service.openRequests(),
    models: await service.listModels(),
    explained: service.explain(ask(PROMPT, 'smart')),
    result: await service.getResult(requestId),
  };
  expect(JSON.stringify(shown.events)).toContain('attempt.failed');
  const { errors: _, ...machine } = shown;
  for (const text of [JSON.stringify(shown), JSON.stringify(errors.map(String))]) expect(text).not.toContain(KEY);
  for (const secret of [PROMPT, ANSWER]) expect(JSON.stringify(machine)).not.toContain(secret);
  expect(JSON.stringify(errors)).not.toContain(PROMPT);
});

test('a key is kept back even where an adapter puts it into what it throws', async () => {
  await using runtime = await createTestRuntime({ providers: { a: { apiKey: KEY, retry: { maxRetries: 0 } } } });
  const { service } = runtime;
  runtime.provider('a').always = async function* ({ apiKey }) {
    yield { type: 'text', text: ANSWER };
    throw new Error(`500 for Bearer ${apiKey}, ${'y'.repeat(5_000)}`);
  };
  runtime.provider('a').check = runtime.provider('a').always;
  const streamed = await runtime.failure(service.completionStream(HELLO).response);
  const plain = await runtime.failure(service.completion(HELLO));
  const tested = await runtime.run(service.testConnection('a'));
  await runtime.clock.settle();
  expect(streamed.message).toContain('500 for Bearer [key]');
  // An error gives its own caller what had arrived of the answer; nobody else sees it.
  expect(streamed.partial?.text).toBe(ANSWER);
  for (const error of [streamed, plain, tested.error]) expect(error?.message.length).toBeLessThan(2_100);
  const shown = JSON.stringify({
    streamed,
    plain,
    tested,
    lines: runtime.lines,
    events: runtime.events,
    health: await service.healthStatus(),
  });
  expect(shown).not.toContain(KEY);
  expect(JSON.stringify([runtime.lines, runtime.events])).not.toContain(ANSWER);
});

test('an answer is never logged, whatever the level', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} }, log: { level: 'trace' } });
  runtime.provider('a').always = echo();
  expect((await runtime.complete(ask(PROMPT))).text).toContain(PROMPT);
  await runtime.clock.settle();
  expect(runtime.lines.join('')).not.toContain(PROMPT);
});
