/** Every fault over real sockets, on both wires, named as a model. What waits does so on a virtual clock. */
import { gunzipSync } from 'node:zlib';
import { request as httpRequest } from 'node:http';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { writeWords } from '../../src/simulator/answer.ts';
import { listFaults, parseFault } from '../../src/simulator/faults.ts';
import type { Simulator } from '../../src/simulator/server.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import {
  ask,
  countTokens,
  readEvents,
  receive,
  receiveTokens,
  startSimulator,
  until,
  type WireName,
} from './support.ts';

const wires: readonly WireName[] = ['openai', 'anthropic'];
const wholeText = writeWords('simulator', 'one two three', 60).join('');

function streamedText(events: readonly unknown[]): string {
  // Only the two shapes of a text delta are looked for; everything else reads as undefined.
  return (events as { choices?: { delta?: { content?: string } }[]; delta?: { text?: string } }[])
    .map((event) => event.choices?.[0]?.delta?.content ?? event.delta?.text ?? '')
    .join('');
}

function isFinished(wire: WireName, text: string): boolean {
  return wire === 'openai' ? /"finish_reason":"/u.test(text) : /"stop_reason":"/u.test(text);
}

describe.each(wires)('on the %s wire', (wire) => {
  test.each([
    ['fail-400', 400, undefined],
    ['fail-401', 401, undefined],
    ['fail-402', 402, undefined],
    ['fail-403', 403, undefined],
    ['fail-404', 404, undefined],
    ['fail-408', 408, undefined],
    ['fail-413', 413, undefined],
    ['fail-418', 418, undefined],
    ['fail-429', 429, undefined],
    ['fail-429-2', 429, '2'],
    ['fail-500', 500, undefined],
    ['503', 503, undefined],
    ['fail-503-7', 503, '7'],
    ['fail-529', 529, undefined],
    ['context', 400, undefined],
    ['policy', 400, undefined],
    ['quota', wire === 'openai' ? 429 : 400, undefined],
  ])('%s answers with its status in the shape of the API', async (model, status, retryAfter) => {
    const simulator = await startSimulator();
    for (const stream of [true, false]) {
      const response = await ask(wire, simulator, { model, stream });
      expect(response.status).toBe(status);
      expect(response.headers.get('retry-after') ?? undefined).toBe(retryAfter);
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(await response.json()).toMatchObject({
        error: { type: expect.any(String), message: expect.stringMatching(/./u) },
      });
    }
    expect(simulator.log()).toMatchObject([
      { status, fault: model },
      { status, fault: model },
    ]);
  });

  test('the same prompt gets the same tokens every time', async () => {
    const simulator = await startSimulator();
    const texts = await Promise.all(
      [1, 2].map(async () =>
        streamedText(readEvents((await receive(await ask(wire, simulator, { stream: true }))).text)),
      ),
    );
    expect(texts).toEqual([wholeText, wholeText]);
  });

  test.each(['reset', 'refuse'])('%s closes the connection before any byte', async (model) => {
    const simulator = await startSimulator();
    await expect(ask(wire, simulator, { model })).rejects.toThrow('fetch failed');
    const [entry] = simulator.log();
    expect(entry).toMatchObject({ fault: model, bytesSent: 0 });
    expect(entry?.status).toBeUndefined();
    expect(entry?.closedByClientAtMs).toBeUndefined();
  });

  test('cut-40 sends 40 tokens of 60 and then the connection dies without the end of its body', async () => {
    const simulator = await startSimulator();
    const { text, error } = await receive(await ask(wire, simulator, { model: 'cut-40', stream: true }));
    expect(error).toBeInstanceOf(Error);
    expect(countTokens(wire, text)).toBe(40);
    expect(isFinished(wire, text)).toBe(false);
    expect(simulator.log()[0]).toMatchObject({ tokensSent: 40, status: 200 });
  });

  test.each(['cut-40', 'cut-0', 'cut-1000'])('an unstreamed answer with %s never arrives whole', async (model) => {
    const { text, error } = await receive(await ask(wire, await startSimulator(), { model }));
    expect(error).toBeInstanceOf(Error);
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  });

  test('cut-1000 on a shorter answer still dies before the finish reason', async () => {
    const { text, error } = await receive(await ask(wire, await startSimulator(), { model: 'cut-1000', stream: true }));
    expect(error).toBeInstanceOf(Error);
    expect(countTokens(wire, text)).toBe(60);
    expect(isFinished(wire, text)).toBe(false);
  });

  test('end-40 ends politely in the middle', async () => {
    const { text, error } = await receive(await ask(wire, await startSimulator(), { model: 'end-40', stream: true }));
    expect(error).toBeUndefined();
    expect(countTokens(wire, text)).toBe(40);
    expect(isFinished(wire, text)).toBe(false);
  });

  test('an unstreamed end-40 is a body of half the JSON', async () => {
    const { text, error } = await receive(await ask(wire, await startSimulator(), { model: 'end-40' }));
    expect(error).toBeUndefined();
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  });

  test('stall-20 sends 20 tokens and then nothing, until the client leaves, which is written down', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const leaving = new AbortController();
    const response = await ask(wire, simulator, { model: 'stall-20', stream: true, signal: leaving.signal });
    const text = await receiveTokens(wire, response, 20);
    await clock.advance(3_600_000);
    expect(countTokens(wire, text)).toBe(20);
    expect(simulator.log()[0]).toMatchObject({ tokensSent: 20 });
    leaving.abort();
    await until(() => simulator.log()[0]?.closedByClientAtMs !== undefined, 'the log to tell that the client left');
    expect(simulator.log()[0]?.closedByClientAtMs).toBe(3_600_000);
  });

  test('stall-20-30000 goes on after 30 s and ends whole', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const body = receive(await ask(wire, simulator, { model: 'stall-20-30000', stream: true }));
    await until(() => simulator.log()[0]?.tokensSent === 20, '20 tokens');
    await clock.advance(29_999);
    expect(simulator.log()[0]?.tokensSent).toBe(20);
    await clock.advance(1);
    const { text } = await body;
    expect(streamedText(readEvents(text))).toBe(wholeText);
    expect(isFinished(wire, text)).toBe(true);
  });

  test.each([true, false])('stall-cut-20-30000 sends 20 tokens, and dies after 30 s (stream %s)', async (stream) => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const body = receive(await ask(wire, simulator, { model: 'stall-cut-20-30000', stream }));
    await until(() => simulator.log()[0]?.tokensSent === 20, '20 tokens');
    await clock.advance(29_999);
    expect(simulator.log()[0]?.endedAtMs).toBeUndefined();
    await clock.advance(1);
    const { text, error } = await body;
    expect(error).toBeInstanceOf(Error);
    expect(isFinished(wire, text)).toBe(false);
    expect(simulator.log()[0]).toMatchObject({ tokensSent: 20, endedAtMs: 30_000 });
  });

  test('hang accepts and says nothing, not even headers', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const leaving = new AbortController();
    const answer = ask(wire, simulator, { model: 'hang', signal: leaving.signal });
    await until(() => simulator.log().length === 1, 'the request to arrive');
    await clock.advance(3_600_000);
    expect(simulator.log()[0]).toMatchObject({ fault: 'hang', bytesSent: 0 });
    leaving.abort();
    await expect(answer).rejects.toThrow('aborted');
    await until(() => simulator.log()[0]?.closedByClientAtMs !== undefined, 'the log to tell that the client left');
  });

  test('hang-120000 is silent for that long and then answers', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const answer = ask(wire, simulator, { model: 'hang-120000' });
    await until(() => simulator.log()[0]?.model === 'hang-120000', 'the request to arrive');
    await clock.advance(119_999);
    expect(simulator.log()[0]?.status).toBeUndefined();
    await clock.advance(1);
    expect((await answer).status).toBe(200);
  });

  test.each([true, false])(
    'slow-20000 sends headers at once and the answer 20 s later (stream: %s)',
    async (stream) => {
      const clock = new VirtualClock();
      const simulator = await startSimulator({ clock });
      const response = await ask(wire, simulator, { model: 'slow-20000', stream });
      expect(response.status).toBe(200);
      await clock.advance(19_999);
      expect(simulator.log()[0]?.bytesSent).toBe(0);
      const body = receive(response);
      await clock.advance(1);
      expect((await body).text).toContain('[end]');
    },
  );

  test('pings-5000 keeps the connection alive for 5 s before the first token', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const body = receive(await ask(wire, simulator, { model: 'pings-5000', stream: true }));
    await clock.advance(5_000);
    const { text } = await body;
    expect(text.match(/^: keep-alive$/gmu)).toHaveLength(5);
    expect(streamedText(readEvents(text))).toBe(wholeText);
  });

  test('an unstreamed pings-5000 is still one JSON', async () => {
    const clock = new VirtualClock();
    const body = receive(await ask(wire, await startSimulator({ clock }), { model: 'pings-5000' }));
    await clock.advance(5_000);
    const { text } = await body;
    expect(text.startsWith('     {')).toBe(true);
    expect(JSON.parse(text)).toHaveProperty('model', 'pings-5000');
  });

  test('drip-1000 sends one token a second', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock, outputTokens: 10 });
    const body = receive(await ask(wire, simulator, { model: 'drip-1000', stream: true }));
    await until(() => simulator.log()[0]?.tokensSent === 1, 'the first token');
    await clock.advance(4_500);
    expect(simulator.log()[0]?.tokensSent).toBe(5);
    await clock.advance(4_500);
    expect(isFinished(wire, (await body).text)).toBe(true);
  });

  test('bad-json-10 spoils the tenth event and no other', async () => {
    const { text } = await receive(await ask(wire, await startSimulator(), { model: 'bad-json-10', stream: true }));
    const events = readEvents(text).filter((event) => event !== '[DONE]');
    expect(events.findIndex((event) => typeof event === 'string')).toBe(9);
    expect(events.filter((event) => typeof event === 'string')).toHaveLength(1);
    expect(isFinished(wire, text)).toBe(true);
  });

  test('an unstreamed bad-json is no JSON', async () => {
    const { text, error } = await receive(await ask(wire, await startSimulator(), { model: 'bad-json-10' }));
    expect(error).toBeUndefined();
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  });

  test('no-done sends everything but the last event and keeps the connection open', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const leaving = new AbortController();
    const response = await ask(wire, simulator, { model: 'no-done', stream: true, signal: leaving.signal });
    const body = receive(response);
    await until(() => simulator.log()[0]?.tokensSent === 60, 'all tokens');
    await clock.advance(60_000);
    expect(simulator.log()[0]?.endedAtMs).toBeUndefined();
    leaving.abort();
    const { text } = await body;
    expect(isFinished(wire, text)).toBe(true);
    expect(text).not.toMatch(/\[DONE\]|message_stop/u);
    expect(text).toContain(wire === 'openai' ? '"completion_tokens":60' : '"output_tokens":60');
  });

  test('no-done-end leaves out the last event and ends', async () => {
    const { text, error } = await receive(
      await ask(wire, await startSimulator(), { model: 'no-done-end', stream: true }),
    );
    expect(error).toBeUndefined();
    expect(isFinished(wire, text)).toBe(true);
    expect(text).not.toMatch(/\[DONE\]|message_stop/u);
  });

  test.each([true, false])('no-finish tells the whole text and no finish reason (stream: %s)', async (stream) => {
    const { text } = await receive(await ask(wire, await startSimulator(), { model: 'no-finish', stream }));
    expect(text).toContain('[end]');
    expect(isFinished(wire, text)).toBe(false);
  });

  test.each([true, false])('no-usage tells no usage (stream: %s)', async (stream) => {
    const { text } = await receive(await ask(wire, await startSimulator(), { model: 'no-usage', stream }));
    expect(isFinished(wire, text)).toBe(true);
    expect(text).not.toContain('"usage"');
  });

  test('late-end-5000 holds back what follows the finish reason for 5 s', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    const body = receive(await ask(wire, simulator, { model: 'late-end-5000', stream: true }));
    await until(() => simulator.log()[0]?.tokensSent === 60, 'all tokens');
    await clock.advance(4_999);
    const bytes = simulator.log()[0]?.bytesSent ?? 0;
    expect(simulator.log()[0]?.endedAtMs).toBeUndefined();
    await clock.advance(1);
    const { text } = await body;
    expect(isFinished(wire, text.slice(0, bytes))).toBe(true);
    expect(text.slice(bytes)).toMatch(/\[DONE\]|message_stop/u);
  });

  test.each([
    ['overloaded-stream', 0, /overloaded_error/u, 529],
    ['overloaded-stream-7', 7, /overloaded_error/u, 529],
    ['error-stream-20', 20, /server_error|api_error/u, 500],
    ['rate-limit-stream', 0, /rate_limit/u, 429],
  ])(
    '%s breaks a stream with an error event, and answers unstreamed with its status',
    async (model, tokens, pattern, status) => {
      const simulator = await startSimulator();
      const response = await ask(wire, simulator, { model, stream: true });
      const { text, error } = await receive(response);
      expect(response.status).toBe(200);
      expect(error).toBeUndefined();
      expect(countTokens(wire, text)).toBe(tokens);
      expect(readEvents(text).at(-1)).toMatchObject({ error: { message: expect.any(String) } });
      expect(text.slice(-400)).toMatch(pattern);
      expect((await ask(wire, simulator, { model })).status).toBe(status);
    },
  );

  test.each([true, false])('error-body is a 200 whose body is an error (stream: %s)', async (stream) => {
    const response = await ask(wire, await startSimulator(), { model: 'error-body', stream });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ error: { message: expect.any(String) } });
  });

  test.each([
    ['html', 200],
    ['html-502', 502],
  ])('%s is the page of a proxy', async (model, status) => {
    const response = await ask(wire, await startSimulator(), { model, stream: true });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toContain('text/html');
    expect(await response.text()).toContain('<html>');
  });

  test('empty has no choices or content, streamed and not', async () => {
    const simulator = await startSimulator();
    expect(await (await ask(wire, simulator, { model: 'empty' })).json()).toMatchObject(
      wire === 'openai' ? { choices: [] } : { content: [] },
    );
    const { text } = await receive(await ask(wire, simulator, { model: 'empty', stream: true }));
    expect(countTokens(wire, text)).toBe(0);
    expect(text).not.toContain('[end]');
  });

  test('empty-body is a 200 with nothing in it', async () => {
    const response = await ask(wire, await startSimulator(), { model: 'empty-body' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  test.each([true, false])(
    'wrong-type sends the right body under the wrong content type (stream: %s)',
    async (stream) => {
      const response = await ask(wire, await startSimulator(), { model: 'wrong-type', stream });
      expect(response.headers.get('content-type')).toBe('application/octet-stream');
      expect(isFinished(wire, (await receive(response)).text)).toBe(true);
    },
  );

  test('json-for-stream answers a request for a stream with one JSON', async () => {
    const response = await ask(wire, await startSimulator(), { model: 'json-for-stream', stream: true });
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(JSON.stringify(await response.json())).toContain(wholeText);
  });

  test.each([true, false])('gzip-cut is gzip that ends in the middle (stream: %s)', async (stream) => {
    const simulator = await startSimulator();
    const { headers, body } = await askRaw(wire, simulator, 'gzip-cut', stream);
    expect(headers['content-encoding']).toBe('gzip');
    expect(body.length).toBe(Number(headers['content-length']));
    expect(() => gunzipSync(body)).toThrow('unexpected end of file');
    // Node's fetch takes the cut for the end of the body and says nothing.
    const { text, error } = await receive(await ask(wire, simulator, { model: 'gzip-cut', stream }));
    expect(error).toBeUndefined();
    if (stream) expect(text).not.toMatch(/\[DONE\]|message_stop/u);
    else expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  });

  test('redirect points to an address that answers, so that following it shows in the log', async () => {
    const simulator = await startSimulator();
    const response = await ask(wire, simulator, { model: 'redirect' });
    expect(response.status).toBe(307);
    const path = wire === 'openai' ? '/v1/chat/completions' : '/v1/messages';
    expect(response.headers.get('location')).toBe(`/redirected${path}`);
    const followed = await fetch(`${simulator.url}${path}`, {
      method: 'POST',
      headers: { 'anthropic-version': '2023-06-01' },
      body: JSON.stringify({ model: 'redirect', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] }),
    });
    expect(followed.status).toBe(200);
    expect(simulator.log().map((entry) => entry.path)).toEqual([path, path, `/redirected${path}`]);
  });

  test('filtered ends with the content filter', async () => {
    const { text } = await receive(await ask(wire, await startSimulator(), { model: 'filtered' }));
    expect(text).toContain(wire === 'openai' ? '"finish_reason":"content_filter"' : '"stop_reason":"refusal"');
  });

  test('split sends pieces that cut characters in two and changes nothing', async () => {
    const prompt = 'Grüße 日本語 🚀🚀🚀 ñandú';
    const simulator = await startSimulator();
    const { text } = await receive(await ask(wire, simulator, { model: 'split', stream: true, prompt }));
    expect(streamedText(readEvents(text))).toBe(writeWords('simulator', prompt, 60).join(''));
    expect(simulator.log()[0]?.tokensSent).toBe(60);
  });

  test('no-prefill refuses to continue the words of an assistant and answers everything else', async () => {
    const simulator = await startSimulator();
    const messages = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'Well' },
    ];
    const refused = await ask(wire, simulator, { model: 'no-prefill', extra: { messages } });
    expect(refused.status).toBe(400);
    expect(JSON.stringify(await refused.json())).toContain('prefill');
    expect((await ask(wire, simulator, { model: 'no-prefill' })).status).toBe(200);
    expect((await ask(wire, simulator, { model: 'm', extra: { messages } })).status).toBe(200);
  });

  test('echo-key quotes the key it was sent, and the log does not', async () => {
    const simulator = await startSimulator();
    const response = await ask(wire, simulator, { model: 'echo-key' });
    expect(response.status).toBe(401);
    expect(await response.text()).toContain('sk-test-key');
    expect(JSON.stringify(simulator.log())).not.toContain('sk-test-key');
  });
});

describe('the real SDKs see', () => {
  const openai = ({ url }: Simulator) =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey: 'k', maxRetries: 0, logLevel: 'off' });
  const anthropic = ({ url }: Simulator) =>
    new Anthropic({ baseURL: url, apiKey: 'k', maxRetries: 0, logLevel: 'off' });
  const messages = [{ role: 'user' as const, content: 'hi' }];

  test.each([
    ['fail-401', OpenAI.AuthenticationError],
    ['fail-429-2', OpenAI.RateLimitError],
    ['fail-503', OpenAI.InternalServerError],
    ['context', OpenAI.BadRequestError],
    ['reset', OpenAI.APIConnectionError],
  ])('%s as the error class of the OpenAI SDK that it is', async (model, expected) => {
    const client = openai(await startSimulator());
    await expect(client.chat.completions.create({ model, messages })).rejects.toBeInstanceOf(expected);
  });

  test.each([
    ['fail-401', Anthropic.AuthenticationError],
    ['fail-429-2', Anthropic.RateLimitError],
    ['fail-529', Anthropic.InternalServerError],
    ['context', Anthropic.BadRequestError],
    ['reset', Anthropic.APIConnectionError],
  ])('%s as the error class of the Anthropic SDK that it is', async (model, expected) => {
    const client = anthropic(await startSimulator());
    await expect(client.messages.create({ model, max_tokens: 9, messages })).rejects.toBeInstanceOf(expected);
  });

  test("OpenAI's codes for quota, context and policy", async () => {
    const client = openai(await startSimulator());
    for (const [model, code] of [
      ['quota', 'insufficient_quota'],
      ['context', 'context_length_exceeded'],
      ['policy', 'content_policy_violation'],
    ] as const) {
      await expect(client.chat.completions.create({ model, messages })).rejects.toMatchObject({ code });
    }
  });

  test('an error event in a stream as an error', async () => {
    const simulator = await startSimulator();
    const drainOpenai = async () => {
      for await (const _chunk of await openai(simulator).chat.completions.create({
        model: 'error-stream-5',
        messages,
        stream: true,
      }))
        continue;
    };
    await expect(drainOpenai()).rejects.toBeInstanceOf(OpenAI.APIError);
    await expect(
      anthropic(simulator).messages.stream({ model: 'overloaded-stream-5', max_tokens: 99, messages }).finalMessage(),
    ).rejects.toThrow(/overloaded/iu);
  });

  test('a client that aborts a stream, as the simulator writes down', async () => {
    const simulator = await startSimulator({ tokensPerSecond: 50 });
    const stream = await openai(simulator).chat.completions.create({ model: 'm', messages, stream: true });
    for await (const _chunk of stream) break;
    await until(() => simulator.log()[0]?.closedByClientAtMs !== undefined, 'the log to tell that the client left');
    expect(simulator.log()[0]?.tokensSent).toBeLessThan(60);
  });
});

test('every fault in the table can be called by its name', () => {
  for (const { form } of listFaults()) {
    const bare = form
      .replaceAll(/\[[^\]]*\]/gu, '')
      .replace('STATUS', '503')
      .replaceAll(/\b(?:MS|N)\b/gu, '5');
    expect(parseFault(bare), bare).toMatchObject({ kind: 'fault', fault: { name: bare } });
  }
});

test.each([
  ['gpt-4.1', 'unknown'],
  ['gpt-4', 'unknown'],
  ['o3', 'unknown'],
  ['fail503', 'unknown'],
  ['constructor', 'unknown'],
  ['', 'unknown'],
  ['ok', 'ok'],
  ['fail', 'fault'],
  ['429-2', 'fault'],
  ['fail-200', 'mistake'],
  ['fail-600', 'mistake'],
  ['hang-1-2', 'mistake'],
  ['bad-json-0', 'mistake'],
  ['slow-999999999', 'mistake'],
])('the name %j reads as %s', (name, kind) => {
  expect(parseFault(name).kind).toBe(kind);
});

function askRaw(
  wire: WireName,
  { url }: Simulator,
  model: string,
  stream: boolean,
): Promise<{ headers: Record<string, unknown>; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      `${url}${wire === 'openai' ? '/v1/chat/completions' : '/v1/messages'}`,
      { method: 'POST', headers: { 'anthropic-version': '2023-06-01' } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(JSON.stringify({ model, stream, max_tokens: 99, messages: [{ role: 'user', content: 'hi' }] }));
  });
}
