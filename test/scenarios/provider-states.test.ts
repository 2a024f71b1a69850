/** What one process has learned of its providers is known to the next one, and nothing of it stands in a request's way. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { startService } from '../../src/compose.ts';
import type { ProviderInput, SwitchgearConfig } from '../../src/config/input.ts';
import type { Clock } from '../../src/contract/clock.ts';
import type { Service } from '../../src/contract/service.ts';
import type { StateStore } from '../../src/contract/storage.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { CANARY_KEY } from '../support/adapter-calls.ts';
import { answer, type Behaviour, fail, ScriptedProvider, when } from '../support/scripted-provider.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import { HELLO, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const WALL_MS = Date.UTC(2026, 0, 1);
const KEY = 'sk-first-0123456789';

let stray: StrayErrors;
beforeEach(() => {
  stray = watchStrayErrors();
});
afterEach(() => stray.finish());

type Providers = Readonly<Record<string, Partial<ProviderInput>>>;

/** One process: a service with a clock of its own. It is killed by never moving its clock again. */
interface Process {
  readonly clock: VirtualClock;
  readonly service: Service;
  readonly upstream: ScriptedProvider;
  /** Log lines, as objects. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  reload(providers: Providers): Promise<void>;
  stop(): Promise<void>;
}

function configOf(providers: Providers): SwitchgearConfig {
  const scripted = Object.entries(providers).map(([name, input]): [string, ProviderInput] => [
    name,
    {
      adapter: 'scripted',
      ...(input.apiKeys === undefined && { apiKey: KEY }),
      models: ['m'],
      retry: { maxRetries: 0 },
      health: { intervalMs: DAY_MS },
      ...input,
    },
  ]);
  return { providers: Object.fromEntries(scripted) };
}

/** What outlives every process. */
class Disk implements StateStore {
  readonly states = new Map<string, string>();
  saves = 0;
  /** What becomes of a save, by its number from 1. */
  onSave: (save: number) => Promise<void> | void = () => undefined;
  onLoad: () => Promise<void> | void = () => undefined;

  async load(): Promise<Readonly<Record<string, unknown>>> {
    await this.onLoad();
    return Object.fromEntries([...this.states].map(([name, text]) => [name, JSON.parse(text)]));
  }

  async save(name: string, state: unknown): Promise<void> {
    this.saves += 1;
    await this.onSave(this.saves);
    this.states.set(name, JSON.stringify(state));
  }

  get text(): string {
    return [...this.states.values()].join('\n');
  }

  /** Starts a process `atMs` after the first one could have. */
  async boot(
    atMs: number,
    { providers = { a: {} }, always = answer() }: { readonly providers?: Providers; readonly always?: Behaviour } = {},
  ): Promise<Process> {
    const clock = new VirtualClock({ wallMs: WALL_MS + atMs });
    const upstream = new ScriptedProvider('a', clock);
    upstream.always = always;
    const lines: Record<string, unknown>[] = [];
    // pino writes one JSON object per line.
    const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
    const config = { ...configOf(providers) };
    const starting = startService(config, {
      clock,
      logger: pino({ level: 'trace', base: null, timestamp: false }, { write }),
      storage: { states: this },
      adapters: { scripted: upstream.createAdapter },
    });
    const service = await clock.waitFor(starting);
    return {
      clock,
      service,
      upstream,
      lines,
      reload: async (next) => {
        config.providers = configOf(next).providers;
        await service.reload();
      },
      stop: () => clock.waitFor(service.stop({ graceMs: 0 })),
    };
  }
}

/**
 * Fails requests until the breaker is open and no probe of it may be forced any more; gives the moment of its probe, ms after
 * the first process could have started.
 */
async function openBreaker({ service, clock, upstream }: Process): Promise<number> {
  upstream.always = fail('upstream-error');
  for (let count = 0; count < 6; count += 1) await clock.waitFor(rejection(service.completion(HELLO)));
  const { breaker } = (await service.healthStatus())['a']!;
  expect(breaker.state).toBe('open');
  return breaker.nextProbeAt! - WALL_MS;
}

const ENDS: [string, (process: Process) => Promise<void>][] = [
  ['was stopped', (process) => process.stop()],
  ['was killed', (process) => process.clock.settle()],
];

describe.each(ENDS)('after a process that %s', (_name, end) => {
  test('an open breaker is still open, and is probed on time', async () => {
    const disk = new Disk();
    const first = await disk.boot(0);
    await first.clock.advance(5_000);
    const probeAtMs = await openBreaker(first);
    await end(first);
    const bootMs = 7_000;
    const second = await disk.boot(bootMs);
    expect((await second.service.healthStatus())['a']).toMatchObject({
      status: 'unhealthy',
      breaker: { state: 'open', lastError: 'scripted upstream-error', openedAt: WALL_MS + 5_000 },
    });
    // A request that can wait does, and is the probe.
    const requestId = await second.service.completionAsync(HELLO);
    await second.clock.advance(probeAtMs - bootMs - 2);
    expect(second.upstream.calls).toEqual([]);
    await second.clock.advance(1_002);
    expect(second.upstream.attempts).toHaveLength(1);
    const probedAtMs = bootMs + second.upstream.attempts[0]!.atMs;
    expect(probedAtMs).toBeGreaterThanOrEqual(probeAtMs - 1);
    expect(probedAtMs).toBeLessThanOrEqual(probeAtMs + 1_000);
    expect(await second.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    await second.clock.waitFor(second.service.completion(HELLO));
    expect((await second.service.healthStatus())['a']?.breaker.state).toBe('closed');
    await second.stop();
    expect(disk.states.get('a')).not.toContain('open');
  });

  test('a provider that asked for an hour is left alone for an hour', async () => {
    const disk = new Disk();
    const first = await disk.boot(0, { always: fail('rate-limited', { retryAfterMs: HOUR_MS }) });
    await first.clock.advance(1_000);
    await first.clock.waitFor(rejection(first.service.completion(HELLO)));
    await end(first);
    const second = await disk.boot(61_000);
    const requestId = await second.service.completionAsync(HELLO);
    const refused = await second.clock.waitFor(rejection(second.service.completion(HELLO)));
    expect(refused.retryAfterMs).toBeGreaterThan(HOUR_MS - 61_000);
    await second.clock.advance(HOUR_MS - 60_000 - 1);
    expect(second.upstream.calls).toEqual([]);
    await second.clock.advance(1_001);
    expect(await second.service.getResult(requestId)).toMatchObject({ status: 'succeeded' });
    await second.stop();
  });

  test('a refused key is not tried again, unless it is another one', async () => {
    const disk = new Disk();
    const first = await disk.boot(0, { always: fail('unauthorized') });
    for (let count = 0; count < 2; count += 1) await first.clock.waitFor(rejection(first.service.completion(HELLO)));
    expect(first.upstream.attempts).toHaveLength(2);
    await end(first);
    const second = await disk.boot(DAY_MS);
    const refused = await second.clock.waitFor(rejection(second.service.completion(HELLO)));
    expect([refused.code, second.upstream.calls]).toEqual(['providers-unavailable', []]);
    await second.reload({ a: { apiKey: 'sk-second-0123456789' } });
    expect((await second.clock.waitFor(second.service.completion(HELLO))).text).toBe('fine');
    await end(second);
    // What was known of the old key went with it.
    const third = await disk.boot(DAY_MS);
    expect((await third.clock.waitFor(third.service.completion(HELLO))).text).toBe('fine');
    await third.stop();
  });

  test('a refused key stays out beside one that works, wherever both stand now', async () => {
    const disk = new Disk();
    const bad = when(({ apiKey }) => (apiKey === KEY ? fail('unauthorized') : answer()));
    const first = await disk.boot(0, { providers: { a: { apiKeys: [KEY, 'sk-second-0123456789'] } }, always: bad });
    for (let count = 0; count < 3; count += 1) await first.clock.waitFor(first.service.completion(HELLO));
    await end(first);
    const second = await disk.boot(0, { providers: { a: { apiKeys: ['sk-second-0123456789', KEY] } }, always: bad });
    for (let count = 0; count < 3; count += 1) await second.clock.waitFor(second.service.completion(HELLO));
    expect(new Set(second.upstream.attempts.map(({ credentialId }) => credentialId))).toEqual(new Set(['a#1']));
    expect(second.service.providerStates()['a']?.credentials).toEqual([
      { id: 'a#1', state: 'usable' },
      { id: 'a#2', state: 'disabled' },
    ]);
    await second.stop();
  });

  test('what is owed to a rate limit is owed still', async () => {
    const disk = new Disk();
    const providers = { a: { rateLimit: { requestsPerMinute: 60 } } };
    const first = await disk.boot(0, { providers });
    const asked = Array.from({ length: 10 }, () => first.clock.waitFor(first.service.completion(HELLO)));
    await first.clock.waitFor(Promise.all(asked));
    // What is saved soon is saved within a second.
    await first.clock.advance(1_000);
    const diedAtMs = first.clock.nowMs();
    await end(first);
    const second = await disk.boot(diedAtMs, { providers });
    await second.clock.waitFor(Promise.all(Array.from({ length: 10 }, () => second.service.completion(HELLO))));
    const moments = [
      ...first.upstream.attempts.map(({ atMs }) => atMs),
      ...second.upstream.attempts.map(({ atMs }) => diedAtMs + atMs),
    ];
    expect(moments).toHaveLength(20);
    // Nine tenths of sixty a minute, five and a fraction of them at once: over both processes as over one.
    for (const [index, atMs] of moments.entries()) {
      const since = moments.slice(index).findLastIndex((other) => other <= atMs + 10_000);
      expect(since + 1).toBeLessThanOrEqual(5.4 + 9 + 1);
    }
    expect(second.upstream.attempts.at(-1)!.atMs).toBeGreaterThan(8_000);
    await second.stop();
  });
});

describe('a clock that was set', () => {
  test('a day back makes no wait longer than it was', async () => {
    const disk = new Disk();
    const first = await disk.boot(0, { always: fail('rate-limited', { retryAfterMs: HOUR_MS }) });
    await first.clock.waitFor(rejection(first.service.completion(HELLO)));
    const second = await disk.boot(-DAY_MS);
    const [credential] = second.service.providerStates()['a']!.credentials;
    expect(credential?.heldForMs).toBe(HOUR_MS);
    await second.clock.advance(HOUR_MS);
    expect((await second.clock.waitFor(second.service.completion(HELLO))).text).toBe('fine');
    await second.stop();
  });

  test('a day back is waited for once, however many processes come and are killed meanwhile', async () => {
    const disk = new Disk();
    const first = await disk.boot(0, { always: fail('rate-limited', { retryAfterMs: HOUR_MS }) });
    await first.clock.waitFor(rejection(first.service.completion(HELLO)));
    for (let life = 0; life < 4; life += 1) {
      const process = await disk.boot(-DAY_MS + (life * HOUR_MS) / 4);
      const [credential] = process.service.providerStates()['a']!.credentials;
      expect(credential?.heldForMs).toBe(HOUR_MS - (life * HOUR_MS) / 4);
      await process.clock.advance(2_000);
    }
    const last = await disk.boot(-DAY_MS + HOUR_MS);
    expect((await last.clock.waitFor(last.service.completion(HELLO))).text).toBe('fine');
    await last.stop();
  });

  test('a day back or forth while the process runs changes nothing of what is saved', async () => {
    const disk = new Disk();
    const first = await disk.boot(0);
    first.clock.jumpWall(DAY_MS);
    await openBreaker(first);
    const openMs = (await first.service.healthStatus())['a']!.breaker.nextProbeAt! - first.clock.wallMs();
    const second = await disk.boot(0);
    const leftMs = (await second.service.healthStatus())['a']!.breaker.nextProbeAt! - WALL_MS;
    expect(Math.abs(leftMs - openMs)).toBeLessThanOrEqual(1);
    await second.stop();
  });

  test('a day forward costs one probe', async () => {
    const disk = new Disk();
    const first = await disk.boot(0);
    await openBreaker(first);
    const second = await disk.boot(DAY_MS, { always: fail('upstream-error') });
    await second.clock.waitFor(rejection(second.service.completion(HELLO)));
    expect(second.upstream.attempts).toHaveLength(1);
    expect((await second.service.healthStatus())['a']?.breaker.state).toBe('open');
    await second.stop();
  });
});

describe('a store of states', () => {
  test.each([1, 2, 3, 4])('that fails at save number %i costs no request anything, and is told once', async (nth) => {
    const disk = new Disk();
    disk.onSave = (save) => {
      if (save >= nth && save < nth + 2) throw new Error('disk full');
    };
    const first = await disk.boot(0);
    const told: unknown[] = [];
    first.service.on('store.failed', (event) => told.push(event));
    for (let round = 0; round < 4; round += 1) {
      first.upstream.plan(fail('rate-limited', { retryAfterMs: 3_000 }));
      const startedAtMs = first.clock.nowMs();
      await first.clock.waitFor(rejection(first.service.completion(HELLO, { timeoutMs: 1_000 })));
      expect(first.clock.nowMs() - startedAtMs).toBeLessThanOrEqual(1_000);
      await first.clock.advance(3_000);
      expect((await first.clock.waitFor(first.service.completion(HELLO))).text).toBe('fine');
    }
    expect(told).toEqual([{ operation: 'save the state of a', message: 'Error: disk full' }]);
    const probeAtMs = await openBreaker(first);
    await first.clock.advance(3_000);
    const second = await disk.boot(first.clock.nowMs());
    const { state, nextProbeAt = 0 } = (await second.service.healthStatus())['a']!.breaker;
    expect(state).toBe('open');
    expect(Math.abs(nextProbeAt - WALL_MS - probeAtMs)).toBeLessThanOrEqual(1);
    await second.stop();
  });

  test('that says nothing holds up neither a request nor, for longer than it must, the end', async () => {
    const disk = new Disk();
    disk.onSave = () => new Promise<never>(() => undefined);
    const first = await disk.boot(0);
    await openBreaker(first);
    expect(first.clock.nowMs()).toBeLessThan(1_000);
    await first.clock.waitFor(first.service.stop(), 25_000);
    expect(first.lines).toContainEqual(
      expect.objectContaining({
        level: 50,
        operation: 'save the state of a',
        message: 'Error: the store did not answer within 10000 ms',
      }),
    );
    expect(first.clock.pendingTimers).toBe(0);
  });

  test.each<[string, () => Promise<void> | void]>([
    ['cannot be read', () => Promise.reject(new Error('no such table'))],
    ['does not answer', () => new Promise<never>(() => undefined)],
  ])('that %s costs what it knew, and a line in the log', async (_name, onLoad) => {
    const disk = new Disk();
    await openBreaker(await disk.boot(0));
    disk.onLoad = onLoad;
    const second = await disk.boot(1_000);
    expect((await second.clock.waitFor(second.service.completion(HELLO))).text).toBe('fine');
    const failed = second.lines.filter(({ operation }) => operation === 'load the states of providers');
    expect(failed).toEqual([expect.objectContaining({ level: 50 })]);
    await second.stop();
  });

  test('that holds nonsense costs one warning', async () => {
    const disk = new Disk();
    disk.states.set(
      'a',
      JSON.stringify({ version: 1, savedAt: WALL_MS, breaker: { state: 'open', openUntil: 'soon' } }),
    );
    const process = await disk.boot(0);
    expect((await process.clock.waitFor(process.service.completion(HELLO))).text).toBe('fine');
    const warnings = process.lines.filter(({ level }) => level === 40);
    expect(warnings).toEqual([
      expect.objectContaining({
        provider: 'a',
        reason: 'expected breaker.openUntil to be a time in epoch ms, got: a value of type string',
      }),
    ]);
    await process.stop();
  });

  test('is written nothing, and no timer runs, while all is well', async () => {
    const disk = new Disk();
    const process = await disk.boot(0);
    const timers = process.clock.pendingTimers;
    for (let count = 0; count < 20; count += 1) await process.clock.waitFor(process.service.completion(HELLO));
    expect(process.clock.pendingTimers).toBe(timers);
    await process.stop();
    expect([disk.saves, process.clock.pendingTimers]).toEqual([0, 0]);
  });

  test('is never told a key, whatever a provider says in its errors', async () => {
    const disk = new Disk();
    const providers = { a: { apiKeys: [CANARY_KEY, `${CANARY_KEY}-two`] } };
    const process = await disk.boot(0, { providers });
    const echoing = when(({ apiKey = '' }) => fail('upstream-error', { message: `no luck with ${apiKey}, ${apiKey}` }));
    process.upstream.always = echoing;
    for (let count = 0; count < 8; count += 1)
      await process.clock.waitFor(rejection(process.service.completion(HELLO)));
    process.upstream.always = when(({ apiKey = '' }) => fail('unauthorized', { message: `who is ${apiKey}?` }));
    await process.clock.advance(60_000);
    for (let count = 0; count < 8; count += 1)
      await process.clock.waitFor(rejection(process.service.completion(HELLO)));
    await process.stop();
    expect(disk.text).toContain('no luck with [key]');
    expect(disk.text).toContain('unauthorized');
    expect(disk.text).not.toMatch(/canary|sk-|4f1d0c7e/);
  });
});

test('nobody can see in what is stored that two providers have one key', async () => {
  const disk = new Disk();
  const process = await disk.boot(0, { providers: { a: {}, b: { models: ['other'] } }, always: fail('unauthorized') });
  for (const model of ['m', 'm', 'other', 'other'])
    await process.clock.waitFor(rejection(process.service.completion({ ...HELLO, model })));
  await process.stop();
  const prints = [...disk.states.values()].map((text) => /"key":"([0-9a-f]{16})"/.exec(text)?.[1]);
  expect(prints).toEqual([expect.any(String), expect.any(String)]);
  expect(prints[0]).not.toBe(prints[1]);
});

describe('a provider that is taken out of the config', () => {
  const both = { a: {}, b: { models: ['other'] } };

  test('and put back is not asked before the time it asked for', async () => {
    const disk = new Disk();
    const process = await disk.boot(0, { providers: both, always: fail('rate-limited', { retryAfterMs: HOUR_MS }) });
    await process.clock.waitFor(rejection(process.service.completion(HELLO)));
    await process.reload({ b: both.b });
    await process.clock.advance(1_000);
    await process.reload(both);
    expect(process.service.providerStates()['a']?.credentials).toEqual([
      { id: 'a#1', state: 'held', heldForMs: HOUR_MS - 1_000 },
    ]);
    await process.stop();
  });

  test('and put back when its breaker was due begins anew', async () => {
    const disk = new Disk();
    const process = await disk.boot(0, { providers: both });
    await openBreaker(process);
    await process.reload({ b: both.b });
    await process.clock.advance(60_000);
    await process.reload(both);
    expect(process.service.providerStates()['a']?.breaker.state).toBe('closed');
    await process.stop();
  });

  test('is put back by a later process as it was left, as far as that is still due', async () => {
    const disk = new Disk();
    const first = await disk.boot(0, { providers: both, always: fail('rate-limited', { retryAfterMs: HOUR_MS }) });
    await first.clock.waitFor(rejection(first.service.completion(HELLO)));
    await first.stop();
    const second = await disk.boot(1_000, { providers: { b: both.b } });
    expect(second.service.providerStates()).not.toHaveProperty('a');
    await second.reload(both);
    expect(second.service.providerStates()['a']?.gate).toBe('held');
    await second.stop();
    const third = await disk.boot(HOUR_MS, { providers: { b: both.b } });
    await third.reload(both);
    expect(third.service.providerStates()['a']?.gate).toBe('clear');
    await third.stop();
  });
});

test('a file keeps it all, for a service that starts on it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
  const clock: Clock = systemClock;
  const start = async (upstream: ScriptedProvider) =>
    startService(
      { ...configOf({ a: {} }), store: { kind: 'sqlite', path: join(folder, 'switchgear.db') } },
      { adapters: { scripted: upstream.createAdapter } },
    );
  try {
    const upstream = new ScriptedProvider('a', clock);
    upstream.always = fail('upstream-error');
    const first = await start(upstream);
    for (let count = 0; count < 5; count += 1) await rejection(first.completion(HELLO));
    const before = (await first.healthStatus())['a']!.breaker;
    await first.stop();
    const untouched = new ScriptedProvider('a', clock);
    const second = await start(untouched);
    const after = (await second.healthStatus())['a']!.breaker;
    expect(after).toMatchObject({ state: 'open', openedAt: before.openedAt, lastError: 'scripted upstream-error' });
    // Two readings of two clocks of the machine.
    expect(Math.abs(after.nextProbeAt! - before.nextProbeAt!)).toBeLessThanOrEqual(50);
    await second.stop();
    expect(untouched.attempts).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
