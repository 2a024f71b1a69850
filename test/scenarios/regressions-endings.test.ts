/** Poisonous events, changes while a service ends, and errors without a text. */
import { writeFile, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { Adapter, Failure } from '../../src/contract/adapter.ts';
import { answer } from '../support/scripted-provider.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { ask, createTestRuntime, HELLO, NOTHING_LEFT, rejection, type TestRuntime } from '../support/test-runtime.ts';

async function alterAdapter(runtime: TestRuntime, name: string, changes: Partial<Adapter>): Promise<void> {
  const provider = runtime.provider(name);
  const { createAdapter } = provider;
  Object.assign(provider, {
    createAdapter: (...args: Parameters<typeof createAdapter>) => ({ ...createAdapter(...args), ...changes }),
  });
  await runtime.run(runtime.service.updateProvider(name, { headers: { 'x-altered': '1' } }));
}

/** Crashes the cost tracker at every entry of the first `count` requests. */
function poison(runtime: TestRuntime, count: number): void {
  const ids = new Set<unknown>();
  runtime.inject((_actor, event) => {
    if (event.type !== 'entry.recorded' || !('entry' in event)) return false;
    const { requestId } = event.entry as { readonly requestId: string };
    if (ids.size < count) ids.add(requestId);
    return ids.has(requestId);
  });
}

describe('an event that no incarnation survives', () => {
  test('an event that waited in the mailbox of a suspended actor and crashes every incarnation does not end the service', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    poison(runtime, 1);
    await runtime.service.supervisor.suspend('cost-tracker');
    await runtime.complete();
    await runtime.service.supervisor.resume('cost-tracker');
    await runtime.clock.advance(20_000);
    expect(runtime.service.state).toBe('running');
  });

  test('a report that is dropped because it crashes every incarnation leaves no permit taken', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    let first: unknown;
    runtime.inject((_actor, event) => event.type === 'attempt.reported' && event === (first ??= event));
    await runtime.complete();
    await runtime.clock.advance(20_000);
    expect(runtime.leftovers()).toEqual(NOTHING_LEFT);
  });
});

describe('a change of the config while the service ends', () => {
  test('a reload under way when the service ends is done before it or refused with shutting-down', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    // As JSON that `createTestRuntime` wrote.
    const config = JSON.parse(await readFile(runtime.configFile, 'utf8')) as { providers: Record<string, unknown> };
    config.providers['z'] = config.providers['a'];
    await writeFile(runtime.configFile, JSON.stringify(config));
    const reloading = runtime.service.reload().then(
      () => 'reloaded',
      (error: { code: string }) => error.code,
    );
    await runtime.run(runtime.service.stop({ graceMs: 0 }));
    // Today: `failed-to-start` of a SupervisorError, and the adapter of z is never closed.
    expect(['reloaded', 'shutting-down']).toContain(await reloading);
  });

  test('a reload after the root gave up fails with a SwitchgearError', async () => {
    await using runtime = await createTestRuntime({ providers: { a: {} } });
    runtime.inject((actor) => actor === 'health-monitor');
    await runtime.clock.advance(10_000);
    expect(runtime.service.state).toBe('failed');
    expect(await rejection(runtime.reload({ a: {}, z: {} }))).toMatchObject({ code: 'shutting-down' });
  });
});

describe('an adapter that throws what has no text', () => {
  // A JavaScript adapter may throw and give anything.
  const senseless: readonly (readonly [string, Adapter['classify']])[] = [
    ['gives nothing', () => undefined as unknown as Failure],
    [
      'throws the same',
      () => {
        throw Object.create(null);
      },
    ],
  ];

  test.each(senseless)('and whose classify %s fails with adapter-error and fails over', async (_name, classify) => {
    await using runtime = await createTestRuntime({ providers: { a: {}, b: {} }, models: { smart: ['a/m', 'b/m'] } });
    await alterAdapter(runtime, 'a', {
      classify,
      send: async () => {
        throw Object.create(null);
      },
    });
    const response = await runtime.complete(ask('x', 'smart'));
    expect(response.attempts).toMatchObject([{ code: 'provider-error' }, { provider: 'b', outcome: 'answered' }]);
  });

  test.each(senseless)('and whose classify %s is checked again and rejects nowhere', async (_name, classify) => {
    using stray = watchStrayErrors();
    await using runtime = await createTestRuntime({ providers: { a: { health: { intervalMs: 2_000 } } } });
    let checks = 0;
    await alterAdapter(runtime, 'a', {
      classify,
      check: async () => {
        checks += 1;
        throw Object.create(null);
      },
    });
    await runtime.clock.advance(21_000);
    expect(checks).toBeGreaterThanOrEqual(5);
    await stray.finish();
  });
});

describe('a lane that stands still for somebody who leaves', () => {
  test('a low that needs few tokens does not wait for the pacing of a big high that has left', async () => {
    const big = 'word '.repeat(5_300);
    await using runtime = await createTestRuntime({ providers: { a: { rateLimit: { tokensPerMinute: 60_000 } } } });
    runtime.provider('a').always = answer('x', { usage: {} });
    await runtime.complete(ask(big));
    const leaving = new AbortController();
    const high = rejection(runtime.service.completion(ask(big), { priority: 'high', signal: leaving.signal }));
    await runtime.clock.advance(1);
    leaving.abort();
    await runtime.run(high);
    // Alone it waits 1,037 ms.
    expect((await runtime.complete(HELLO, { priority: 'low' })).latency.totalMs).toBeLessThan(1_100);
  });
});
