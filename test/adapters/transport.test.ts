/** Where requests go and what they carry, over real sockets. */
import { createServer } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { isAttemptError } from '../../src/adapters/attempt-error.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import { createTransport } from '../../src/adapters/transport.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import { findInChain } from '../../src/network/error-chain.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openUpstream, plainAnswer, type Respond } from '../contracts/upstream.ts';
import { anthropicWire, openaiWire } from '../contracts/wires.ts';
import { CANARY_KEY, createCall, createProviderConfig, rejectionOf, tryStream } from '../support/adapter-calls.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(cleanups.splice(0).map((cleanup) => cleanup()));
});

async function listen(respond: Respond): Promise<Awaited<ReturnType<typeof openUpstream>>> {
  const server = await openUpstream(respond);
  cleanups.push(() => server.close());
  return server;
}

const wires = [
  { adapter: 'openai', create: createOpenaiAdapter, wire: openaiWire, path: '/chat/completions' },
  { adapter: 'anthropic', create: createAnthropicAdapter, wire: anthropicWire, path: '/v1/messages' },
] as const;

function open(
  subject: (typeof wires)[number],
  fields: Partial<ProviderConfig>,
): ReturnType<typeof createOpenaiAdapter> {
  const adapter = subject.create(createProviderConfig({ adapter: subject.adapter, ...fields }), {
    fetch: undefined,
    clock: systemClock,
  });
  cleanups.push(async () => adapter.close?.());
  return adapter;
}

const answerWith =
  (subject: (typeof wires)[number]): Respond =>
  (_request, response) =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(subject.wire.renderAnswer(plainAnswer));

describe.each(wires)('$adapter', (subject) => {
  test('nothing of the environment reaches a server, and nothing is sent that is not on the list', async () => {
    for (const [name, value] of Object.entries({
      OPENAI_ORG_ID: 'org-env',
      OPENAI_PROJECT_ID: 'proj-env',
      OPENAI_CUSTOM_HEADERS: 'x-env: leaked\nauthorization: Bearer env-key',
      OPENAI_BASE_URL: 'http://127.0.0.1:1/env',
      OPENAI_API_KEY: 'sk-env-openai',
      OPENAI_ADMIN_KEY: 'sk-env-admin',
      OPENAI_LOG: 'debug',
      ANTHROPIC_CUSTOM_HEADERS: 'x-env: leaked\nx-api-key: env-key',
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:1/env',
      ANTHROPIC_API_KEY: 'sk-env-anthropic',
      ANTHROPIC_AUTH_TOKEN: 'env-token',
      ANTHROPIC_LOG: 'debug',
      HTTP_PROXY: 'http://127.0.0.1:1',
      HTTPS_PROXY: 'http://127.0.0.1:1',
      ALL_PROXY: 'http://127.0.0.1:1',
    }))
      vi.stubEnv(name, value);
    const server = await listen(answerWith(subject));
    const adapter = open(subject, {
      baseURL: server.url,
      headers: { 'x-team': 'blue', host: 'evil.example', 'content-length': '1' },
      query: { region: 'eu' },
    });
    await adapter.send(createCall());
    const [request] = server.received;
    const { host, connection, 'content-length': _, ...headers } = request!.headers;
    expect(host).toBe(new URL(server.url).host);
    expect(connection).toBe('keep-alive');
    expect(headers).toEqual({
      accept: 'application/json',
      'accept-encoding': 'gzip, deflate',
      'accept-language': '*',
      'content-type': 'application/json',
      'sec-fetch-mode': 'cors',
      'user-agent': 'switchgear',
      'x-team': 'blue',
      ...(subject.adapter === 'openai'
        ? { authorization: `Bearer ${CANARY_KEY}` }
        : { 'x-api-key': CANARY_KEY, 'anthropic-version': '2023-06-01' }),
    });
    expect(request!.path).toBe(`${subject.path}?region=eu`);
    expect(JSON.stringify(request)).not.toMatch(/env|stainless/);
  });

  test('an upstream without keys is sent none, whatever the environment holds', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-env');
    vi.stubEnv('ANTHROPIC_API_KEY', 'sk-env');
    const server = await listen(answerWith(subject));
    const credential = { id: 'upstream#1', apiKey: undefined };
    await open(subject, { baseURL: server.url, credentials: [credential] }).send(createCall({ credential }));
    expect(Object.keys(server.received[0]!.headers)).not.toEqual(expect.arrayContaining(['authorization']));
    expect(server.received[0]!.headers['x-api-key']).toBeUndefined();
    expect(server.received[0]!.headers.authorization).toBeUndefined();
  });

  test.each([301, 302, 303, 307, 308])('a %i is not followed, and the key goes nowhere else', async (status) => {
    const elsewhere = await listen(answerWith(subject));
    const server = await listen(
      (_request, response) =>
        void response.writeHead(status, { location: `${elsewhere.url}/steal?key=${CANARY_KEY}` }).end(),
    );
    const adapter = open(subject, { baseURL: server.url });
    for (const error of [
      await rejectionOf(adapter.send(createCall())),
      (await tryStream(adapter, createCall())).error,
    ]) {
      const failure = adapter.classify(error);
      expect(failure.kind).toBe('false-success');
      expect(failure.message).toContain(`redirect (${status}`);
      expect(failure.message).not.toContain(CANARY_KEY);
    }
    expect(elsewhere.received).toHaveLength(0);
  });

  test('a connection is reused from call to call, also after a stream', async () => {
    const server = await listen((request, response) => {
      const isStream = JSON.parse(request.body).stream === true;
      response.writeHead(200, { 'content-type': isStream ? subject.wire.streamType : 'application/json' });
      response.end(isStream ? subject.wire.renderStream(plainAnswer).join('') : subject.wire.renderAnswer(plainAnswer));
    });
    const adapter = open(subject, { baseURL: server.url });
    for (let round = 0; round < 4; round += 1) {
      await adapter.send(createCall());
      expect((await tryStream(adapter, createCall())).error).toBeUndefined();
    }
    expect(server.received).toHaveLength(8);
    // A second one is opened when a call follows in the very tick in which the first is being given back.
    expect(server.connections()).toBeLessThanOrEqual(2);
  });

  test('one client serves one credential, and a replaced key is used from the next call on', async () => {
    const server = await listen(answerWith(subject));
    const adapter = open(subject, { baseURL: server.url });
    const second = { id: 'upstream#1', apiKey: 'sk-second-0123456789' };
    await adapter.send(createCall());
    await adapter.send(createCall({ credential: second }));
    expect(server.received.map(({ headers }) => headers['x-api-key'] ?? headers.authorization?.slice(7))).toEqual([
      CANARY_KEY,
      second.apiKey,
    ]);
  });

  test('a key that no header can carry is a config mistake that does not show it', () => {
    const apiKey = 'sk-canary-with\nnewline-0123456789';
    const fault = (() => {
      try {
        return open(subject, { credentials: [{ id: 'upstream#1', apiKey }] });
      } catch (error) {
        return error;
      }
    })();
    expect(fault).toMatchObject({ code: 'invalid-config' });
    expect(String(fault)).not.toContain('canary');
  });

  test.each([['not a url'], ['ftp://host/'], ['http://user:pass@host/v1']])(
    'a base URL of %s is a config mistake',
    (baseURL) => {
      expect(() => open(subject, { baseURL })).toThrow(expect.objectContaining({ code: 'invalid-config' }));
    },
  );

  test('an option that does not exist is a config mistake named by its path', () => {
    expect(() => open(subject, { options: { maxTokenField: 'x' } })).toThrow(
      /providers\.upstream\.options.*maxTokenField/,
    );
  });

  test('a proxy is asked for the upstream, and its password is not shown when it fails', async () => {
    const server = await listen(answerWith(subject));
    const proxy = await listen(
      (request, response) => void response.writeHead(502, { 'x-for': request.path }).end('proxy-pass-123 broke'),
    );
    const adapter = open(subject, { baseURL: server.url, proxy: proxy.url.replace('//', '//user:proxy-pass-123@') });
    const failure = adapter.classify(await rejectionOf(adapter.send(createCall())));
    expect(failure.kind).toBe('upstream-error');
    expect(failure.message).not.toContain('proxy-pass-123');
    expect(proxy.received[0]!.path).toBe(`${server.url}${subject.path}`);
    expect(server.received).toHaveLength(0);
  });
});

describe('the address of a name', () => {
  const transportTo = (
    baseURL: string,
    fields: Partial<ProviderConfig>,
    addresses: readonly { address: string; family: number }[],
  ): ReturnType<typeof createTransport> => {
    const transport = createTransport(
      createProviderConfig({ adapter: 'openai', baseURL, ...fields }),
      new URL(baseURL),
      {
        resolve: (_name, _options, callback) => callback(null, [...addresses]),
      },
    );
    cleanups.push(() => transport.close());
    return transport;
  };
  const loopback = [{ address: '127.0.0.1', family: 4 }];

  test('a name that resolves to a loopback, private or metadata address is refused when connecting', async () => {
    const server = await listen((_request, response) => void response.end());
    const { port } = new URL(server.url);
    for (const address of ['127.0.0.1', '10.0.0.1', '169.254.169.254']) {
      const send = transportTo(`http://api.example.com:${port}`, {}, [{ address, family: 4 }]).fetchWith({
        authorization: 'Bearer x',
      });
      const error = findInChain(await rejectionOf(send(`http://api.example.com:${port}/models`)), isAttemptError);
      expect(error?.failure).toMatchObject({
        kind: 'connection',
        message: `expected api.example.com to resolve to a public address, got: ${address} (allowPrivate: true permits it)`,
      });
    }
    expect(server.received).toHaveLength(0);
    expect(server.connections()).toBe(0);
  });

  test('allowPrivate permits it, and a literal address needs no permission', async () => {
    const server = await listen(
      (_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
    );
    const { port } = new URL(server.url);
    const permitted = createTransport(
      createProviderConfig({ adapter: 'openai', allowPrivate: true }),
      new URL(`http://localhost:${port}`),
    );
    cleanups.push(() => permitted.close());
    await permitted.fetchWith({})(`http://localhost:${port}/models`);
    await transportTo(`http://localhost:${port}`, {}, loopback).fetchWith({})(`http://localhost:${port}/models`);
    await transportTo(server.url, {}, []).fetchWith({})(`${server.url}/models`);
    expect(server.received).toHaveLength(3);
  });

  test('a resolver that changes its mind is asked once per connection, and judged each time', async () => {
    const answers = [[{ address: '127.0.0.1', family: 4 }], [{ address: '169.254.169.254', family: 4 }]];
    const asked: string[] = [];
    const transport = createTransport(
      createProviderConfig({ adapter: 'openai' }),
      new URL('http://rebind.example:81'),
      {
        resolve: (name, _options, callback) => {
          asked.push(name);
          callback(null, answers[asked.length - 1] ?? []);
        },
      },
    );
    cleanups.push(() => transport.close());
    for (let round = 0; round < 2; round += 1)
      expect(
        findInChain(await rejectionOf(transport.fetchWith({})('http://rebind.example:81/')), isAttemptError)?.failure
          .kind,
      ).toBe('connection');
    expect(asked).toEqual(['rebind.example', 'rebind.example']);
  });

  test('another origin than the configured one is refused before anything is sent', async () => {
    const server = await listen((_request, response) => void response.end());
    const send = transportTo('http://127.0.0.1:1/v1', {}, loopback).fetchWith({ authorization: 'Bearer x' });
    await expect(send(`${server.url}/v1/models`)).rejects.toThrow(
      'expected the target of a request to be http://127.0.0.1:1',
    );
    expect(server.received).toHaveLength(0);
  });
});

describe('a connection that fails', () => {
  test('a connect limit is its own class, and both SDKs pass it on', async () => {
    // Addresses of TEST-NET-1 are routed nowhere; where the machine refuses them at once, that is a plain connection failure.
    for (const subject of wires) {
      const adapter = open(subject, {
        baseURL: 'http://192.0.2.1:81',
        timeouts: { connectMs: 300, firstTokenMs: 1, stallMs: 1, unstreamedMs: 1 },
      });
      const failure = adapter.classify(await rejectionOf(adapter.send(createCall())));
      expect(['connect-timeout', 'connection']).toContain(failure.kind);
      expect(failure.isMaybeBilled ?? false).toBe(false);
      if (failure.kind === 'connect-timeout') expect(failure.message).toContain('within 300 ms');
    }
  });

  test('a reset after the request was sent may be billed', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const address = server.address();
    for (const subject of wires) {
      const adapter = open(subject, {
        baseURL: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
      });
      expect(adapter.classify(await rejectionOf(adapter.send(createCall())))).toMatchObject({
        kind: 'connection',
        isMaybeBilled: true,
      });
    }
  });

  test('an answer that is not HTTP is broken', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.end('SSH-2.0-OpenSSH_9.6\r\n'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const address = server.address();
    const adapter = open(wires[0], { baseURL: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` });
    expect(adapter.classify(await rejectionOf(adapter.send(createCall()))).kind).toBe('broken');
  });

  test('a fetch of the host is used instead, under the same rules', async () => {
    const seen: Request[] = [];
    const fake: typeof fetch = async (input, init) => {
      seen.push(new Request(input, init));
      return new Response(openaiWire.renderAnswer(plainAnswer), { headers: { 'content-type': 'application/json' } });
    };
    const adapter = createOpenaiAdapter(createProviderConfig({ adapter: 'openai' }), {
      fetch: fake,
      clock: systemClock,
    });
    expect((await adapter.send(createCall())).text).toBe(plainAnswer.text);
    expect(seen[0]!.url).toBe('https://api.openai.com/v1/chat/completions');
    expect(seen[0]!.redirect).toBe('manual');
    expect([...seen[0]!.headers.keys()].toSorted()).toEqual(['accept', 'authorization', 'content-type', 'user-agent']);
    const broken = createOpenaiAdapter(createProviderConfig({ adapter: 'openai' }), {
      fetch: async () => {
        throw new TypeError('fetch failed');
      },
      clock: systemClock,
    });
    expect(broken.classify(await rejectionOf(broken.send(createCall()))).kind).toBe('connection');
  });
});
