import { LLMock } from '@copilotkit/aimock';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAnthropicAdapter } from '../../src/adapters/anthropic/anthropic.ts';
import { createOpenaiAdapter } from '../../src/adapters/openai/openai.ts';
import type { Adapter, AdapterPart, CreateAdapter } from '../../src/contract/adapter.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { canaryCredential, createCall, createProviderConfig } from '../support/adapter-calls.ts';

/** Somebody else's idea of the two wires: it shares no code and no author with our simulator. */
describe('a server of another maker is understood', () => {
  const server = new LLMock({ port: 0 });
  const adapters = new Map<string, Adapter>();

  beforeAll(async () => {
    server.onMessage('hello', { content: 'Hi there!' });
    server.onMessage('weather', { toolCalls: [{ name: 'look_outside', arguments: '{"city":"Oslo"}' }] });
    await server.start();
    const open = (create: CreateAdapter, adapter: string, baseURL: string) =>
      adapters.set(
        adapter,
        create(createProviderConfig({ adapter, baseURL }), { fetch: undefined, clock: systemClock }),
      );
    open(createOpenaiAdapter, 'openai', `${server.url}/v1`);
    open(createAnthropicAdapter, 'anthropic', server.url);
  });

  afterAll(async () => {
    for (const adapter of adapters.values()) await adapter.close?.();
    await server.stop();
  });

  const adapterOf = (name: string): Adapter => {
    const adapter = adapters.get(name);
    if (adapter === undefined) throw new TypeError(`expected an adapter ${name}`);
    return adapter;
  };
  const callOf = (name: string, content: string) => {
    const model = name === 'openai' ? 'gpt-4.1' : 'claude-sonnet-4-5';
    const tools = [{ name: 'look_outside', parameters: { type: 'object', properties: { city: { type: 'string' } } } }];
    return createCall({ model, request: { kind: 'completion', model, messages: [{ role: 'user', content }], tools } });
  };

  test.each(['openai', 'anthropic'])('%s: a whole answer', async (name) => {
    const reply = await adapterOf(name).send(callOf(name, 'hello'));
    expect(reply).toMatchObject({ text: 'Hi there!', finishReason: 'stop', toolCalls: [] });
  });

  test.each(['openai', 'anthropic'])('%s: a streamed answer', async (name) => {
    const parts: AdapterPart[] = await Array.fromAsync(adapterOf(name).stream(callOf(name, 'hello')));
    expect(parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')).toBe('Hi there!');
    expect(parts.filter((part) => part.type === 'finish')).toEqual([{ type: 'finish', finishReason: 'stop' }]);
  });

  test.each(['openai', 'anthropic'])('%s: a tool call, streamed or not', async (name) => {
    const reply = await adapterOf(name).send(callOf(name, 'weather'));
    expect(reply.finishReason).toBe('tool-calls');
    expect(reply.toolCalls).toMatchObject([{ name: 'look_outside', arguments: '{"city":"Oslo"}' }]);
    const parts: AdapterPart[] = await Array.fromAsync(adapterOf(name).stream(callOf(name, 'weather')));
    expect(parts).toContainEqual(
      expect.objectContaining({ type: 'toolCall', name: 'look_outside', arguments: '{"city":"Oslo"}' }),
    );
  });

  test('it never saw a key where none belongs', () => {
    expect(server.getRequests().length).toBeGreaterThanOrEqual(8);
    for (const request of server.getRequests())
      expect(JSON.stringify(request.body)).not.toContain(canaryCredential.apiKey);
  });
});
