import { readFileSync } from 'node:fs';

import { calcPrice, waitForUpdate } from '@pydantic/genai-prices';
import { describe, expect, test } from 'vitest';

import { bundledModel, PRICES_VERSION } from '../../src/catalogue/bundled-prices.ts';
import { costNanos } from '../../src/policy/price.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);

describe('the bundled price list', () => {
  test('is the installed one: prices are stored with its version', () => {
    const installed: unknown = JSON.parse(
      readFileSync(new URL('../../node_modules/@pydantic/genai-prices/package.json', import.meta.url), 'utf8'),
    );
    expect(installed).toMatchObject({ version: PRICES_VERSION.replace('genai-prices@', '') });
  });

  test('is turned into exact rates: every model of every vendor costs what its authors’ own arithmetic gives', async () => {
    const vendors = (await waitForUpdate()) ?? [];
    const usages = [
      {
        inputTokens: 1234,
        cachedInputTokens: 1000,
        cacheWriteTokens: 200,
        cacheWrite1hTokens: 50,
        outputTokens: 567,
        reasoningTokens: 67,
      },
      { inputTokens: 271_999, outputTokens: 1 },
      { inputTokens: 272_001, cachedInputTokens: 200_000, outputTokens: 4321, reasoningTokens: 4000 },
    ];
    const different: string[] = [];
    let compared = 0;
    const models = vendors.flatMap((vendor) => vendor.models.map(({ id }) => ({ vendor, id })));
    for (const { vendor, id } of models) {
      const price = bundledModel(vendor.id, id, nowMs)?.price;
      for (const usage of price?.output === undefined ? [] : usages) {
        compared += 1;
        const theirs = calcPrice(theirUsage(usage), id, { providerId: vendor.id, timestamp: new Date(nowMs) });
        // Theirs is a sum of floats; half a nano-dollar may round either way.
        const difference =
          ((price && costNanos(usage, price)) ?? Number.NaN) - (theirs?.total_price ?? Number.NaN) * 1e9;
        if (!(Math.abs(difference) < 0.5001)) different.push(`${vendor.id} ${id} ${usage.inputTokens}`);
      }
    }
    expect(compared).toBeGreaterThan(3000);
    expect(different).toEqual([]);
  });

  test('knows dated snapshots in both spellings', () => {
    for (const model of ['claude-sonnet-4-5', 'claude-sonnet-4-5-20250929', 'CLAUDE-sonnet-4-5-2025-09-29']) {
      expect(bundledModel('anthropic', model, nowMs)?.price?.input.nanosPerMillionTokens).toBe(3_000_000_000);
    }
    expect(bundledModel('openai', 'gpt-5.4-2026-03-05', nowMs)?.price?.input).toEqual({
      nanosPerMillionTokens: 2_500_000_000,
      tiers: [{ aboveInputTokens: 271_999, nanosPerMillionTokens: 5_000_000_000 }],
    });
  });

  test.each([
    'claude-sonnet-5-5',
    'claude-sonnet-5-5-20260928',
    'claude-opus-4-7-1',
    'claude-haiku-4-5.1',
    'gpt-99',
    '',
    'claude',
  ])('does not give %j the price of a model that it only begins like', (model) => {
    expect(bundledModel('anthropic', model, nowMs)).toBeUndefined();
  });

  test('follows prices that change by date', () => {
    const inputAt = (atMs: number) => bundledModel('openai', 'gpt-5.6-sol', atMs)?.price?.input.nanosPerMillionTokens;
    expect([inputAt(Date.UTC(2026, 7, 20, 23, 59)), inputAt(Date.UTC(2026, 7, 21))]).toEqual([
      5_000_000_000, 4_000_000_000,
    ]);
  });

  test('follows prices that change by the hour', () => {
    const inputAt = (hour: number, minute: number) =>
      bundledModel('deepseek', 'deepseek-v4-flash', Date.UTC(2026, 10, 21, hour, minute))?.price?.input
        .nanosPerMillionTokens;
    expect(
      [inputAt(0, 59), inputAt(1, 0), inputAt(3, 59), inputAt(4, 0), inputAt(7, 0)].map((nanos) => (nanos ?? 0) / 1e6),
    ).toEqual([220, 440, 440, 220, 440]);
  });

  test('has no price for what is not counted in tokens', () => {
    expect(bundledModel('openai', 'whisper-1', nowMs)?.price).toBeUndefined();
  });
});

function theirUsage(usage: Readonly<Record<string, number>>): Record<string, number> {
  const names: Readonly<Record<string, string>> = {
    inputTokens: 'input_tokens',
    outputTokens: 'output_tokens',
    cachedInputTokens: 'cache_read_tokens',
    cacheWriteTokens: 'cache_write_tokens',
    cacheWrite1hTokens: 'cache_write_1h_tokens',
    reasoningTokens: 'output_reasoning_tokens',
  };
  return Object.fromEntries(Object.entries(usage).map(([name, count]) => [names[name] ?? name, count]));
}
