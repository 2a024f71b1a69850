/** `switchgear simulate`, from the flags to the closed port. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { parseSimulateOptions, runSimulate } from '../../src/simulator/command.ts';
import { listFaults } from '../../src/simulator/faults.ts';
import { until } from './support.ts';

describe('the flags', () => {
  test('have defaults that feel like a model', () => {
    expect(parseSimulateOptions({})).toMatchObject({
      port: 4142,
      latencyMs: { kind: 'constant', ms: 300 },
      tokensPerSecond: 80,
    });
  });

  test('mean what the options of the library mean', () => {
    const options = parseSimulateOptions({
      port: '0',
      latency: '300~0.5',
      tokensPerSecond: '12.5',
      outage: ['10s-40s:503', '1.5m-2m:refuse', '500ms-1h:hang'],
      failureRate: ['0.1:500', '0.05:cut-40'],
      script: '500, ok,cut-40',
      seed: '7',
      key: ['sk-a'],
      model: ['only'],
      fault: 'ok',
      name: 'upstream-a',
    });
    expect(options).toEqual({
      port: 0,
      host: undefined,
      name: 'upstream-a',
      seed: 7,
      latencyMs: { kind: 'lognormal', medianMs: 300, sigma: 0.5 },
      tokensPerSecond: 12.5,
      outputTokens: undefined,
      models: ['only'],
      keys: ['sk-a'],
      outages: [
        { fromMs: 10_000, toMs: 40_000, fault: '503' },
        { fromMs: 90_000, toMs: 120_000, fault: 'refuse' },
        { fromMs: 500, toMs: 3_600_000, fault: 'hang' },
      ],
      failures: [
        { rate: 0.1, fault: '500' },
        { rate: 0.05, fault: 'cut-40' },
      ],
      script: ['500', 'ok', 'cut-40'],
      fault: 'ok',
    });
    expect(parseSimulateOptions({ latency: '200-400' }).latencyMs).toEqual({ kind: 'uniform', minMs: 200, maxMs: 400 });
  });

  test.each([
    [{ port: 'http' }, 'expected --port to be a number, got: http'],
    [{ port: '' }, 'expected --port to be a number'],
    [{ port: '70000' }, 'expected port to be at most 65535'],
    [
      { latency: '1-2-3' },
      'expected --latency to be ms (300), a range (200-400) or median~sigma (300~0.5), got: 1-2-3',
    ],
    [{ latency: '400-200' }, 'expected latencyMs to be'],
    [{ outage: ['10s:503'] }, 'expected --outage to be from-to:fault, for example 10s-40s:503, got: 10s:503'],
    [{ outage: ['10x-20x:503'] }, 'expected --outage to be'],
    [{ outage: ['40s-10s:503'] }, 'to be an outage that ends after it began'],
    [{ outage: ['10s-40s:explode'] }, 'expected outages.0.fault to be ok or one of'],
    [{ failureRate: ['ten:500'] }, 'expected --failure-rate to be rate:fault, for example 0.1:500, got: ten:500'],
    [{ failureRate: ['1.5:500'] }, 'expected failures.0.rate to be at most 1, got: 1.5'],
    [{ tokensPerSecond: '0' }, 'expected tokensPerSecond to be more than 0, got: 0'],
    [{ name: 'two words' }, 'expected name to be a word of letters, digits, dots and dashes, got: "two words"'],
  ])('%j is refused with words that help', (flags, message) => {
    expect(() => parseSimulateOptions(flags)).toThrow(message);
  });
});

describe('the command', () => {
  test('prints where it listens and how to misbehave, answers, and closes when told', async () => {
    const stopping = new AbortController();
    let printed = '';
    const running = runSimulate(parseSimulateOptions({ port: '0', latency: '0', tokensPerSecond: '1000' }), {
      clock: systemClock,
      write: (text) => (printed += text),
      signal: stopping.signal,
    });
    await until(() => printed !== '', 'the command to print');
    const url = /simulator listens on (http:\/\/127\.0\.0\.1:\d+)/u.exec(printed)?.[1] ?? '';
    expect(printed).toContain(`OpenAI base URL      ${url}/v1\n`);
    expect(printed).toContain(`Anthropic base URL   ${url}\n`);
    for (const { form, does } of listFaults())
      expect(
        printed.split('\n').some((line) => line.trim().startsWith(form) && line.endsWith(does)),
        form,
      ).toBe(true);
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    stopping.abort();
    await running;
    await expect(fetch(`${url}/v1/models`)).rejects.toThrow('fetch failed');
  });

  test('ends at once when it was told to before it began', async () => {
    await expect(
      runSimulate({ port: 0 }, { clock: systemClock, write: () => undefined, signal: AbortSignal.abort() }),
    ).resolves.toBeUndefined();
  });
});
