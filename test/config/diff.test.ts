import { describe, expect, test } from 'vitest';

import { diffConfig } from '../../src/config/diff.ts';
import { resolveConfig } from '../../src/config/resolve.ts';

const base = {
  a: { adapter: 'mock' },
  b: { adapter: 'openai', apiKey: 'sk-0123456789', enabled: 'whenKeyed' },
  c: { adapter: 'mock' },
};
const resolve = (providers: unknown, rest: object = {}) => resolveConfig({ providers, ...rest }, { env: {} }).config;

describe('the difference between two configs', () => {
  test('is nothing between equal ones', () => {
    expect(diffConfig(resolve(base), resolve(structuredClone(base)))).toEqual({
      added: [],
      removed: [],
      changed: [],
    });
  });

  test('names providers that came, went and changed, a changed key included', () => {
    const after = { b: { ...base.b, apiKey: 'sk-9876543210' }, c: base.c, d: { adapter: 'mock' } };
    expect(diffConfig(resolve(base), resolve(after))).toEqual({
      added: ['d'],
      removed: ['a'],
      changed: ['b'],
    });
  });

  test('counts a provider that lost its key as removed, and one that got it as added', () => {
    const without = resolve({ ...base, b: { ...base.b, apiKey: '' } });
    expect(diffConfig(resolve(base), without)).toMatchObject({ removed: ['b'], added: [] });
    expect(diffConfig(without, resolve(base))).toMatchObject({ removed: [], added: ['b'] });
  });

  test('never holds a key', () => {
    const after = resolve({ ...base, b: { ...base.b, apiKey: 'sk-9876543210' } });
    expect(JSON.stringify(diffConfig(resolve(base), after))).not.toMatch(/0123456789|9876543210/);
  });
});
