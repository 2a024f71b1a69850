import { describe, expect, test } from 'vitest';

import { createCatalogue } from '../../src/catalogue/catalogue.ts';
import { currentModels, modelLimits } from '../../src/catalogue/model-limits.ts';
import { resolveConfig } from '../../src/config/resolve.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);
const key = 'sk-0123456789abcdef';

const catalogueOf = (providers: Record<string, unknown>) =>
  createCatalogue(resolveConfig({ providers }, { env: {} }).config.providers);
const openai = { adapter: 'openai', apiKey: key };
const anthropic = { adapter: 'anthropic', apiKey: key };
const local = { adapter: 'openai', apiKey: 'none', baseURL: 'http://127.0.0.1:11434/v1' };

describe('a price', () => {
  test('comes from the bundled list for a provider whose vendor is certain', () => {
    const catalogue = catalogueOf({
      openai,
      anthropic,
      groq: { ...openai, baseURL: 'https://api.groq.com/openai/v1' },
    });
    expect(catalogue.price('openai', 'gpt-4.1', nowMs)).toMatchObject({
      input: { nanosPerMillionTokens: 2_000_000_000 },
      version: catalogue.version,
    });
    expect(catalogue.price('anthropic', 'claude-haiku-4-5', nowMs)).toMatchObject({
      cacheWrite1h: { nanosPerMillionTokens: 2_000_000_000 },
    });
    expect(catalogue.price('groq', 'llama-3.3-70b-versatile', nowMs)).toMatchObject({
      input: { nanosPerMillionTokens: 590_000_000 },
    });
  });

  test('is unknown at an address of one’s own, whatever the model is called', () => {
    const catalogue = catalogueOf({ local, mock: { adapter: 'mock' } });
    expect(catalogue.price('local', 'gpt-4.1', nowMs)).toBeUndefined();
    expect(catalogue.price('mock', 'gpt-4.1', nowMs)).toBeUndefined();
    expect(catalogue.price('nobody', 'gpt-4.1', nowMs)).toBeUndefined();
  });

  test('of the operator wins, and is known anywhere', () => {
    const models = {
      'gpt-4.1': {
        price: { inputUsdPerMillionTokens: 1.5, outputUsdPerMillionTokens: 6, cachedInputUsdPerMillionTokens: 0.1 },
      },
    };
    const catalogue = catalogueOf({ openai: { ...openai, models }, local: { ...local, models } });
    const price = {
      input: { nanosPerMillionTokens: 1_500_000_000, tiers: [] },
      output: { nanosPerMillionTokens: 6_000_000_000, tiers: [] },
      cachedInput: { nanosPerMillionTokens: 100_000_000, tiers: [] },
      cacheWrite: undefined,
      cacheWrite1h: undefined,
      reasoning: undefined,
      requestNanos: 0,
      version: 'config',
    };
    expect(catalogue.price('openai', 'gpt-4.1', nowMs)).toEqual(price);
    expect(catalogue.price('local', 'gpt-4.1', nowMs)).toEqual(price);
  });

  test('of zero is a price, not an unknown one', () => {
    const models = { a: { price: { inputUsdPerMillionTokens: 0, outputUsdPerMillionTokens: 0 } } };
    expect(catalogueOf({ local: { ...local, models } }).price('local', 'a', nowMs)).toMatchObject({
      input: { nanosPerMillionTokens: 0 },
    });
  });

  test('that depends on the time is asked for anew each time', () => {
    const catalogue = catalogueOf({ openai });
    const inputAt = (atMs: number) => catalogue.price('openai', 'gpt-5.6-sol', atMs)?.input.nanosPerMillionTokens;
    expect([inputAt(Date.UTC(2026, 7, 20)), inputAt(nowMs), inputAt(Date.UTC(2026, 7, 20))]).toEqual([
      5_000_000_000, 4_000_000_000, 5_000_000_000,
    ]);
  });

  test('stays right when callers pin more ids than are remembered', () => {
    const catalogue = catalogueOf({ openai });
    for (let index = 0; index < 1500; index += 1)
      expect(catalogue.price('openai', `no-such-model-${index}`, nowMs)).toBeUndefined();
    expect(catalogue.price('openai', 'gpt-4.1', nowMs)).toMatchObject({
      input: { nanosPerMillionTokens: 2_000_000_000 },
    });
  });
});

describe('facts', () => {
  test('keep the window apart from what may be sent', () => {
    const catalogue = catalogueOf({ openai, anthropic });
    expect(catalogue.facts('openai', 'gpt-5')).toEqual({
      contextWindow: 400_000,
      maxInputTokens: 272_000,
      maxOutputTokens: 128_000,
    });
    expect(catalogue.facts('openai', 'gpt-4.1-2025-04-14')).toEqual({
      contextWindow: 1_047_576,
      maxOutputTokens: 32_768,
    });
    expect(catalogue.facts('anthropic', 'claude-haiku-4-5-20251001')).toEqual({
      contextWindow: 200_000,
      maxOutputTokens: 64_000,
    });
    expect(catalogue.facts('openai', 'text-embedding-3-small')).toEqual({
      contextWindow: 8191,
      features: ['embedding'],
    });
  });

  test('come from the price list where the table has none, and are empty where nothing is known', () => {
    const catalogue = catalogueOf({ openai, local, mistral: { ...openai, baseURL: 'https://api.mistral.ai/v1' } });
    expect(catalogue.facts('openai', 'gpt-4-turbo')).toEqual({ contextWindow: 128_000 });
    expect(catalogue.facts('mistral', 'codestral-2508')).toEqual({ contextWindow: 256_000 });
    expect(catalogue.facts('local', 'gpt-4.1')).toEqual({});
    expect(catalogue.facts('nobody', 'gpt-4.1')).toEqual({});
  });

  test('of the operator win', () => {
    const factsWith = (model: object) =>
      catalogueOf({ openai: { ...openai, models: { 'gpt-5': model } } }).facts('openai', 'gpt-5');
    expect(factsWith({ contextWindow: 400_000, maxOutputTokens: 1000 })).toEqual({
      contextWindow: 400_000,
      maxInputTokens: 272_000,
      maxOutputTokens: 1000,
    });
    expect(factsWith({ contextWindow: 100_000 })).toEqual({
      contextWindow: 100_000,
      maxInputTokens: 100_000,
      maxOutputTokens: 128_000,
    });
    expect(factsWith({ contextWindow: 2_000_000 })).toEqual({ contextWindow: 2_000_000, maxOutputTokens: 128_000 });
  });

  test('never let more in than the window holds', () => {
    for (const vendor of ['openai', 'anthropic']) {
      for (const model of currentModels(vendor)) {
        const { contextWindow = 0, maxInputTokens = 0, maxOutputTokens = 0 } = modelLimits(vendor, model) ?? {};
        expect(contextWindow, model).toBeGreaterThanOrEqual(Math.max(maxInputTokens, maxOutputTokens, 1));
      }
    }
  });
});

describe('which models a provider serves', () => {
  test('is its list, where it has one', () => {
    const catalogue = catalogueOf({ openai: { ...openai, models: ['gpt-4.1', 'my-fine-tune'] } });
    expect(['gpt-4.1', 'my-fine-tune', 'gpt-5'].map((model) => catalogue.serves('openai', model))).toEqual([
      true,
      true,
      false,
    ]);
    expect(['gpt-4.1', 'gpt-5'].map((model) => catalogue.accepts('openai', model))).toEqual([true, false]);
    expect(catalogue.models('openai')).toEqual(['gpt-4.1', 'my-fine-tune']);
  });

  test('is every known model of the vendor at its own API, and any pinned one', () => {
    const catalogue = catalogueOf({ openai, anthropic });
    expect(
      ['gpt-4.1', 'gpt-6.1-sol', 'gpt-4-turbo', 'claude-sonnet-5', 'nothing'].map((model) =>
        catalogue.serves('openai', model),
      ),
    ).toEqual([true, true, true, false, false]);
    expect(
      ['claude-sonnet-5', 'claude-sonnet-5-5', 'gpt-4.1'].map((model) => catalogue.serves('anthropic', model)),
    ).toEqual([true, true, false]);
    expect(catalogue.accepts('openai', 'gpt-of-tomorrow')).toBe(true);
    expect(catalogue.models('openai')).toContain('gpt-4.1');
    expect(catalogue.models('anthropic')).toContain('claude-sonnet-5');
  });

  test('is elsewhere only what is pinned', () => {
    const catalogue = catalogueOf({ local, azure: { ...openai, baseURL: 'https://acme.openai.azure.com/openai/v1' } });
    for (const provider of ['local', 'azure']) {
      expect(catalogue.serves(provider, 'gpt-4.1')).toBe(false);
      expect(catalogue.accepts(provider, 'gpt-4.1')).toBe(true);
      expect(catalogue.models(provider)).toEqual([]);
    }
    expect([catalogue.serves('nobody', 'x'), catalogue.accepts('nobody', 'x')]).toEqual([false, false]);
  });
});
