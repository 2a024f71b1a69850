/** Feature headers on their whole way: from the official clients over the HTTP edge to a provider that keeps what it hears. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { startService } from '../../src/compose.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { Service } from '../../src/contract/service.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startEdge } from '../support/http-edge.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];
const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
const ANSWERS: Readonly<Record<string, unknown>> = {
  '/v1/chat/completions': {
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
    usage,
  },
  '/v1/messages': {
    type: 'message',
    role: 'assistant',
    content: [{ type: 'text', text: 'Hi' }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 1, output_tokens: 1 },
  },
  '/v1/embeddings': { object: 'list', data: [{ object: 'embedding', index: 0, embedding: [0.5] }], usage },
};
const STREAM = [
  { choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: null }] },
  { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage },
];

interface Rig extends AsyncDisposable {
  readonly url: string;
  readonly openai: OpenAI;
  readonly anthropic: Anthropic;
  /** The headers of every call that a provider got, oldest first. */
  readonly heard: readonly IncomingHttpHeaders[];
  readonly service: Service;
}

/** Clients, edge, service and adapters as they are, over a provider of either wire. `headers` is what the operator sets. */
async function startRig(headers: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const heard: IncomingHttpHeaders[] = [];
  const upstream = createServer((request, response) => {
    heard.push(request.headers);
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      if (body.includes('"stream":true')) {
        const lines = [...STREAM.map((chunk) => JSON.stringify(chunk)), '[DONE]'];
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(lines.map((line) => `data: ${line}\n\n`).join(''));
        return;
      }
      const { pathname } = new URL(request.url ?? '', 'http://upstream');
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ANSWERS[pathname]));
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo; // It listens on TCP.
  const baseURL = `http://127.0.0.1:${port}`;
  const source = {
    providers: {
      north: { adapter: 'openai', baseURL: `${baseURL}/v1`, apiKey: 'canary-north', models: ['large-1'], headers },
      south: { adapter: 'anthropic', baseURL, apiKey: 'canary-south', models: ['large-2'], headers },
    },
  };
  const service = await startService(source);
  const { config } = resolveConfig(source, { env: {} });
  const app = createHttpServer({ service, config, clock: systemClock });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    openai: new OpenAI({
      apiKey: 'caller-key',
      baseURL: `${url}/v1`,
      organization: 'org-caller',
      project: 'proj-caller',
    }),
    anthropic: new Anthropic({ apiKey: 'caller-key', baseURL: url }),
    heard,
    service,
    [Symbol.asyncDispose]: async () => {
      app.server.closeAllConnections();
      await app.close();
      await service.stop({ graceMs: 0 });
      upstream.closeAllConnections();
      upstream.close();
    },
  };
}

describe('a feature header', () => {
  test('of the Anthropic client reaches a provider of the Anthropic wire, and nothing else of the client does', async () => {
    await using rig = await startRig();
    const secret = { authorization: 'Bearer caller-token', cookie: 'session=caller', 'x-custom': 'caller' };
    await rig.anthropic.beta.messages.create(
      { model: 'south/large-2', max_tokens: 10, messages, betas: ['context-1m-2025-08-07', 'pdfs-2024-09-25'] },
      { headers: secret },
    );
    expect(rig.heard).toHaveLength(1);
    expect(rig.heard[0]).toMatchObject({
      'anthropic-beta': 'context-1m-2025-08-07,pdfs-2024-09-25',
      'anthropic-version': '2023-06-01',
      'x-api-key': 'canary-south',
    });
    expect(JSON.stringify(rig.heard)).not.toContain('caller');
  });

  test('of the OpenAI client reaches a provider of the OpenAI wire, streamed, unstreamed, submitted and embedding', async () => {
    await using rig = await startRig();
    const headers = { 'OpenAI-Beta': 'assistants=v2', 'OpenAI-Organization': 'org-caller' };
    const model = 'north/large-1';
    await rig.openai.chat.completions.create({ model, messages }, { headers });
    const stream = await rig.openai.chat.completions.create({ model, messages, stream: true }, { headers });
    for await (const chunk of stream) expect(chunk.object).toBe('chat.completion.chunk');
    await rig.openai.embeddings.create({ model, input: 'x' }, { headers });
    const submitted = await rig.openai.post<{ requestId: string }>('/requests', { body: { model, messages }, headers });
    expect(await rig.openai.get(`/requests/${submitted.requestId}?wait=10`)).toMatchObject({ status: 'succeeded' });
    expect(rig.heard.map((heard) => heard['openai-beta'])).toEqual(Array(4).fill('assistants=v2'));
    expect(JSON.stringify(rig.heard)).not.toContain('caller');
  });

  test('is left out where another wire answers: what it asks for is a matter of that vendor', async () => {
    await using rig = await startRig();
    await rig.anthropic.messages.create(
      { model: 'north/large-1', max_tokens: 10, messages },
      { headers: { 'anthropic-beta': 'pdfs-2024-09-25', 'openai-beta': 'assistants=v2' } },
    );
    await rig.openai.chat.completions.create(
      { model: 'south/large-2', messages },
      { headers: { 'openai-beta': 'assistants=v2', 'anthropic-beta': 'pdfs-2024-09-25' } },
    );
    expect(rig.heard.map((heard) => [heard['openai-beta'], heard['anthropic-beta']])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });

  test('that the operator sets goes before the one of the caller', async () => {
    await using rig = await startRig({ 'Anthropic-Beta': 'operators-choice' });
    await rig.anthropic.messages.create(
      { model: 'south/large-2', max_tokens: 10, messages },
      { headers: { 'anthropic-beta': 'callers-choice' } },
    );
    expect(rig.heard[0]?.['anthropic-beta']).toBe('operators-choice');
  });

  test('that the vendor does not document as one is never sent, whoever asks for it', async () => {
    await using rig = await startRig();
    const headers = {
      authorization: 'Bearer caller',
      'x-api-key': 'caller',
      'anthropic-version': 'caller',
      cookie: 'caller',
    };
    for (const model of ['north/large-1', 'south/large-2'])
      await rig.service.completion({ model, messages, featureHeaders: headers });
    expect(rig.heard).toHaveLength(2);
    expect(JSON.stringify(rig.heard)).not.toContain('caller');
    await expect(
      rig.service.completion({ messages, featureHeaders: { 'openai-beta': 'a\r\nx: y' } }),
    ).rejects.toMatchObject({ code: 'invalid-request', param: 'featureHeaders.openai-beta' });
  });

  test('of one call is not sent with the next one', async () => {
    await using rig = await startRig();
    const ask = (beta: string | undefined) =>
      rig.anthropic.messages.create(
        { model: 'south/large-2', max_tokens: 10, messages },
        beta === undefined ? {} : { headers: { 'anthropic-beta': beta } },
      );
    for (const beta of ['one', undefined, 'two', 'one']) await ask(beta);
    expect(rig.heard.map((heard) => heard['anthropic-beta'])).toEqual(['one', undefined, 'two', 'one']);
  });

  test('that is empty, as for an empty list of features, is none', async () => {
    await using edge = await startEdge();
    const response = await edge.post('/v1/messages', { model: 'm', max_tokens: 1, messages }, { 'anthropic-beta': '' });
    expect(response.status).toBe(200);
    expect(edge.service.lastRequest).not.toHaveProperty('featureHeaders');
  });

  test.each(['a\u00e9', 'x'.repeat(1_025), 'a"b'])(
    'that is no list of features (%j) is refused by name',
    async (value) => {
      await using edge = await startEdge();
      const response = await edge.post(
        '/v1/messages',
        { model: 'm', max_tokens: 1, messages },
        { 'anthropic-beta': value },
      );
      expect([response.status, (await response.json()).error.message]).toEqual([
        400,
        expect.stringMatching(/^expected anthropic-beta to be a list of features/),
      ]);
      expect(edge.service.requests).toEqual([]);
    },
  );
});
