/** The traps of servers, proxies and SDKs on the way of an answer, over real sockets and through the real SDKs. */
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { Adapter, AdapterPart } from '../../src/contract/adapter.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openUpstream, plainAnswer, type Respond, type UpstreamServer } from '../contracts/upstream.ts';
import { anthropicWire, openaiWire } from '../contracts/wires.ts';
import {
  CANARY_KEY,
  collectStream,
  createCall,
  createProviderConfig,
  rejectionOf,
  tryStream,
} from '../support/adapter-calls.ts';

const cleanups: (() => Promise<unknown> | undefined)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(cleanups.splice(0).map(async (cleanup) => cleanup()));
});

const wires = [
  { adapter: 'openai', create: createOpenaiAdapter, wire: openaiWire },
  { adapter: 'anthropic', create: createAnthropicAdapter, wire: anthropicWire },
] as const;
type Subject = (typeof wires)[number];

async function open(
  subject: Subject,
  respond: Respond,
  options: Record<string, unknown> = {},
): Promise<{ adapter: Adapter; server: UpstreamServer }> {
  const server = await openUpstream(respond);
  const adapter = subject.create(createProviderConfig({ adapter: subject.adapter, baseURL: server.url, options }), {
    fetch: undefined,
    clock: systemClock,
  });
  cleanups.push(
    () => adapter.close?.(),
    () => server.close(),
  );
  return { adapter, server };
}

const respondWith =
  (type: string | undefined, body: string | Buffer, headers: Record<string, string> = {}): Respond =>
  (_request, response) =>
    void response.writeHead(200, { ...(type !== undefined && { 'content-type': type }), ...headers }).end(body);

const streamOf = (subject: Subject): string => subject.wire.renderStream(plainAnswer).join('');

describe.each(wires)('$adapter', (subject) => {
  test.each<[string, string | undefined, string]>([
    ['an HTML page', 'text/html; charset=utf-8', '<!doctype html><html><body>Sign in</body></html>'],
    ['a JSON document', 'application/json', '{"hello":"world"}'],
    ['an error body with 200', 'application/json', '{"error":{"message":"no capacity"}}'],
    ['plain text', 'text/plain', 'OK'],
    ['no content type', undefined, 'data: {}\n\n'],
  ])('%s answering a stream request is a false success that says what came', async (_title, type, body) => {
    const { adapter } = await open(subject, respondWith(type, body));
    const { collected, error } = await tryStream(adapter, createCall());
    expect(collected.parts).toEqual([]);
    const failure = adapter.classify(error);
    expect(failure.kind).toBe('false-success');
    expect(failure.message).toContain(type?.split(';')[0] ?? 'no content type');
  });

  test.each<[string, string | undefined, string]>([
    ['an HTML page', 'text/html', '<html>Sign in</html>'],
    ['an event stream', 'text/event-stream', 'data: {}\n\n'],
    ['an error body with 200', 'application/json', '{"error":{"message":"no capacity","code":503}}'],
    ['an empty body', 'application/json', ''],
    ['a JSON string', 'application/json', '"OK"'],
    ['a JSON list', 'application/json', '[]'],
    ['an empty object', 'application/json', '{}'],
    ['no choices and no content', 'application/json', '{"choices":[],"content":null}'],
  ])('%s answering an unstreamed request is a false success', async (_title, type, body) => {
    const { adapter } = await open(subject, respondWith(type, body));
    expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('false-success');
  });

  test('a 204 is a false success', async () => {
    const { adapter } = await open(subject, (_request, response) => void response.writeHead(204).end());
    expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('false-success');
    expect(adapter.classify((await tryStream(adapter, createCall())).error).kind).toBe('false-success');
  });

  test('an empty stream has no parts and no finish', async () => {
    const { adapter } = await open(subject, respondWith('text/event-stream', ''));
    expect(await tryStream(adapter, createCall())).toMatchObject({ collected: { parts: [] }, error: undefined });
  });

  test('a compressed answer is read, a truncated one and a corrupt one are broken', async () => {
    const whole = gzipSync(subject.wire.renderAnswer(plainAnswer));
    const corrupt = Buffer.from(whole).fill(0, 20, 40);
    const good = await open(subject, respondWith('application/json', whole, { 'content-encoding': 'gzip' }));
    expect((await good.adapter.send(createCall())).text).toBe(plainAnswer.text);
    for (const bytes of [whole.subarray(0, whole.length / 2), corrupt, Buffer.from('not gzip at all')]) {
      const { adapter } = await open(subject, respondWith('application/json', bytes, { 'content-encoding': 'gzip' }));
      expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('broken');
    }
  });

  test('a compressed stream that breaks off never finishes', async () => {
    const bytes = gzipSync(streamOf(subject));
    const { adapter } = await open(
      subject,
      respondWith('text/event-stream', bytes.subarray(0, bytes.length / 2), { 'content-encoding': 'gzip' }),
    );
    expect((await tryStream(adapter, createCall())).collected.finishReason).toBeUndefined();
  });

  test('a body shorter than it said is broken', async () => {
    const body = subject.wire.renderAnswer(plainAnswer);
    const { adapter } = await open(subject, (_request, response) => {
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body) + 10),
      });
      response.write(body, () => response.destroy());
    });
    expect(adapter.classify(await rejectionOf(adapter.send(createCall())))).toMatchObject({
      kind: 'broken',
      isMaybeBilled: true,
    });
  });

  test.each([
    ['split inside every character', (text: string) => Array.from(Buffer.from(text), (byte) => Buffer.of(byte))],
    ['with CRLF', (text: string) => [Buffer.from(text.replaceAll('\n', '\r\n'))]],
    [
      'with CRLF split between its halves',
      (text: string) =>
        text
          .replaceAll('\n', '\r\n')
          .split(/(?<=\r)/)
          .map((piece) => Buffer.from(piece)),
    ],
    [
      'with comments and blank lines',
      (text: string) => [Buffer.from(`: hi\n\n${text.replaceAll('\n\n', '\n\n: keep-alive\n\n\n')}`)],
    ],
    ['with a byte order mark', (text: string) => [Buffer.from(`\uFEFF${text}`)]],
    ['with unknown fields', (text: string) => [Buffer.from(text.replaceAll('data:', 'id: 7\nretry: 10\ndata:'))]],
    ['without the space after the colon', (text: string) => [Buffer.from(text.replaceAll('data: ', 'data:'))]],
  ])('a stream %s is read the same', async (_title, cut) => {
    const pieces = cut(streamOf(subject));
    const { adapter } = await open(subject, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.socket?.setNoDelay(true);
      void (async () => {
        for (const [index, piece] of pieces.entries()) {
          response.write(piece);
          // Every so often the loop turns, so that pieces leave in packets of their own.
          if (index % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        response.end();
      })();
    });
    const streamed = await collectStream(adapter, createCall());
    expect(streamed).toMatchObject({ text: plainAnswer.text, finishReason: 'stop', usage: plainAnswer.usage });
  });

  test('a line of a megabyte is read in reasonable time', async () => {
    const text = 'ß'.repeat(524_288);
    const { adapter } = await open(subject, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const bytes = Buffer.from(bigStream(subject, text));
      for (let start = 0; start < bytes.length; start += 4_096) response.write(bytes.subarray(start, start + 4_096));
      response.end();
    });
    expect((await collectStream(adapter, createCall())).text).toBe(text);
  }, 10_000);

  test('an answer beyond the maximum is broken, not an end of memory', async () => {
    const { adapter, server } = await open(subject, (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const piece = Buffer.alloc(1_048_576, 0x20);
      const write = (): void => {
        while (!response.destroyed && response.write(piece));
        response.once('drain', write);
      };
      write();
    });
    expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('broken');
    await expect.poll(() => server.connections()).toBe(0);
  });

  test('an endless error body is cut, and classed by its status', async () => {
    const { adapter } = await open(subject, (_request, response) => {
      response.writeHead(503, { 'content-type': 'text/plain' });
      const write = (): void => {
        while (!response.destroyed && response.write('overloaded '.repeat(1_000)));
        response.once('drain', write);
      };
      write();
    });
    const failure = adapter.classify(await rejectionOf(adapter.send(createCall())));
    expect(failure.kind).toBe('upstream-error');
    expect(Buffer.byteLength(failure.message)).toBeLessThanOrEqual(2_048);
  });

  test('an HTML error page is classed by its status and told in words', async () => {
    const { adapter } = await open(
      subject,
      (_request, response) =>
        void response
          .writeHead(502, { 'content-type': 'text/html' })
          .end('<html><style>p{}</style><h1>Bad Gateway</h1></html>'),
    );
    const failure = adapter.classify(await rejectionOf(adapter.send(createCall())));
    expect(failure).toMatchObject({ kind: 'upstream-error', status: 502 });
    expect(failure.message).toMatch(/^upstream: answered 502: .*Bad Gateway/);
    expect(failure.message).not.toContain('<');
  });

  test('`x-should-retry` and a Retry-After make no SDK ask again', async () => {
    const { adapter, server } = await open(
      subject,
      (_request, response) =>
        void response
          .writeHead(500, { 'content-type': 'application/json', 'x-should-retry': 'true', 'retry-after': '0' })
          .end('{}'),
    );
    await rejectionOf(adapter.send(createCall()));
    await tryStream(adapter, createCall());
    await rejectionOf(adapter.check({ credential: createCall().credential, signal: createCall().signal }));
    expect(server.received).toHaveLength(3);
  });

  test('the SDKs print nothing, whatever happens', async () => {
    const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((method) =>
      vi.spyOn(console, method).mockImplementation(() => undefined),
    );
    const { adapter } = await open(
      subject,
      respondWith('text/event-stream', streamOf(subject).slice(0, 300) + subject.wire.malformedPiece),
    );
    const request = {
      kind: 'completion' as const,
      model: 'claude-sonnet-4-5',
      messages: [{ role: 'user' as const, content: 'x' }],
      reasoningEffort: 'high' as const,
    };
    for (const model of ['claude-sonnet-4-5', 'claude-opus-4-6']) {
      await tryStream(adapter, createCall({ model, request, maxTokens: 64_000 }));
      await rejectionOf(adapter.send(createCall({ model, request, maxTokens: 64_000 })));
    }
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });

  test('an unstreamed call with a large maximum is sent, not refused by the SDK', async () => {
    const { adapter, server } = await open(
      subject,
      respondWith('application/json', subject.wire.renderAnswer(plainAnswer)),
    );
    expect((await adapter.send(createCall({ maxTokens: 128_000 }))).text).toBe(plainAnswer.text);
    expect(server.received[0]!.body).toContain('128000');
  });

  test('hostile events are read or called broken, never anything else', async () => {
    for (const data of [
      'null',
      '5',
      '"x"',
      '[]',
      '{}',
      '{"choices":null}',
      '{"choices":[null]}',
      '{"choices":[{"delta":{"tool_calls":[null,{"index":-1},{"function":7}]}}]}',
      '{"type":"content_block_delta","index":9,"delta":{}}',
      '{"type":"content_block_start"}',
      '{"type":"message_start","message":7}',
      '{"usage":{"prompt_tokens":"many"}}',
    ]) {
      const { adapter } = await open(subject, respondWith('text/event-stream', `event: any\ndata: ${data}\n\n`));
      const { error, collected } = await tryStream(adapter, createCall());
      expect(collected.finishReason).toBeUndefined();
      if (error !== undefined) expect(adapter.classify(error).kind).toBe('broken');
      expect(collected.usage).toEqual({});
    }
  });

  test('no error of any kind holds the key', async () => {
    const bodies = [
      `{"error":{"message":"bad key ${CANARY_KEY}","type":"x","code":"${CANARY_KEY}"}}`,
      `<html>${CANARY_KEY}</html>`,
      CANARY_KEY,
      `{"${CANARY_KEY}`,
      `{"detail":[{"msg":"${encodeURIComponent(CANARY_KEY)}"}]}`,
    ];
    for (const status of [200, 302, 400, 401, 403, 404, 429, 500]) {
      for (const [type, body] of bodies.flatMap(
        (text) =>
          [
            ['application/json', text],
            ['text/html', text],
            ['text/event-stream', `event: error\ndata: ${text}\n\n`],
          ] as const,
      )) {
        const { adapter } = await open(
          subject,
          (_request, response) =>
            void response.writeHead(status, { 'content-type': type, location: `/${CANARY_KEY}` }).end(body),
        );
        for (const error of [
          await adapter.send(createCall()).catch((caught: unknown) => caught),
          (await tryStream(adapter, createCall())).error,
        ]) {
          const { cause, ...failure } = adapter.classify(error);
          expect(JSON.stringify(failure)).not.toContain(CANARY_KEY);
          expect(`${String(cause)} ${cause instanceof Error ? cause.stack : ''}`).not.toContain(CANARY_KEY);
        }
      }
    }
  }, 30_000);
});

const bigStream = (subject: Subject, text: string): string =>
  subject.adapter === 'openai'
    ? `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\ndata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
    : `event: content_block_start\ndata: ${JSON.stringify({ type: 'content_block_start', index: 0, content_block: { type: 'text', text } })}\n\n`;

describe('openai', () => {
  const [subject] = wires;
  const chunk = (choice: object, rest: object = {}): string =>
    `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }], ...rest })}\n\n`;
  const streamed = async (
    ...events: string[]
  ): Promise<Awaited<ReturnType<typeof tryStream>> & { adapter: Adapter }> => {
    const { adapter } = await open(subject, respondWith('text/event-stream', events.join('')));
    return { ...(await tryStream(adapter, createCall())), adapter };
  };

  test('a stream without [DONE] ends when the upstream closes', async () => {
    const { collected, error } = await streamed(
      chunk({ delta: { content: 'a' } }),
      chunk({ delta: {}, finish_reason: 'stop' }),
    );
    expect(error).toBeUndefined();
    expect(collected).toMatchObject({ text: 'a', finishReason: 'stop' });
  });

  test('a stream without [DONE] on an open socket goes on until its caller leaves', async () => {
    const { adapter, server } = await open(subject, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(chunk({ delta: { content: 'a' }, finish_reason: 'stop' }));
    });
    const parts: AdapterPart[] = [];
    for await (const part of adapter.stream(createCall())) {
      parts.push(part);
      if (part.type === 'finish') break;
    }
    expect(parts.map(({ type }) => type)).toEqual(['text', 'finish']);
    await expect.poll(() => server.connections(), { timeout: 100, interval: 5 }).toBe(0);
  });

  test('[DONE] ends a stream although the socket stays open', async () => {
    const { adapter } = await open(subject, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`${chunk({ delta: { content: 'a' }, finish_reason: 'stop' })}data: [DONE]\n\n`);
    });
    expect((await collectStream(adapter, createCall())).finishReason).toBe('stop');
  });

  test('usage counts on whatever chunk it comes, later over earlier', async () => {
    const { collected } = await streamed(
      chunk({ delta: { content: 'a' } }, { usage: { prompt_tokens: 5, completion_tokens: 1 } }),
      chunk({ delta: {}, finish_reason: 'stop', usage: { completion_tokens: 2 } }),
      `data: ${JSON.stringify({ choices: [], x_groq: { usage: { completion_tokens: 3 } } })}\n\n`,
    );
    expect(collected.usage).toEqual({ inputTokens: 5, outputTokens: 3 });
  });

  test('tool calls without index, with repeated names or with object arguments are put together', async () => {
    const { collected } = await streamed(
      chunk({ delta: { tool_calls: [{ id: 'a', function: { name: 'one', arguments: { x: 1 } } }] } }),
      chunk({ delta: { tool_calls: [{ id: 'b', function: { name: 'two', arguments: '{"y":' } }] } }),
      chunk({ delta: { tool_calls: [{ id: 'b', function: { name: 'two', arguments: '2}' } }] } }),
      chunk({ delta: { tool_calls: [{ id: 'c', function: { name: 'three' } }] }, finish_reason: 'tool_calls' }),
    );
    expect(collected.toolCalls).toEqual([
      { id: 'a', name: 'one', arguments: '{"x":1}' },
      { id: 'b', name: 'two', arguments: '{"y":2}' },
      { id: 'c', name: 'three', arguments: '{}' },
    ]);
    expect(collected.parts.filter(({ type }) => type === 'activity')).toHaveLength(4);
  });

  test('a tool call that was not whole when the stream ended is never yielded', async () => {
    const { collected } = await streamed(
      chunk({ delta: { tool_calls: [{ index: 0, id: 'a', function: { name: 'one', arguments: '{"x' } }] } }),
    );
    expect(collected.toolCalls).toEqual([]);
  });

  test.each([
    ['error', 'upstream-error'],
    ['insufficient_system_resource', 'overloaded'],
  ])('a finish reason of %s is a failure', async (reason, kind) => {
    const { adapter, error } = await streamed(
      chunk({ delta: { content: 'a' } }),
      chunk({ delta: {}, finish_reason: reason }),
    );
    expect(adapter.classify(error)).toMatchObject({ kind, isMaybeBilled: true });
  });

  test('only the first of several choices is streamed', async () => {
    const { collected } = await streamed(
      chunk({ index: 1, delta: { content: 'other' } }),
      chunk({ delta: { content: 'mine' } }),
      chunk({ index: 1, delta: {}, finish_reason: 'length' }),
      chunk({ delta: {}, finish_reason: 'stop' }),
    );
    expect(collected).toMatchObject({ text: 'mine', finishReason: 'stop' });
  });

  test('reasoning beside total counts is added where the total says so, and nowhere else', async () => {
    const usage = (total: number): string =>
      JSON.stringify({
        choices: [{ message: { content: 'x' }, finish_reason: 'stop' }],
        usage: {
          prompt_tokens: 10,
          completion_tokens: 5,
          total_tokens: total,
          completion_tokens_details: { reasoning_tokens: 100 },
        },
      });
    const beside = await open(subject, respondWith('application/json', usage(115)));
    expect((await beside.adapter.send(createCall())).usage.outputTokens).toBe(105);
    const within = await open(subject, respondWith('application/json', usage(15)));
    expect((await within.adapter.send(createCall())).usage.outputTokens).toBe(5);
  });

  test('a missing vector is a false success', async () => {
    const { adapter } = await open(subject, respondWith('application/json', '{"data":[{"index":0,"embedding":[1]}]}'));
    const call = {
      requestId: 'r',
      model: 'm',
      request: { kind: 'embedding' as const, model: 'm', input: ['a', 'b'] },
      credential: createCall().credential,
      signal: createCall().signal,
    };
    expect(adapter.classify(await rejectionOf(adapter.embed!(call))).kind).toBe('false-success');
  });

  test('vectors come in the order of the inputs, base64 included', async () => {
    const base64 = Buffer.from(new Float32Array([0.5, -2]).buffer).toString('base64');
    const { adapter } = await open(
      subject,
      respondWith(
        'application/json',
        JSON.stringify({
          data: [
            { index: 1, embedding: base64 },
            { index: 0, embedding: [1, 2] },
          ],
        }),
      ),
    );
    const call = {
      requestId: 'r',
      model: 'm',
      request: { kind: 'embedding' as const, model: 'm', input: ['a', 'b'] },
      credential: createCall().credential,
      signal: createCall().signal,
    };
    expect((await adapter.embed!(call)).vectors).toEqual([
      [1, 2],
      [0.5, -2],
    ]);
  });
});

describe('anthropic', () => {
  const subject = wires[1];
  const events = (...data: readonly ({ readonly type: string } & Record<string, unknown>)[]): string =>
    data.map((fields) => `event: ${fields.type}\ndata: ${JSON.stringify(fields)}\n\n`).join('');

  test('cached tokens are part of the input, and thinking part of the output', async () => {
    const { adapter } = await open(
      subject,
      respondWith(
        'text/event-stream',
        events(
          {
            type: 'message_start',
            message: {
              usage: {
                input_tokens: 3,
                cache_read_input_tokens: 100,
                cache_creation_input_tokens: 20,
                output_tokens: 1,
              },
            },
          },
          {
            type: 'message_delta',
            delta: { stop_reason: 'end_turn' },
            usage: { output_tokens: 50, cache_read_input_tokens: null, output_tokens_details: { thinking_tokens: 30 } },
          },
        ),
      ),
    );
    expect((await collectStream(adapter, createCall())).usage).toEqual({
      inputTokens: 123,
      outputTokens: 50,
      cachedInputTokens: 100,
      cacheWriteTokens: 20,
      reasoningTokens: 30,
    });
  });

  test('thinking comes as reasoning, and its signed blocks for the next turn', async () => {
    const { adapter } = await open(
      subject,
      respondWith(
        'text/event-stream',
        events(
          { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
          { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm' } },
          { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'SIG' } },
          { type: 'content_block_stop', index: 0 },
          { type: 'content_block_start', index: 1, content_block: { type: 'redacted_thinking', data: 'OPAQUE' } },
          { type: 'content_block_stop', index: 1 },
          { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
        ),
      ),
    );
    const { parts, reasoning } = await collectStream(adapter, createCall());
    expect(reasoning).toBe('Hm');
    expect(parts.at(-2)).toEqual({
      type: 'reasoningDetails',
      details: {
        provider: 'upstream',
        blocks: [
          { type: 'thinking', thinking: 'Hm', signature: 'SIG' },
          { type: 'redacted_thinking', data: 'OPAQUE' },
        ],
      },
    });
  });

  test('a refusal is a content filter with its reason', async () => {
    const details = { type: 'refusal', category: 'cyber', explanation: 'Not this.' };
    const { adapter } = await open(
      subject,
      respondWith(
        'application/json',
        JSON.stringify({ type: 'message', content: [], stop_reason: 'refusal', stop_details: details, usage: {} }),
      ),
    );
    expect(await adapter.send(createCall())).toMatchObject({ finishReason: 'content-filter', refusal: 'Not this.' });
    const streaming = await open(
      subject,
      respondWith(
        'text/event-stream',
        events({ type: 'message_delta', delta: { stop_reason: 'refusal', stop_details: details } }),
      ),
    );
    expect(await collectStream(streaming.adapter, createCall())).toMatchObject({
      finishReason: 'content-filter',
      refusal: 'Not this.',
    });
  });

  test('tools of the server count as activity and are no calls of ours', async () => {
    const { adapter } = await open(
      subject,
      respondWith(
        'text/event-stream',
        events(
          {
            type: 'content_block_start',
            index: 0,
            content_block: { type: 'server_tool_use', id: 's', name: 'web_search', input: {} },
          },
          { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{"q":1}' } },
          { type: 'content_block_stop', index: 0 },
          { type: 'message_delta', delta: { stop_reason: 'pause_turn' } },
        ),
      ),
    );
    const { toolCalls, finishReason, parts } = await collectStream(adapter, createCall());
    expect({ toolCalls, finishReason }).toEqual({ toolCalls: [], finishReason: 'other' });
    expect(parts.filter(({ type }) => type === 'activity')).toHaveLength(2);
  });
});
