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
const queue = { lanes: [{ provider: 'openai', waiting: 7, running: 2, limit: 32, paused: true }], open: 9 };
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
    expect(lines).toContainEqual(expect.stringMatching(/^QUEUE \(9 open\) +WAITING +RUNNING +LIMIT$/));
    expect(lines).toContainEqual(expect.stringMatching(/^openai \(paused\) +7 +2 +32$/));
    expect(lines).toContainEqual(expect.stringMatching(/^· openai +down +5 +6$/));
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
    const lean = { providers: { openai: { status: 'healthy', breaker: { state: 'closed' }, novelty: 1 } } };
    await using daemon = await startScriptedDaemon(({ path }, response) =>
      reply(response, 200, path === '/admin/providers' ? lean : answers[path]),
    );
    const { code, out } = await run(['status', '--url', daemon.url]);
    expect(code).toBe(0);
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

  test('a file that is not there is a config error', async () => {
    const { code, err } = await run(['config', 'check', '/nonexistent.yaml']);
    expect(code).toBe(78);
    expect(err).toContain('/nonexistent.yaml');
  });
});
