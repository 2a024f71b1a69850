import { describe, expect, test } from 'vitest';

import { isFirstParty, vendorOf } from '../../src/catalogue/vendor.ts';

describe('the vendor behind a provider', () => {
  test.each([
    ['openai', undefined, 'openai'],
    ['anthropic', undefined, 'anthropic'],
    ['openai', 'https://api.openai.com/v1', 'openai'],
    ['openai', 'https://api.openai.com', 'openai'],
    ['openai', 'https://api.openai.com:443/v1', 'openai'],
    ['anthropic', 'https://api.anthropic.com', 'anthropic'],
    ['openai', 'https://api.anthropic.com/v1', 'anthropic'],
    ['openai', 'https://api.groq.com/openai/v1', 'groq'],
    ['openai', 'https://api.mistral.ai/v1', 'mistral'],
    ['openai', 'https://openrouter.ai/api/v1', 'openrouter'],
    ['openai', 'https://acme.openai.azure.com/openai/v1', 'azure'],
    ['openai', 'https://api.moonshot.ai/v1', 'moonshotai'],
    ['openai', 'https://generativelanguage.googleapis.com/v1beta/openai', 'google'],
    ['openai', 'https://router.huggingface.co/groq/v1', 'huggingface_groq'],
    ['mine', 'https://api.openai.com/v1', 'openai'],
  ])('%s at %s is %s', (adapter, baseURL, vendor) => {
    expect(vendorOf({ adapter, baseURL })).toBe(vendor);
  });

  test.each([
    ['openai', 'http://127.0.0.1:11434/v1'],
    ['openai', 'https://llm.internal/v1'],
    ['openai', 'http://api.openai.com/v1'],
    ['openai', 'https://api.openai.com.example.org/v1'],
    ['openai', 'https://api.openai.company/v1'],
    ['openai', 'https://example.org/https://api.openai.com'],
    ['anthropic', 'https://proxy.example/anthropic'],
    ['mock', undefined],
    ['mine', undefined],
  ])('%s at %s is nobody known', (adapter, baseURL) => {
    expect(vendorOf({ adapter, baseURL })).toBeUndefined();
    expect(isFirstParty({ adapter, baseURL })).toBe(false);
  });

  test('is the adapter’s own only where that vendor itself answers', () => {
    expect(isFirstParty({ adapter: 'openai', baseURL: 'https://api.openai.com/v1' })).toBe(true);
    expect(isFirstParty({ adapter: 'openai', baseURL: 'https://api.groq.com/openai/v1' })).toBe(false);
    expect(isFirstParty({ adapter: 'openai', baseURL: 'https://api.anthropic.com/v1' })).toBe(false);
  });
});
