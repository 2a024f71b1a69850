/** The control address, the log, and the options that both share with the library. */
import { describe, expect, test } from 'vitest';
import { parsePatch, parseStart } from '../../src/simulator/options.ts';
import { logEntriesMax, RequestLog } from '../../src/simulator/request-log.ts';
import { createSimulator, type Simulator } from '../../src/simulator/server.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { askAnthropic, askOpenai, receive, startSimulator } from './support.ts';

function post({ url }: Simulator, patch: unknown, contentType = 'application/json'): Promise<Response> {
  return fetch(`${url}/control`, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: typeof patch === 'string' ? patch : JSON.stringify(patch),
  });
}

describe('the log', () => {
  test('tells of each request what an upstream knows, and neither key nor prompt', async () => {
    const simulator = await startSimulator({ outputTokens: 5 });
    await receive(await askOpenai(simulator, { stream: true, prompt: 'very private', extra: { max_tokens: 40 } }));
    await receive(await askAnthropic(simulator, { model: 'fail-529' }));
    const log = (await (await fetch(`${simulator.url}/control/log`)).json()) as Record<string, unknown>[];
    expect(log).toEqual(JSON.parse(JSON.stringify(simulator.log())));
    expect(log).toMatchObject([
      {
        number: 1,
        method: 'POST',
        path: '/v1/chat/completions',
        wire: 'openai',
        model: 'm',
        isStream: true,
        maxTokens: 40,
        status: 200,
        tokensSent: 5,
        endedAtMs: expect.any(Number),
      },
      {
        number: 2,
        method: 'POST',
        path: '/v1/messages',
        wire: 'anthropic',
        model: 'fail-529',
        isStream: false,
        maxTokens: 1000,
        status: 529,
        fault: 'fail-529',
        tokensSent: 0,
      },
    ]);
    expect(log[0]?.['credential']).toMatch(/^[0-9a-f]{8}$/u);
    expect(log[0]?.['credential']).toBe(log[1]?.['credential']);
    expect(log[0]?.['bytesReceived']).toBeGreaterThan(100);
    expect(log[0]?.['headerNames']).toContain('authorization');
    expect(JSON.stringify(log)).not.toMatch(/sk-test-key|very private/u);
  });

  test('is cleared by DELETE, and control requests are not in it', async () => {
    const simulator = await startSimulator();
    await receive(await askOpenai(simulator));
    expect((await fetch(`${simulator.url}/control/log`, { method: 'DELETE' })).status).toBe(200);
    expect(simulator.log()).toEqual([]);
  });

  test('keeps the newest requests and forgets older ones', () => {
    const log = new RequestLog();
    for (let index = 0; index < 2 * logEntriesMax + 5; index += 1)
      log.open({ method: 'GET', path: '/', atMs: index, headerNames: [], credential: undefined });
    const entries = log.read();
    expect(entries).toHaveLength(logEntriesMax);
    expect(entries.at(-1)?.number).toBe(2 * logEntriesMax + 5);
    expect(entries[0]?.number).toBe(logEntriesMax + 6);
  });

  test('gives copies, which do not change any more', async () => {
    const simulator = await startSimulator();
    const answer = await askOpenai(simulator, { model: 'slow-60000' });
    const [before] = simulator.log();
    await simulator.close();
    await expect(answer.text()).rejects.toThrow('terminated');
    expect(before?.bytesSent).toBe(0);
  });
});

describe('POST /control', () => {
  test('switches a fault on and off, also while everything fails', async () => {
    const simulator = await startSimulator();
    expect((await post(simulator, { fault: 'hang' })).status).toBe(200);
    expect((await post(simulator, { fault: '503' })).status).toBe(200);
    expect((await askOpenai(simulator)).status).toBe(503);
    expect(await (await post(simulator, { fault: 'ok' })).json()).toEqual({ applied: ['fault'] });
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('takes the fault refuse only with an end', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    expect((await post(simulator, { fault: 'refuse' })).status).toBe(400);
    expect((await post(simulator, { fault: 'refuse', forMs: 1_000 })).status).toBe(200);
    await expect(askOpenai(simulator)).rejects.toThrow('fetch failed');
    await clock.advance(1_000);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test.each([
    ['a fault that does not exist', { fault: 'explode' }, 400, /expected fault to be ok or one of fail-STATUS/u],
    [
      'impossible numbers',
      { fault: 'fail-200' },
      400,
      /expected fault to be fail-STATUS\[-SECONDS\], got: "fail-200"/u,
    ],
    [
      'an option that does not exist',
      { latency: 5 },
      400,
      /expected the options to have only known keys, got: latency/u,
    ],
    ['a list', [], 400, /an object/u],
    ['no JSON', '{', 400, /JSON/u],
    ['a time without a fault', { forMs: 5 }, 400, /forMs/u],
    [
      'rates over 1',
      {
        failures: [
          { rate: 0.6, fault: '500' },
          { rate: 0.6, fault: '500' },
        ],
      },
      400,
      /at most 1/u,
    ],
    [
      'an outage that ends before it begins',
      { outages: [{ fromMs: 5, toMs: 5, fault: '500' }] },
      400,
      /ends after it began/u,
    ],
  ])('refuses %s and changes nothing', async (_name, patch, status, pattern) => {
    const simulator = await startSimulator();
    const response = await post(simulator, patch);
    expect(response.status).toBe(status);
    expect(JSON.stringify(await response.json()).replaceAll('\\"', '"')).toMatch(pattern);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('takes nothing that a web page could post without asking first', async () => {
    const simulator = await startSimulator();
    expect((await post(simulator, { fault: '503' }, 'text/plain')).status).toBe(415);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('refuses a body over its limit', async () => {
    const simulator = await startSimulator();
    expect((await post(simulator, ' '.repeat(1_048_577))).status).toBe(413);
  });

  test.each([
    ['GET', '/control'],
    ['PUT', '/control/log'],
    ['GET', '/control/other'],
  ])('%s %s is 404', async (method, path) => {
    const { url } = await startSimulator();
    expect((await fetch(`${url}${path}`, { method })).status).toBe(404);
  });
});

describe('the options', () => {
  test('have every mistake named at once, with its path', () => {
    expect(() => parseStart({ port: 70_000, host: '', outages: [{ fromMs: 1, toMs: 2, fault: 'boom' }] })).toThrow(
      /expected outages\.0\.fault to be ok or one of .*; expected port to be at most 65535, got: 70000; expected host to be of a length of at least 1, got: ""/u,
    );
  });

  test('never quote a key', () => {
    // A key where a list of keys belongs: what somebody types who did not read.
    expect(() => parsePatch({ keys: 'sk-secret' })).toThrow('expected keys to be a list, got: something else');
  });

  test('give outputTokens its bounds', () => {
    expect(() => parsePatch({ outputTokens: 0 })).toThrow('at least 1');
    expect(() => parsePatch({ outputTokens: 100_001 })).toThrow('at most 100000');
    expect(parsePatch({ outputTokens: 100_000 })).toEqual({ outputTokens: 100_000 });
  });

  test('a port that is taken is an error that says so', async () => {
    const { port } = await startSimulator();
    await expect(createSimulator({ clock: new VirtualClock(), port })).rejects.toMatchObject({
      code: 'invalid-config',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  });
});
