/**
 * Real answers of real providers, read through the adapters over a real socket. What each must come to is computed here from
 * the recorded body, independently of the parsers: by indexing into the JSON as the providers' documentation describes it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { Adapter, Feature } from '../../src/contract/adapter.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import {
  CANARY_KEY,
  collectStream,
  createCall,
  createEmbedCall,
  createProviderConfig,
  rejectionOf,
  tryStream,
} from '../support/adapter-calls.ts';
import {
  hasRecordings,
  loadRecordings,
  openRecordedServer,
  type Recording,
  type RecordedServer,
} from '../support/recorded.ts';
import {
  expectedOfChat,
  expectedOfChatStream,
  expectedOfMessage,
  expectedOfMessageStream,
  expectedVectors,
} from '../support/recorded-expectations.ts';

/** Every error among the recordings, as the provider and the table class it. The two `undefined` statuses came inside streams. */
const EXPECTED_FAILURES: readonly {
  readonly host: string;
  readonly status: number | undefined;
  readonly says: string;
  readonly kind: FailureKind;
  readonly count: number;
}[] = [
  { host: 'api.perplexity.ai', status: 401, says: 'Invalid API key', kind: 'unauthorized', count: 1 },
  {
    host: 'api.deepseek.com',
    status: 400,
    says: 'maximum context length is 1048565',
    kind: 'context-too-long',
    count: 1,
  },
  { host: 'ollama.com', status: 400, says: 'prompt too long', kind: 'context-too-long', count: 1 },
  { host: 'openrouter.ai', status: 400, says: 'maximum context length is 200000', kind: 'context-too-long', count: 1 },
  { host: 'api.openai.com', status: 404, says: 'this-model-does-not-exist', kind: 'model-not-found', count: 1 },
  { host: 'api.groq.com', status: 404, says: 'llama-3.3-70b-versatlie', kind: 'model-not-found', count: 1 },
  { host: 'api.groq.com', status: 400, says: 'Tool call validation failed', kind: 'invalid-request', count: 1 },
  { host: 'api.groq.com', status: 400, says: 'Tool choice is required', kind: 'invalid-request', count: 1 },
  { host: 'api.openai.com', status: 400, says: "Invalid 'messages[3]'", kind: 'invalid-request', count: 2 },
  { host: 'api.groq.com', status: undefined, says: 'Tool call validation failed', kind: 'invalid-request', count: 1 },
  { host: 'api.groq.com', status: undefined, says: 'Tool choice is required', kind: 'invalid-request', count: 1 },
];

const recordings = loadRecordings();
const isBrokenStream = (recording: Recording): boolean => recording.isStream && /^event: error$/m.test(recording.body);
const answered = recordings.filter((recording) => recording.status === 200 && !isBrokenStream(recording));
const failed = recordings.filter((recording) => recording.status !== 200 || isBrokenStream(recording));

describe.skipIf(!hasRecordings)('recorded calls (skipped where ../shared/data/recorded is missing)', () => {
  let server: RecordedServer;
  const adapters: Adapter[] = [];

  beforeAll(async () => {
    server = await openRecordedServer(recordings);
  });
  afterAll(async () => {
    await Promise.all(adapters.map(async (adapter) => adapter.close?.()));
    await server.close();
  });

  /** The host matters for what is sent and for the encoding of vectors; its dialect is asked for by name where it does. */
  function adapterFor(recording: Recording): Adapter {
    const create = recording.kind === 'messages' ? createAnthropicAdapter : createOpenaiAdapter;
    const config = createProviderConfig({
      adapter: recording.kind === 'messages' ? 'anthropic' : 'openai',
      baseURL: server.urlOf(recording),
    });
    const adapter = create(config, { fetch: undefined, clock: systemClock });
    adapters.push(adapter);
    return adapter;
  }

  test('every recording is read: none is left out', () => {
    const counts = Object.groupBy(recordings, ({ kind }) => kind);
    console.log(
      `recorded calls read: ${answered.length} answers (${answered.filter(({ isStream }) => isStream).length} streams), ${failed.length} failures`,
    );
    expect({
      chat: counts.chat?.length,
      messages: counts.messages?.length,
      embeddings: counts.embeddings?.length,
    }).toEqual({ chat: 396, messages: 181, embeddings: 17 });
    expect(answered.length + failed.length).toBe(594);
    expect(EXPECTED_FAILURES.reduce((sum, { count }) => sum + count, 0)).toBe(failed.length);
  });

  test.each(
    answered
      .filter(({ kind, isStream }) => kind !== 'embeddings' && !isStream)
      .map((recording) => [recording.index, recording.host, recording] as const),
  )('answer %i of %s is read exactly as it was recorded', async (_index, _host, recording) => {
    const reply = await adapterFor(recording).send(createCall());
    const expected = recording.kind === 'messages' ? expectedOfMessage(recording.body) : expectedOfChat(recording.body);
    expect({
      text: reply.text,
      toolCalls: reply.toolCalls,
      finishReason: reply.finishReason,
      usage: reply.usage,
    }).toEqual(expected.answer);
    expect(reply.reasoningDetails !== undefined).toBe(expected.hasReasoningDetails);
    expect(reply.wireBody?.body).toEqual(JSON.parse(recording.body));
  });

  test.each(
    answered
      .filter(({ isStream }) => isStream)
      .map((recording) => [recording.index, recording.host, recording] as const),
  )('stream %i of %s is read exactly as it was recorded', async (_index, _host, recording) => {
    const { text, reasoning, toolCalls, finishReason, usage, parts } = await collectStream(
      adapterFor(recording),
      createCall(),
    );
    const expected =
      recording.kind === 'messages' ? expectedOfMessageStream(recording.body) : expectedOfChatStream(recording.body);
    expect({ text, reasoning, toolCalls, finishReason, usage }).toEqual(expected);
    expect(parts.filter(({ type }) => type === 'finish')).toHaveLength(1);
  });

  test.each(
    answered
      .filter(({ kind }) => kind === 'embeddings')
      .map((recording) => [recording.index, recording.host, recording] as const),
  )('embedding %i of %s gives the recorded vectors', async (_index, _host, recording) => {
    const { vectors, promptTokens } = expectedVectors(recording.body, recording.host);
    const adapter = recording.host === 'api.perplexity.ai' ? perplexityAdapter(recording) : adapterFor(recording);
    const reply = await adapter.embed?.(createEmbedCall(vectors.map((_, index) => `text ${index}`)));
    expect(reply?.vectors).toEqual(vectors);
    expect(reply?.usage.inputTokens).toBe(promptTokens);
  });

  /** Perplexity's vectors are known by its host alone, so its real base URL is kept and only the socket is another. */
  function perplexityAdapter(recording: Recording): Adapter {
    const config = createProviderConfig({ adapter: 'openai', baseURL: 'https://api.perplexity.ai/v1' });
    const toServer: typeof fetch = (input, init) =>
      fetch(`${server.urlOf(recording)}${new URL(input instanceof Request ? input.url : input).pathname}`, init);
    return createOpenaiAdapter(config, { fetch: toServer, clock: systemClock });
  }

  test.each(EXPECTED_FAILURES)('$host: "$says" ($status) is $kind', async ({ host, status, says, kind, count }) => {
    const matching = failed.filter(
      (recording) =>
        recording.host === host &&
        recording.body.includes(says) &&
        (isBrokenStream(recording) ? status === undefined : recording.status === status),
    );
    expect(matching).toHaveLength(count);
    for (const recording of matching) {
      const adapter = adapterFor(recording);
      const error = recording.isStream
        ? (await tryStream(adapter, createCall())).error
        : await rejectionOf(adapter.send(createCall()));
      const failure = adapter.classify(error);
      expect(failure.kind).toBe(kind);
      expect(failure.message).toContain(says);
      expect(failure.message).not.toContain(CANARY_KEY);
      expect(failure.status).toBe(status ?? 400);
    }
  });

  test('both adapters say that they can do what the recordings hold', () => {
    const features: readonly Feature[] = ['completion', 'stream', 'tools', 'images', 'json'];
    for (const kind of ['chat', 'messages'] as const) {
      const recording = recordings.find((candidate) => candidate.kind === kind)!;
      for (const feature of features) expect(adapterFor(recording).supports(feature, 'model-1')).toBe(true);
    }
  });
});
