/** Reading the input of a batch: what is a line, and what is wrong with one. */
import { describe, expect, test } from 'vitest';
import { readBatchInputs } from '../../src/http/openai/batch-input.ts';
import { readTextLines } from '../../src/http/openai/text-lines.ts';
import { lineOf } from '../support/batch-edge.ts';
import fc from 'fast-check';

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

async function toArray<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const bytesOf = (text: string) => Buffer.from(text);
const read = (text: string | Uint8Array, lineLengthMax = 10_000) =>
  toArray(
    readBatchInputs(inPieces(typeof text === 'string' ? bytesOf(text) : text, 7), {
      endpoint: '/v1/chat/completions',
      limits: { lineLengthMax, depthMax: 20 },
    }),
  );

describe('lines', () => {
  test('are the same however the bytes are cut, and whatever ends them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\r\n\uFEFF]/g, ' ')),
          { minLength: 1 },
        ),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        async (texts, size, end, hasEnd) => {
          const bytes = bytesOf(`\uFEFF${texts.join(end)}${hasEnd ? end : ''}`);
          const lines = await toArray(readTextLines(inPieces(bytes, size), 100_000));
          const wanted = !hasEnd && texts.at(-1) === '' && texts.length > 1 ? texts.slice(0, -1) : texts;
          expect(lines.map((line) => ('text' in line ? line.text : line.fault))).toEqual(
            bytes.length === 3 ? [''] : wanted,
          );
          expect(lines.map(({ number }) => number)).toEqual(lines.map((_, index) => index + 1));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('that are too long, or no UTF-8, are told by their number, and the others are read', async () => {
    const bytes = Buffer.concat([
      bytesOf(`a\n${'x'.repeat(11)}\n`),
      Buffer.from([0xc3, 0x28, 0x0a]),
      bytesOf(`${'y'.repeat(10)}\nend`),
    ]);
    for (const size of [1, 4, 100])
      expect(await toArray(readTextLines(inPieces(bytes, size), 10))).toEqual([
        { number: 1, text: 'a' },
        { number: 2, fault: 'too-long' },
        { number: 3, fault: 'not-utf8' },
        { number: 4, text: 'y'.repeat(10) },
        { number: 5, text: 'end' },
      ]);
  });

  test('that are blank are passed over, and counted', async () => {
    const inputs = await read(`\n${lineOf('a', 'x')}\n\r\n   \n${lineOf('b', 'y')}\nnonsense`);
    expect(inputs).toMatchObject([{ customId: 'a' }, { customId: 'b' }, { problem: { line: 6 } }]);
  });
});

describe('what fails the whole batch', () => {
  test.each([
    ['no JSON', '{"custom_id": "a"', 'invalid_json_line', undefined],
    ['no object', '[1]', 'invalid_json_line', undefined],
    ['a prototype as a field', '{"__proto__": {}}', 'invalid_json_line', undefined],
    ['endless nesting', `${'['.repeat(30)}${']'.repeat(30)}`, 'invalid_json_line', undefined],
    ['no custom_id', lineOf('x', 'x', { custom_id: undefined }), 'missing_required_parameter', 'custom_id'],
    ['an empty custom_id', lineOf('', 'x'), 'invalid_custom_id', 'custom_id'],
    ['a number as custom_id', lineOf('x', 'x', { custom_id: 7 }), 'invalid_custom_id', 'custom_id'],
    ['a long custom_id', lineOf('x'.repeat(513), 'x'), 'invalid_custom_id', 'custom_id'],
    ['no method', lineOf('x', 'x', { method: undefined }), 'missing_required_parameter', 'method'],
    ['another method', lineOf('x', 'x', { method: 'GET' }), 'invalid_method', 'method'],
    ['no url', lineOf('x', 'x', { url: undefined }), 'missing_required_parameter', 'url'],
    ['the url of another endpoint', lineOf('x', 'x', { url: '/v1/embeddings' }), 'invalid_url', 'url'],
    ['no body', lineOf('x', 'x', { body: undefined }), 'missing_required_parameter', 'body'],
    ['a text as body', lineOf('x', 'x', { body: 'hello' }), 'invalid_body', 'body'],
    ['a custom_id that was there', lineOf('first', 'x'), 'duplicate_custom_id', 'custom_id'],
    ['a line that is too long', lineOf('x', 'x'.repeat(900)), 'line_too_long', undefined],
  ])('%s', async (_name, line, code, param) => {
    const [first, second] = await read(`${lineOf('first', 'x')}\n${line}\n`, 900);
    expect(first).toMatchObject({ customId: 'first' });
    expect(second).toMatchObject({ problem: { code, line: 2 } });
    expect(second && 'problem' in second && second.problem.param).toBe(param);
    expect(second && 'problem' in second && second.problem.message).toMatch(/^expected .+, got: /);
  });

  test('is told without what the line says', async () => {
    const secret = 'my-secret-prompt';
    const told = JSON.stringify(await read(`${lineOf('x', secret, { method: secret })}\n{"${secret}`));
    expect(told).toContain('invalid_method');
    expect(told).not.toContain(secret);
  });
});

describe('what fails one request', () => {
  const body = (changes: object) =>
    lineOf('x', 'x', { body: { messages: [{ role: 'user', content: 'x' }], ...changes } });
  test.each([
    ['no messages', body({ messages: [] }), 'messages'],
    ['a wrong role', body({ messages: [{ role: 'robot', content: 'x' }] }), 'messages[0].role'],
    ['a stream', body({ stream: true }), 'stream'],
    ['what a stored answer cannot hold', body({ n: 2 }), 'n'],
    ['a field that would choose where it goes', body({ base_url: 'http://x' }), 'base_url'],
  ])('%s: its refusal names line and field', async (_name, line, param) => {
    const [, input] = await read(`\n${lineOf('a', 'a')}\n${line}`);
    expect(input).toMatchObject({ customId: 'x', refusal: { code: 'invalid-request', param } });
    expect(input && 'refusal' in input && input.refusal.message).toMatch(/^line 3: expected /);
  });

  test('embeddings as base64, which no output of a batch holds', async () => {
    const line = JSON.stringify({
      custom_id: 'x',
      method: 'POST',
      url: '/v1/embeddings',
      body: { model: 'm', input: 'x', encoding_format: 'base64' },
    });
    const inputs = readBatchInputs(inPieces(bytesOf(line), 50), {
      endpoint: '/v1/embeddings',
      limits: { lineLengthMax: 1_000, depthMax: 9 },
    });
    expect(await toArray(inputs)).toMatchObject([{ customId: 'x', refusal: { param: 'encoding_format' } }]);
  });
});
