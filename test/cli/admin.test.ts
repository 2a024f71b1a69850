import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { reply, always, startScriptedDaemon, type Script } from './scripted-daemon.ts';
import { run } from './test-shell.ts';

const breaker = {
  state: 'closed',
  failureCount: 0,
  successCount: 3,
  lastFailureAt: undefined,
  lastError: undefined,
  openedAt: undefined,
  nextProbeAt: undefined,
};
const provider = {
  status: 'healthy',
  breaker,
  uptimePercent: 99.95,
  latency: { averageMs: 400, p50Ms: 350, p95Ms: 1_900 },
  lastCheckAt: 1,
  recentErrors: [],
  state: {
    breaker,
    gate: 'clear',
    credentials: [],
    concurrency: { limit: 32, inFlight: 2 },
    quarantinedModels: [],
    isDown: false,
  },
};
const broken = {
  ...provider,
  status: 'unhealthy',
  breaker: {
    ...breaker,
    state: 'open',
    nextProbeAt: Date.now() + 3_600_000,
    lastError: 'what the breaker counted, long ago',
  },
  recentErrors: [
    {
      at: Date.now() - 120_000,
      code: 'provider-error',
      message: `503\u001b[31m from\nupstream ${'x'.repeat(100)}`,
    },
    { at: Date.now() - 9_000_000, code: 'timeout', message: 'older' },
  ],
  uptimePercent: null,
  latency: {},
  state: {
    ...provider.state,
    gate: 'held',
    credentials: [
      { id: 'anthropic#1', state: 'disabled' },
      { id: 'anthropic#2', state: 'held', heldForMs: 70_000 },
    ],
  },
};
const tree = {
  children: [
    { id: 'cost-tracker', state: 'running', restarts: 0, incarnation: 1 },
    {
      id: 'providers',
      state: 'running',
      restarts: 0,
      incarnation: 1,
      children: [{ id: 'openai', state: 'down', restarts: 5, incarnation: 6 }],
    },
  ],
};
const providers = { providers: { openai: provider, anthropic: broken } };
const lane = { provider: 'openai', waiting: 7, running: 2, limit: 32, paused: true };
const queue = { lanes: [lane], open: 9, waiting: 7, running: 2 };
const answers: Readonly<Record<string, unknown>> = {
  '/admin/tree': tree,
  '/admin/providers': providers,
  '/admin/queue': queue,
};
const status: Script = ({ path }, response) => reply(response, 200, answers[path]);

describe('status', () => {
  test('shows providers, queue and tree in columns', async () => {
    await using daemon = await startScriptedDaemon(status);
    const { code, out, err } = await run(['status', '--url', daemon.url]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const lines = out.split('\n');
    expect(lines).toContainEqual(
      expect.stringMatching(/^openai +healthy +closed +clear +2\/32 +100\.0 % +350 ms +1\.9 s +-$/),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^anthropic +unhealthy \(key anthropic#1 disabled\) +open \(probe in (59 min|1 h)\) +held 1 min +2\/32 +- +- +- +2 min ago: 503\[31m from upstream x+…$/,
      ),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^QUEUE \(7 waiting, 2 running\) +WAITING +RUNNING +LIMIT$/));
    expect(lines).toContainEqual(expect.stringMatching(/^openai \(paused\) +7 +2 +32$/));
    expect(lines).toContainEqual(expect.stringMatching(/^· openai +down +5 +6$/));
    expect(out).not.toContain('lane of each');
  });

  test('counts a request that waits in several lanes once, and says that lanes overlap', async () => {
    const overlapping = { lanes: [lane, { ...lane, provider: 'anthropic' }], open: 9, waiting: 7, running: 2 };
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/queue' ? overlapping : answers[path]),
    );
    const { out } = await run(['status', '--url', daemon.url]);
    expect(out).toMatch(/^QUEUE \(7 waiting, 2 running\) /m);
    expect(out).toMatch(/^Lanes overlap: a request that several providers may take waits in the lane of each\.$/m);
  });

  test('tells what waits in the store beside what waits in memory', async () => {
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/queue' ? { ...queue, parked: 1_200 } : answers[path]),
    );
    const { out } = await run(['status', '--url', daemon.url]);
    expect(out).toMatch(/^QUEUE \(7 waiting, 2 running, 1200 more waiting in the store\) /m);
  });

  test.each([
    ['rate-limited', {}, 'rate limited'],
    ['failing', { failureCount: 3, successCount: 7 }, '3 of 10 failed'],
    ['check-failed', {}, 'check failed'],
    ['no-usable-key', {}, 'no usable key'],
    ['something-new', {}, 'something-new'],
  ])('says why a provider is not healthy where no other column does: %s', async (reason, counts, why) => {
    const degraded = { ...provider, status: 'degraded', reason, breaker: { ...breaker, ...counts } };
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/providers' ? { providers: { openai: degraded } } : answers[path]),
    );
    const { out } = await run(['status', '--url', daemon.url]);
    expect(out).toMatch(new RegExp(`^openai +degraded \\(${why}\\) +closed`, 'm'));
  });

  test('lists the providers that the config leaves out, with the reason', async () => {
    const leftOut = [{ name: 'late', reason: 'its key is empty (LATE_KEY is not set)' }];
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/providers' ? { ...providers, leftOut } : answers[path]),
    );
    const { out } = await run(['status', '--url', daemon.url]);
    expect(out).toMatch(/^Left out: late: its key is empty \(LATE_KEY is not set\)$/m);
  });

  test.each([
    [{ isDown: true }, 'down'],
    [{ isSuspended: true }, 'suspended'],
  ])('says why a provider takes nothing: %j', async (state, why) => {
    const stopped = {
      providers: { openai: { ...provider, status: 'unhealthy', state: { ...provider.state, ...state } } },
    };
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/providers' ? stopped : answers[path]),
    );
    expect((await run(['status', '--url', daemon.url])).out).toMatch(
      new RegExp(`^openai +unhealthy \\(${why}\\) `, 'm'),
    );
  });

  test('gives the three answers as one document with --json', async () => {
    await using daemon = await startScriptedDaemon(status);
    const { out } = await run(['status', '--json', '--url', daemon.url]);
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify({ tree, providers, queue })));
  });

  test('shows a daemon of another version as far as it is understood', async () => {
    const leanQueue = { lanes: [lane], open: 9 };
    const lean = { providers: { openai: { status: 'healthy', breaker: { state: 'closed' }, novelty: 1 } } };
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, { ...answers, '/admin/providers': lean, '/admin/queue': leanQueue }[path]),
    );
    const { code, out } = await run(['status', '--url', daemon.url]);
    expect(code).toBe(0);
    expect(out).toMatch(/^QUEUE \(9 open\) /m);
    expect(out).toMatch(/^openai +healthy +closed +- +- +- +- +- +-$/m);
  });

  test('one refused answer ends the command with its exit code', async () => {
    await using daemon = await startScriptedDaemon(({ path }, response) => {
      if (path === '/admin/queue')
        reply(response, 503, { error: { message: 'draining' } }, { 'x-switchgear-error': 'shutting-down' });
      else reply(response, 200, answers[path]);
    });
    expect(await run(['status', '--url', daemon.url])).toEqual({ code: 75, out: '', err: 'switchgear: draining\n' });
  });
});

describe('costs', () => {
  const costs = {
    totalCost: { usd: 1.25, usdNanos: 1_250_000_001 },
    costByProvider: { cheap: { usd: 0.25, usdNanos: 250_000_001 }, dear: { usd: 1, usdNanos: 1_000_000_000 } },
    costByModel: {},
    costByTenant: { acme: { usd: 1.25, usdNanos: 1_250_000_001 } },
    recordCount: 12,
    unpricedCount: 3,
    tokenUsage: {
      inputTokens: 100,
      outputTokens: 50,
      totalTokens: 150,
      cachedInputTokens: 20,
      cacheWriteTokens: 0,
      reasoningTokens: 5,
    },
    timeRange: {},
  };

  test('shows exact amounts, the dearest first, and what is not in them', async () => {
    await using daemon = await startScriptedDaemon(always(200, costs));
    const { code, out } = await run(['costs', '--url', daemon.url]);
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['NAME', 'COST'],
      ['provider', 'dear', '$1.00'],
      ['provider', 'cheap', '$0.250000001'],
      ['tenant', 'acme', '$1.250000001'],
      ['total', '$1.250000001'],
      ['average per request', '-'],
      [''],
      ['12 records, 3 of unknown price not included; 100 tokens in (20 cached), 50 out (5 reasoning)'],
      [''],
    ]);
  });

  test('what was never priced is unknown, not zero; what was never asked is zero', async () => {
    const one = { ...costs, totalCost: { usd: 0, usdNanos: 0 }, costByProvider: {}, costByTenant: {}, recordCount: 1 };
    await using unpriced = await startScriptedDaemon(always(200, { ...one, unpricedCount: 1 }));
    const { out } = await run(['costs', '--url', unpriced.url]);
    expect(out).toMatch(/^total +-$/m);
    expect(out).toContain('1 record, 1 of unknown price not included; ');
    await using unused = await startScriptedDaemon(always(200, { ...one, recordCount: 0, unpricedCount: 0 }));
    expect((await run(['costs', '--url', unused.url])).out).toMatch(/^total +\$0\.00$/m);
  });

  test('asks for what was asked of it', async () => {
    await using daemon = await startScriptedDaemon(always(200, costs));
    const filters = ['--until', '2026-02-01', '--provider', 'a', '--model', 'b/c', '--tenant', 't', '--tag', 'x=1&y'];
    await run(['costs', '--since', '2026-01-01', ...filters, '--url', daemon.url]);
    const query = new URL(daemon.questions[0]?.path ?? '', daemon.url).searchParams;
    expect(Object.fromEntries(query)).toEqual({
      since: '2026-01-01T00:00:00.000Z',
      until: '2026-02-01T00:00:00.000Z',
      provider: 'a',
      model: 'b/c',
      tenant: 't',
      tag: 'x=1&y',
    });
  });

  test('--since takes an age', async () => {
    await using daemon = await startScriptedDaemon(always(200, costs));
    const before = Date.now();
    await run(['costs', '--since', '2d', '--url', daemon.url]);
    const since = new URL(daemon.questions[0]?.path ?? '', daemon.url).searchParams.get('since');
    const ageMs = Date.parse(since ?? '') - (before - 2 * 86_400_000);
    expect(ageMs).toBeGreaterThanOrEqual(0);
    expect(ageMs).toBeLessThan(10_000);
  });
});

describe('explain', () => {
  const explained = {
    candidates: [
      { provider: 'openai', model: 'gpt', usable: false, reasons: ['breaker open', 'probe in 3 s'] },
      { provider: 'mock', model: 'mock', usable: true, reasons: [] },
    ],
  };

  test('shows the candidates in order, with reasons', async () => {
    await using daemon = await startScriptedDaemon(always(200, explained));
    const { code, out } = await run(['explain', '--model', 'smart', '--url', daemon.url]);
    expect(code).toBe(0);
    expect(out).toMatch(/^1 +openai +gpt +no +breaker open; probe in 3 s$/m);
    expect(out).toMatch(/^2 +mock +mock +yes$/m);
    expect(daemon.questions[0]).toMatchObject({ method: 'GET', path: '/admin/explain?model=smart' });
  });

  test('asks with the whole request when there is a prompt', async () => {
    await using daemon = await startScriptedDaemon(always(200, explained));
    await run(['explain', 'Hi', '--model', 'smart', '--url', daemon.url]);
    expect(daemon.questions[0]).toMatchObject({
      method: 'POST',
      path: '/admin/explain',
      body: { model: 'smart', messages: [{ role: 'user', content: 'Hi' }] },
    });
  });
});

describe('restart, suspend, resume', () => {
  test.each([
    ['restart', 'restarted'],
    ['suspend', 'suspended'],
    ['resume', 'resumed'],
  ])('%s tells one actor', async (verb, done) => {
    await using daemon = await startScriptedDaemon(
      always(200, { id: 'open/ai', state: 'running', restarts: 0, incarnation: 2 }),
    );
    const { code, out } = await run([verb, 'open/ai', '--url', daemon.url]);
    expect({ code, out }).toEqual({ code: 0, out: `open/ai is ${done}\n` });
    expect(daemon.questions[0]).toMatchObject({ method: 'POST', path: `/admin/actors/open%2Fai/${verb}` });
  });

  test.each(['', '.', '..'])('an id that would change the path (%j) is refused', async (id) => {
    await using daemon = await startScriptedDaemon(always(200, {}));
    expect((await run(['restart', id, '--url', daemon.url])).code).toBe(64);
    expect(daemon.questions).toEqual([]);
  });
});

describe('config check', () => {
  async function withConfig(text: string, check: (file: string) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
    try {
      await writeFile(join(folder, 'switchgear.yaml'), text);
      await check(join(folder, 'switchgear.yaml'));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test('tells of a valid config who would answer and who was left out', async () => {
    const text =
      'providers:\n  local: { adapter: mock, models: [m] }\n  openai: { adapter: openai, enabled: whenKeyed, apiKey: "${OPENAI_API_KEY:-}" }\n';
    await withConfig(text, async (file) => {
      const { code, out, err } = await run(['config', 'check', file]);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('is valid. Providers: local.');
      expect(out).toContain('openai');
      const json = await run(['config', 'check', file, '--json']);
      expect(JSON.parse(json.out)).toMatchObject({ ok: true, providers: ['local'], warnings: [] });
    });
  });

  test('tells all mistakes of an invalid one by their paths and ends with 78', async () => {
    const text = 'http: { port: 99999 }\nproviders:\n  local: { adapter: mokc, priorty: 1 }\n';
    await withConfig(text, async (file) => {
      const { code, out, err } = await run(['config', 'check', file]);
      expect({ code, out }).toEqual({ code: 78, out: '' });
      for (const path of ['http.port', 'providers.local.adapter', 'providers.local.priorty'])
        expect(err).toContain(path);
      const json = await run(['config', 'check', file, '--json']);
      expect(json).toMatchObject({ code: 78, err: '' });
      const document: unknown = JSON.parse(json.out);
      expect(document).toMatchObject({
        ok: false,
        problems: expect.arrayContaining([expect.objectContaining({ path: 'http.port' })]),
      });
    });
  });

  test('tells every mistake under the options of any adapter, and a host that serve refuses, by their paths', async () => {
    const text = [
      'providers:',
      '  a: { adapter: mock, models: [m], options: { scirpt: [], repeat: maybe } }',
      '  b: { adapter: openai, apiKey: none, baseURL: http://127.0.0.1:1/v1, options: { streamUsage: perhaps } }',
      '  c: { adapter: anthropic, apiKey: none, baseURL: http://127.0.0.1:1, options: { nonsense: 1 } }',
      'http: { host: 0.0.0.0 }',
    ].join('\n');
    await withConfig(text, async (file) => {
      const { code, out, err } = await run(['config', 'check', file]);
      expect({ code, out }).toEqual({ code: 78, out: '' });
      expect(err).toMatch(/^switchgear: expected \S+ to be valid, got 5 problems:\n/);
      const json = await run(['config', 'check', file, '--json']);
      const { ok, problems } = JSON.parse(json.out) as { ok: boolean; problems: { path: string }[] }; // What it promises.
      expect([ok, problems.map(({ path }) => path)]).toEqual([
        false,
        [
          'providers.a.options.repeat',
          'providers.a.options.scirpt',
          'providers.b.options.streamUsage',
          'providers.c.options.nonsense',
          'http.host',
        ],
      ]);
    });
  });

  test.each([
    ['0.0.0.0', 78],
    ['gateway.example', 78],
    ['::1', 0],
    ['LocalHost', 0],
  ])('judges http.host %s as serve does', async (host, code) => {
    const text = `http: { host: "${host}" }\nproviders:\n  local: { adapter: mock, models: [m] }\n`;
    await withConfig(text, async (file) => {
      const checked = await run(['config', 'check', file]);
      expect(checked.code).toBe(code);
      if (code === 0) return;
      expect(checked.err).toContain(`http.host: expected a loopback address, got: ${host}`);
      expect(checked.err).toContain('--allow-unauthenticated');
      expect(JSON.parse((await run(['config', 'check', file, '--json'])).out)).toMatchObject({
        ok: false,
        problems: [{ path: 'http.host' }],
      });
      const allowed = await run(['config', 'check', file, '--allow-unauthenticated']);
      expect(allowed.code).toBe(0);
      expect(allowed.out).toMatch(/^Warning: http\.host .* is not a loopback address/m);
    });
  });

  test('a file that is not there is a config error', async () => {
    const { code, err } = await run(['config', 'check', '/nonexistent.yaml']);
    expect(code).toBe(78);
    expect(err).toContain('/nonexistent.yaml');
  });
});
