/** Who is let in: hosts, origins, loopback, smugglers, slow and greedy sockets. */
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { createConfig, sendRaw, startEdge } from '../support/http-edge.ts';

const get = (path: string, ...headers: string[]) =>
  `GET ${path} HTTP/1.1\r\n${[...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`;
const statusOf = (answer: string) => Number(answer.split(' ')[1]);
const outside = Object.values(networkInterfaces())
  .flat()
  .find((entry) => entry?.family === 'IPv4' && !entry.internal)?.address;
const everywhere = { ...createConfig(), http: { host: '0.0.0.0', port: 0, bodyLimitBytes: 1_000 } };

describe('a server bound to loopback', () => {
  test.each([
    ['127.0.0.1:4141', 200],
    ['localhost', 200],
    ['LOCALHOST:1', 200],
    ['[::1]:4141', 200],
    ['127.1.2.3', 200],
    ['evil.example', 403],
    ['evil.example:4141', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.nip.io', 403],
    ['', 403],
    ['169.254.169.254', 403],
    ['0.0.0.0', 403],
  ])('answers Host %j with %i', async (host, status) => {
    await using edge = await startEdge();
    expect(statusOf(await sendRaw(edge.port, get('/healthz', `Host: ${host}`)))).toBe(status);
    expect(statusOf(await sendRaw(edge.port, get('/v1/models', `Host: ${host}`)))).toBe(status);
  });

  test.each([
    ['http://evil.example', 403],
    ['null', 403],
    ['http://localhost:1', 403],
    ['http://127.0.0.1.evil.example', 403],
    ['garbage', 403],
  ])('answers Origin %j with %i, before it reads the body', async (origin, status) => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/chat/completions', 'not even JSON', { origin });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code: 'forbidden' } });
    expect((await edge.post('/v1/messages', 'x', { origin })).status).toBe(status);
  });

  test('answers its own origin', async () => {
    await using edge = await startEdge();
    expect((await fetch(`${edge.url}/healthz`, { headers: { origin: edge.url } })).status).toBe(200);
  });

  test('refuses a form that a page of another site posts', async () => {
    await using edge = await startEdge();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: 'http://evil.example' };
    expect((await edge.post('/admin/actors/first/restart', 'a=b', headers)).status).toBe(403);
    expect(edge.service.verbs).toEqual([]);
  });
});

describe('a server bound to every address', () => {
  test('takes any host for its API, but only this machine for admin', async () => {
    await using edge = await startEdge({ config: everywhere, listenHost: '0.0.0.0' });
    expect(statusOf(await sendRaw(edge.port, get('/v1/models', 'Host: api.example')))).toBe(200);
    expect(statusOf(await sendRaw(edge.port, get('/admin/tree', 'Host: localhost')))).toBe(200);
    expect(statusOf(await sendRaw(edge.port, get('/admin/tree', 'Host: rebound.example')))).toBe(403);
    expect(statusOf(await sendRaw(edge.port, get('/%61dmin/tree', 'Host: rebound.example')))).toBe(403);
    for (const header of ['X-Forwarded-For: 10.0.0.1', 'Forwarded: for=10.0.0.1', 'X-Real-IP: 10.0.0.1']) {
      const answer = await sendRaw(edge.port, get('/admin/tree', 'Host: localhost', header));
      expect(statusOf(answer)).toBe(403);
      expect(answer).toContain('got: a call through a proxy');
    }
  });

  test.skipIf(outside === undefined)(
    'refuses admin to a client of another address (needs a network interface)',
    async () => {
      await using edge = await startEdge({ config: everywhere, listenHost: '0.0.0.0' });
      const url = `http://${outside}:${edge.port}`;
      expect((await fetch(`${url}/v1/models`)).status).toBe(200);
      expect((await fetch(`${url}/admin/tree`)).status).toBe(403);
      expect((await fetch(`${url}/%61dmin/tree`)).status).toBe(403);
    },
  );

  test.skipIf(outside === undefined)(
    'bounds sockets per address (needs a network interface), and frees them',
    async () => {
      await using edge = await startEdge({
        config: everywhere,
        listenHost: '0.0.0.0',
        limits: { socketsPerAddressMax: 3 },
      });
      const open = () =>
        new Promise<{ socket: Socket; isOpen: boolean }>((resolve) => {
          const socket = connect(edge.port, outside ?? '');
          socket
            .once('error', () => resolve({ socket, isOpen: false }))
            .once('close', () => resolve({ socket, isOpen: false }));
          socket.once('data', () => resolve({ socket, isOpen: true }));
          socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
        });
      const sockets = [await open(), await open(), await open(), await open()];
      expect(sockets.map(({ isOpen }) => isOpen)).toEqual([true, true, true, false]);
      const closed = new Promise((resolve) => edge.app.server.once('request', resolve));
      sockets[0]?.socket.destroy();
      await expect
        .poll(async () => {
          const { socket, isOpen } = await open();
          socket.destroy();
          return isOpen;
        })
        .toBe(true);
      await closed;
      for (const { socket } of sockets) socket.destroy();
    },
  );
});

describe('smuggling', () => {
  const post = (...headers: string[]) =>
    `POST /v1/models HTTP/1.1\r\nHost: localhost\r\n${headers.join('\r\n')}\r\n\r\n`;
  test.each([
    ['two lengths', post('Content-Length: 2', 'Content-Length: 3', '', 'abc')],
    ['a length and chunks', post('Content-Length: 2', 'Transfer-Encoding: chunked', '', '0', '', '')],
    ['two hosts', get('/healthz', 'Host: localhost', 'Host: 127.0.0.1')],
    ['two authorizations', get('/healthz', 'Host: localhost', 'Authorization: a', 'Authorization: b')],
    ['two keys', get('/healthz', 'Host: localhost', 'X-Api-Key: a', 'X-Api-Key: b')],
    ['a bare line feed in a header', get('/healthz', 'Host: localhost', 'X: a\nY: b')],
    ['no HTTP', 'hello\r\n\r\n'],
    ['no host', get('/healthz', 'X: y')],
    ['a malformed path', get('/v1/requests/%zz', 'Host: localhost')],
  ])('with %s is refused with 400 as JSON', async (_name, bytes) => {
    await using edge = await startEdge();
    const answer = await sendRaw(edge.port, bytes);
    expect(statusOf(answer)).toBe(400);
    expect(await (await fetch(`${edge.url}/healthz`)).json()).toEqual({ status: 'ok' });
  });

  test('headers that are too long are 431', async () => {
    await using edge = await startEdge();
    const answer = await sendRaw(edge.port, get('/healthz', 'Host: localhost', `X: ${'y'.repeat(17_000)}`));
    expect(statusOf(answer)).toBe(431);
    expect(answer).toContain('x-switchgear-error: invalid-request');
  });
});

describe('slow clients', () => {
  const limits = { headersTimeoutMs: 150, requestTimeoutMs: 300, checkIntervalMs: 50 };

  test('that do not finish their headers, or their body, are closed with 408', async () => {
    await using edge = await startEdge({ limits });
    const answers = await Promise.all([
      sendRaw(edge.port, 'GET /healthz HTTP/1.1\r\nHost: local'),
      sendRaw(
        edge.port,
        'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
      ),
    ]);
    expect(answers.map(statusOf)).toEqual([408, 408]);
    expect(edge.service.requests).toEqual([]);
  });

  test('the limit ends with the request: an answer may take longer', async () => {
    await using edge = await startEdge({ limits });
    const slow = async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      setTimeout(resolve, 700);
      await promise;
    };
    const { answer } = edge.service;
    edge.service.answer = async (request, options) => {
      await slow();
      return answer(request, options);
    };
    const body = { messages: [{ role: 'user', content: 'x' }] };
    expect((await edge.post('/v1/chat/completions', body)).status).toBe(200);
    edge.service.parts = async function* (request, options) {
      yield { type: 'text', text: 'early' };
      await slow();
      yield { type: 'finish', response: await answer(request, options) };
    };
    expect(await (await edge.post('/v1/chat/completions', { ...body, stream: true })).text()).toContain('[DONE]');
  });

  test('no more sockets are kept than the limit', async () => {
    await using edge = await startEdge({ limits: { socketsMax: 2 } });
    const held = [connect(edge.port, '127.0.0.1'), connect(edge.port, '127.0.0.1')];
    await Promise.all(
      held.map(
        (socket) =>
          new Promise((resolve) => {
            socket.once('data', resolve);
            socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
          }),
      ),
    );
    await expect(sendRaw(edge.port, get('/healthz', 'Host: localhost')).catch(() => '')).resolves.toBe('');
    for (const socket of held) socket.destroy();
  });
});
