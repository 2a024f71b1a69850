import { describe, expect, test } from 'vitest';
import type { CompletionRequest } from '../../src/contract/request.ts';
import { parseCompletion, parseEmbedding, parseOptions } from '../../src/runtime/parse-request.ts';

const messages = [{ role: 'user', content: 'hello' }] as const;
const parse = (request: Partial<CompletionRequest>) => parseCompletion({ model: 'm', messages, ...request }, undefined);

describe('a completion request becomes one shape per thing', () => {
  test('system is the first message, and the default model is taken when none is given', () => {
    expect(parse({ system: 'be brief' }).messages).toEqual([{ role: 'system', content: 'be brief' }, ...messages]);
    expect(parseCompletion({ messages }, 'smart').model).toBe('smart');
  });

  test.each([
    ['END', ['END']],
    [
      ['A', 'B'],
      ['A', 'B'],
    ],
  ])('stop %j is %j', (stop, expected) => {
    expect(parse({ stop }).stop).toEqual(expected);
  });

  test.each<[NonNullable<CompletionRequest['toolChoice']>, unknown]>([
    ['required', { type: 'required' }],
    [{ name: 'look' }, { type: 'tool', name: 'look' }],
    [
      { type: 'function', function: { name: 'look' } },
      { type: 'tool', name: 'look' },
    ],
  ])('toolChoice %j is %j', (toolChoice, expected) => {
    expect(parse({ toolChoice }).toolChoice).toEqual(expected);
  });

  test.each<[NonNullable<CompletionRequest['responseFormat']>, unknown]>([
    ['json', { type: 'json' }],
    [{ type: 'text' }, { type: 'text' }],
    [
      { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
      { type: 'json-schema', name: 'response', schema: { type: 'object' } },
    ],
    [
      { type: 'json_schema', json_schema: { name: 'n', schema: {}, strict: true } },
      { type: 'json-schema', name: 'n', schema: {}, strict: true },
    ],
  ])('responseFormat %j is %j', (responseFormat, expected) => {
    expect(parse({ responseFormat }).responseFormat).toEqual(expected);
  });

  test('tools in both shapes are the same', () => {
    const look = { name: 'look', parameters: { type: 'object' } };
    expect(parse({ tools: [look, { type: 'function', function: look }] }).tools).toEqual([look, look]);
  });

  test('what is present and undefined is absent afterwards, at every depth', () => {
    // JavaScript callers pass undefined where the type has no field.
    const request = {
      model: 'm',
      messages: [{ role: 'user', content: 'x', name: undefined }],
      temperature: undefined,
    } as unknown as CompletionRequest;
    expect(parseCompletion(request, undefined)).toStrictEqual({
      kind: 'completion',
      model: 'm',
      messages: [{ role: 'user', content: 'x' }],
    });
  });

  test('the input is not changed', () => {
    const request = { model: 'm', system: 's', messages: [{ role: 'user', content: 'x' }], stop: 'END' } as const;
    const before = structuredClone(request);
    parseCompletion(request, undefined);
    expect(request).toEqual(before);
  });
});

test('one embedding input is a list of one', () => {
  expect(parseEmbedding({ model: 'm', input: 'x' })).toStrictEqual({ kind: 'embedding', model: 'm', input: ['x'] });
});

test('a signal passes through options as it is', () => {
  const { signal } = new AbortController();
  expect(parseOptions({ signal }).signal).toBe(signal);
});

test.each([
  [{ messages: undefined }, 'messages', 'expected messages to be array, got: nothing'],
  [{ messages: [] }, 'messages', 'expected messages to have >=1 items, got: a list of 0'],
  [{ temperature: 'hot' }, 'temperature', 'expected temperature to be number, got: hot'],
  [{ temperature: 3 }, 'temperature', 'expected temperature to be <=2, got: 3'],
  [{ maxTokens: 0 }, 'maxTokens', 'expected maxTokens to be >=1, got: 0'],
  [{ system: { secret: 'prompt' } }, 'system', 'expected system to be string, got: something else'],
])('a mistake names the field, what was expected and what is there: %j', (request, param, message) => {
  // A program in JavaScript may pass anything.
  const wrong = request as unknown as Partial<CompletionRequest>;
  expect(() => parse(wrong)).toThrow(expect.objectContaining({ code: 'invalid-request', param, message }));
});
