import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { SwitchgearError } from '../../src/contract/errors.ts';
import type { ConfigProblem } from '../../src/contract/config.ts';
import { checkConfig, resolveConfig } from '../../src/config/resolve.ts';

const openaiKey = 'sk-proj-0123456789abcdefghij';
const anthropicKey = 'sk-ant-api03-0123456789abcdefghij';

const minimal = { providers: { mock: { adapter: 'mock' } } };

/** A config with one keyless OpenAI-compatible provider, changed by `provider` and `rest`. */
const withProvider = (provider: Record<string, unknown>, rest: Record<string, unknown> = {}) => ({
  providers: { local: { adapter: 'openai', apiKey: 'none', baseURL: 'http://127.0.0.1:1/v1', ...provider } },
  ...rest,
});

const problemsOf = (
  input: unknown,
  env: Record<string, string> = {},
  adapterNames: readonly string[] = [],
): readonly ConfigProblem[] => {
  const check = checkConfig(input, { env, adapterNames });
  return check.isValid ? [] : check.problems;
};

const pathsOf = (input: unknown, env: Record<string, string> = {}) => problemsOf(input, env).map(({ path }) => path);

const resolve = (input: unknown, env: Record<string, string> = {}) => resolveConfig(input, { env }).config;

describe('a config without mistakes', () => {
  test('needs nothing but one provider with an adapter, and has every default filled in', () => {
    expect(resolve(minimal)).toEqual({
      service: {
        timeoutMs: 600_000,
        asyncTimeoutMs: 86_400_000,
        queueDepthMax: 10_000,
        delivery: 'live',
        recovery: 'atLeastOnce',
      },
      defaults: { model: undefined, maxTokens: 4096 },
      log: { level: 'info' },
      store: { kind: 'memory', resultTtlMs: 86_400_000 },
      http: { host: '127.0.0.1', port: 4141, bodyLimitBytes: 4_194_304 },
      providers: [
        {
          name: 'mock',
          adapter: 'mock',
          credentials: [{ id: 'mock#1', apiKey: undefined }],
          baseURL: undefined,
          models: [],
          priority: 1,
          maxTokens: undefined,
          rateLimit: {},
          concurrency: 32,
          retry: { maxRetries: 2, baseMs: 500, factor: 2, capMs: 8000 },
          timeouts: { connectMs: 5000, firstTokenMs: 12_000, stallMs: 15_000, unstreamedMs: 60_000 },
          headers: {},
          query: {},
          proxy: undefined,
          breaker: {
            windowMs: 60_000,
            failureRate: 0.5,
            minimumCalls: 10,
            consecutiveFailures: 10,
            openMs: 15_000,
            openMaxMs: 300_000,
            halfOpenSuccesses: 2,
          },
          health: { intervalMs: 30_000 },
          allowPrivate: false,
          options: {},
        },
      ],
      inactiveProviders: [],
      models: {},
      ledger: { retainDays: 30 },
    });
  });

  test('a store is a file beside the config, unless its path is absolute; where none is named, the default is the caller’s', () => {
    const storeOf = (store: object | undefined, context: object = {}) =>
      resolveConfig({ ...minimal, ...(store && { store }) }, { env: {}, ...context }).config.store;
    const resultTtlMs = 86_400_000;
    const daemon = { storeDefault: 'sqlite', folder: '/etc/switchgear' };
    expect(storeOf(undefined, daemon)).toEqual({ kind: 'sqlite', path: '/etc/switchgear/switchgear.db', resultTtlMs });
    expect(storeOf({ path: '/var/x.db' }, daemon)).toEqual({ kind: 'sqlite', path: '/var/x.db', resultTtlMs });
    expect(storeOf({ kind: 'memory' }, daemon)).toEqual({ kind: 'memory', resultTtlMs });
    expect(storeOf({ kind: 'sqlite', path: './x.db' })).toEqual({ kind: 'sqlite', path: 'x.db', resultTtlMs });
  });

  test('keeps the order of providers and of candidates', () => {
    const config = resolve({
      providers: { zeta: { adapter: 'mock' }, alpha: { adapter: 'mock' }, mid: { adapter: 'mock' } },
      models: { smart: ['mid/a', 'zeta/b/with/slashes', 'alpha/c'] },
    });
    expect(config.providers.map(({ name }) => name)).toEqual(['zeta', 'alpha', 'mid']);
    expect(config.models['smart']).toEqual([
      { provider: 'mid', model: 'a' },
      { provider: 'zeta', model: 'b/with/slashes' },
      { provider: 'alpha', model: 'c' },
    ]);
  });

  test('takes models as a list or as a map with facts', () => {
    const listed = resolve(withProvider({ models: ['a', 'b'] }));
    expect(listed.providers[0]?.models).toEqual([{ id: 'a' }, { id: 'b' }]);
    const price = { inputUsdPerMillionTokens: 2, outputUsdPerMillionTokens: 8 };
    const mapped = resolve(withProvider({ models: { a: { contextWindow: 1_047_576, price }, b: null, c: {} } }));
    expect(mapped.providers[0]?.models).toEqual([
      { id: 'a', contextWindow: 1_047_576, price },
      { id: 'b' },
      { id: 'c' },
    ]);
  });

  test('reads a section whose lines are all commented out as its defaults', () => {
    expect(resolve({ ...minimal, http: null, service: null, tenants: null })).toEqual(resolve(minimal));
  });

  test('is frozen all the way down, and the input is left as it was', () => {
    const input = withProvider(
      { options: { script: [{ text: 'hi' }] }, models: { a: { contextWindow: 5 } } },
      { models: { x: ['local/a'] } },
    );
    const before = structuredClone(input);
    const config = resolve(input);
    const isFrozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
    expect(isFrozen(config)).toBe(true);
    expect(input).toEqual(before);
    expect(Object.isFrozen(input.providers.local)).toBe(false);
  });

  test('hands options to the adapter as they are, functions included', () => {
    const reply = () => 'hi';
    const config = resolve({ providers: { mock: { adapter: 'mock', options: { reply, nested: { nothing: null } } } } });
    expect(config.providers[0]?.options).toEqual({ reply, nested: { nothing: null } });
  });

  test('drops slashes at the end of a baseURL, which the SDKs would double', () => {
    expect(resolve(withProvider({ baseURL: 'http://127.0.0.1:1/v1//' })).providers[0]?.baseURL).toBe(
      'http://127.0.0.1:1/v1',
    );
  });
});

describe('variables from the environment', () => {
  test('are filled in anywhere, as numbers and booleans where these are expected', () => {
    const config = resolve(
      {
        ...withProvider({ apiKey: '${KEY}', concurrency: '${N}', allowPrivate: '${YES}' }),
        http: { port: '${PORT:-5000}', host: 'h${N}.example' },
      },
      { KEY: openaiKey, N: '7', YES: 'true' },
    );
    expect(config.http).toMatchObject({ port: 5000, host: 'h7.example' });
    expect(config.providers[0]).toMatchObject({
      concurrency: 7,
      allowPrivate: true,
      credentials: [{ id: 'local#1', apiKey: openaiKey }],
    });
  });

  test('use the default when the variable is unset or empty', () => {
    const host = (env: Record<string, string>) =>
      resolve({ ...minimal, http: { host: '${HOST:-localhost}' } }, env).http.host;
    expect([host({}), host({ HOST: '' }), host({ HOST: 'a' })]).toEqual(['localhost', 'localhost', 'a']);
  });

  test('are not looked for behind $${', () => {
    const config = resolve(
      { providers: { mock: { adapter: 'mock', options: { text: 'costs $${PRICE} or ${PRICE}' } } } },
      { PRICE: '5' },
    );
    expect(config.providers[0]?.options).toEqual({ text: 'costs ${PRICE} or 5' });
  });

  test.each(['${', '${}', '${1X}', '${A B}', '${A', '${A-default}'])(
    'that are misspelt (%s) are a mistake at their path',
    (value) => {
      expect(pathsOf({ ...minimal, http: { host: value } })).toContain('http.host');
    },
  );

  test('are not expanded a second time', () => {
    expect(resolve({ ...minimal, http: { host: '${A}' } }, { A: '${B}', B: 'b' }).http.host).toBe('${B}');
  });
});

describe('mistakes', () => {
  test('are told all at once, schema and references together, each by its path', () => {
    const input = {
      service: { timeoutMs: -1, queueDepth: 5 },
      http: { port: 'abc' },
      store: { kind: 'redis', path: 7, url: 'x' },
      tenants: { acme: {} },
      telemetry: {},
      defaults: { model: 'nothing' },
      providers: {
        service: { adapter: 'mock' },
        broken: { adapter: 'gpt', apiKey: 'none', baseURL: 'ftp://x', retry: { maxRetries: 11 }, api_key: 'x' },
        keyless: { adapter: 'anthropic' },
      },
      models: { smart: ['openai/gpt-4.1'], 'a/b': ['service/x'], empty: [] },
    };
    expect(pathsOf(input).toSorted()).toEqual([
      'defaults.model',
      'http.port',
      'models.a/b',
      'models.empty',
      'models.smart.0',
      'providers.broken.adapter',
      'providers.broken.api_key',
      'providers.broken.baseURL',
      'providers.broken.retry.maxRetries',
      'providers.keyless.apiKey',
      'providers.service',
      'service.queueDepth',
      'service.timeoutMs',
      'store.kind',
      'store.path',
      'store.url',
      'telemetry',
      'tenants',
    ]);
  });

  test('are thrown as one invalid-config error with a line for each and all of them in its cause', () => {
    const error: unknown = (() => {
      try {
        return resolveConfig({ http: { port: 99_999 }, providers: {} }, { env: {}, source: 'my.yaml' });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(SwitchgearError);
    expect(error).toMatchObject({
      code: 'invalid-config',
      cause: { problems: [{ path: 'http.port' }, { path: 'providers' }] },
      message: [
        'expected my.yaml to be valid, got 2 problems:',
        '  http.port: expected an integer from 0 to 65535, got: 99999',
        '  providers: expected at least one provider, got: none',
      ].join('\n'),
    });
  });

  test.each([
    ['providers.local.base_url', withProvider({ base_url: 'x' }), 'baseURL'],
    ['providers.local.apikey', withProvider({ apikey: 'x' }), 'apiKey'],
    ['providers.local.timeouts.firstToken', withProvider({ timeouts: { firstToken: 5 } }), 'firstTokenMs'],
    ['service.timeout', { ...minimal, service: { timeout: 5 } }, 'timeoutMs'],
    ['provider', { ...minimal, provider: {} }, 'providers'],
    ['providers.local.retry.maxRetry', withProvider({ retry: { maxRetry: 1 } }), 'maxRetries'],
  ])('of spelling (%s) come with the option that was meant', (path, input, meant) => {
    const problem = problemsOf(input).find((candidate) => candidate.path === path);
    expect(problem?.message).toContain(`did you mean "${meant}"?`);
  });

  test.each([
    [{}, 'providers: expected a map of providers, got: nothing'],
    [{ providers: [] }, 'providers: expected a map of providers, got: an empty list'],
    [{ providers: {} }, 'providers: expected at least one provider, got: none'],
  ])('about providers that are missing are told once: %j', (input, expected) => {
    expect(problemsOf(input).map(({ path, message }) => `${path}: ${message}`)).toEqual([expected]);
  });

  test('of spelling come without a suggestion when nothing is near', () => {
    expect(problemsOf({ ...minimal, zebra: 1 })).toEqual([
      { path: 'zebra', message: 'expected a known option, got: "zebra"' },
    ]);
  });

  test.each([null, undefined, 5, 'text', [], () => 1])(
    'in the whole (%s) are told, not thrown as something else',
    (input) => {
      expect(problemsOf(input).length).toBeGreaterThan(0);
    },
  );

  test('never crash the check, whatever it is given', () => {
    const key = fc.constantFrom(
      'providers',
      'models',
      'adapter',
      'apiKey',
      'apiKeys',
      'http',
      'retry',
      'price',
      'openai',
      '__proto__',
      'options',
      'x',
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom<unknown>('mock', 'openai', '', '${A}', 'none', 5, -1, Number.NaN, true, null, undefined),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.array(fc.tuple(key, tie('tree')), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
      ),
    }));
    fc.assert(
      fc.property(tree, (input) => typeof checkConfig(input, { env: { A: 'b' } }).isValid === 'boolean'),
      { numRuns: 500 },
    );
  });

  test.each(['providers.openai', 'models.smart'])(
    'of an empty entry (%s) are told: only an empty section means its defaults',
    (path) => {
      const input = {
        providers: { mock: { adapter: 'mock' }, ...(path === 'providers.openai' && { openai: null }) },
        models: path === 'models.smart' ? { smart: null } : null,
      };
      expect(problemsOf(input)).toMatchObject([{ path, message: expect.stringContaining('got: null') }]);
    },
  );

  test('of an object that contains itself end the walk', () => {
    const loop: Record<string, unknown> = {};
    loop['x'] = loop;
    expect(problemsOf({ ...minimal, options: loop }).length).toBeGreaterThan(0);
  });
});

describe('numbers', () => {
  const at = (path: string, value: unknown): Record<string, unknown> => {
    const [head = '', ...rest] = path.split('.');
    return { [head]: rest.length === 0 ? value : at(rest.join('.'), value) };
  };
  const config = (path: string, value: unknown) =>
    path.startsWith('*.') ? withProvider(at(path.slice(2), value)) : { ...minimal, ...at(path, value) };

  test.each([
    ['service.timeoutMs', 1, 2_147_483_647],
    ['service.asyncTimeoutMs', 1, 2_147_483_647],
    ['service.queueDepthMax', 1, 1_000_000],
    ['defaults.maxTokens', 1, 10_000_000],
    ['store.resultTtlMs', 1, 2_147_483_647],
    ['http.port', 0, 65_535],
    ['http.bodyLimitBytes', 1024, 268_435_456],
    ['ledger.retainDays', 1, 3650],
    ['*.priority', 0, 1000],
    ['*.concurrency', 1, 10_000],
    ['*.maxTokens', 1, 10_000_000],
    ['*.rateLimit.requestsPerMinute', 1, 1_000_000_000],
    ['*.rateLimit.tokensPerMinute', 1, 1_000_000_000_000],
    ['*.retry.maxRetries', 0, 10],
    ['*.timeouts.connectMs', 1, 3_600_000],
    ['*.timeouts.firstTokenMs', 1, 3_600_000],
    ['*.timeouts.stallMs', 1, 3_600_000],
    ['*.timeouts.unstreamedMs', 1, 86_400_000],
    ['*.breaker.windowMs', 1000, 86_400_000],
    ['*.breaker.minimumCalls', 1, 10_000],
    ['*.breaker.consecutiveFailures', 1, 10_000],
    ['*.breaker.halfOpenSuccesses', 1, 100],
    ['*.health.intervalMs', 100, 2_147_483_647],
  ])('%s goes from %i to %i and no further', (path, minimum, maximum) => {
    const told = path.replace('*', 'providers.local');
    for (const value of [minimum, maximum]) expect(pathsOf(config(path, value))).toEqual([]);
    for (const value of [minimum - 1, maximum + 1, minimum + 0.5, Number.NaN, 'x', true, []]) {
      expect(pathsOf(config(path, value))).toEqual([told]);
    }
  });

  test.each([
    ['failureRate', 0.01, 1],
    ['openMs', 1, 300_000],
  ])('breaker.%s goes from %d to %d', (key, minimum, maximum) => {
    for (const value of [minimum, maximum]) expect(pathsOf(config(`*.breaker.${key}`, value))).toEqual([]);
    for (const value of [minimum - 0.01, maximum + 1])
      expect(pathsOf(config(`*.breaker.${key}`, value))).not.toEqual([]);
  });

  test('that belong together must fit together', () => {
    expect(pathsOf(withProvider({ retry: { baseMs: 500, capMs: 500 }, breaker: { openMs: 300_000 } }))).toEqual([]);
    expect(pathsOf(withProvider({ retry: { baseMs: 501, capMs: 500 }, breaker: { openMs: 300_001 } }))).toEqual([
      'providers.local.retry.capMs',
      'providers.local.breaker.openMaxMs',
    ]);
  });

  test('of a price are USD from 0 to a million, and that of the output may be left out', () => {
    const priced = (price: unknown) => withProvider({ models: { a: { price } } });
    expect(pathsOf(priced({ inputUsdPerMillionTokens: 0, outputUsdPerMillionTokens: 1_000_000 }))).toEqual([]);
    expect(pathsOf(priced({ inputUsdPerMillionTokens: -1, outputUsdPerMillionTokens: 1_000_001 }))).toEqual([
      'providers.local.models.a.price.inputUsdPerMillionTokens',
      'providers.local.models.a.price.outputUsdPerMillionTokens',
    ]);
    expect(pathsOf(priced({ inputUsdPerMillionTokens: 1 }))).toEqual([]);
    expect(pathsOf(priced({ outputUsdPerMillionTokens: 1 }))).toEqual([
      'providers.local.models.a.price.inputUsdPerMillionTokens',
    ]);
  });
});

describe('names and references', () => {
  test.each(['service', 'supervisor', 'providers', 'cost-tracker', 'health-monitor'])(
    'a provider cannot be called %s',
    (name) => {
      expect(pathsOf({ providers: { [name]: { adapter: 'mock' } } })).toEqual([`providers.${name}`]);
    },
  );

  test.each(['a/b', '', ' a', 'ä', '-a', 'x'.repeat(65)])('a provider cannot be called %j', (name) => {
    expect(pathsOf({ providers: { [name]: { adapter: 'mock' } } })).toEqual([`providers.${name}`]);
  });

  test('a provider of 64 letters is fine', () => {
    expect(pathsOf({ providers: { ['x'.repeat(64)]: { adapter: 'mock' } } })).toEqual([]);
  });

  test('an adapter is a built-in one or one that was given', () => {
    const input = { providers: { a: { adapter: 'openai-compatible' }, b: { adapter: 'mine' } } };
    expect(problemsOf(input, {}, ['mine'])).toEqual([
      {
        path: 'providers.a.adapter',
        message:
          'expected one of openai, anthropic, mock, mine, got: "openai-compatible"; an adapter of your own is given to startService in `adapters`',
      },
    ]);
  });

  test.each([
    ['another/a', 'expected the provider to be configured (local), got: "another"'],
    ['loacl/a', 'expected the provider to be configured (local), got: "loacl"; did you mean "local"?'],
    ['locl/a', 'expected the provider to be configured (local), got: "locl"; did you mean "local"?'],
    ['local/mistrall', 'expected a model that provider local lists, got: "mistrall"; did you mean "mistral"?'],
    ['mistral', 'expected provider/model, got: "mistral"'],
    ['other', 'expected provider/model, got: "other"; an alias cannot refer to another alias'],
    ['/a', 'expected provider/model, got: "/a"'],
    ['local/', 'expected provider/model, got: "local/"'],
  ])('an alias cannot have the candidate %s', (candidate, message) => {
    const input = withProvider({ models: ['mistral'] }, { models: { smart: [candidate], other: ['local/mistral'] } });
    expect(problemsOf(input)).toEqual([{ path: 'models.smart.0', message }]);
  });

  test('an alias may name any model of a provider that lists none', () => {
    expect(pathsOf(withProvider({}, { models: { smart: ['local/anything'] } }))).toEqual([]);
  });

  test.each(['local', 'a/b', 'a b', 'a,b', 'none'])('an alias cannot be called %s', (name) => {
    expect(pathsOf(withProvider({}, { models: { [name]: ['local/x'] } }))).toEqual([`models.${name}`]);
  });

  test('a model or candidate is named once', () => {
    expect(pathsOf(withProvider({ models: ['a', 'b', 'a'] }, { models: { x: ['local/a', 'local/a'] } }))).toEqual([
      'providers.local.models.2',
      'models.x.1',
    ]);
  });

  test('candidates of a provider that is left out are skipped, and an alias without any left is warned of', () => {
    const input = {
      providers: {
        openai: { adapter: 'openai', enabled: 'whenKeyed', apiKey: '${K}', models: ['gpt-4.1'] },
        off: { adapter: 'mock', enabled: false },
        mock: { adapter: 'mock' },
      },
      models: { smart: ['openai/gpt-4.1', 'off/x', 'mock/m'], lone: ['openai/gpt-4.1'] },
    };
    const { config, notices, warnings } = resolveConfig(input, { env: {} });
    expect(config.models).toEqual({ smart: [{ provider: 'mock', model: 'm' }], lone: [] });
    expect(config.inactiveProviders).toEqual([
      { name: 'openai', reason: 'its key is empty (K is not set)', models: [{ id: 'gpt-4.1' }] },
      { name: 'off', reason: 'enabled is false', models: [] },
    ]);
    expect(notices).toEqual([
      'provider openai is left out: its key is empty (K is not set)',
      'provider off is left out: enabled is false',
    ]);
    expect(warnings).toEqual(['alias lone has no active candidate: all its providers are left out']);
    // What is left out still has to be right.
    expect(pathsOf({ ...input, models: { smart: ['openai/gpt-5'] } })).toEqual(['models.smart.0']);
  });

  test('when every provider is left out nothing starts', () => {
    const input = {
      providers: { a: { adapter: 'mock', enabled: false }, b: { adapter: 'openai', enabled: 'whenKeyed' } },
    };
    expect(problemsOf(input)).toEqual([
      {
        path: 'providers',
        message:
          'expected at least one active provider, got: none, as all are left out: a (enabled is false), b (its key is missing)',
      },
    ]);
  });

  test.each(['smart', 'local/mistral', 'mistral', 'gpt-4.1-mini', 'gpt-4.1-2025-04-14', 'openai/whatever'])(
    'the default model may be %s: an alias, a pinned, a listed or a known model',
    (model) => {
      const input = withProvider(
        { models: ['mistral'] },
        { models: { smart: ['local/mistral'] }, defaults: { model } },
      );
      const providers = { ...input.providers, openai: { adapter: 'openai', apiKey: openaiKey } };
      expect(pathsOf({ ...input, providers })).toEqual([]);
    },
  );

  test.each(['smrt', 'local/other', 'claude-sonnet-5', 'gpt-99'])('the default model cannot be %s', (model) => {
    const input = withProvider({ models: ['mistral'] }, { models: { smart: ['local/mistral'] }, defaults: { model } });
    const providers = { ...input.providers, openai: { adapter: 'openai', apiKey: openaiKey } };
    expect(pathsOf({ ...input, providers })).toEqual(['defaults.model']);
  });
});

describe('what this version does not have', () => {
  test('a redis store is refused with the kinds there are', () => {
    expect(problemsOf({ ...minimal, store: { kind: 'redis' } })).toEqual([
      { path: 'store.kind', message: expect.stringMatching(/memory.*sqlite.*got: "redis"/) },
    ]);
  });

  test('tenants are refused instead of being ignored', () => {
    const tenants = { acme: { budget: { usd: 50, per: 'day' } } };
    expect(problemsOf({ ...minimal, tenants })).toEqual([
      {
        path: 'tenants',
        message: 'budgets and tenant limits are not available in this version; remove this section, got: a map',
      },
    ]);
  });
});

describe('addresses', () => {
  test.each(['http://localhost:11434/v1', 'https://api.groq.com/openai/v1', 'http://[::1]:8000'])(
    '%s is a baseURL',
    (baseURL) => {
      expect(pathsOf(withProvider({ baseURL }))).toEqual([]);
    },
  );

  test.each([
    'api.openai.com/v1',
    'ftp://x/',
    'file:///etc/passwd',
    'https://user:pass@x/v1',
    'https://x/v1?key=1',
    'https://x/v1#a',
    '',
    5,
  ])('%s is no baseURL', (baseURL) => {
    expect(pathsOf(withProvider({ baseURL }))).toContain('providers.local.baseURL');
  });

  test('a proxy is an http or https URL and may have credentials', () => {
    expect(pathsOf(withProvider({ proxy: 'http://user:pass@proxy:3128' }))).toEqual([]);
    expect(pathsOf(withProvider({ proxy: 'socks5://proxy:1080' }))).toEqual(['providers.local.proxy']);
  });

  test.each(['host', 'Content-Length', 'transfer-encoding', 'Connection', 'bad name', ''])(
    'the header %j is not for a config',
    (name) => {
      expect(pathsOf(withProvider({ headers: { [name]: 'x' } }))).toEqual([`providers.local.headers.${name}`]);
    },
  );

  test('a header cannot smuggle another one in', () => {
    expect(pathsOf(withProvider({ headers: { 'x-a': 'b\r\nx-evil: 1' } }))).toEqual(['providers.local.headers.x-a']);
  });

  test.each([
    ['http://127.0.0.1:11434', true],
    ['https://llm.example/', true],
    ['http://127.0.0.1:11434/v1', false],
    ['https://llm.example/openai/deployments/x', false],
  ])('an OpenAI-compatible baseURL without a path is warned of: %s', (baseURL, isWarned) => {
    const providers = {
      local: { adapter: 'openai', apiKey: 'none', baseURL },
      other: { adapter: 'anthropic', apiKey: 'none', baseURL },
    };
    const { warnings } = resolveConfig({ providers }, { env: {} });
    const warning =
      'provider local: its baseURL has no path, and most OpenAI-compatible servers answer under /v1; it is tried as it is';
    expect(warnings).toEqual(isWarned ? [warning] : []);
  });

  test('listening beyond loopback and sending a key in the open are warned of', () => {
    const open = {
      ...withProvider({ apiKey: 'a-key-for-vllm', baseURL: 'http://gpu.example/v1' }),
      http: { host: '0.0.0.0' },
    };
    expect(resolveConfig(open, { env: {} }).warnings).toEqual([
      'provider local: its key travels unencrypted; use an https baseURL',
      'http.host 0.0.0.0 is not a loopback address: whoever reaches it can spend your keys',
    ]);
    expect(resolveConfig(withProvider({ apiKey: 'a-key-for-vllm' }), { env: {} }).warnings).toEqual([]);
  });
});

describe('keys', () => {
  const keyed = (provider: Record<string, unknown>, env: Record<string, string> = {}) =>
    checkConfig({ providers: { p: { adapter: 'openai', ...provider }, mock: { adapter: 'mock' } } }, { env });
  const credentials = (provider: Record<string, unknown>, env: Record<string, string> = {}) => {
    const check = keyed(provider, env);
    return check.isValid ? check.config.providers.find(({ name }) => name === 'p')?.credentials : check.problems;
  };

  test('are numbered by provider, trimmed, and undefined for `none`', () => {
    expect(credentials({ apiKey: `  ${openaiKey}\n` })).toEqual([{ id: 'p#1', apiKey: openaiKey }]);
    expect(credentials({ apiKeys: [openaiKey, `${openaiKey}2`] })).toEqual([
      { id: 'p#1', apiKey: openaiKey },
      { id: 'p#2', apiKey: `${openaiKey}2` },
    ]);
    expect(credentials({ apiKey: 'none' })).toEqual([{ id: 'p#1', apiKey: undefined }]);
    expect(credentials({ adapter: 'mock' })).toEqual([{ id: 'p#1', apiKey: undefined }]);
  });

  test.each([
    '',
    '   ',
    'changeme',
    'CHANGE_ME',
    'sk-...',
    'sk-xxxxxxxx',
    'sk-ant-...',
    'your-api-key',
    'your_openai_api_key_here',
    'sk-your-key',
    '<your key>',
    'xxx',
    'todo',
    'api-key',
  ])('an enabled provider is refused with the key %j, and left out with one notice when it is whenKeyed', (apiKey) => {
    const refused = keyed({ apiKey });
    expect(refused).toMatchObject({ isValid: false, problems: [{ path: 'providers.p.apiKey' }] });
    expect(JSON.stringify(refused)).toContain('enabled: whenKeyed');
    const leftOut = keyed({ apiKey, enabled: 'whenKeyed' });
    expect(leftOut).toMatchObject({ isValid: true, config: { inactiveProviders: [{ name: 'p' }] } });
    expect(leftOut.isValid && leftOut.notices).toHaveLength(1);
  });

  test('that come from an unset variable are refused by the name of the variable', () => {
    expect(credentials({ apiKey: '${MY_KEY}' })).toEqual([
      {
        path: 'providers.p.apiKey',
        message:
          'expected a key, got: an empty value, because MY_KEY is not set; set MY_KEY, or write `enabled: whenKeyed` to leave the provider out while it has no key, or `apiKey: none` for an upstream without keys',
      },
    ]);
  });

  test('are needed by openai and anthropic, not by adapters that may have no use for one', () => {
    for (const adapter of ['openai', 'anthropic'])
      expect(pathsOf({ providers: { p: { adapter } } })).toEqual(['providers.p.apiKey']);
    expect(
      resolveConfig({ providers: { p: { adapter: 'mine' } } }, { env: {}, adapterNames: ['mine'] }).config.providers,
    ).toHaveLength(1);
  });

  test('of a disabled provider are nobody’s business', () => {
    expect(keyed({ enabled: false, apiKey: '' })).toMatchObject({ isValid: true, warnings: [] });
  });

  test('of which some are empty are used without these when the provider is whenKeyed', () => {
    const check = keyed({ enabled: 'whenKeyed', apiKeys: ['${A}', '${B}'] }, { B: openaiKey });
    expect(check).toMatchObject({ isValid: true, notices: ['provider p: apiKeys.0 is left out: it is empty'] });
    expect(credentials({ enabled: 'whenKeyed', apiKeys: ['${A}', '${B}'] }, { B: openaiKey })).toEqual([
      { id: 'p#1', apiKey: openaiKey },
    ]);
    expect(credentials({ apiKeys: ['${A}', '${B}'] }, { B: openaiKey })).toMatchObject([
      { path: 'providers.p.apiKeys.0' },
    ]);
  });

  test.each([
    ['both forms', { apiKey: openaiKey, apiKeys: [openaiKey] }, 'providers.p.apiKeys'],
    ['the same key twice', { apiKeys: [openaiKey, openaiKey] }, 'providers.p.apiKeys.1'],
    ['none among others', { apiKeys: ['none', openaiKey] }, 'providers.p.apiKeys.0'],
    ['a key with a line break', { apiKey: 'sk-a\nb' }, 'providers.p.apiKey'],
    ['a key that is a number', { apiKey: 1234 }, 'providers.p.apiKey'],
    ['an empty list', { apiKeys: [] }, 'providers.p.apiKeys'],
    ['a text as list', { apiKeys: 'sk-a' }, 'providers.p.apiKeys'],
  ])('in the form of %s are refused', (_name, provider, path) => {
    expect(credentials(provider)).toMatchObject([{ path }]);
  });

  test('of an unfamiliar format only warn, and only at the vendor’s own API', () => {
    const warnings = (provider: Record<string, unknown>) => {
      const check = keyed(provider);
      return check.isValid ? check.warnings : check.problems;
    };
    expect(warnings({ apiKey: openaiKey })).toEqual([]);
    expect(warnings({ adapter: 'anthropic', apiKey: anthropicKey })).toEqual([]);
    expect(warnings({ apiKey: 'abcdefghijklmnop' })).toEqual([
      'provider p: apiKey does not look like a key of OpenAI (expected sk-…); it is tried as it is',
    ]);
    expect(warnings({ apiKey: anthropicKey })).toEqual([
      'provider p: apiKey looks like a key of Anthropic, not of OpenAI; it is tried as it is',
    ]);
    expect(warnings({ adapter: 'anthropic', apiKey: openaiKey })).toHaveLength(1);
    expect(warnings({ apiKey: 'gsk_abcdefghijklmnop', baseURL: 'https://api.groq.com/openai/v1' })).toEqual([]);
  });
});

describe('secrets', () => {
  test('are in no error, notice or warning, wherever they were put', () => {
    const secret = 'Zx9-very-secret-value-42';
    const env = { OPENAI_API_KEY: secret, PLAIN: 'Zx9-another-plain-value' };
    const places: Record<string, unknown>[] = [
      { apiKey: secret, priority: -1 },
      { apiKey: `${secret} ${secret}` },
      { apiKeys: [secret, secret] },
      { apiKey: 'none', baseURL: `https://user:${secret}@x/` },
      { apiKey: 'none', proxy: `socks://user:${secret}@x` },
      { apiKey: 'none', headers: { 'x-a': `${secret}\n` } },
      { apiKey: 'none', query: { key: [secret] } },
      { apiKey: secret, adapter: secret },
      { apiKey: secret, models: [secret, secret] },
      { apiKey: secret, [secret]: 1 },
      { apiKey: '${OPENAI_API_KEY}', adapter: '${PLAIN}', priority: '${PLAIN}', timeouts: '${PLAIN}' },
      { adapter: 'sk-proj-abcdefghijklmnopqrstuvwx' },
    ];
    for (const place of places) {
      const input = {
        providers: { p: { adapter: 'openai', ...place } },
        defaults: { model: 'unknown' },
        models: { [secret]: [`p/${secret}`, secret] },
      };
      const check = checkConfig(input, { env });
      const shown = JSON.stringify(check.isValid ? [check.notices, check.warnings] : check.problems);
      expect(check.isValid).toBe(false);
      const isKnown = Object.values(place).some((value) => JSON.stringify(value).includes(secret));
      if (isKnown || 'apiKey' in place) expect(shown).not.toContain(secret.slice(4));
      expect(shown).not.toContain('Zx9-another');
      expect(shown).not.toContain('abcdefghijklmnopqrstuvwx');
    }
  });
});
