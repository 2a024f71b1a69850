/** Streams under stress: clients who leave, clients who do not read, silence. */
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { StreamPart } from '../../src/contract/response.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { startEdge, type TestEdge } from '../support/http-edge.ts';
import { createResponse, yieldAll } from '../support/http-service.ts';

const base = { model: 'smart', max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hello' }] };
const finish: StreamPart = { type: 'finish', response: createResponse() };

function abortOf(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }));
}

/** A client that asks for a stream and reads nothing until told. */
function openPausedReader(edge: TestEdge, body: object) {
  const socket = connect(edge.port, '127.0.0.1');
  socket.pause();
  const json = JSON.stringify({ ...body, stream: true });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
  );
  return socket;
}

describe('a client who leaves', () => {
  test.each(['/v1/chat/completions', '/v1/messages'])('aborts its unstreamed request on %s at once', async (path) => {
    await using edge = await startEdge();
    const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal | undefined>();
    edge.service.answer = (_request, { signal }) => {
      start(signal);
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    };
    const controller = new AbortController();
    const left = fetch(`${edge.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(base),
      signal: controller.signal,
    });
    const aborted = abortOf(await started);
    controller.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    await aborted;
  });

  test.each(['before the first part', 'between two parts'])(
    'cancels its stream %s, and the iteration is ended',
    async (when) => {
      await using edge = await startEdge();
      const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal | undefined>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      edge.service.parts = async function* (_request, { signal }) {
        try {
          if (when !== 'before the first part') yield { type: 'text', text: 'x' };
          const aborted = abortOf(signal);
          start(signal);
          await aborted;
          throw signal?.reason;
        } finally {
          end();
        }
      };
      const controller = new AbortController();
      const left = fetch(`${edge.url}/v1/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...base, stream: true }),
        signal: controller.signal,
      }).then((response) => response.text());
      await started;
      controller.abort();
      await expect(left).rejects.toMatchObject({ name: 'AbortError' });
      await ended;
      expect(edge.service.cancellations).toBe(1);
    },
  );

  test('by closing only its sending side is gone too', async () => {
    await using edge = await startEdge();
    const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal | undefined>();
    edge.service.answer = (_request, { signal }) => {
      start(signal);
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    };
    const json = JSON.stringify(base);
    const socket = connect(edge.port, '127.0.0.1');
    socket.write(
      `POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
    );
    const aborted = abortOf(await started);
    socket.end();
    await aborted;
    socket.destroy();
  });

  test('after its answer is complete aborts nothing', async () => {
    await using edge = await startEdge();
    await (await edge.post('/v1/messages', base)).text();
    await (await edge.post('/v1/messages', { ...base, stream: true })).text();
    edge.app.server.closeAllConnections();
    await expect
      .poll(() => new Promise((resolve) => edge.app.server.getConnections((_error, count) => resolve(count))))
      .toBe(0);
    expect(edge.service.options.map(({ signal }) => signal?.aborted)).toEqual([false, false]);
    expect(edge.service.cancellations).toBe(0);
  });
});

describe('a slow reader', () => {
  const chunk = 'x'.repeat(65_536);

  test('slows the provider instead of filling memory, and gets everything in the end', async () => {
    await using edge = await startEdge();
    let produced = 0;
    edge.service.parts = async function* () {
      for (; produced < 400; produced++) yield { type: 'text', text: chunk };
      yield finish;
    };
    const socket = openPausedReader(edge, base);
    // The kernel's buffers take some megabytes of the 26; the point is that production stops and stays stopped.
    let last = -1;
    await expect
      .poll(
        () => {
          const isStill = produced > 0 && produced === last;
          last = produced;
          return isStill;
        },
        { interval: 200 },
      )
      .toBe(true);
    expect(produced).toBeLessThan(400);
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => (received = received.slice(-100) + text));
    socket.resume();
    await expect.poll(() => received.includes('[DONE]'), { timeout: 15_000 }).toBe(true);
    expect(produced).toBe(400);
    socket.destroy();
  });

  test('who takes nothing for too long is disconnected, and the provider is told', async () => {
    const clock = new VirtualClock();
    await using edge = await startEdge({ clock, limits: { readerStallMs: 60_000, heartbeatMs: 15_000 } });
    let produced = 0;
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    edge.service.parts = async function* () {
      try {
        for (; ; produced++) yield { type: 'text', text: chunk };
      } finally {
        end();
      }
    };
    const socket = openPausedReader(edge, base);
    let last = -1;
    await expect
      .poll(
        () => {
          const isStill = produced > 0 && produced === last;
          last = produced;
          return isStill;
        },
        { interval: 200 },
      )
      .toBe(true);
    await clock.advance(59_999);
    expect(edge.service.lastOptions.signal?.aborted).toBe(false);
    await clock.advance(1);
    await ended;
    expect(edge.service.lastOptions.signal?.aborted).toBe(true);
    expect(edge.service.cancellations).toBe(1);
    socket.destroy();
  });
});

describe('silence', () => {
  test('is filled with comments that clients skip, once headers are sent, and leaves no timer behind', async () => {
    const clock = new VirtualClock();
    await using edge = await startEdge({ clock, limits: { heartbeatMs: 15_000 } });
    const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    edge.service.parts = async function* () {
      yield { type: 'text', text: 'one' };
      ask();
      await go;
      yield { type: 'text', text: 'two' };
      yield finish;
    };
    const stream = edge.openai.chat.completions.create({ model: 'smart', messages: base.messages, stream: true });
    const raw = edge.post('/v1/messages', { ...base, stream: true });
    await asked;
    await raw;
    await clock.advance(45_000);
    proceed();
    const chunks = await Array.fromAsync(await stream);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('onetwo');
    const text = await (await raw).text();
    expect(text.match(/^: keep-alive$/gm)).toHaveLength(3);
    expect(text.indexOf(': keep-alive')).toBeGreaterThan(text.indexOf('one'));
    expect(clock.pendingTimers).toBe(0);
  });

  test('before the first part sends nothing at all', async () => {
    const clock = new VirtualClock();
    await using edge = await startEdge({ clock });
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { promise: go, resolve: proceed } = Promise.withResolvers<void>();
    edge.service.parts = async function* () {
      ask();
      await go;
      yield* yieldAll([finish]);
    };
    let isAnswered = false;
    const response = edge.post('/v1/messages', { ...base, stream: true }).finally(() => (isAnswered = true));
    await asked;
    await clock.advance(60_000);
    expect(isAnswered).toBe(false);
    expect(clock.pendingTimers).toBe(0);
    proceed();
    expect(await (await response).text()).not.toContain('keep-alive');
  });
});

test('a thousand streams at once are all whole', async () => {
  await using edge = await startEdge();
  edge.service.parts = async function* (request) {
    for (const letter of 'abcdefghij') yield { type: 'text', text: `${letter}${request.model ?? ''} ` };
    yield finish;
  };
  const bodies = await Promise.all(
    Array.from({ length: 1_000 }, async (_, index) =>
      (await edge.post('/v1/chat/completions', { ...base, max_tokens: null, model: `m${index}`, stream: true })).text(),
    ),
  );
  for (const [index, body] of bodies.entries()) {
    expect(body).toContain(`jm${index} `);
    expect(body).toMatch(/data: \[DONE\]\n\n$/);
  }
});
