import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';
import { parseDocument, visit } from 'yaml';
import { z } from 'zod';

import { loadConfigFile } from '../../src/config/load.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import { configSchema } from '../../src/config/schema.ts';

const path = fileURLToPath(new URL('../../config/switchgear.yaml', import.meta.url));
const text = readFileSync(path, 'utf8');

/** Refused in this version, so it would be wrong to show them. */
const REFUSED = ['tenants'];
/** Values that the file sets although the schema has no default, or another one: what each of them is for is in its comment. */
const CHOSEN = ['defaults.model', 'models', 'providers', 'store.kind'];
const CHOSEN_OF_PROVIDER = ['enabled', 'adapter', 'apiKey', 'baseURL', 'models'];

/** What is inside defaults, prefaults, refinements and the like. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return unwrap(schema.def.innerType);
  if (schema instanceof z.ZodPipe) return unwrap(schema.def.out);
  return schema;
}

/** Every option of a section, by dotted path, leaves only. */
function optionsOf(schema: z.core.$ZodType, prefix = ''): readonly string[] {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodObject)) return [prefix];
  return Object.entries(inner.shape).flatMap(([key, value]) =>
    optionsOf(value as z.core.$ZodType, prefix === '' ? key : `${prefix}.${key}`),
  );
}

const at = (value: unknown, dotted: string): unknown =>
  dotted.split('.').reduce<unknown>((parent, key) => (parent as Record<string, unknown> | undefined)?.[key], value);

const written: unknown = parseDocument(text).toJS();
const providerSchema = (unwrap(configSchema.shape.providers) as z.ZodRecord).def.valueType;
const globalOptions = optionsOf(configSchema).filter(
  (option) => !REFUSED.includes(option) && !option.startsWith('webhooks.'),
);
const providerOptions = optionsOf(providerSchema);

describe('config/switchgear.yaml', () => {
  test('starts with no key set: the mock is the last candidate of each alias and the only active provider', async () => {
    const { config, notices, warnings } = await loadConfigFile(path, { env: {} });
    expect(config.providers.map(({ name }) => name)).toEqual(['mock']);
    expect(config.models).toEqual({
      smart: [{ provider: 'mock', model: 'mock-large' }],
      fast: [{ provider: 'mock', model: 'mock-small' }],
    });
    expect(notices).toEqual([
      'provider openai is left out: its key is empty (OPENAI_API_KEY is not set)',
      'provider anthropic is left out: its key is empty (ANTHROPIC_API_KEY is not set)',
    ]);
    expect(warnings).toEqual([]);
  });

  test('uses OpenAI and Anthropic, in this order, once they have keys', async () => {
    const env = { OPENAI_API_KEY: 'sk-proj-0123456789', ANTHROPIC_API_KEY: 'sk-ant-0123456789' };
    const { config, notices, warnings } = await loadConfigFile(path, { env });
    expect(config.models['smart']?.map(({ provider }) => provider)).toEqual(['openai', 'anthropic', 'mock']);
    expect(config.providers.map(({ credentials }) => credentials)).toEqual([
      [{ id: 'openai#1', apiKey: env.OPENAI_API_KEY }],
      [{ id: 'anthropic#1', apiKey: env.ANTHROPIC_API_KEY }],
      [{ id: 'mock#1', apiKey: undefined }],
    ]);
    expect([...notices, ...warnings]).toEqual([]);
  });

  test('has the schema’s options to compare with', () => {
    expect(globalOptions).toContain('http.bodyLimitBytes');
    expect(providerOptions).toContain('breaker.halfOpenSuccesses');
    expect(globalOptions.length + providerOptions.length).toBeGreaterThan(40);
  });

  test.each(globalOptions)('shows %s with its default', (option) => {
    const value = at(written, option);
    expect(value).toBeDefined();
    if (CHOSEN.includes(option)) return;
    const defaults = configSchema.parse({ providers: { mock: { adapter: 'mock' } } });
    expect(value).toEqual(at(defaults, option));
  });

  test.each(providerOptions)(
    'shows providers.openai.%s with its default, or in a comment when there is none',
    (option) => {
      const value = at(written, `providers.openai.${option}`);
      if (CHOSEN_OF_PROVIDER.includes(option)) {
        expect(value).toBeDefined();
        return;
      }
      const expected = at((providerSchema as z.ZodType).parse({ adapter: 'openai' }), option);
      expect(value).toEqual(expected);
      // What has no default cannot be set to it: the file shows how it is written.
      if (expected === undefined) expect(text).toMatch(new RegExp(`^\\s*# ${option.split('.').at(-1) ?? ''}: `, 'm'));
    },
  );

  test('shows webhooks in comments, which are the section with its defaults once the hashes are taken away', () => {
    expect(at(written, 'webhooks')).toBeUndefined();
    const [commented = ''] = /^# webhooks:\n(?:#  .*\n)+/m.exec(text) ?? [];
    const shown: unknown = parseDocument(commented.replaceAll(/^# /gm, '')).toJS();
    const options = optionsOf(configSchema.shape.webhooks, 'webhooks');
    expect(Object.keys(at(shown, 'webhooks') as object)).toEqual(options.map((option) => option.slice(9)));
    const secret = `whsec_${Buffer.alloc(32).toString('base64')}`;
    const resolveWith = (webhooks: unknown) =>
      resolveConfig({ providers: { mock: { adapter: 'mock' } }, webhooks }, { env: { WEBHOOK_SECRET: secret } }).config;
    const url = at(shown, 'webhooks.url');
    expect(resolveWith(at(shown, 'webhooks')).webhooks).toEqual(resolveWith({ url, secret }).webhooks);
  });

  test('shows every fact of a model', () => {
    const model = at(written, 'providers.mock.models.mock-large');
    expect(Object.keys(model as object)).toEqual(['delivery', 'contextWindow', 'maxOutputTokens', 'price']);
    expect(Object.keys(at(model, 'price') as object)).toHaveLength(4);
  });

  test('explains every option on its line, or the section above it', () => {
    const bare: string[] = [];
    const lines = text.split('\n');
    visit(parseDocument(text), {
      Pair: (_key, pair) => {
        const key = String(pair.key);
        const line = lines.find((candidate) => new RegExp(`^\\s*${key}:`).test(candidate)) ?? '';
        if (/Ms$|Max$|Bytes$|Days$/.test(key) && !line.includes('#') && !['maxRetries'].includes(key)) bare.push(key);
      },
    });
    // `capMs` is explained with `baseMs`, whose wait it limits.
    expect(bare).toEqual(['capMs']);
  });
});
