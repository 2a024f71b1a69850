/**
 * Faults of the way between adapter and upstream: a black hole behind a connection, silence in the middle, a reset, an idle
 * connection that is gone, a line that is no event. Each costs at most the attempt that meets it, and the next call works.
 */
import { describe, expect, test } from 'vitest';
import { createResponder, type Respond, type ScriptedAnswer } from '../contracts/upstream.ts';
import { until } from '../simulator/support.ts';
import { answerOnce, type Mode, startProxiedService } from '../support/proxied-service.ts';
import { type WireName, WIRES } from '../support/staged-upstream.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { leftoversOf, NOTHING_LEFT } from '../support/test-runtime.ts';

const WIRE_NAMES = Object.keys(WIRES) as readonly WireName[];
const MODES: readonly Mode[] = ['streamed', 'unstreamed'];

const answer: ScriptedAnswer = {
  text: 'The lights stay on 🌲, whatever breaks.',
  finishReason: 'stop',
  usage: { inputTokens: 12, outputTokens: 9 },
};

const LIMIT_MS = 400;
/** Limits that an answer without faults need not keep, on a machine that does much else. */
const TIGHT = { timeouts: { connectMs: 5_000, firstTokenMs: LIMIT_MS, stallMs: LIMIT_MS, unstreamedMs: LIMIT_MS } };
const LOOSE = { timeouts: { connectMs: 5_000, firstTokenMs: 10_000, stallMs: 10_000, unstreamedMs: 10_000 } };
const whole = { text: answer.text, error: undefined };

/** Bytes of a response after which content has been sent, and not all of it. */
const MIDDLE_BYTES = 700;

describe.each(WIRE_NAMES)('the %s wire', (wire) => {
  const keepAlive = createResponder({ kind: 'answer', answer }, WIRES[wire]);
  const respond = answerOnce(keepAlive);

  test.concurrent.each(MODES)(
    '%s: what vanishes in a black hole is answered by the fallback, and the hole is let go',
    async (mode) => {
      await using world = await startProxiedService(wire, respond, { up: LOOSE, spare: {} });
      expect(await world.ask('unstreamed')).toMatchObject(whole);
      await world.service.updateProvider('up', TIGHT);
      world.proxy.faults = [{ kind: 'black-hole' }];
      const { response, ...received } = await world.ask(mode);
      expect(received).toEqual(whole);
      expect(response).toMatchObject({ provider: 'spare', attempts: [{ provider: 'up', code: 'timeout' }, {}] });
      expect(response!.attempts[0]!.durationMs).toBeGreaterThanOrEqual(LIMIT_MS - 1);
      await until(() => world.proxy.connections() === 0, 'the connection into the hole to be closed');
      world.proxy.faults = [];
      await world.service.updateProvider('up', LOOSE);
      expect(await world.ask(mode)).toMatchObject({ ...whole, response: { provider: 'up' } });
    },
  );

  test.concurrent.each(MODES)('%s: a black hole with nothing behind it ends with the deadline', async (mode) => {
    await using world = await startProxiedService(wire, respond, { up: TIGHT });
    world.proxy.faults = [{ kind: 'black-hole' }];
    const { text, error } = await world.ask(mode, { timeoutMs: 3 * LIMIT_MS });
    expect({ text, code: error?.code }).toEqual({ text: '', code: 'timeout' });
    await until(() => world.proxy.connections() === 0, 'the connection into the hole to be closed');
    expect(leftoversOf(world.service)).toEqual(NOTHING_LEFT);
  });

  test.concurrent('a stream that falls silent is broken after the stall limit, and whole delivery gets it from the fallback', async () => {
    await using world = await startProxiedService(wire, respond, { up: LOOSE, spare: {} });
    expect(await world.ask('unstreamed')).toMatchObject(whole);
    await world.service.updateProvider('up', TIGHT);
    world.proxy.faults = [{ kind: 'cut', afterBytes: MIDDLE_BYTES, by: 'silence' }];
    const live = await world.ask('streamed', { delivery: 'live' });
    expect(live.error).toMatchObject({ code: 'provider-error', provider: 'up', partial: { text: live.text } });
    expect(live.text).not.toBe('');
    expect(answer.text.startsWith(live.text)).toBe(true);
    expect(await world.ask('streamed', { delivery: 'whole' })).toMatchObject({
      ...whole,
      response: { provider: 'spare' },
    });
    await until(() => world.proxy.connections() === 0, 'the silent connections to be closed');
  });

  test.each([
    ['before any byte', 0],
    ['inside the headers', 40],
  ])('a reset %s is retried at the same provider', async (_when, afterBytes) => {
    await using world = await startProxiedService(wire, respond, { up: { retry: { baseMs: 1, capMs: 1 } } });
    for (const mode of MODES) {
      expect(await world.ask('unstreamed')).toMatchObject(whole);
      world.proxy.next = [{ kind: 'cut', afterBytes, by: 'reset' }];
      expect(await world.ask(mode)).toMatchObject({
        ...whole,
        response: { attempts: [{ outcome: 'failed' }, { provider: 'up', outcome: 'answered' }] },
      });
    }
  });

  test('a connection that was reset while it was idle costs no call', async () => {
    const stray = watchStrayErrors();
    await using world = await startProxiedService(wire, keepAlive, { up: { retry: { baseMs: 1, capMs: 1 } } });
    for (let round = 0; round < 10; round += 1) {
      for (const mode of MODES) expect(await world.ask(mode)).toMatchObject(whole);
      world.proxy.resetAll();
    }
    await stray.finish();
  });

  test.concurrent('a connection that takes its time is waited for', async () => {
    await using world = await startProxiedService(wire, respond);
    world.proxy.faults = [{ kind: 'latency', ms: LIMIT_MS }];
    for (const mode of MODES) {
      const startedAtMs = performance.now();
      expect(await world.ask(mode)).toMatchObject(whole);
      expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(LIMIT_MS - 1);
    }
  });

  const events = WIRES[wire].renderStream(answer);
  const finishAt = events.findIndex((event) => /"(finish|stop)_reason":"(stop|end_turn)"/.test(event));

  test.each(events.map((event, index) => [index, event.slice(0, 48).replaceAll('\n', ' ')] as const))(
    'event %i that is no JSON (%s…) costs that attempt at most, and the next call works',
    async (index) => {
      const stray = watchStrayErrors();
      const malformed = events.with(index, `${events[index]!.slice(0, events[index]!.length >> 1)}\n\n`);
      let sent: readonly string[] = events;
      const say: Respond = (_request, response) =>
        void response.writeHead(200, { 'content-type': WIRES[wire].streamType }).end(sent.join(''));
      await using world = await startProxiedService(wire, say);
      expect(await world.ask('streamed')).toMatchObject(whole);
      sent = malformed;
      const broken = await world.ask('streamed');
      if (index <= finishAt) {
        expect(broken.error).toMatchObject({
          code: 'provider-error',
          provider: 'up',
          attempts: [{ outcome: 'failed' }],
        });
        expect(answer.text.startsWith(broken.text)).toBe(true);
      } else expect(broken).toMatchObject(whole);
      sent = events;
      for (let next = 0; next < 3; next += 1) expect(await world.ask('streamed')).toMatchObject(whole);
      expect(world.upstream.connections()).toBeLessThanOrEqual(2);
      await stray.finish();
    },
  );
});
