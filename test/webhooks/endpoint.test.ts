/** What crosses the wire to a receiver, over real sockets. */
import { createServer, type Socket } from 'node:net';
import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import type { WebhooksConfig } from '../../src/contract/config.ts';
import type { Resolve } from '../../src/network/address.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { type Endpoint, openEndpoint } from '../../src/webhooks/endpoint.ts';
import { findUnreachableURL, openUpstream, type Respond, type UpstreamServer } from '../contracts/upstream.ts';

/** Must never be seen: the secret, and the token that many receivers have in their URL. */
const SECRET = `whsec_${Buffer.from('canary-canary-canary-canary').toString('base64')}`;
const TOKEN = 'T0KENcanary';
const notice = { id: 'msg_req_1', body: '{"type":"request.succeeded","data":{"requestId":"req_1"}}' };
const neverAborted = new AbortController().signal;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(cleanups.splice(0).map((cleanup) => cleanup()));
});

async function listen(respond: Respond): Promise<UpstreamServer> {
  const server = await openUpstream(respond);
  cleanups.push(() => server.close());
  return server;
}

const answer =
  (status: number, headers: Record<string, string> = {}): Respond =>
  (_request, response) =>
    void response.writeHead(status, headers).end('whatever');

function open(url: string, changes: Partial<WebhooksConfig> = {}, resolve?: Resolve): Endpoint {
  const config = { url: `${url}/hooks/${TOKEN}?key=${TOKEN}`, secrets: [SECRET], timeoutMs: 5_000, allowPrivate: true };
  const endpoint = openEndpoint({ ...config, ...changes }, { clock: systemClock, resolve });
  cleanups.push(() => endpoint.close());
  return endpoint;
}

/** Waits for what another process does with its end of a socket. */
async function becomes(holds: () => boolean): Promise<void> {
  await expect.poll(holds, { timeout: 5_000, interval: 5 }).toBe(true);
}

test('a notice is one signed POST with these headers and no others', async () => {
  const server = await listen(answer(204));
  expect(await open(server.url).send(notice, neverAborted)).toEqual({
    kind: 'answered',
    status: 204,
    retryAfterMs: undefined,
  });
  const [request] = server.received;
  expect(request).toMatchObject({ method: 'POST', path: `/hooks/${TOKEN}?key=${TOKEN}`, body: notice.body });
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature, ...rest } = request!.headers;
  expect(rest).toEqual({
    host: new URL(server.url).host,
    connection: 'keep-alive',
    'content-type': 'application/json',
    'content-length': String(notice.body.length),
    'user-agent': 'switchgear',
    accept: '*/*',
    'accept-encoding': 'identity',
    'accept-language': '*',
    'sec-fetch-mode': 'cors',
  });
  expect(id).toBe('msg_req_1');
  expect(Math.abs(Number(at) * 1_000 - Date.now())).toBeLessThan(30_000);
  expect(signature).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/);
});

test('the receiver can verify it with an implementation that is not ours', async () => {
  const server = await listen(answer(200));
  await open(server.url).send(notice, neverAborted);
  const [request] = server.received;
  const { webhooks } = new OpenAI({ apiKey: 'unused' });
  const headers = new Headers(Object.entries(request!.headers).map(([name, value]) => [name, String(value)]));
  await expect(webhooks.verifySignature(request!.body, headers, SECRET)).resolves.toBeUndefined();
  await expect(webhooks.verifySignature(`${request!.body} `, headers, SECRET)).rejects.toThrow('signature');
});

test('a second try has the same id and the same body', async () => {
  const server = await listen(answer(500));
  const endpoint = open(server.url);
  await endpoint.send(notice, neverAborted);
  await endpoint.send(notice, neverAborted);
  const [first, second] = server.received;
  expect(second!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
  expect(second!.body).toBe(first!.body);
});

test('tries one after another use connections again', async () => {
  const server = await listen(answer(200));
  const endpoint = open(server.url);
  for (let count = 0; count < 10; count++) await endpoint.send(notice, neverAborted);
  expect(server.received).toHaveLength(10);
  // The next try may begin before the connection of the last one is free.
  expect(server.connections()).toBeLessThanOrEqual(2);
});

test.each([200, 400, 404, 410, 500, 503])('a %i is told as it is', async (status) => {
  const server = await listen(answer(status));
  expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status });
});

test('Retry-After is read in seconds and as a date', async () => {
  const inSeconds = await listen(answer(429, { 'retry-after': '7' }));
  expect(await open(inSeconds.url).send(notice, neverAborted)).toMatchObject({ status: 429, retryAfterMs: 7_000 });
  const asDate = await listen((_request, response) => {
    response.writeHead(503, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }).end();
  });
  const outcome = await open(asDate.url).send(notice, neverAborted);
  expect(outcome).toMatchObject({ kind: 'answered', status: 503 });
  const { retryAfterMs } = outcome as { retryAfterMs: number };
  expect(retryAfterMs).toBeGreaterThan(50_000);
  expect(retryAfterMs).toBeLessThanOrEqual(60_000);
});

test.each([301, 302, 303, 307, 308])('a %i is not followed', async (status) => {
  const elsewhere = await listen(answer(200));
  const server = await listen(answer(status, { location: elsewhere.url }));
  expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status });
  expect(elsewhere.received).toHaveLength(0);
});

describe('a receiver that', () => {
  test('takes the notice and says nothing is given up after the limit, with its connection', async () => {
    const server = await listen(() => undefined);
    expect(await open(server.url, { timeoutMs: 60 }).send(notice, neverAborted)).toEqual({
      kind: 'unanswered',
      reason: `no answer from ${server.url} within 60 ms`,
    });
    expect(server.received).toHaveLength(1);
    await becomes(() => server.connections() === 0);
  });

  test('answers slowly, and within the limit, is waited for', async () => {
    const server = await listen((_request, response) => {
      setTimeout(() => response.writeHead(200).end(), 100);
    });
    expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status: 200 });
  });

  test('never ends its answer has answered; it is left after the limit', async () => {
    const server = await listen((_request, response) => void response.writeHead(200).write('more to come'));
    expect(await open(server.url, { timeoutMs: 100 }).send(notice, neverAborted)).toMatchObject({
      kind: 'answered',
      status: 200,
    });
    await becomes(() => server.connections() === 0);
  });

  test('answers without end is read for 64 kB and no further', async () => {
    let sentBytes = 0;
    const piece = Buffer.alloc(16_384, 'x');
    const server = await listen((_request, response) => {
      response.writeHead(200);
      const flood = (): void => {
        while (!response.destroyed && sentBytes < 1_000_000_000) {
          sentBytes += piece.length;
          if (!response.write(piece)) return void response.once('drain', flood);
        }
      };
      flood();
    });
    expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status: 200 });
    await becomes(() => server.connections() === 0);
    // What the buffers of two sockets hold is sent without being read.
    expect(sentBytes).toBeLessThan(20_000_000);
  });

  test('says that its answer is compressed, and it is not, has answered', async () => {
    const server = await listen((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip');
    });
    expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status: 200 });
  });

  test('breaks off after its status line has answered', async () => {
    const server = await listen((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
    });
    expect(await open(server.url).send(notice, neverAborted)).toMatchObject({ kind: 'answered', status: 200 });
  });

  test('hangs up without an answer is told as that', async () => {
    const server = await listen((_request, response) => void response.destroy());
    expect(await open(server.url).send(notice, neverAborted)).toEqual({
      kind: 'unanswered',
      reason: `no answer from ${server.url}: connection closed (UND_ERR_SOCKET)`,
    });
  });

  test('is not there is told as that', async () => {
    const url = await findUnreachableURL();
    expect(await open(url).send(notice, neverAborted)).toEqual({
      kind: 'unanswered',
      reason: `no answer from ${url}: connection refused (ECONNREFUSED)`,
    });
  });

  test('speaks something else is told as that', async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      socket.end('220 mail.example ESMTP\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address() as { port: number };
    expect(await open(`http://127.0.0.1:${port}`).send(notice, neverAborted)).toEqual({
      kind: 'unanswered',
      reason: `http://127.0.0.1:${port} answered with something that is not HTTP`,
    });
  });
});

test('a try that is broken off is abandoned at once, with its connection', async () => {
  const leave = new AbortController();
  const server = await listen(() => {
    leave.abort();
  });
  expect(await open(server.url, { timeoutMs: 60_000 }).send(notice, leave.signal)).toEqual({ kind: 'abandoned' });
  await becomes(() => server.connections() === 0);
});

describe('a private address', () => {
  const toLoopback: Resolve = (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]);
  const nameFor = (server: UpstreamServer, name: string): string => `http://${name}:${new URL(server.url).port}`;

  test('behind a name is refused when the connection is made, and nothing is sent', async () => {
    const server = await listen(answer(200));
    const endpoint = open(nameFor(server, 'hooks.example'), { allowPrivate: false }, toLoopback);
    expect(await endpoint.send(notice, neverAborted)).toEqual({
      kind: 'unanswered',
      reason: 'expected hooks.example to resolve to a public address, got: 127.0.0.1 (allowPrivate: true permits it)',
    });
    expect(server.received).toHaveLength(0);
  });

  test('behind a name that turned private after the first try is refused from then on', async () => {
    const server = await listen(answer(200));
    const answers = ['203.0.114.1', '127.0.0.1'];
    const rebinding: Resolve = (_name, _options, callback) =>
      callback(null, [{ address: answers.shift() ?? '127.0.0.1', family: 4 }]);
    const endpoint = open(nameFor(server, 'rebind.example'), { allowPrivate: false, timeoutMs: 50 }, rebinding);
    await endpoint.send(notice, neverAborted);
    const outcome = await endpoint.send(notice, neverAborted);
    expect(outcome).toMatchObject({ kind: 'unanswered', reason: expect.stringContaining('got: 127.0.0.1') });
    expect(server.received).toHaveLength(0);
  });

  test('that the system resolves `localhost` to is refused too', async () => {
    const server = await listen(answer(200));
    const endpoint = open(nameFor(server, 'localhost'), { allowPrivate: false });
    expect(await endpoint.send(notice, neverAborted)).toMatchObject({
      kind: 'unanswered',
      reason: expect.stringContaining('expected localhost to resolve to a public address'),
    });
    expect(server.received).toHaveLength(0);
  });

  test('is reached with allowPrivate', async () => {
    const server = await listen(answer(200));
    expect(await open(nameFor(server, 'localhost')).send(notice, neverAborted)).toMatchObject({ status: 200 });
  });
});

test('neither the secret nor what is in path and query of the URL is part of any outcome', async () => {
  const hanging = await listen(() => undefined);
  const redirecting = await listen(answer(302, { location: `http://elsewhere.example/${TOKEN}` }));
  const closing = await listen((_request, response) => void response.destroy());
  const outcomes = await Promise.all([
    open(hanging.url, { timeoutMs: 50 }).send(notice, neverAborted),
    open(redirecting.url).send(notice, neverAborted),
    open(closing.url).send(notice, neverAborted),
    open(await findUnreachableURL()).send(notice, neverAborted),
    open('http://hooks.example', { allowPrivate: false }, (_name, _options, callback) =>
      callback(null, [{ address: '10.0.0.1', family: 4 }]),
    ).send(notice, neverAborted),
    // A port that fetch refuses to speak to.
    open('http://127.0.0.1:22').send(notice, neverAborted),
  ]);
  expect(outcomes.map(({ kind }) => kind)).toEqual([
    'unanswered',
    'answered',
    'unanswered',
    'unanswered',
    'unanswered',
    'unanswered',
  ]);
  expect(JSON.stringify(outcomes)).not.toMatch(/canary|whsec_/);
});
