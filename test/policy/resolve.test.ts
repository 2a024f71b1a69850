import { describe, expect, test } from 'vitest';

import type { ProviderConfig } from '../../src/contract/config.ts';
import { resolveCandidates, type ResolveConfig, type ServedModels } from '../../src/policy/resolve.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';

const provider = (name: string, priority: number, models: readonly string[]): ProviderConfig =>
  createProviderConfig({ name, adapter: 'openai', priority, models: models.map((id) => ({ id })) });

const config: ResolveConfig = {
  providers: [
    provider('late', 3, ['shared', 'own']),
    provider('first', 1, ['shared', 'vendor/deep/model']),
    provider('open', 2, []),
  ],
  inactiveProviders: [
    { name: 'keyless', reason: 'no key', models: [{ id: 'sleeping' }] },
    { name: 'anything', reason: 'disabled', models: [] },
  ],
  models: {
    smart: [
      { provider: 'first', model: 'shared' },
      { provider: 'keyless', model: 'sleeping' },
      { provider: 'late', model: 'own' },
    ],
    'late/own': [{ provider: 'first', model: 'shared' }],
  },
};

/** Lists as configured; `open` lists nothing and is the vendor of `vendored`. */
const served: ServedModels = {
  serves: (name, model) => (name === 'open' ? model === 'vendored' : lists(name, model)),
  accepts: (name, model) => name === 'open' || lists(name, model),
};

function lists(name: string, model: string): boolean {
  return config.providers.some((known) => known.name === name && known.models.some(({ id }) => id === model));
}

const resolved = (model: string, fallbacks?: readonly string[] | 'none'): string[] | string => {
  const resolution = resolveCandidates(config, served, model, fallbacks);
  if (resolution.kind === 'unknown') return `unknown ${resolution.model}`;
  return resolution.candidates.map((candidate) => `${candidate.provider}/${candidate.model} ${candidate.origin}`);
};

describe('a model name', () => {
  test.each([
    ['an alias keeps its own order', 'smart', ['first/shared alias', 'keyless/sleeping alias', 'late/own alias']],
    ['an alias wins over a pin of the same name', 'late/own', ['first/shared alias']],
    ['a pin asks one provider', 'late/shared', ['late/shared pin']],
    ['a pinned model may hold slashes', 'first/vendor/deep/model', ['first/vendor/deep/model pin']],
    ['a provider without a list accepts any pin', 'open/whatever', ['open/whatever pin']],
    [
      'a model id goes by priority, not by order of configuration',
      'shared',
      ['first/shared model', 'late/shared model'],
    ],
    ['a model id may hold slashes', 'vendor/deep/model', ['first/vendor/deep/model model']],
    ['a vendor serves its models without listing them', 'vendored', ['open/vendored model']],
    ['a provider that is left out is known', 'keyless/sleeping', ['keyless/sleeping pin']],
    ['a provider that is left out and lists nothing is known for any model', 'anything/x', ['anything/x pin']],
    ['a model that only a left-out provider has is known', 'sleeping', ['keyless/sleeping model']],
  ])('%s', (_name, model, expected) => {
    expect(resolved(model)).toEqual(expected);
  });

  test.each([
    'nobody',
    'first/own',
    'keyless/other',
    'missing/shared',
    '/shared',
    'first/',
    '',
    '__proto__',
    'constructor',
    'hasOwnProperty',
  ])('%j is unknown', (model) => {
    expect(resolved(model)).toBe(`unknown ${model}`);
  });

  test('an unknown one is answered with the names that would have worked', () => {
    const resolution = resolveCandidates(config, served, 'nobody', undefined);
    expect(resolution.kind === 'unknown' && resolution.known).toEqual([
      'smart',
      'late/own',
      'late/shared',
      'late/own',
      'first/shared',
      'first/vendor/deep/model',
    ]);
  });
});

describe('fallbacks', () => {
  test('come after the candidates of the model, each once', () => {
    expect(resolved('late/shared', ['shared', 'smart'])).toEqual([
      'late/shared pin',
      'first/shared fallback',
      'keyless/sleeping fallback',
      'late/own fallback',
    ]);
  });

  test.each([['none' as const], [[]]])('%j leave the first candidate only', (fallbacks) => {
    expect(resolved('smart', fallbacks)).toEqual(['first/shared alias']);
  });

  test('a pin has no others unless they are named', () => {
    expect(resolved('first/shared')).toEqual(['first/shared pin']);
  });

  test('an unknown one is an error, not a shorter list', () => {
    expect(resolved('smart', ['shared', 'nobody'])).toBe('unknown nobody');
  });
});
