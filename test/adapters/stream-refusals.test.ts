/** How servers refuse to stream, over real sockets and through the real SDKs: what nobody asked for must cost nobody an answer. */
import { afterEach, describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import { startService } from '../../src/compose.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openUpstream, plainAnswer, type Respond } from '../contracts/upstream.ts';
import { anthropicWire, openaiWire } from '../contracts/wires.ts';
import { createCall, createProviderConfig, tryStream } from '../support/adapter-calls.ts';
import { upstreamInput } from '../support/socket-service.ts';

const cleanups: (() => Promise<unknown> | undefined)[] = [];
afterEach(async () => {
  await Promise.all(cleanups.splice(0).map(async (cleanup) => cleanup()));
});

const subjects = [
  { adapter: 'openai', create: createOpenaiAdapter, wire: openaiWire },
  { adapter: 'anthropic', create: createAnthropicAdapter, wire: anthropicWire },
] as const;
type Subject = (typeof subjects)[number];

const json =
  (status: number, body: unknown): Respond =>
  (_request, response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(typeof body === 'string' ? body : JSON.stringify(body));

const error = (message: unknown) => ({ error: { message, type: 'invalid_request_error', param: 'stream' } });

async function streamFailure({ create, adapter: name }: Subject, respond: Respond) {
  const server = await openUpstream(respond);
  const adapter = create(createProviderConfig({ adapter: name, baseURL: server.url }), {
    fetch: undefined,
    clock: systemClock,
  });
  cleanups.push(
    () => adapter.close?.(),
    () => server.close(),
  );
  return adapter.classify((await tryStream(adapter, createCall())).error);
}

describe.each(subjects)('$adapter', (subject) => {
  test.each([
    [400, error('Your organization must be verified to stream this model. Please go to your settings.')],
    [400, error("Unsupported value: 'stream' does not support true with this model. Only false is supported.")],
    [400, error('"stream_options" is not allowed')],
    [400, error('Streaming is not available for this deployment')],
    [
      422,
      { detail: [{ type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] },
    ],
  ])('%i %j is a refusal to stream', async (status, body) => {
    expect(await streamFailure(subject, json(status, body))).toMatchObject({
      kind: 'invalid-request',
      isStreamRefused: true,
    });
  });

  test('an answer in one piece is one too', async () => {
    const failure = await streamFailure(subject, json(200, subject.wire.renderAnswer(plainAnswer)));
    expect(failure).toMatchObject({ kind: 'false-success', isStreamRefused: true });
  });

  test.each<[string, Respond]>([
    ['a request that is wrong for another reason', json(400, error('temperature is 3'))],
    ['an overload that speaks of streams', json(503, error('too many streams'))],
    [
      'a page',
      (_request, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>choices</p>'),
    ],
    ['an error that came with 200', json(200, { error: { message: 'no capacity' }, choices: [], content: [] })],
    ['a document that is no answer', json(200, { hello: 'world' })],
  ])('%s is none', async (_what, respond) => {
    expect(await streamFailure(subject, respond)).not.toHaveProperty('isStreamRefused');
  });

  test.each(['with 400', 'by answering in one piece'])(
    'a submitted request is answered by a server that refuses to stream %s, and one to come is not asked to',
    async (how) => {
      const asked: string[] = [];
      const server = await openUpstream((request, response, raw) => {
        const isStream = subject.wire.isStream(raw, request.body);
        asked.push(isStream ? 'stream' : 'whole');
        const isRefused = isStream && how === 'with 400';
        const respond = isRefused
          ? json(400, error('no streams here'))
          : json(200, subject.wire.renderAnswer(plainAnswer));
        respond(request, response, raw);
      });
      const config = { providers: { up: upstreamInput(subject.adapter, server.url) } };
      const service = await startService(config, { clock: systemClock, env: {} });
      cleanups.push(
        () => service.stop({ graceMs: 0 }),
        () => server.close(),
      );
      for (const content of ['1', '2']) {
        const requestId = await service.completionAsync({ model: 'm', messages: [{ role: 'user', content }] });
        const live = service.resultStream(requestId).response;
        expect(await service.getResult(requestId, { waitMs: 10_000 })).toMatchObject({
          status: 'succeeded',
          response: { text: plainAnswer.text, usage: plainAnswer.usage, attempts: [{ outcome: 'answered' }] },
        });
        // Who reads along is given what the record keeps, and no more.
        expect(await live).toEqual(await service.resultStream(requestId).response);
      }
      expect(asked).toEqual(['stream', 'whole', 'whole']);
    },
  );
});
