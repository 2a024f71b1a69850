/** Reading along with submitted requests over real sockets, with the official client's own reader of streams. */
import { connect } from 'node:net';
import OpenAI, { APIError } from 'openai';
import { describe, expect, test } from 'vitest';
import { startService } from '../../src/compose.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { StreamPart } from '../../src/contract/response.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createConfig, startEdge, type TestEdge } from '../support/http-edge.ts';
import { createResponse, yieldAll } from '../support/http-service.ts';
import { cut, fail, finish, pause, ScriptedProvider, tokens } from '../support/scripted-provider.ts';

const FINISH: StreamPart = { type: 'finish', response: createResponse() };

type Chunk = OpenAI.ChatCompletionChunk;

const contentOf = (chunks: readonly Chunk[]) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

/** An edge with a request that runs. */
async function startRunning(options: Parameters<typeof startEdge>[0] = {}): Promise<TestEdge> {
  const edge = await startEdge(options);
  edge.service.results.set('req_1', { requestId: 'req_1', status: 'running' });
  return edge;
}

const get = (edge: TestEdge, headers: Record<string, string> = {}) =>
  fetch(`${edge.url}/v1/requests/req_1/stream`, { headers });

describe('GET /v1/requests/:id/stream', () => {
  test('is a stream of chat completion chunks that the official client reads', async () => {
    await using edge = await startRunning();
    edge.service.reading = () =>
      yieldAll([
        { type: 'reasoning', text: 'hm' },
        { type: 'text', text: 'Hel' },
        { type: 'text', text: 'lo' },
        { type: 'toolCall', id: 'c1', name: 'look', arguments: '{"at":1}' },
        FINISH,
      ]);
    const { data, response } = await edge.openai
      .get<AsyncIterable<Chunk>>('/requests/req_1/stream', { stream: true })
      .withResponse();
    const chunks = await Array.fromAsync(data);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('x-switchgear-request-id')).toBe('req_1');
    expect(response.headers.get('x-switchgear-provider')).toBe('first');
    expect(contentOf(chunks)).toBe('Hello');
    expect(chunks[0]).toMatchObject({ id: 'req_1', object: 'chat.completion.chunk', model: 'model-1' });
    expect(chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? [])).toMatchObject([
      { index: 0, id: 'c1', function: { name: 'look', arguments: '{"at":1}' } },
    ]);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
    expect(edge.service.cancellations).toBe(0);
  });

  test('says exactly what a streamed completion of the same parts says, but for its id', async () => {
    await using edge = await startRunning();
    edge.service.parts = () => yieldAll([{ type: 'text', text: 'Hello' }, FINISH]);
    const asked = await edge.post('/v1/chat/completions', {
      model: 'smart',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    const comparable = (text: string) => text.replaceAll(/"created":\d+/g, '').replaceAll(/req_\w+/g, 'ID');
    expect(comparable(await (await get(edge)).text())).toBe(comparable(await asked.text()));
  });

  test.each([
    ['request-not-found', 404],
    ['request-expired', 410],
  ] as const)('is %s: %i, as JSON, and nothing is read', async (code, status) => {
    await using edge = await startEdge();
    edge.service.results.set('req_1', new SwitchgearError(code, 'gone'));
    edge.service.reading = () => {
      throw new Error('expected nobody to read it');
    };
    const response = await get(edge);
    expect({ status: response.status, type: response.headers.get('content-type') }).toEqual({
      status,
      type: 'application/json; charset=utf-8',
    });
    expect(response.headers.get('x-switchgear-error')).toBe(code);
    expect((await response.json()).error.message).toBe('gone');
  });

  test('of a request that failed is its error with its status, as long as nothing was sent', async () => {
    await using edge = await startRunning();
    edge.service.reading = () =>
      yieldAll([], new SwitchgearError('context-too-long', 'too long', { requestId: 'req_1' }));
    const response = await get(edge);
    expect(response.status).toBe(400);
    expect((await response.json()).error.code).toBe('context_length_exceeded');
    const read = edge.openai.get('/requests/req_1/stream', { stream: true });
    await expect(read).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  test('of a request that fails after content ends with an error event that the client throws', async () => {
    await using edge = await startRunning();
    edge.service.reading = () =>
      yieldAll([{ type: 'text', text: 'half' }], new SwitchgearError('provider-error', 'broke off'));
    const chunks: Chunk[] = [];
    const reading = (async () => {
      const stream = await edge.openai.get<AsyncIterable<Chunk>>('/requests/req_1/stream', { stream: true });
      for await (const chunk of stream) chunks.push(chunk);
    })();
    await expect(reading).rejects.toThrow(APIError);
    expect(contentOf(chunks)).toBe('half');
  });

  test('never glues a second answer to the first: whose answer starts over is told to read again', async () => {
    await using edge = await startRunning();
    edge.service.reading = () =>
      yieldAll([{ type: 'text', text: 'lost' }, { type: 'restart' }, { type: 'text', text: 'another' }, FINISH]);
    const text = await (await get(edge)).text();
    expect(text).toContain('lost');
    expect(text).not.toContain('another');
    expect(text).not.toContain('[DONE]');
    expect(text).toContain('read the stream again, from its beginning');
    expect(text).toContain('"code":"interrupted"');
  });

  test('delivered whole holds everything back, so that a restart is seen by nobody', async () => {
    await using edge = await startRunning();
    edge.service.reading = () =>
      yieldAll([{ type: 'text', text: 'lost' }, { type: 'restart' }, { type: 'text', text: 'another' }, FINISH]);
    const response = await get(edge, { 'x-switchgear-delivery': 'whole' });
    expect(response.headers.get('x-switchgear-attempts')).toBe('1');
    const text = await response.text();
    expect(text).toContain('another');
    expect(text).not.toContain('lost');
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
  });

  test.each([
    ['a query', '?wait=3', {}, 'wait'],
    ['a delivery that no wire has a word for', '', { 'x-switchgear-delivery': 'restart' }, 'x-switchgear-delivery'],
  ])('refuses %s', async (_what, query, headers: Record<string, string>, param) => {
    await using edge = await startRunning();
    const response = await fetch(`${edge.url}/v1/requests/req_1/stream${query}`, { headers });
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe(param);
  });

  test('is not begun for its headers alone', async () => {
    await using edge = await startRunning();
    const response = await fetch(`${edge.url}/v1/requests/req_1/stream`, { method: 'HEAD' });
    expect(response.status).toBe(404);
  });
});

describe('a reader whose request waits', () => {
  /** Nothing comes until `go`, then `parts`. */
  function startWaiting(edge: TestEdge, parts: readonly StreamPart[], failure?: Error) {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    edge.service.reading = async function* () {
      ask();
      await gone;
      yield* yieldAll(parts, failure);
    };
    return { asked, go };
  }

  test('gets its headers after one heartbeat and comments from then on, so that no proxy gives it up', async () => {
    const clock = new VirtualClock();
    await using edge = await startRunning({ clock, limits: { heartbeatMs: 15_000 } });
    const { asked, go } = startWaiting(edge, [{ type: 'text', text: 'Hello' }, FINISH]);
    let isAnswered = false;
    const answered = get(edge).finally(() => (isAnswered = true));
    await asked;
    await clock.advance(14_999);
    await fetch(`${edge.url}/healthz`);
    expect(isAnswered).toBe(false);
    await clock.advance(1);
    const response = await answered;
    expect(response.status).toBe(200);
    expect(response.headers.get('x-switchgear-request-id')).toBe('req_1');
    expect(response.headers.has('x-switchgear-provider')).toBe(false);
    await clock.advance(45_000);
    go();
    const text = await response.text();
    expect(text.match(/^: keep-alive$/gm)).toHaveLength(3);
    expect(text.indexOf('Hello')).toBeGreaterThan(text.lastIndexOf('keep-alive'));
    expect(text).toContain('"model":"model-1"');
    expect(clock.pendingTimers).toBe(0);
  });

  test('is told of a failure by an error event once its headers are sent', async () => {
    const clock = new VirtualClock();
    await using edge = await startRunning({ clock, limits: { heartbeatMs: 15_000 } });
    const { asked, go } = startWaiting(edge, [], new SwitchgearError('timeout', 'never answered'));
    const read = edge.openai.get<AsyncIterable<Chunk>>('/requests/req_1/stream', { stream: true });
    await asked;
    await clock.advance(15_000);
    const stream = await read;
    go();
    await expect(Array.fromAsync(stream)).rejects.toMatchObject({ code: 'timeout' });
    expect(clock.pendingTimers).toBe(0);
  });

  test.each(['before its headers', 'after them'])('and who leaves %s only stops reading', async (when) => {
    const clock = new VirtualClock();
    await using edge = await startRunning({ clock, limits: { heartbeatMs: 15_000 } });
    const { promise: asked, resolve: ask } = Promise.withResolvers<AbortSignal | undefined>();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    edge.service.reading = async function* (_id, { signal }) {
      try {
        await new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new SwitchgearError('cancelled', 'left')));
          ask(signal);
        });
        yield FINISH;
      } finally {
        end();
      }
    };
    const controller = new AbortController();
    const left = fetch(`${edge.url}/v1/requests/req_1/stream`, { signal: controller.signal }).then((response) =>
      response.text(),
    );
    await asked;
    if (when === 'after them') await clock.advance(15_000);
    controller.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    await ended;
    expect(edge.service.cancellations).toBe(0);
    await expect.poll(() => clock.pendingTimers).toBe(0);
  });
});

describe('the whole service behind it', () => {
  const body = { model: 'm', messages: [{ role: 'user', content: 'Hello' }] };

  /** A service on the machine's clock with one scripted provider, behind the real edge. */
  async function startWhole() {
    const provider = new ScriptedProvider('a', systemClock);
    const service = await startService(
      { providers: { a: { adapter: 'scripted', models: ['m'], health: { intervalMs: 86_400_000 } } } },
      { clock: systemClock, env: {}, adapters: { scripted: provider.createAdapter } },
    );
    const server = createHttpServer({ service, config: createConfig(), clock: systemClock });
    /** Paths whose answer was sent to its end. */
    const finished: string[] = [];
    server.addHook('onRequest', async (request, reply) => {
      reply.raw.once('finish', () => finished.push(request.url));
    });
    const url = await server.listen({ host: '127.0.0.1', port: 0 });
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 });
    return {
      provider,
      service,
      url,
      port: Number(new URL(url).port),
      finished,
      submit: async () => {
        const accepted = await openai.post<{ requestId: string }>('/requests', { body });
        return accepted.requestId;
      },
      read: async (requestId: string) => {
        const stream = await openai.get<AsyncIterable<Chunk>>(`/requests/${requestId}/stream`, { stream: true });
        return contentOf(await Array.fromAsync(stream));
      },
      [Symbol.asyncDispose]: async () => {
        await service.stop({ graceMs: 0 });
        server.server.closeAllConnections();
        await server.close();
      },
    };
  }

  test('gives every reader the same answer: who comes early, late, and after the end', async () => {
    await using whole = await startWhole();
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    whole.provider.always = async function* (call) {
      yield* tokens(50, 1, cut())(call);
      await gone;
      yield* tokens(50, 1, finish())(call);
    };
    const requestId = await whole.submit();
    const early = [whole.read(requestId), whole.read(requestId)];
    await expect.poll(async () => (await whole.service.getResult(requestId)).status).toBe('running');
    const late = whole.read(requestId);
    go();
    const answers = await Promise.all([...early, late]);
    const text = Array.from({ length: 50 }, (_, index) => `t${index} `).join('');
    expect(answers).toEqual([text + text, text + text, text + text]);
    expect(await whole.read(requestId)).toBe(text + text);
    expect(whole.provider.attempts).toHaveLength(1);
  });

  test('is held up by no reader that stalls: neither the request nor another reader', async () => {
    await using whole = await startWhole();
    // Forty-five megabytes on the wire: more than all buffers of two sockets take.
    const piece = '€'.repeat(1_000_000);
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    whole.provider.always = async function* (call) {
      await gone;
      for (let count = 0; count < 15; count++) {
        yield { type: 'text', text: piece };
        await pause(call, 1);
      }
      yield* finish()(call);
    };
    const requestId = await whole.submit();
    const path = `/v1/requests/${requestId}/stream`;
    const stalled = connect(whole.port, '127.0.0.1');
    stalled.pause();
    stalled.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    const reading = whole.read(requestId);
    go();
    expect((await reading).length).toBe(15_000_000);
    expect(await whole.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    expect(whole.finished.filter((url) => url === path)).toHaveLength(1);
    let received = 0;
    let end = '';
    stalled.on('data', (bytes: Buffer) => {
      received += bytes.length;
      end = (end + bytes.toString('latin1')).slice(-64);
    });
    const closed = new Promise((resolve) => stalled.once('close', resolve));
    stalled.resume();
    await closed;
    expect(received).toBeGreaterThan(45_000_000);
    expect(end).toContain('data: [DONE]');
    expect(whole.provider.attempts).toMatchObject([{ isAborted: false }]);
  });

  test('goes on when every reader has left', async () => {
    await using whole = await startWhole();
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    whole.provider.always = async function* (call) {
      yield { type: 'text', text: 'still ' };
      await gone;
      yield* tokens(1, 0, finish())(call);
    };
    const requestId = await whole.submit();
    const controller = new AbortController();
    const response = await fetch(`${whole.url}/v1/requests/${requestId}/stream`, { signal: controller.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    controller.abort();
    await expect(reader?.read()).rejects.toMatchObject({ name: 'AbortError' });
    go();
    const result = await whole.service.getResult(requestId, { waitMs: 10_000 });
    expect(result).toMatchObject({ status: 'succeeded', response: { text: 'still t0 ' } });
    expect(whole.provider.attempts).toMatchObject([{ isAborted: false }]);
  });

  test('tells whoever saw a part of a broken answer to read again, and who does gets the new one', async () => {
    await using whole = await startWhole();
    const { promise: gone, resolve: go } = Promise.withResolvers<void>();
    whole.provider.plan(async function* (call) {
      yield { type: 'text', text: 'lost' };
      await gone;
      yield* fail('upstream-error')(call);
    });
    whole.provider.always = tokens(3, 1, finish());
    const requestId = await whole.submit();
    const response = await fetch(`${whole.url}/v1/requests/${requestId}/stream`);
    go();
    const text = await response.text();
    expect(text).toContain('lost');
    expect(text).toContain('"code":"interrupted"');
    expect(text).not.toContain('t0');
    expect(await whole.read(requestId)).toBe('t0 t1 t2 ');
  });
});
