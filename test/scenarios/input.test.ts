/** Wrong input to every public call: refused as `invalid-request` that names the field, and nothing is sent. */
import { describe, expect, test } from 'vitest';
import type { Service } from '../../src/contract/service.ts';
import { createTestRuntime, HELLO, NOTHING_LEFT, rejection } from '../support/test-runtime.ts';

const message = { role: 'user', content: 'hello' };

const REQUESTS: readonly [unknown, string | undefined][] = [
  [undefined, undefined],
  [null, undefined],
  ['hello', undefined],
  [{}, 'messages'],
  [{ messages: [message] }, 'model'],
  [{ ...HELLO, model: 5 }, 'model'],
  [{ ...HELLO, model: '' }, 'model'],
  [{ ...HELLO, messages: [] }, 'messages'],
  [{ ...HELLO, messages: 'hello' }, 'messages'],
  [{ ...HELLO, messages: [{ role: 'nobody', content: 'x' }] }, 'messages.0.role'],
  [{ ...HELLO, messages: [message, { role: 'user' }] }, 'messages.1.content'],
  [{ ...HELLO, messages: [{ role: 'tool', content: 'x' }] }, 'messages.0.tool_call_id'],
  [{ ...HELLO, messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content.0.text'],
  [{ ...HELLO, messages: [{ ...message, extra: 1 }] }, 'messages.0.extra'],
  [{ ...HELLO, temperature: 'hot' }, 'temperature'],
  [{ ...HELLO, temperature: 3 }, 'temperature'],
  [{ ...HELLO, temperature: Number.NaN }, 'temperature'],
  [{ ...HELLO, maxTokens: 0 }, 'maxTokens'],
  [{ ...HELLO, maxTokens: 1.5 }, 'maxTokens'],
  [{ ...HELLO, topP: -1 }, 'topP'],
  [{ ...HELLO, stop: 5 }, 'stop'],
  [{ ...HELLO, tools: [{ name: 'two words' }] }, 'tools.0.name'],
  [{ ...HELLO, reasoningEffort: 'huge' }, 'reasoningEffort'],
  [{ ...HELLO, metadata: { a: 1 } }, 'metadata.a'],
  [{ ...HELLO, max_tokens: 5 }, 'max_tokens'],
];

const OPTIONS: readonly [unknown, string | undefined][] = [
  [null, undefined],
  [{ priority: 'urgent' }, 'priority'],
  [{ timeoutMs: 0 }, 'timeoutMs'],
  [{ timeoutMs: -1 }, 'timeoutMs'],
  [{ timeoutMs: Number.NaN }, 'timeoutMs'],
  [{ timeoutMs: '5s' }, 'timeoutMs'],
  [{ signal: {} }, 'signal'],
  [{ idempotencyKey: '' }, 'idempotencyKey'],
  [{ idempotencyKey: 'x'.repeat(256) }, 'idempotencyKey'],
  [{ idempotencyKey: 'half a character: \ud83d' }, 'idempotencyKey'],
  [{ tenant: '\ud83d' }, 'tenant'],
  [{ tenant: '' }, 'tenant'],
  [{ tags: { a: 1 } }, 'tags.a'],
  [{ fallbacks: 'm' }, 'fallbacks'],
  [{ fallbacks: [''] }, 'fallbacks.0'],
  [{ delivery: 'fast' }, 'delivery'],
  [{ timeout: 5 }, 'timeout'],
];

const CALLS: readonly [
  string,
  (service: Service, wrong: never) => Promise<unknown>,
  readonly [unknown, string | undefined][],
][] = [
  ['completion', (service, wrong) => service.completion(wrong), REQUESTS],
  ['completion options', (service, wrong) => service.completion(HELLO, wrong), OPTIONS],
  ['completionAsync', (service, wrong) => service.completionAsync(wrong), REQUESTS],
  ['completionAsync options', (service, wrong) => service.completionAsync(HELLO, wrong), OPTIONS],
  ['completionStream', (service, wrong) => service.completionStream(wrong).response, REQUESTS],
  ['completionStream options', (service, wrong) => service.completionStream(HELLO, wrong).response, OPTIONS],
  ['explain', async (service, wrong) => service.explain(wrong), REQUESTS],
  ['explain options', async (service, wrong) => service.explain(HELLO, wrong), OPTIONS],
  [
    'embedding',
    (service, wrong) => service.embedding(wrong),
    [
      [undefined, undefined],
      [{ model: 'm' }, 'input'],
      [{ input: 'x' }, 'model'],
      [{ model: 'm', input: '' }, 'input'],
      [{ model: 'm', input: [] }, 'input'],
      [{ model: 'm', input: ['x', ''] }, 'input.1'],
      [{ model: 'm', input: 'x', dimensions: 0 }, 'dimensions'],
      [{ model: 'm', input: 'x', size: 1 }, 'size'],
    ],
  ],
  [
    'getResult',
    (service, wrong) => service.getResult(wrong),
    [
      [undefined, 'requestId'],
      [5, 'requestId'],
      [{}, 'requestId'],
    ],
  ],
  [
    'getResult options',
    (service, wrong) => service.getResult('req_x', wrong),
    [
      [null, undefined],
      [{ waitMs: -1 }, 'waitMs'],
      [{ waitMs: Number.NaN }, 'waitMs'],
      [{ waitMs: '5' }, 'waitMs'],
      [{ signal: {} }, 'signal'],
    ],
  ],
  [
    'cancel',
    (service, wrong) => service.cancel(wrong),
    [
      [undefined, 'requestId'],
      [null, 'requestId'],
    ],
  ],
  [
    'listModels',
    (service, wrong) => service.listModels(wrong),
    [
      [null, undefined],
      [{ provider: 5 }, 'provider'],
      [{ feature: {} }, 'feature'],
      [{ vendor: 'x' }, 'vendor'],
    ],
  ],
  [
    'costSummary',
    (service, wrong) => service.costSummary(wrong),
    [
      [null, undefined],
      [{ since: 'yesterday' }, 'since'],
      [{ until: {} }, 'until'],
      [{ provider: 5 }, 'provider'],
      [{ day: 1 }, 'day'],
    ],
  ],
  [
    'testConnection',
    (service, wrong) => service.testConnection(wrong),
    [
      [undefined, 'provider'],
      ['nobody', 'provider'],
    ],
  ],
  [
    'updateProvider',
    (service, wrong) => service.updateProvider(wrong, {}),
    [
      [undefined, 'name'],
      ['nobody', 'name'],
    ],
  ],
  [
    'updateProvider patch',
    (service, wrong) => service.updateProvider('a', wrong),
    [
      [undefined, 'patch'],
      [null, 'patch'],
      ['x', 'patch'],
    ],
  ],
  [
    'on',
    async (service, wrong) => service.on(wrong, () => {}),
    [
      [undefined, 'event'],
      ['request.done', 'event'],
    ],
  ],
  [
    'on listener',
    async (service, wrong) => service.on('request.settled', wrong),
    [
      [undefined, 'listener'],
      [{}, 'listener'],
    ],
  ],
  [
    'stop',
    (service, wrong) => service.stop(wrong),
    [
      [null, undefined],
      [{ graceMs: -1 }, 'graceMs'],
      [{ graceMs: Number.NaN }, 'graceMs'],
      [{ graceMs: '5' }, 'graceMs'],
    ],
  ],
];

describe.each(CALLS)('%s', (_name, call, inputs) => {
  test.each(inputs)('refuses %j and names %s', async (wrong, field) => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    // It is wrong on purpose.
    const error = await rejection(call(runtime.service, wrong as never));
    expect({ code: error.code, param: error.param }).toEqual({ code: 'invalid-request', param: field });
    expect(runtime.service.state).toBe('running');
    await runtime.clock.settle();
    expect(runtime.provider('a').calls).toEqual([]);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

test('the words of OpenAI are answered with ours', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} } });
  // Not a field of ours, on purpose.
  const request = { ...HELLO, max_tokens: 5 } as typeof HELLO;
  expect((await rejection(runtime.service.completion(request))).message).toContain('did you mean maxTokens?');
});

test('no message about wrong input repeats the prompt', async () => {
  await using runtime = await createTestRuntime({ providers: { a: {} } });
  // Wrong on purpose.
  const wrong = {
    ...HELLO,
    messages: [
      { role: 'canary-role', content: 'canary-prompt' },
      { role: 'user', content: { text: 'canary-prompt' } },
    ],
  } as never;
  expect(JSON.stringify(await rejection(runtime.service.completion(wrong)))).not.toContain('canary-prompt');
});

describe('what has to be passed on as JSON and cannot be', () => {
  const ring: Record<string, unknown> = {};
  ring['self'] = ring;
  const thrower = {
    toJSON() {
      throw new Error('no');
    },
  };

  test.each<[string, object, string]>([
    ['a BigInt in a tool', { tools: [{ name: 'f', parameters: { maximum: 10n } }] }, 'tools'],
    ['a ring in a tool', { tools: [{ name: 'f', parameters: ring }] }, 'tools'],
    ['a BigInt for a provider', { providerOptions: { a: { top: 10n } } }, 'providerOptions'],
    [
      'what throws in a schema',
      { responseFormat: { type: 'json_schema', json_schema: { schema: thrower } } },
      'responseFormat',
    ],
  ])('%s is refused at once, waiting or submitted', async (_, changes, field) => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    // Wrong on purpose.
    const request = { ...HELLO, ...changes } as never;
    for (const call of [runtime.service.completion(request), runtime.service.completionAsync(request)]) {
      const error = await rejection(call);
      expect(error).toMatchObject({ code: 'invalid-request', message: expect.stringContaining('JSON') });
      expect(error.param).toMatch(new RegExp(`^${field}`, 'u'));
    }
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});
