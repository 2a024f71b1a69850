/** When faults happen: outages, scripts, chance, the switch, and how fast answers are, all on a virtual clock. */
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Distribution } from '../../src/simulator/random.ts';
import { createRandom, drawMs } from '../../src/simulator/random.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ask, askOpenai, countTokens, receive, startSimulator, until } from './support.ts';

describe('an outage', () => {
  test('begins and ends at its ms, on every address', async () => {
    const clock = new VirtualClock();
    await clock.advance(5_000);
    const simulator = await startSimulator({ clock, outages: [{ fromMs: 10_000, toMs: 40_000, fault: '503' }] });
    const statuses = async () => {
      const list = await fetch(`${simulator.url}/v1/models`);
      await list.text();
      return [(await askOpenai(simulator)).status, list.status];
    };
    await clock.advance(9_999);
    expect(await statuses()).toEqual([200, 200]);
    await clock.advance(1);
    expect(await statuses()).toEqual([503, 503]);
    await clock.advance(29_999);
    expect(await statuses()).toEqual([503, 503]);
    await clock.advance(1);
    expect(await statuses()).toEqual([200, 200]);
    expect(simulator.log().map((entry) => entry.atMs)).toEqual([
      9_999, 9_999, 10_000, 10_000, 39_999, 39_999, 40_000, 40_000,
    ]);
  });

  test('that refuses closes new connections at once and idle ones at their next request', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock, outages: [{ fromMs: 1_000, toMs: 2_000, fault: 'refuse' }] });
    expect((await askOpenai(simulator)).status).toBe(200);
    await clock.advance(1_000);
    await expect(askOpenai(simulator)).rejects.toThrow('fetch failed');
    await new Promise<void>((resolve) => {
      connect(simulator.port, '127.0.0.1')
        .on('error', () => undefined)
        .once('close', () => resolve());
    });
    await until(
      () => simulator.log().some((entry) => entry.method === '' && entry.fault === 'refuse'),
      'the refused connection in the log',
    );
    await clock.advance(1_000);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('goes before the name of the model', async () => {
    const simulator = await startSimulator({ outages: [{ fromMs: 0, toMs: 60_000, fault: '529' }] });
    expect((await askOpenai(simulator, { model: 'fail-400' })).status).toBe(529);
  });
});

describe('a script', () => {
  test('is followed in order, one entry per completion or embedding, and is over after its end', async () => {
    const simulator = await startSimulator({ script: ['500', 'ok', 'fail-429-2'] });
    await (await fetch(`${simulator.url}/v1/models`)).text();
    const statuses: number[] = [];
    for (let index = 0; index < 5; index += 1) statuses.push((await askOpenai(simulator)).status);
    expect(statuses).toEqual([500, 200, 429, 200, 200]);
  });

  test('is not used up by requests that a healthy upstream refuses, nor by models named after faults', async () => {
    const simulator = await startSimulator({ script: ['500'], keys: ['sk-test-key'] });
    const refused = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-other' },
      body: '{}',
    });
    expect(refused.status).toBe(401);
    expect((await askOpenai(simulator, { model: 'fail-502' })).status).toBe(502);
    expect((await askOpenai(simulator)).status).toBe(500);
  });
});

describe('failures by chance', () => {
  const failures = [
    { rate: 0.2, fault: '500' },
    { rate: 0.1, fault: 'fail-429-1' },
  ];
  const run = async (seed: number, latencyMs?: Distribution) => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock, seed, failures, latencyMs });
    const statuses: number[] = [];
    for (let index = 0; index < 100; index += 1) {
      const answer = askOpenai(simulator);
      await until(() => simulator.log().length > index, 'the request to arrive');
      statuses.push((await clock.waitFor(answer)).status);
    }
    return statuses;
  };

  test('are the same for the same seed, and other for another', async () => {
    const first = await run(7);
    expect(await run(7)).toEqual(first);
    expect(await run(8)).not.toEqual(first);
  });

  test('come at their rates, and adding latency moves none of them', async () => {
    const statuses = await run(3);
    const count = (status: number) => statuses.filter((other) => other === status).length;
    expect(count(500)).toBeGreaterThan(8);
    expect(count(500)).toBeLessThan(35);
    expect(count(429)).toBeGreaterThan(2);
    expect(count(429)).toBeLessThan(22);
    expect(await run(3, { kind: 'uniform', minMs: 1, maxMs: 3 })).toEqual(statuses);
  });
});

describe('the switch', () => {
  test('spoils everything until it is turned off', async () => {
    const simulator = await startSimulator();
    simulator.configure({ fault: 'html-502' });
    expect((await askOpenai(simulator)).status).toBe(502);
    expect((await askOpenai(simulator)).status).toBe(502);
    simulator.configure({ fault: 'ok' });
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('turns itself off after forMs', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock });
    simulator.configure({ fault: '503', forMs: 30_000 });
    await clock.advance(29_999);
    expect((await askOpenai(simulator)).status).toBe(503);
    await clock.advance(1);
    expect((await askOpenai(simulator)).status).toBe(200);
  });

  test('changes nothing else, and null gives an option its default again', async () => {
    const simulator = await startSimulator({ outputTokens: 5, script: ['ok', '500'] });
    expect((await askOpenai(simulator)).status).toBe(200);
    simulator.configure({ fault: null, models: ['m'] });
    expect((await askOpenai(simulator)).status).toBe(500);
    const words = async () => JSON.stringify(await (await askOpenai(simulator)).json());
    expect(await words()).toContain('simulator one two three [end]');
    simulator.configure({ outputTokens: null });
    expect(await words()).toContain('"completion_tokens":60');
  });

  test('a wrong patch changes nothing', async () => {
    const simulator = await startSimulator();
    expect(() => simulator.configure({ fault: '503', outputTokens: -1 })).toThrow(
      'expected outputTokens to be at least 1, got: -1',
    );
    expect((await askOpenai(simulator)).status).toBe(200);
  });
});

describe('the pace', () => {
  test('latency comes before the headers', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock, latencyMs: 300 });
    const answer = askOpenai(simulator, { stream: true });
    await until(() => simulator.log()[0]?.model === 'm', 'the request to arrive');
    await clock.advance(299);
    expect(simulator.log()[0]?.status).toBeUndefined();
    await clock.advance(1);
    expect((await answer).status).toBe(200);
  });

  test('a stream keeps tokensPerSecond, and an unstreamed answer takes as long', async () => {
    const clock = new VirtualClock();
    const simulator = await startSimulator({ clock, tokensPerSecond: 10, outputTokens: 21 });
    const body = receive(await askOpenai(simulator, { stream: true }));
    await until(() => simulator.log()[0]?.tokensSent === 1, 'the first token');
    await clock.advance(1_000);
    expect(simulator.log()[0]?.tokensSent).toBe(11);
    await clock.advance(1_000);
    expect(countTokens('openai', (await body).text)).toBe(21);
    const whole = ask('anthropic', simulator, {});
    await until(() => simulator.log()[1]?.model === 'm', 'the second request');
    await clock.advance(1_999);
    expect(simulator.log()[1]?.status).toBeUndefined();
    await clock.advance(1);
    expect((await whole).status).toBe(200);
  });

  test.each<[Distribution, number, number, number]>([
    [{ kind: 'constant', ms: 50 }, 50, 50, 50],
    [{ kind: 'uniform', minMs: 100, maxMs: 300 }, 200, 100, 300],
    [{ kind: 'lognormal', medianMs: 400, sigma: 0.5 }, 400, 20, 8_000],
  ])('%j has its median and its bounds', (distribution, median, least, most) => {
    const random = createRandom(11);
    const draws = Array.from({ length: 4_001 }, () => drawMs(distribution, random)).toSorted(
      (left, right) => left - right,
    );
    expect(draws[2_000]).toBeGreaterThan(median * 0.95 - 1e-9);
    expect(draws[2_000]).toBeLessThan(median * 1.05 + 1e-9);
    expect(draws[0]).toBeGreaterThanOrEqual(least);
    expect(draws.at(-1)).toBeLessThanOrEqual(most);
  });

  test('a latency without bounds is bounded', () => {
    const values = [1e-300, 0];
    expect(
      drawMs({ kind: 'lognormal', medianMs: 600_000, sigma: 5 }, () => 1 - (values.shift() ?? 0) || 0.999999),
    ).toBeLessThanOrEqual(600_000);
  });
});

test('a thousand streams at once are all answered whole', async () => {
  const simulator = await startSimulator({
    tokensPerSecond: 200,
    outputTokens: 20,
    latencyMs: { kind: 'uniform', minMs: 0, maxMs: 50 },
  });
  const texts = await Promise.all(
    Array.from(
      { length: 1_000 },
      async (_request, index) =>
        (await receive(await askOpenai(simulator, { stream: true, prompt: `p${index}` }))).text,
    ),
  );
  expect(texts.every((text, index) => text.includes(`" p${index}"`) && text.endsWith('[DONE]\n\n'))).toBe(true);
  expect(simulator.log().filter((entry) => entry.endedAtMs !== undefined && entry.tokensSent === 20)).toHaveLength(
    1_000,
  );
});

test('a reader that does not read holds a stream up instead of filling the memory', async () => {
  const simulator = await startSimulator({ outputTokens: 100_000 });
  const socket = connect(simulator.port, '127.0.0.1');
  const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] });
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  await until(() => (simulator.log()[0]?.tokensSent ?? 0) > 0, 'the stream to begin');
  let sent = -1;
  await until(() => {
    const before = sent;
    sent = simulator.log()[0]?.bytesSent ?? 0;
    return before === sent && sent > 0;
  }, 'the stream to stand still');
  expect(simulator.log()[0]?.tokensSent).toBeLessThan(100_000);
  socket.destroy();
  await until(() => simulator.log()[0]?.closedByClientAtMs !== undefined, 'the log to tell that the client left');
});

test('close ends what is going on and frees the port', async () => {
  const simulator = await startSimulator();
  const response = await askOpenai(simulator, { model: 'stall-5', stream: true });
  const body = receive(response);
  await until(() => simulator.log()[0]?.tokensSent === 5, 'five tokens');
  await simulator.close();
  expect((await body).error).toBeInstanceOf(Error);
  expect(simulator.log()[0]?.closedByClientAtMs).toBeUndefined();
  const next = await startSimulator({ port: simulator.port });
  expect(next.port).toBe(simulator.port);
});
