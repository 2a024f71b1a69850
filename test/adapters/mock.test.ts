/** The mock adapter: the contract of every adapter, then what only it promises. Every wait is on a virtual clock. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMockAdapter } from '../../src/adapters/mock/mock.ts';
import type { Adapter } from '../../src/contract/adapter.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { FAILURE_POLICY, type FailureKind } from '../../src/contract/failures.ts';
import type { ParsedCompletion } from '../../src/contract/request.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { allFailures, allScripts, describeAdapterContract } from '../contracts/adapter-contract.ts';
import type { UpstreamScript } from '../contracts/upstream.ts';
import {
  canaryCredential,
  collectStream,
  createCall,
  createEmbedCall,
  createProviderConfig,
  rejectionOf,
  tryStream,
} from '../support/adapter-calls.ts';

// The table's keys are exactly its type's: it is a record over `FailureKind`.
const failureKinds = Object.keys(FAILURE_POLICY) as FailureKind[];

describeAdapterContract({
  name: 'mock',
  plays: allScripts,
  failures: allFailures,
  open: (script) => {
    const options = { script: [scriptStep(script)], repeat: true };
    const adapter = createMockAdapter(createProviderConfig({ adapter: 'mock', options }), {
      fetch: undefined,
      clock: systemClock,
    });
    return Promise.resolve({
      adapter,
      credential: canaryCredential,
      requests: () => undefined,
      connections: () => undefined,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
});

function scriptStep(script: UpstreamScript): object {
  switch (script.kind) {
    case 'answer': {
      const { text, toolCalls, finishReason, usage } = script.answer;
      return { text, finishReason, usage, ...(toolCalls !== undefined && { toolCalls }) };
    }
    case 'failure': {
      const { failure, retryAfterSeconds, echo } = script;
      return {
        failure: {
          kind: failure,
          ...(retryAfterSeconds !== undefined && { retryAfterMs: retryAfterSeconds * 1_000 }),
          ...(echo !== undefined && { message: echo }),
        },
      };
    }
    case 'failure-inside':
      return { text: 'one two', cutAfterTokens: 1, failure: { kind: script.failure } };
    case 'cut':
    case 'malformed':
      return { text: 'one two', cutAfterTokens: 1 };
    case 'unfinished':
      return { text: 'one two', finishReason: 'none' };
    case 'stalled':
      return { text: 'one two', cutAfterTokens: 1, hang: true };
    case 'silent':
      return { hang: true };
    case 'page':
      return { failure: { kind: 'false-success' } };
    case 'unreachable':
      return { failure: { kind: 'connection' } };
  }
}

function createMock(options: Readonly<Record<string, unknown>> = {}, clock = new VirtualClock()): Adapter {
  return createMockAdapter(createProviderConfig({ name: 'mine', adapter: 'mock', options }), {
    fetch: undefined,
    clock,
  });
}

function askFor(content: string, fields: Partial<ParsedCompletion> = {}): ParsedCompletion {
  return { kind: 'completion', model: 'model-1', messages: [{ role: 'user', content }], ...fields };
}

async function textOf(adapter: Adapter, content = 'hi'): Promise<string> {
  return (await adapter.send(createCall({ request: askFor(content) }))).text;
}

describe('without a script', () => {
  test('it says that it is the mock, what it was asked, and how to get a real answer', async () => {
    const { text, finishReason, usage } = await createMock().send(createCall({ request: askFor('What is 2 + 2?') }));
    expect(text).toContain('mock provider "mine"');
    expect(text).toContain('"What is 2 + 2?"');
    expect(text).toContain('OPENAI_API_KEY');
    expect(finishReason).toBe('stop');
    expect(usage.inputTokens).toBe(5);
  });

  test('a long question is echoed in part', async () => {
    expect((await textOf(createMock(), 'x'.repeat(100_000))).length).toBeLessThan(800);
  });

  test('it stops at maxTokens with the finish reason length', async () => {
    const reply = await createMock().send(createCall({ maxTokens: 3 }));
    expect(reply).toMatchObject({ text: 'This is the', finishReason: 'length', usage: { outputTokens: 3 } });
  });

  test('it calls the tools that the last message names, or that are demanded', async () => {
    const tools = [
      {
        name: 'search',
        parameters: { type: 'object', properties: { query: { type: 'string', minLength: 2 } }, required: ['query'] },
      },
      { name: 'clock' },
    ];
    const named = await createMock().send(createCall({ request: askFor('use clock and search', { tools }) }));
    expect(named).toMatchObject({
      text: '',
      finishReason: 'tool-calls',
      toolCalls: [
        { name: 'search', arguments: '{"query":"xx"}' },
        { name: 'clock', arguments: '{}' },
      ],
    });
    const demanded = await createMock().send(
      createCall({ request: askFor('hello', { tools, toolChoice: { type: 'tool', name: 'clock' } }) }),
    );
    expect(demanded.toolCalls.map(({ name }) => name)).toEqual(['clock']);
    const forbidden = await createMock().send(
      createCall({ request: askFor('clock', { tools, toolChoice: { type: 'none' } }) }),
    );
    expect(forbidden.toolCalls).toEqual([]);
    const afterResult = askFor('clock', {
      tools,
      messages: [{ role: 'tool', tool_call_id: 'c', content: 'clock: noon' }],
    });
    expect((await createMock().send(createCall({ request: afterResult }))).finishReason).toBe('stop');
  });

  test('it answers JSON where JSON is asked for', async () => {
    const any = await createMock().send(createCall({ request: askFor('hi', { responseFormat: { type: 'json' } }) }));
    expect(JSON.parse(any.text)).toEqual({ mock: 'mine', echo: 'hi' });
    const schema = { type: 'object', properties: { colour: { enum: ['red', 'green'] } }, required: ['colour'] };
    const strict = await createMock().send(
      createCall({ request: askFor('hi', { responseFormat: { type: 'json-schema', name: 'c', schema } }) }),
    );
    expect(JSON.parse(strict.text)).toEqual({ colour: 'red' });
  });

  test('it reads the text beside an image', async () => {
    const messages = [
      {
        role: 'user' as const,
        content: [
          { type: 'text' as const, text: 'what is this' },
          { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,AA==' } },
        ],
      },
    ];
    expect((await createMock().send(createCall({ request: askFor('', { messages }) }))).text).toContain(
      '"what is this"',
    );
  });

  test('it supports every feature but the fields of a wire', () => {
    const adapter = createMock();
    for (const feature of [
      'completion',
      'stream',
      'embedding',
      'tools',
      'images',
      'json',
      'json-schema',
      'seed',
      'reasoning-effort',
    ] as const)
      expect(adapter.supports(feature, 'm')).toBe(true);
    expect(adapter.supports('wire:openai', 'm')).toBe(false);
  });

  test('it counts the input tokens that its usage will tell', async () => {
    const adapter = createMock();
    const request = askFor('one two three');
    expect(adapter.countTokens?.(request, 'm')).toBe((await adapter.send(createCall({ request }))).usage.inputTokens);
  });
});

describe('a script', () => {
  test('is taken in order, and the echo answers after its end', async () => {
    const adapter = createMock({
      script: [{ text: 'first' }, { json: { n: 2 } }, { toolCalls: [{ name: 'f', arguments: { a: 1 } }] }],
    });
    expect(await textOf(adapter)).toBe('first');
    expect(await textOf(adapter)).toBe('{"n":2}');
    expect((await collectStream(adapter, createCall())).toolCalls).toEqual([
      { id: 'call_mock_1', name: 'f', arguments: '{"a":1}' },
    ]);
    expect(await textOf(adapter)).toContain('mock provider');
  });

  test('starts again with repeat, or gives way to a default', async () => {
    const repeating = createMock({ script: [{ text: 'a' }, { text: 'b' }], repeat: true });
    expect([await textOf(repeating), await textOf(repeating), await textOf(repeating)]).toEqual(['a', 'b', 'a']);
    const ending = createMock({ script: [{ text: 'a' }], default: { text: 'z' } });
    expect([await textOf(ending), await textOf(ending), await textOf(ending)]).toEqual(['a', 'z', 'z']);
  });

  test('is left alone by requests that a rule answers, and the first rule that matches does', async () => {
    const adapter = createMock({
      script: [{ text: 'scripted' }],
      rules: [
        { match: 'weather', step: { text: 'sunny' } },
        { match: { pattern: '^bye\\b', flags: 'i' }, step: { text: 'farewell' } },
        { match: 'weather report', step: { text: 'never' } },
      ],
    });
    expect(await textOf(adapter, 'the weather report')).toBe('sunny');
    expect(await textOf(adapter, 'Bye now')).toBe('farewell');
    expect(await textOf(adapter, 'no goodbye')).toBe('scripted');
  });

  test('a rule looks at the last user message, not at what came after or before', async () => {
    const adapter = createMock({ rules: [{ match: 'new', step: { text: 'matched' } }], default: { text: 'missed' } });
    const messages = [
      { role: 'user' as const, content: 'old' },
      { role: 'user' as const, content: 'new' },
      { role: 'assistant' as const, content: 'old' },
    ];
    expect((await adapter.send(createCall({ request: askFor('', { messages }) }))).text).toBe('matched');
  });

  test.each(failureKinds)('can fail as %s, with everything a failure may tell', async (kind) => {
    const failure = { kind, status: 499, providerCode: 'own_code', retryAfterMs: 1_500, message: 'as told' };
    const adapter = createMock({ script: [{ failure }, { failure }] });
    const whole = adapter.classify(await rejectionOf(adapter.send(createCall())));
    const streamed = adapter.classify((await tryStream(adapter, createCall())).error);
    for (const seen of [whole, streamed]) expect(seen).toMatchObject({ ...failure, message: 'mine: as told' });
    expect(whole.isMaybeBilled).toBeUndefined();
  });

  test('can tell its own usage, or none', async () => {
    const adapter = createMock({
      script: [
        { text: 'a', usage: { inputTokens: 10, cachedInputTokens: 4 } },
        { text: 'a', usage: 'none' },
      ],
    });
    expect((await adapter.send(createCall())).usage).toEqual({ inputTokens: 10, cachedInputTokens: 4 });
    expect((await collectStream(adapter, createCall())).parts.filter(({ type }) => type === 'usage')).toEqual([]);
  });

  test('can refuse in words', async () => {
    const adapter = createMock({ script: [{ refusal: 'I will not.', finishReason: 'content-filter' }] });
    expect(await adapter.send(createCall())).toMatchObject({
      text: '',
      refusal: 'I will not.',
      finishReason: 'content-filter',
    });
  });

  test('an answer without a finish reason is broken when it is not streamed', async () => {
    const adapter = createMock({ script: [{ text: 'a', finishReason: 'none' }] });
    expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('broken');
  });

  test('a cut at n tokens lets exactly n through, also when the answer is shorter', async () => {
    for (const [cutAfterTokens, text] of [
      [0, ''],
      [2, 'a b'],
      [3, 'a b c'],
      [9, 'a b c'],
    ] as const) {
      const adapter = createMock({ script: [{ text: 'a b c', cutAfterTokens }] });
      const { collected, error } = await tryStream(adapter, createCall());
      expect(collected.text).toBe(text);
      expect(adapter.classify(error).kind).toBe('broken');
    }
  });

  test('failures by chance come at their rates, and the same for the same seed', async () => {
    const run = async (seed: number) => {
      const adapter = createMock(
        {
          failures: [
            { rate: 0.2, failure: { kind: 'overloaded' } },
            { rate: 0.1, failure: { kind: 'connection' } },
          ],
          default: { text: 'fine' },
        },
        new VirtualClock({ seed }),
      );
      const kinds: string[] = [];
      for (let index = 0; index < 300; index += 1) {
        const { error } = await tryStream(adapter, createCall());
        kinds.push(error === undefined ? 'fine' : adapter.classify(error).kind);
      }
      return kinds;
    };
    const kinds = await run(5);
    const share = (kind: string) => kinds.filter((other) => other === kind).length / kinds.length;
    expect(share('overloaded')).toBeGreaterThan(0.13);
    expect(share('overloaded')).toBeLessThan(0.27);
    expect(share('connection')).toBeGreaterThan(0.05);
    expect(share('connection')).toBeLessThan(0.16);
    expect(await run(5)).toEqual(kinds);
    expect(await run(6)).not.toEqual(kinds);
  });
});

describe('time', () => {
  test('delay, first token and pace are kept to the ms', async () => {
    const clock = new VirtualClock();
    const adapter = createMock(
      { script: [{ text: 'a b c', delayMs: 100, firstTokenMs: 50, tokensPerSecond: 10 }] },
      clock,
    );
    const arrivals: number[] = [];
    const run = (async () => {
      for await (const part of adapter.stream(createCall())) if (part.type === 'text') arrivals.push(clock.nowMs());
    })();
    await clock.waitFor(run);
    expect(arrivals).toEqual([150, 250, 350]);
  });

  test('an unstreamed answer takes as long as its stream', async () => {
    const clock = new VirtualClock();
    const adapter = createMock(
      { delayMs: 100, firstTokenMs: 50, tokensPerSecond: 10, default: { text: 'a b c' } },
      clock,
    );
    await clock.waitFor(adapter.send(createCall()));
    expect(clock.nowMs()).toBe(350);
  });

  test('a failure comes after its delay and no sooner', async () => {
    const clock = new VirtualClock();
    const adapter = createMock({ script: [{ failure: { kind: 'silent' }, delayMs: 12_000 }] }, clock);
    await clock.waitFor(rejectionOf(adapter.send(createCall())));
    expect(clock.nowMs()).toBe(12_000);
  });

  test.each([
    ['the delay', { delayMs: 1_000 }],
    ['the first token', { firstTokenMs: 1_000 }],
    ['a token', { text: 'a b', tokensPerSecond: 0.001 }],
    ['nothing at all', { hang: true }],
    ['what a cut left out', { text: 'a b', cutAfterTokens: 1, hang: true }],
  ])('an abort while it waits for %s ends it at once and leaves no timer', async (_name, step) => {
    const clock = new VirtualClock();
    const adapter = createMock({ default: step }, clock);
    const leaving = new AbortController();
    const ended = rejectionOf(adapter.send(createCall({ signal: leaving.signal })));
    await clock.advance(10);
    leaving.abort(new Error('the caller left'));
    expect(adapter.classify(await ended).kind).toBe('abandoned');
    expect(clock.nowMs()).toBe(10);
    expect(clock.pendingTimers).toBe(0);
  });

  test('an answer that is over leaves no listener on the signal', async () => {
    const clock = new VirtualClock();
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...[type, listener, options]: Parameters<typeof add>) => (
      (listeners += 1),
      add(type, listener, options)
    );
    signal.removeEventListener = (...[type, listener, options]: Parameters<typeof remove>) => (
      (listeners -= 1),
      remove(type, listener, options)
    );
    await clock.waitFor(
      createMock({ default: { text: 'a b c d', delayMs: 5, tokensPerSecond: 10 } }, clock).send(createCall({ signal })),
    );
    expect(listeners).toBe(0);
  });

  test('a call aborted before it began takes no step of the script', async () => {
    const adapter = createMock({ script: [{ text: 'first' }] });
    await rejectionOf(adapter.send(createCall({ signal: AbortSignal.abort() })));
    expect(await textOf(adapter)).toBe('first');
  });

  test('a thousand calls at once each take their own step', async () => {
    const clock = new VirtualClock();
    const adapter = createMock(
      { script: Array.from({ length: 1_000 }, (_step, index) => ({ text: `t${index}`, delayMs: 1_000 - index })) },
      clock,
    );
    const replies = await clock.waitFor(Promise.all(Array.from({ length: 1_000 }, () => adapter.send(createCall()))));
    expect(replies.map(({ text }) => text)).toEqual(Array.from({ length: 1_000 }, (_reply, index) => `t${index}`));
  });
});

describe('checks and embeddings', () => {
  const check = (adapter: Adapter) =>
    adapter.check({ credential: canaryCredential, signal: new AbortController().signal });

  test('a check passes unless its script says otherwise, and passes after the end of a list', async () => {
    await expect(check(createMock())).resolves.toBeUndefined();
    const adapter = createMock({ check: ['ok', { kind: 'connection' }] });
    await expect(check(adapter)).resolves.toBeUndefined();
    expect(adapter.classify(await rejectionOf(check(adapter))).kind).toBe('connection');
    await expect(check(adapter)).resolves.toBeUndefined();
  });

  test('a single outcome holds for ever', async () => {
    const adapter = createMock({ check: { kind: 'unauthorized' }, embed: { kind: 'rate-limited', retryAfterMs: 5 } });
    for (let index = 0; index < 3; index += 1) {
      expect(adapter.classify(await rejectionOf(check(adapter))).kind).toBe('unauthorized');
      expect(adapter.classify(await rejectionOf(adapter.embed!(createEmbedCall(['x']))))).toMatchObject({
        kind: 'rate-limited',
        retryAfterMs: 5,
      });
    }
  });

  test('checks do not touch the script of the completions', async () => {
    const adapter = createMock({ script: [{ text: 'first' }] });
    await check(adapter);
    await adapter.embed!(createEmbedCall(['x']));
    expect(await textOf(adapter)).toBe('first');
  });

  test('equal texts have equal unit vectors in every instance, others nearly orthogonal ones', async () => {
    const embed = async (input: readonly string[]) => (await createMock().embed!(createEmbedCall(input))).vectors;
    const [first, second] = await embed(['red', 'green']);
    const [again] = await embed(['red']);
    expect(again).toEqual(first);
    expect(first).toHaveLength(256);
    expect(Math.hypot(...first!)).toBeCloseTo(1, 12);
    expect(Math.abs(first!.reduce((sum, value, index) => sum + value * second![index]!, 0))).toBeLessThan(0.3);
  });

  test('dimensions are obeyed up to their maximum', async () => {
    const adapter = createMock({ embeddingDimensions: 8 });
    const embed = (dimensions: number) =>
      adapter.embed!(createEmbedCall(['x'], { request: { kind: 'embedding', model: 'm', input: ['x'], dimensions } }));
    expect((await adapter.embed!(createEmbedCall(['x']))).vectors[0]).toHaveLength(8);
    expect((await embed(4_096)).vectors[0]).toHaveLength(4_096);
    expect(adapter.classify(await rejectionOf(embed(4_097))).kind).toBe('invalid-request');
  });
});

describe('the options', () => {
  test.each([
    [
      { scirpt: [] },
      'expected providers.mine.options to have only known keys, got: scirpt',
      'providers.mine.options.scirpt',
    ],
    [
      { script: [{ text: 'a', failure: { kind: 'boom' } }] },
      'expected providers.mine.options.script.0.failure.kind to be one of connection, connect-timeout,',
      'providers.mine.options.script.0.failure.kind',
    ],
    [
      { script: [{ text: 5 }] },
      'expected providers.mine.options.script.0.text to be a text, got: 5',
      'providers.mine.options.script.0.text',
    ],
    [
      { script: [{ text: 'a', json: {} }] },
      'expected providers.mine.options.script.0 to be a step with text or json, not both',
      'providers.mine.options.script.0',
    ],
    [
      { script: [{ hang: true, failure: { kind: 'silent' } }] },
      'a step with failure or hang, not both',
      'providers.mine.options.script.0',
    ],
    [{ script: [{ delayMs: -1 }] }, 'delayMs to be at least 0, got: -1', 'providers.mine.options.script.0.delayMs'],
    [
      { delayMs: 86_400_001 },
      'expected providers.mine.options.delayMs to be at most 86400000',
      'providers.mine.options.delayMs',
    ],
    [
      { rules: [{ match: { pattern: '(' }, step: {} }] },
      'expected providers.mine.options.rules.0.match.pattern to be a regular expression',
      'providers.mine.options.rules.0.match.pattern',
    ],
    [
      { rules: [{ match: { pattern: '\\-', flags: 'u' }, step: {} }] },
      'rules.0.match.pattern to be a regular expression',
      'providers.mine.options.rules.0.match.pattern',
    ],
    [
      {
        failures: [
          { rate: 0.7, failure: { kind: 'silent' } },
          { rate: 0.7, failure: { kind: 'silent' } },
        ],
      },
      'rates that add up to at most 1',
      'providers.mine.options.failures',
    ],
    [
      { check: { kind: 'boom' } },
      'expected providers.mine.options.check to be ok, a failure with a kind out of',
      'providers.mine.options.check',
    ],
    [
      { embeddingDimensions: 4_097 },
      'embeddingDimensions to be at most 4096, got: 4097',
      'providers.mine.options.embeddingDimensions',
    ],
    [{ repeat: 'yes' }, 'repeat to be true or false, got: "yes"', 'providers.mine.options.repeat'],
  ])('%j is an invalid config that names its path', (options, message, path) => {
    const build = () => createMock(options);
    expect(build).toThrow(message);
    expect(build).toThrow(expect.objectContaining({ code: 'invalid-config', provider: 'mine', param: path }));
    expect(build).toThrow(SwitchgearError);
  });

  test('every mistake is named at once', () => {
    expect(() => createMock({ delayMs: 'slow', repeat: 1 })).toThrow(
      /delayMs to be a number.*; .*repeat to be true or false/u,
    );
  });
});

test('the pieces of a stream make up the scripted text, whatever it is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), async (text) => {
      const adapter = createMock({ default: { text } });
      const { text: streamed, parts } = await collectStream(adapter, createCall());
      expect(streamed).toBe(text);
      expect((await adapter.send(createCall())).usage.outputTokens).toBe(
        parts.filter(({ type }) => type === 'text').length,
      );
    }),
    { numRuns: 200 },
  );
});
