import { describe, expect, test } from 'vitest';

import type { Actor } from '../../src/supervision/actor.ts';
import { type CheckResult, HealthControl, type HealthMachine } from '../../src/actors/health-monitor.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { FAILURE_POLICY } from '../../src/contract/failures.ts';
import type { ProviderHealth } from '../../src/contract/state.ts';
import { type Announced, ProviderRig, type RigOptions } from '../support/provider-rig.ts';

const INTERVAL_MS = 30_000;

/** The health monitor over one provider rig, whose clock it shares. */
class Rig {
  readonly provider: ProviderRig;
  readonly clock: ProviderRig['clock'];
  readonly registry = new Registry();
  readonly announced: Announced[] = [];
  /** When each check began, on the monotonic clock. */
  readonly checksAtMs: number[] = [];
  readonly control: HealthControl;
  answer: () => Promise<CheckResult> = async () => ({ provider: 'upstream', verdict: 'passed' });
  isInjected = false;
  #incarnation = 0;

  constructor(options: RigOptions = {}) {
    this.provider = new ProviderRig(options);
    this.clock = this.provider.clock;
    this.control = new HealthControl({
      clock: this.clock,
      registry: this.registry,
      announce: (name, payload) => {
        this.announced.push({ name, payload });
      },
      providers: () => [{ name: 'upstream', intervalMs: INTERVAL_MS, state: () => this.provider.state }],
      check: () => {
        this.checksAtMs.push(this.clock.nowMs());
        return this.answer();
      },
      beforeEvent: (_id, { type }) => {
        if (!this.isInjected || type === 'xstate.init') return;
        this.isInjected = false;
        throw new Error('injected');
      },
    });
    this.start();
  }

  start(): void {
    const actor = this.control.startActor(++this.#incarnation);
    actor.onExit(() => {
      this.registry.unregister(actor);
    });
    this.registry.register(actor);
    this.control.actorStarted();
  }

  get actor(): Actor<HealthMachine> {
    // Only `start` registers processes here.
    return this.registry.find('health-monitor') as Actor<HealthMachine>;
  }

  restart(): void {
    this.actor.crash(new Error('crashed by the test'));
    this.start();
  }

  get health(): ProviderHealth {
    return this.control.status()['upstream']!;
  }

  /** One attempt, as the path of a request tells breaker and monitor of it. */
  attempt(kind: 'success' | 'upstream-error' | 'rate-limited', latencyMs = 100): void {
    this.provider.attempt(kind);
    const isSuccess = kind === 'success';
    this.control.observe({
      provider: 'upstream',
      isSuccess,
      latencyMs,
      ...(!isSuccess && { error: { code: FAILURE_POLICY[kind].code, message: 'it refused' } }),
    });
  }

  /** The labels it was said to change to, oldest first. */
  get changes(): readonly string[] {
    return this.announced.flatMap(({ name, payload }) =>
      name === 'health.changed' && 'to' in payload ? [payload.to] : [],
    );
  }

  /** A check that fails as the service makes it fail: the breaker is told too. */
  failChecks(): void {
    this.answer = async () => {
      this.provider.control.checkFailed('connect refused');
      return { provider: 'upstream', verdict: 'unreachable', message: 'connect refused', code: 'provider-error' };
    };
  }
}

describe('the health of a provider', () => {
  test('is listed from the start, unknown and without invented numbers', () => {
    expect(new Rig().health).toMatchObject({
      status: 'unknown',
      uptimePercent: undefined,
      latency: { averageMs: undefined, p50Ms: undefined, p95Ms: undefined },
      lastCheckAt: undefined,
      recentErrors: [],
      breaker: { state: 'closed', failureCount: 0, successCount: 0 },
    });
  });

  test('follows the traffic: healthy, degraded, unhealthy while open, degraded while half-open, healthy again', async () => {
    const rig = new Rig();
    const labels: string[] = [];
    const note = () => {
      labels.push(rig.health.status);
    };
    rig.attempt('success');
    note();
    rig.attempt('upstream-error');
    note();
    while (rig.provider.breaker === 'closed') rig.attempt('upstream-error');
    note();
    await rig.provider.halfOpen();
    note();
    rig.provider.close();
    note();
    expect(labels).toEqual(['healthy', 'degraded', 'unhealthy', 'degraded', 'healthy']);
  });

  test('is told when it changes, within a second', async () => {
    const rig = new Rig();
    rig.attempt('success');
    await rig.clock.advance(1_000);
    while (rig.provider.breaker === 'closed') rig.attempt('upstream-error');
    await rig.clock.advance(1_000);
    await rig.clock.advance(1_000);
    expect(rig.announced.filter(({ name }) => name === 'health.changed').map(({ payload }) => payload)).toEqual([
      { provider: 'upstream', from: 'unknown', to: 'healthy' },
      { provider: 'upstream', from: 'healthy', to: 'unhealthy', reason: 'breaker-open' },
    ]);
  });

  test('knows average and percentiles of successes only', () => {
    const rig = new Rig();
    for (let latencyMs = 1; latencyMs <= 100; latencyMs += 1) rig.attempt('success', latencyMs);
    rig.attempt('upstream-error', 60_000);
    expect(rig.health.latency).toEqual({ averageMs: 50.5, p50Ms: 50, p95Ms: 95 });
  });

  test('remembers the latest five hundred latencies and the latest ten errors, newest first', () => {
    const rig = new Rig();
    for (let count = 0; count < 600; count += 1)
      rig.control.observe({ provider: 'upstream', isSuccess: true, latencyMs: count });
    for (let count = 0; count < 12; count += 1) {
      rig.control.observe({
        provider: 'upstream',
        isSuccess: false,
        latencyMs: 1,
        error: { code: 'timeout', message: `error ${count}` },
      });
    }
    expect(rig.health.latency.averageMs).toBe(349.5);
    expect(rig.health.recentErrors.map(({ message }) => message)).toEqual(
      Array.from({ length: 10 }, (_, index) => `error ${11 - index}`),
    );
    expect(rig.health.recentErrors[0]).toMatchObject({ at: rig.clock.wallMs(), code: 'timeout' });
  });

  test('weighs uptime by time', async () => {
    const rig = new Rig();
    rig.attempt('success');
    rig.answer = () => new Promise(() => {});
    await rig.clock.advance(1_000);
    rig.attempt('success');
    await rig.clock.advance(27_000);
    while (rig.provider.breaker === 'closed') rig.attempt('upstream-error');
    const openMs = rig.provider.state.breaker.nextProbeAt! - rig.clock.wallMs();
    await rig.clock.advance(openMs + 1_000);
    // Up from the first look after the first call, at 1 s, to the first look after it opened, at 29 s.
    const { uptimePercent } = rig.health;
    const knownMs = rig.clock.nowMs() - 1_000;
    expect(uptimePercent).toBeGreaterThan(((knownMs - openMs - 1_000) / knownMs) * 100);
    expect(uptimePercent).toBeLessThan(((knownMs - openMs + 2_000) / knownMs) * 100);
  });

  test('is not moved by a jump of the wall clock', async () => {
    const rig = new Rig();
    rig.attempt('success');
    await rig.clock.advance(10_000);
    for (const byMs of [86_400_000, -172_800_000]) {
      rig.clock.jumpWall(byMs);
      await rig.clock.advance(1_000);
      expect(rig.health).toMatchObject({ status: 'healthy', uptimePercent: 100 });
    }
    expect(rig.checksAtMs).toEqual([]);
  });
});

describe('a provider that answers 429', () => {
  test('for a long time does not flap: it stays degraded while the gate is held and clears in turn', async () => {
    const rig = new Rig();
    rig.attempt('success');
    await rig.clock.advance(1_000);
    // Its gate holds for a second each time; it is asked again half a second after it cleared.
    for (let count = 0; count < 200; count += 1) {
      rig.attempt('rate-limited');
      await rig.clock.advance(1_500);
    }
    expect(rig.changes).toEqual(['healthy', 'degraded']);
    expect(rig.health).toMatchObject({ status: 'degraded', reason: 'rate-limited' });
  });

  test('and lets some calls through all the time does not flap either', async () => {
    const rig = new Rig();
    rig.attempt('success');
    await rig.clock.advance(1_000);
    for (let count = 0; count < 100; count += 1) {
      rig.attempt('rate-limited');
      await rig.clock.advance(1_500);
      rig.attempt('success');
      await rig.clock.advance(1_500);
    }
    expect(rig.changes).toEqual(['healthy', 'degraded']);
  });

  test('and is asked rarely stays degraded between two calls: that its gate cleared proves nothing', async () => {
    const rig = new Rig();
    rig.attempt('success');
    await rig.clock.advance(1_000);
    for (let count = 0; count < 5; count += 1) {
      rig.attempt('rate-limited');
      await rig.clock.advance(600_000);
    }
    expect(rig.changes).toEqual(['healthy', 'degraded']);
  });

  test('is healthy again once it has answered and an interval has passed without another 429, and not before', async () => {
    const rig = new Rig();
    rig.attempt('rate-limited');
    await rig.clock.advance(1_000);
    rig.attempt('success');
    await rig.clock.advance(INTERVAL_MS - 1);
    expect(rig.health.status).toBe('degraded');
    await rig.clock.advance(2);
    expect(rig.health.status).toBe('healthy');
    const late = new Rig();
    late.attempt('rate-limited');
    await late.clock.advance(10 * INTERVAL_MS);
    expect(late.health.status).toBe('degraded');
    late.attempt('success');
    expect(late.health.status).toBe('healthy');
  });

  test('and is then not asked at all is judged by its checks after an hour', async () => {
    const rig = new Rig();
    rig.attempt('rate-limited');
    await rig.clock.advance(3_600_000);
    expect(rig.health.status).toBe('degraded');
    await rig.clock.advance(2_000);
    expect(rig.health.status).toBe('healthy');
  });

  test('at one of two keys is not throttled: the other answers', async () => {
    const credentials = ['a', 'b'].map((id) => ({ id, apiKey: `key-${id}` }));
    const rig = new Rig({ config: { credentials } });
    rig.attempt('success');
    rig.attempt('rate-limited');
    await rig.clock.advance(1_000);
    expect(rig.health.status).toBe('healthy');
    rig.attempt('rate-limited');
    await rig.clock.advance(500);
    expect(rig.health.status, 'the first key is free again').toBe('healthy');
  });

  test('is remembered by the next incarnation of the monitor', async () => {
    const rig = new Rig();
    rig.attempt('rate-limited');
    await rig.clock.advance(5_000);
    rig.restart();
    await rig.clock.advance(5_000);
    expect(rig.health.status).toBe('degraded');
  });
});

describe('the time of the last judgement', () => {
  test('is that of traffic where there was any, else that of the free check', async () => {
    const rig = new Rig();
    const keepBusy = async (untilMs: number) => {
      while (rig.clock.nowMs() < untilMs) {
        rig.attempt('success');
        await rig.clock.advance(1_000);
      }
    };
    await keepBusy(INTERVAL_MS - 1_000);
    expect(rig.health.lastCheckAt).toBeUndefined();
    const startMs = rig.clock.wallMs() - rig.clock.nowMs();
    await keepBusy(INTERVAL_MS + 5_000);
    expect(rig.health.lastCheckAt).toBe(startMs + INTERVAL_MS);
    await keepBusy(3 * INTERVAL_MS + 5_000);
    expect(rig.health.lastCheckAt).toBe(startMs + 3 * INTERVAL_MS);
    expect(rig.checksAtMs).toEqual([]);
    rig.answer = () => new Promise(() => {});
    await rig.clock.advance(3 * INTERVAL_MS);
    expect(rig.checksAtMs).toEqual([5 * INTERVAL_MS]);
    expect(rig.health.lastCheckAt, 'a check that has not ended judged nothing').toBe(startMs + 4 * INTERVAL_MS);
  });
});

describe('free checks', () => {
  test('nobody is asked at the start; an idle provider is asked every interval', async () => {
    const rig = new Rig();
    await rig.clock.advance(INTERVAL_MS - 1);
    expect(rig.checksAtMs).toEqual([]);
    await rig.clock.advance(3 * INTERVAL_MS);
    expect(rig.checksAtMs).toEqual([INTERVAL_MS, 2 * INTERVAL_MS, 3 * INTERVAL_MS]);
  });

  test('a provider with traffic is not asked: its traffic says more', async () => {
    const rig = new Rig();
    for (let seconds = 0; seconds < 100; seconds += 10) {
      rig.attempt('success');
      await rig.clock.advance(10_000);
    }
    expect(rig.checksAtMs).toEqual([]);
    await rig.clock.advance(2 * INTERVAL_MS);
    expect(rig.checksAtMs.length).toBeGreaterThan(0);
  });

  test('one that passes proves reach: healthy, with the time of the check', async () => {
    const rig = new Rig();
    await rig.clock.advance(INTERVAL_MS);
    expect(rig.health).toMatchObject({ status: 'healthy', lastCheckAt: rig.clock.wallMs(), uptimePercent: 100 });
  });

  test('one that passes closes nothing', async () => {
    const rig = new Rig();
    rig.provider.open();
    for (let count = 0; count < 10; count += 1) {
      await rig.clock.advance(INTERVAL_MS);
      expect(rig.provider.breaker).not.toBe('closed');
    }
    expect(rig.checksAtMs.length).toBe(10);
  });

  test('one that cannot reach the provider is one failure of the breaker, and outages of idle providers open it', async () => {
    const rig = new Rig();
    rig.failChecks();
    await rig.clock.advance(INTERVAL_MS);
    expect(rig.health).toMatchObject({
      status: 'degraded',
      breaker: { failureCount: 1 },
      recentErrors: [{ message: 'connect refused', code: 'provider-error' }],
    });
    await rig.clock.advance(4 * INTERVAL_MS);
    expect(rig.health).toMatchObject({ status: 'unhealthy', breaker: { state: 'open' } });
  });

  test('one that cannot reach the provider is remembered until one passes, also when it has left the window', async () => {
    const rig = new Rig();
    rig.failChecks();
    await rig.clock.advance(INTERVAL_MS);
    rig.answer = () => new Promise(() => {});
    await rig.clock.advance(5 * INTERVAL_MS);
    expect(rig.health).toMatchObject({ status: 'degraded', breaker: { failureCount: 0 } });
  });

  test('one that is inconclusive, like a 404, leaves an unseen provider unknown and is no error', async () => {
    const rig = new Rig();
    rig.answer = async () => ({ provider: 'upstream', verdict: 'inconclusive', message: 'it answered 404' });
    await rig.clock.advance(3 * INTERVAL_MS);
    expect(rig.health).toMatchObject({ status: 'unknown', recentErrors: [], breaker: { failureCount: 0 } });
    expect(rig.health.lastCheckAt).toBeDefined();
  });

  test('one that hangs is not asked a second time beside itself, and delays nothing', async () => {
    const rig = new Rig();
    const hung = Promise.withResolvers<CheckResult>();
    rig.answer = () => hung.promise;
    await rig.clock.advance(10 * INTERVAL_MS);
    expect(rig.checksAtMs).toEqual([INTERVAL_MS]);
    while (rig.provider.breaker === 'closed') rig.attempt('upstream-error');
    await rig.clock.advance(1_000);
    expect(rig.announced.at(-1)?.payload).toMatchObject({ to: 'unhealthy' });
    hung.resolve({ provider: 'upstream', verdict: 'passed' });
    rig.answer = async () => ({ provider: 'upstream', verdict: 'passed' });
    await rig.clock.advance(2 * INTERVAL_MS);
    expect(rig.checksAtMs.length).toBeGreaterThan(1);
  });
});

describe('a new incarnation of the monitor', () => {
  test('keeps what is known of each provider and its uptime', async () => {
    const rig = new Rig();
    rig.attempt('success', 123);
    rig.attempt('upstream-error');
    await rig.clock.advance(5_000);
    const before = rig.health;
    rig.restart();
    expect(rig.health).toEqual(before);
  });

  test('keeps the interval: a monitor that crashes every second still asks on time, and not more often', async () => {
    const rig = new Rig();
    for (let seconds = 0; seconds < 95; seconds += 1) {
      rig.restart();
      await rig.clock.advance(1_000);
    }
    expect(rig.checksAtMs).toHaveLength(3);
  });

  test('asks again where the check of the last one is still on its way, and takes whichever answer comes', async () => {
    const rig = new Rig();
    const hung = Promise.withResolvers<CheckResult>();
    rig.answer = () => hung.promise;
    await rig.clock.advance(INTERVAL_MS);
    rig.restart();
    await rig.clock.advance(INTERVAL_MS);
    expect(rig.checksAtMs).toHaveLength(2);
    hung.resolve({ provider: 'upstream', verdict: 'passed' });
    await rig.clock.settle();
    expect(rig.health.status).toBe('healthy');
  });

  test('hears what was observed while nobody lived, and of the event that crashed the last one', async () => {
    const rig = new Rig();
    rig.isInjected = true;
    rig.attempt('success', 100);
    rig.attempt('success', 300);
    rig.start();
    await rig.clock.settle();
    expect(rig.health.latency.averageMs).toBe(200);
  });

  test('actors 62: has the only timer: those of the last one are gone', async () => {
    const rig = new Rig();
    for (let count = 0; count < 20; count += 1) rig.restart();
    expect(rig.clock.pendingTimers).toBe(1);
  });
});
