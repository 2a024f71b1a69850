/**
 * The real APIs, for those who have keys: `npm run test:live` with OPENAI_API_KEY or ANTHROPIC_API_KEY set. The models are
 * the cheapest that do everything asked here; OPENAI_LIVE_MODEL and ANTHROPIC_LIVE_MODEL name others. Spending is counted
 * from the usage of each answer, and no call is made once the cap (SWITCHGEAR_LIVE_USD, default 0.05) is reached.
 */
import { calcPrice } from '@pydantic/genai-prices';
import { afterAll, describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { Adapter, AdapterCall } from '../../src/contract/adapter.ts';
import type { ParsedCompletion } from '../../src/contract/request.ts';
import type { Usage } from '../../src/contract/response.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { expectStreamGrammar } from '../contracts/adapter-contract.ts';
import {
  collectStream,
  createCall,
  createEmbedCall,
  createProviderConfig,
  rejectionOf,
  tryStream,
} from '../support/adapter-calls.ts';

const capUsd = Number(process.env['SWITCHGEAR_LIVE_USD'] ?? '0.05');
const OUTPUT_TOKENS_MAX = 256;
let spentUsd = 0;

interface LiveSubject {
  readonly provider: 'openai' | 'anthropic';
  readonly create: typeof createOpenaiAdapter;
  readonly keyName: string;
  readonly model: string;
}

const subjects: readonly LiveSubject[] = [
  {
    provider: 'openai',
    create: createOpenaiAdapter,
    keyName: 'OPENAI_API_KEY',
    model: process.env['OPENAI_LIVE_MODEL'] ?? 'gpt-4.1-nano',
  },
  {
    provider: 'anthropic',
    create: createAnthropicAdapter,
    keyName: 'ANTHROPIC_API_KEY',
    model: process.env['ANTHROPIC_LIVE_MODEL'] ?? 'claude-haiku-4-5',
  },
];
const EMBEDDING_MODEL = 'text-embedding-3-small';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const keyed = subjects.filter(({ keyName }) => (process.env[keyName] ?? '') !== '');
for (const { provider, keyName } of subjects.filter((subject) => !keyed.includes(subject)))
  say(`live tests of ${provider} are left out: ${keyName} is not set`);

/** Adds what an answer cost; an unknown price counts as a cent, so that the cap holds for unknown models too. */
function count(subject: LiveSubject, model: string, usage: Usage): void {
  const price = calcPrice({ input_tokens: usage.inputTokens ?? 0, output_tokens: usage.outputTokens ?? 0 }, model, {
    providerId: subject.provider,
  });
  spentUsd += price?.total_price ?? 0.01;
}

function assertAffordable(): void {
  expect(spentUsd, `spent $${spentUsd.toFixed(4)} of $${capUsd}; raise SWITCHGEAR_LIVE_USD`).toBeLessThan(capUsd);
}

test('what can be asked for real is named', () => {
  expect(keyed.length).toBeLessThanOrEqual(subjects.length);
  say(
    keyed.length === 0
      ? 'no live tests: no key is set'
      : `live tests of ${keyed.map(({ provider, model }) => `${provider} (${model})`).join(', ')}, cap $${capUsd}`,
  );
});

describe.each(keyed)('$provider, for real', (subject) => {
  const credential = { id: `${subject.provider}#1`, apiKey: process.env[subject.keyName] };
  const config = createProviderConfig({
    adapter: subject.provider,
    name: subject.provider,
    credentials: [credential],
    models: [{ id: subject.model }],
  });
  const adapter: Adapter = subject.create(config, { fetch: undefined, clock: systemClock });
  const wrongKey = { id: `${subject.provider}#2`, apiKey: 'sk-wrong-0123456789abcdef' };
  const call = (request: Partial<ParsedCompletion>, fields: Partial<AdapterCall> = {}): AdapterCall =>
    createCall({
      credential,
      model: subject.model,
      maxTokens: OUTPUT_TOKENS_MAX,
      signal: AbortSignal.timeout(30_000),
      request: {
        kind: 'completion',
        model: subject.model,
        messages: [{ role: 'user', content: 'Say "pong" and nothing else.' }],
        ...request,
      },
      ...fields,
    });
  afterAll(async () => {
    await adapter.close?.();
    say(`spent so far: $${spentUsd.toFixed(5)} of $${capUsd}`);
  });

  test('a check passes with the key, and a wrong key is unauthorized everywhere', async () => {
    await adapter.check({ credential, signal: AbortSignal.timeout(30_000) });
    for (const error of [
      await rejectionOf(adapter.check({ credential: wrongKey, signal: AbortSignal.timeout(30_000) })),
      await rejectionOf(adapter.send(call({}, { credential: wrongKey }))),
      (await tryStream(adapter, call({}, { credential: wrongKey }))).error,
    ])
      expect(adapter.classify(error)).toMatchObject({
        kind: 'unauthorized',
        message: expect.not.stringContaining('wrong-0123'),
      });
  });

  test('a model that does not exist is model-not-found', async () => {
    expect(adapter.classify(await rejectionOf(adapter.send(call({}, { model: 'no-such-model-7' })))).kind).toBe(
      'model-not-found',
    );
  });

  test('an answer comes whole and streamed, with its usage', async () => {
    assertAffordable();
    const reply = await adapter.send(call({}));
    count(subject, subject.model, reply.usage);
    const streamed = await collectStream(adapter, call({}));
    count(subject, subject.model, streamed.usage);
    for (const { text, finishReason, usage } of [reply, streamed]) {
      expect(text.toLowerCase()).toContain('pong');
      expect(finishReason).toBe('stop');
      expect(usage.inputTokens).toBeGreaterThan(3);
      expect(usage.outputTokens).toBeGreaterThan(0);
    }
    expectStreamGrammar(streamed.parts);
  });

  test('a forced tool is called with JSON, and its result is understood', async () => {
    assertAffordable();
    const tools = [
      {
        name: 'weather',
        description: 'Tells the weather of a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    ];
    const question = { role: 'user' as const, content: 'What is the weather in Oslo? Answer in one short sentence.' };
    const asked = await collectStream(
      adapter,
      call({ messages: [question], tools, toolChoice: { type: 'tool', name: 'weather' } }),
    );
    count(subject, subject.model, asked.usage);
    expect(asked.toolCalls.map(({ name }) => name)).toEqual(['weather']);
    const [toolCall] = asked.toolCalls;
    const told = await adapter.send(
      call({
        tools,
        messages: [
          question,
          {
            role: 'assistant',
            tool_calls: [
              {
                id: toolCall?.id ?? '',
                type: 'function',
                function: { name: 'weather', arguments: toolCall?.arguments ?? '' },
              },
            ],
          },
          { role: 'tool', tool_call_id: toolCall?.id ?? '', content: 'Snow, -3 °C' },
        ],
      }),
    );
    count(subject, subject.model, told.usage);
    expect(told.text.toLowerCase()).toContain('snow');
  });

  test('a schema is kept to, and a short maximum is `length`', async () => {
    assertAffordable();
    const schema = {
      type: 'object',
      properties: { city: { type: 'string' }, people: { type: 'integer' } },
      required: ['city', 'people'],
      additionalProperties: false,
    };
    const reply = await adapter.send(
      call({
        messages: [{ role: 'user', content: 'Oslo has 700000 people. Extract.' }],
        responseFormat: { type: 'json-schema', name: 'city', schema, strict: true },
      }),
    );
    count(subject, subject.model, reply.usage);
    expect(JSON.parse(reply.text)).toEqual({ city: 'Oslo', people: 700_000 });
    const cut = await adapter.send(
      call({ messages: [{ role: 'user', content: 'Count from 1 to 100.' }] }, { maxTokens: 16 }),
    );
    count(subject, subject.model, cut.usage);
    expect(cut.finishReason).toBe('length');
  });

  test('a stream that is aborted is abandoned', async () => {
    assertAffordable();
    const controller = new AbortController();
    const ended = (async () => {
      for await (const part of adapter.stream(
        call({ messages: [{ role: 'user', content: 'Count from 1 to 300.' }] }, { signal: controller.signal }),
      )) {
        if (part.type === 'text') controller.abort();
      }
    })();
    expect(adapter.classify(await rejectionOf(ended)).kind).toBe('abandoned');
    // Nobody tells what an aborted answer cost; the most it can have is counted.
    count(subject, subject.model, { inputTokens: 30, outputTokens: OUTPUT_TOKENS_MAX });
  });

  test.runIf(adapter.embed !== undefined)('two texts become two vectors', async () => {
    assertAffordable();
    const reply = await adapter.embed?.(createEmbedCall(['apple', 'orange'], { credential, model: EMBEDDING_MODEL }));
    count(subject, EMBEDDING_MODEL, reply?.usage ?? {});
    expect(reply?.vectors.map((vector) => vector.length)).toEqual([1_536, 1_536]);
  });
});
