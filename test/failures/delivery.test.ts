/** What the reader of a stream sees when a provider breaks: by delivery, and by how far the answer had come. */
import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../src/contract/request.ts';
import type { StreamPart } from '../../src/contract/response.ts';
import { type Behaviour, cut, fail, finish, tokens } from '../support/scripted-provider.ts';
import { ask, createTestRuntime, NOTHING_LEFT, type TestRuntime } from '../support/test-runtime.ts';

const THREE = { providers: { a: {}, b: {}, c: {} }, models: { smart: ['a/m', 'b/m', 'c/m'] } };
const DELIVERIES: readonly Delivery[] = ['live', 'whole', 'restart'];

/** Everything a reader sees, in words: its parts, then how it ended. */
async function read(runtime: TestRuntime, delivery: Delivery): Promise<readonly string[]> {
  const seen: string[] = [];
  const reading = (async () => {
    try {
      for await (const part of runtime.service.completionStream(ask('x', 'smart'), { delivery })) seen.push(say(part));
    } catch (error) {
      // A stream throws nothing else.
      const { code, partial } = error as { code: string; partial?: { text: string } };
      seen.push(`error ${code}${partial === undefined ? '' : `, had "${partial.text}"`}`);
    }
  })();
  await runtime.run(reading);
  expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  return seen;
}

function say(part: StreamPart): string {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return `${part.type} ${part.text.trim()}`;
    case 'toolCall':
      return `toolCall ${part.name}`;
    case 'restart':
      return 'restart';
    case 'finish':
      return `finish by ${part.response.provider}`;
  }
}

type Sayable = 'activity' | 'reasoning' | 'refusal' | 'toolCall';

/** These parts, and then the end of the connection. */
function parts(...made: readonly Sayable[]): Behaviour {
  return async function* () {
    for (const type of made) {
      if (type === 'toolCall') yield { type, id: 'c1', name: 'look', arguments: '{}' };
      else if (type === 'activity') yield { type };
      else yield { type, text: type };
    }
  };
}

describe.each(DELIVERIES)('delivered %s', (delivery) => {
  test.each<[string, Behaviour]>([
    ['by an error', fail('upstream-error')],
    ['by an end without a word', cut()],
    ['after signs of life that are no content', parts('activity', 'activity')],
  ])(
    'an answer that breaks before its content (%s) goes on elsewhere, and the reader sees nothing of it',
    async (_name, broken) => {
      await using runtime = await createTestRuntime({
        ...THREE,
        providers: { a: { retry: { maxRetries: 0 } }, b: {}, c: {} },
      });
      runtime.provider('a').always = broken;
      runtime.provider('b').always = tokens(2, 10, finish());
      expect(await read(runtime, delivery)).toEqual(
        delivery === 'whole' ? ['text t0 t1', 'finish by b'] : ['text t0', 'text t1', 'finish by b'],
      );
    },
  );

  test.each(['reasoning', 'refusal', 'toolCall'] as const)('%s is content like any other', async (type) => {
    await using runtime = await createTestRuntime(THREE);
    runtime.provider('a').always = parts(type);
    runtime.provider('b').always = tokens(1, 10, finish());
    const shown = type === 'refusal' ? 'text refusal' : type === 'toolCall' ? 'toolCall look' : 'reasoning reasoning';
    const expected: Readonly<Record<Delivery, readonly string[]>> = {
      live: [shown, 'error provider-error, had ""'],
      whole: ['text t0', 'finish by b'],
      restart: [shown, 'restart', 'text t0', 'finish by b'],
    };
    expect(await read(runtime, delivery)).toEqual(expected[delivery]);
  });

  test('two that break in the middle and one that does not', async () => {
    await using runtime = await createTestRuntime(THREE);
    runtime.provider('a').always = tokens(3, 10, cut());
    runtime.provider('b').always = tokens(2, 10, fail('broken'));
    runtime.provider('c').always = tokens(4, 10, finish());
    const expected: Readonly<Record<Delivery, readonly string[]>> = {
      live: ['text t0', 'text t1', 'text t2', 'error provider-error, had "t0 t1 t2 "'],
      whole: ['text t0 t1 t2 t3', 'finish by c'],
      restart: [
        ...['text t0', 'text t1', 'text t2', 'restart', 'text t0', 'text t1', 'restart'],
        ...['text t0', 'text t1', 'text t2', 'text t3', 'finish by c'],
      ],
    };
    expect(await read(runtime, delivery)).toEqual(expected[delivery]);
    expect(runtime.provider('b').attempts).toHaveLength(delivery === 'live' ? 0 : 1);
  });

  test('when all of them break there is one clean error and no answer', async () => {
    await using runtime = await createTestRuntime(THREE);
    for (const name of ['a', 'b', 'c']) runtime.provider(name).always = tokens(1, 10, cut());
    const expected: Readonly<Record<Delivery, readonly string[]>> = {
      live: ['text t0', 'error provider-error, had "t0 "'],
      whole: ['error provider-error, had "t0 "'],
      restart: ['text t0', 'restart', 'text t0', 'restart', 'text t0', 'restart', 'error provider-error, had "t0 "'],
    };
    expect(await read(runtime, delivery)).toEqual(expected[delivery]);
  });

  test('an error event in the middle counts as its status, for the breaker as for the key', async () => {
    await using runtime = await createTestRuntime(THREE);
    runtime.provider('a').always = tokens(2, 10, fail('rate-limited', { retryAfterMs: 60_000 }));
    runtime.provider('b').always = tokens(1, 10, finish());
    await read(runtime, delivery);
    expect(runtime.service.providerStates()['a']).toMatchObject({
      breaker: { failureCount: 0 },
      credentials: [{ state: 'held' }],
    });
  });
});

test.each<[string, Behaviour, number]>([
  ['its reasoning, which the caller saw but which is no part of the answer', reasoningOf(400), 400],
  ['a refusal', refusalOf(200), 200],
  ['a tool call', toolCallOf(300), 300],
])('%s is charged when the answer breaks: the provider has written it', async (_name, broken, wordCount) => {
  await using runtime = await createTestRuntime({
    providers: { a: { models: { m: { price: { inputUsdPerMillionTokens: 0, outputUsdPerMillionTokens: 1_000 } } } } },
  });
  runtime.provider('a').always = broken;
  await runtime.failure(runtime.service.completionStream(ask('x')).response);
  const { totalCost, tokenUsage } = await runtime.run(runtime.service.costSummary());
  // A word is a token at least; what was not reported is estimated, a little on the high side.
  expect(tokenUsage.outputTokens).toBeGreaterThanOrEqual(wordCount);
  expect(tokenUsage.outputTokens).toBeLessThanOrEqual(2.5 * wordCount);
  expect(totalCost.usdNanos).toBe(tokenUsage.outputTokens * 1_000_000);
});

function reasoningOf(wordCount: number): Behaviour {
  return async function* () {
    for (let index = 0; index < wordCount; index += 1) yield { type: 'reasoning', text: 'thought ' };
  };
}

function refusalOf(wordCount: number): Behaviour {
  return async function* () {
    for (let index = 0; index < wordCount; index += 1) yield { type: 'refusal', text: 'sorry ' };
  };
}

function toolCallOf(wordCount: number): Behaviour {
  return async function* () {
    yield { type: 'toolCall', id: 'c1', name: 'look', arguments: JSON.stringify({ words: 'word '.repeat(wordCount) }) };
  };
}

test('the setting of the service holds for streams that do not say, and a request may say otherwise', async () => {
  await using runtime = await createTestRuntime({ ...THREE, service: { delivery: 'whole' } });
  runtime.provider('a').always = tokens(3, 10, finish());
  const partsOf = async (delivery?: Delivery) => {
    const seen: StreamPart['type'][] = [];
    const options = delivery === undefined ? {} : { delivery };
    const reading = (async () => {
      for await (const part of runtime.service.completionStream(ask('x', 'smart'), options)) seen.push(part.type);
    })();
    await runtime.run(reading);
    return seen;
  };
  expect(await partsOf()).toEqual(['text', 'finish']);
  expect(await partsOf('live')).toEqual(['text', 'text', 'text', 'finish']);
});

describe('the delivery of a stream', () => {
  const providers = { a: { models: { m: { delivery: 'whole' } } }, b: {} } as const;

  async function texts(runtime: TestRuntime, model: string, delivery?: Delivery): Promise<readonly string[]> {
    const seen: string[] = [];
    const options = delivery === undefined ? {} : { delivery };
    const reading = (async () => {
      for await (const part of runtime.service.completionStream(ask('x', model), options))
        if (part.type === 'text') seen.push(part.text);
    })();
    await runtime.run(reading);
    return seen;
  }

  test('is that of the model asked first, and what the request says wins over it', async () => {
    await using runtime = await createTestRuntime({
      providers,
      models: { smart: ['a/m', 'b/m'], other: ['b/m', 'a/m'] },
    });
    for (const name of ['a', 'b']) runtime.provider(name).always = tokens(2, 10, finish());
    expect(await texts(runtime, 'smart')).toEqual(['t0 t1 ']);
    expect(await texts(runtime, 'smart', 'live')).toEqual(['t0 ', 't1 ']);
    expect(await texts(runtime, 'other')).toEqual(['t0 ', 't1 ']);
  });
});
