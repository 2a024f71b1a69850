import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Report } from '../../src/actors/provider-memory.ts';
import type { FailureKind } from '../../src/contract/failures.ts';
import type { Admission } from '../../src/policy/rank.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { CANARY_KEY } from '../support/adapter-calls.ts';
import { propertyRuns } from '../support/properties.ts';
import { OPEN_MAX_JITTERED_MS, ProviderRig, type RigOptions } from '../support/provider-rig.ts';

const HOUR_MS = 3_600_000;
const WALL_MS = Date.UTC(2026, 0, 1);

/** What outlives processes: the state of one provider, as text. */
class Disk {
  text: string | undefined;
  saves = 0;
  /** Saves that are to fail, counted from 1. */
  broken: (save: number) => boolean = () => false;

  /** A process that starts `pauseMs` after the wall clock's beginning. */
  boot({ pauseMs = 0, ...options }: RigOptions & { readonly pauseMs?: number } = {}): ProviderRig {
    return new ProviderRig({
      clock: new VirtualClock({ wallMs: WALL_MS + pauseMs }),
      states: {
        stored: this.text === undefined ? undefined : JSON.parse(this.text),
        save: async (state) => {
          this.saves += 1;
          if (this.broken(this.saves)) throw new Error('disk full');
          this.text = JSON.stringify(state);
        },
      },
      ...options,
    });
  }

  get state(): unknown {
    return JSON.parse(this.text ?? 'null');
  }
}

const waitOf = (rig: ProviderRig) => {
  const admission = rig.control.admission('model-1');
  return admission.kind === 'wait' ? admission.retryAfterMs : 0;
};

describe('a process that is killed leaves', () => {
  test('an open breaker to the next one, which probes on time and closes it', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.open();
    await first.clock.settle();
    const openMs = waitOf(first);
    const second = disk.boot({ pauseMs: 4_000 });
    expect(second.breaker).toBe('open');
    expect(second.state.breaker).toMatchObject({ lastError: 'ended as upstream-error', openedAt: WALL_MS });
    expect(waitOf(second)).toBeGreaterThanOrEqual(openMs - 4_000);
    expect(waitOf(second)).toBeLessThan(openMs - 4_000 + 2);
    await second.clock.advance(openMs - 4_000 - 0.1);
    expect(second.claim().kind).toBe('refused');
    await second.clock.advance(2);
    expect(second.permit().isProbe).toBe(true);
  });

  test('a probe in flight to nobody: the next one sends another at once', async () => {
    const disk = new Disk();
    const first = disk.boot();
    await first.openAndWait();
    first.permit();
    await first.clock.settle();
    const second = disk.boot();
    expect(second.permit().isProbe).toBe(true);
    expect(second.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'probing' } });
  });

  test('nothing of a breaker that has closed again but how far it has ramped up', async () => {
    const disk = new Disk();
    const first = disk.boot();
    await first.openAndWait();
    first.close();
    first.attempt('success');
    first.attempt('success');
    await first.clock.advance(1_000);
    const second = disk.boot();
    expect([second.breaker, second.state.concurrency.limit]).toEqual(['closed', first.state.concurrency.limit]);
    expect(first.state.concurrency.limit).toBeGreaterThan(1);
    expect(first.state.concurrency.limit).toBeLessThan(32);
  });

  test('the hour that a provider asked for, less what has passed', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.attempt('rate-limited', { holdMs: HOUR_MS });
    await first.clock.settle();
    const second = disk.boot({ pauseMs: 600_000 });
    expect(second.claim()).toMatchObject({ admission: { reason: 'held', retryAfterMs: HOUR_MS - 600_000 } });
    await second.clock.advance(HOUR_MS - 600_000 - 1);
    expect(second.claim().kind).toBe('refused');
    await second.clock.advance(1);
    expect(second.claim().kind).toBe('claimed');
  });

  test('a refused key out, until it is another one or an operator acts', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.attempt('unauthorized');
    first.attempt('unauthorized');
    await first.clock.settle();
    expect(disk.boot().claim()).toMatchObject({ admission: { kind: 'never' } });
    const renewed = { credentials: [{ id: 'upstream#1', apiKey: 'sk-another-key-0123' }] };
    expect(disk.boot({ config: renewed }).claim().kind).toBe('claimed');
    const mended = disk.boot();
    mended.control.resetCredentials();
    await mended.clock.settle();
    expect(disk.boot().claim().kind).toBe('claimed');
  });

  test('a key that was replaced while it ran to be forgotten', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.attempt('unauthorized');
    first.attempt('unauthorized');
    await first.clock.settle();
    const { config } = first.control;
    first.control.configure({ ...config, credentials: [{ id: 'upstream#1', apiKey: 'sk-another-key-0123' }] });
    await first.clock.settle();
    expect(disk.state).toEqual({ version: 1, savedAt: WALL_MS });
  });

  test('a debt of at most a second ago', async () => {
    const disk = new Disk();
    const config = { rateLimit: { tokensPerMinute: 6_000 } };
    const first = disk.boot({ config });
    first.permit({ pace: { tokens: 9_000 } });
    await first.clock.advance(1_000);
    const claim = first.claim({ pace: { tokens: 600 } });
    const second = disk.boot({ config, pauseMs: 1_000 });
    assert(claim.kind === 'paced');
    expect(second.claim({ pace: { tokens: 600 } })).toEqual({
      kind: 'paced',
      waitMs: expect.closeTo(claim.waitMs, -1),
    });
    // What was not used is given back to the next process as well.
    first.control.correctPace({ tokens: 9_000 }, 1);
    await first.clock.advance(1_000);
    expect(disk.boot({ config, pauseMs: 2_000 }).claim({ pace: { tokens: 540 } }).kind).toBe('claimed');
  });
});

describe('what is saved', () => {
  test('is saved within the turn in which a breaker opens or a gate closes, once', async () => {
    const disk = new Disk();
    const rig = disk.boot();
    for (let count = 0; count < 4; count += 1) rig.attempt('upstream-error');
    await rig.clock.settle();
    expect(disk.saves).toBe(0);
    rig.attempt('upstream-error');
    await rig.clock.settle();
    expect([disk.saves, rig.breaker]).toEqual([1, 'open']);
  });

  test('is nothing, and takes no timer, while nothing that is kept changes', async () => {
    const disk = new Disk();
    const rig = disk.boot();
    rig.attempts(50, 'success');
    rig.attempt('upstream-error');
    rig.attempt('invalid-request');
    await rig.clock.settle();
    expect(rig.clock.pendingTimers).toBe(0);
    await rig.keeper?.close();
    expect(disk.saves).toBe(0);
  });

  test('is the last state on closing, and is saved by no later change', async () => {
    const disk = new Disk();
    const rig = disk.boot();
    rig.attempt('overloaded');
    await rig.keeper?.close();
    expect(disk.state).toMatchObject({ limit: 22 });
    rig.open();
    await rig.clock.settle();
    expect(disk.saves).toBe(1);
  });

  test.each([1, 2, 3])('is saved later when save number %i fails, and the failure is told once', async (nth) => {
    const disk = new Disk();
    const rig = disk.boot();
    for (let count = 1; count < nth; count += 1) {
      rig.attempt('rate-limited', { holdMs: 1_000 });
      await rig.clock.advance(1_000);
    }
    disk.broken = (save) => save >= nth && save < nth + 3;
    rig.open();
    await rig.clock.settle();
    await rig.clock.advance(2_000);
    expect(disk.boot().breaker).toBe('closed');
    expect(rig.breaker).toBe('open');
    await rig.clock.advance(1_000);
    expect(disk.boot({ pauseMs: 3_000 }).breaker).toBe('open');
    expect(rig.announced.filter(({ name }) => name === 'store.failed')).toEqual([
      { name: 'store.failed', payload: { operation: 'save the state of upstream', message: 'Error: disk full' } },
    ]);
  });

  test('is saved by the keeper, whatever becomes of the actor', async () => {
    const disk = new Disk();
    disk.broken = (save) => save === 1;
    const rig = disk.boot();
    rig.open();
    await rig.clock.settle();
    rig.crash();
    await rig.clock.advance(1_000);
    expect(disk.boot().breaker).toBe('open');
    rig.start();
    await rig.halfOpen();
    rig.close();
    await rig.clock.settle();
    expect(disk.boot().breaker).toBe('closed');
  });

  test('holds no key', async () => {
    const disk = new Disk();
    const rig = disk.boot();
    rig.attempt('unauthorized');
    rig.attempt('unauthorized');
    await rig.clock.settle();
    expect(disk.text).toContain('unauthorized');
    expect(disk.text).not.toContain(CANARY_KEY.slice(3, 11));
  });
});

describe('at its start a provider', () => {
  test('says nothing when nothing is against its use', () => {
    const disk = new Disk();
    disk.text = JSON.stringify({ version: 1, savedAt: WALL_MS });
    expect([...disk.boot().announced, ...new Disk().boot().announced]).toEqual([]);
  });

  test('says what keeps it from being used, and for how long', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.open();
    await first.clock.settle();
    const waitMs = Math.ceil(waitOf(first));
    expect(disk.boot().announced).toEqual([
      { name: 'provider.restored', payload: { provider: 'upstream', breaker: 'open', waitMs, blocked: [] } },
    ]);
  });

  test('says which keys are out', async () => {
    const disk = new Disk();
    const first = disk.boot();
    first.attempt('quota-exhausted');
    await first.clock.settle();
    const payload = { provider: 'upstream', breaker: 'closed', waitMs: 0, blocked: ['upstream#1'] };
    expect(disk.boot().announced).toEqual([{ name: 'provider.restored', payload }]);
  });

  test.each([
    ['{"version":99}', 'expected version to be 1, got: 99'],
    ['"torn', 'expected the state to be an object, got: a value of type string'],
    ['[]', 'expected the state to be an object, got: a list'],
  ])('says once that it does not understand %s, and begins anew', async (text, reason) => {
    const disk = new Disk();
    disk.text = text.startsWith('"') ? `${text}"` : text;
    const rig = disk.boot();
    expect(rig.announced).toEqual([{ name: 'state.ignored', payload: { provider: 'upstream', reason } }]);
    expect(rig.claim().kind).toBe('claimed');
    await rig.keeper?.close();
    expect(disk.state).toEqual({ version: 1, savedAt: WALL_MS });
  });
});

describe('a provider that leaves the config and comes back', () => {
  test('finds what is still due, and what its late attempts say changes nothing any more', async () => {
    const disk = new Disk();
    const rig = disk.boot();
    const late = rig.permit();
    rig.attempt('rate-limited', { holdMs: HOUR_MS });
    rig.control.retire();
    rig.report(late, 'overloaded');
    await rig.clock.advance(60_000);
    const known = rig.keeper?.begin(rig.control.config, true);
    expect(known?.memory.credentials[0]?.heldUntilMs).toBe(HOUR_MS);
    expect(known?.memory.limit.limit).toBe(32);
    await rig.keeper?.close();
    expect(disk.boot({ pauseMs: 60_000, isReturning: true }).claim()).toMatchObject({
      admission: { reason: 'held', retryAfterMs: HOUR_MS - 60_000 },
    });
  });
});

type Step =
  /** So many attempts that all end like this. */
  | { readonly type: 'attempts'; readonly kind: FailureKind | 'success'; readonly times: number }
  | { readonly type: 'attempt.limited'; readonly kind: 'rate-limited' | 'quota-exhausted'; readonly ms: number }
  | { readonly type: 'attempt.forced' }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'crash' | 'check' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('attempts' as const),
      kind: fc.constantFrom<(FailureKind | 'success')[]>(
        'success',
        'upstream-error',
        'overloaded',
        'unauthorized',
        'quota-exhausted',
        'model-not-found',
      ),
      times: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('attempt.limited' as const),
      kind: fc.constantFrom('rate-limited' as const, 'quota-exhausted' as const),
      ms: fc.nat(2 * HOUR_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('attempt.forced' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(2 * OPEN_MAX_JITTERED_MS) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('crash' as const, 'check' as const) }) },
);

async function play(rig: ProviderRig, drawn: Step): Promise<void> {
  const attempt = (kind: FailureKind | 'success', changes: Partial<Report> = {}, isForced = false) => {
    const claim = rig.claim({ isForced });
    if (claim.kind === 'claimed') rig.report(claim.permit, kind, changes);
  };
  switch (drawn.type) {
    case 'attempts':
      for (let time = 0; time < drawn.times; time += 1) attempt(drawn.kind);
      return;
    case 'attempt.limited':
      return attempt(drawn.kind, drawn.kind === 'rate-limited' ? { holdMs: drawn.ms } : { exhaustedMs: drawn.ms });
    case 'attempt.forced':
      return attempt('upstream-error', {}, true);
    case 'wait':
      return rig.clock.advance(drawn.ms);
    case 'crash':
      return rig.restart();
    case 'check':
      return rig.control.checkFailed('unreachable');
  }
}

/** Undefined: no difference but that of less than two milliseconds later. */
function differenceOf(expected: Admission, got: Admission): string | undefined {
  const told = `expected ${JSON.stringify(expected)}, got: ${JSON.stringify(got)}`;
  const waitMs = (admission: Admission) => (admission.kind === 'wait' ? admission.retryAfterMs : 0);
  const laterMs = waitMs(got) - waitMs(expected);
  if (laterMs < -0.02 || laterMs > 2) return told;
  if (expected.kind === got.kind || (got.kind === 'wait' && waitMs(got) < 2)) return undefined;
  return told;
}

test('a process killed at any moment leaves to the next one what it would have admitted itself', async () => {
  const config = {
    credentials: [
      { id: 'upstream#1', apiKey: 'key-a' },
      { id: 'upstream#2', apiKey: 'key-b' },
    ],
  };
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25, size: 'max' }),
      fc.nat(60_000),
      fc.array(fc.nat(20_000), { minLength: 1, maxLength: 8 }),
      async (steps, pauseMs, pauses) => {
        const disk = new Disk();
        const first = disk.boot({ config });
        for (const drawn of steps) await play(first, drawn);
        // What has to be saved soon is saved within a second; then the process is killed: nothing is closed.
        await first.clock.advance(1_000);
        const lastMs = first.clock.nowMs();
        const second = disk.boot({ config, pauseMs: lastMs + pauseMs });
        await Promise.all([first.clock.advance(pauseMs), second.clock.advance(0.01)]);
        for (const ms of [0, ...pauses]) {
          await Promise.all([first.clock.advance(ms), second.clock.advance(ms)]);
          for (const model of ['model-1', 'model-2']) {
            const expected = first.control.admission(model);
            expect(differenceOf(expected, second.control.admission(model))).toBeUndefined();
            seen.add(expected.kind === 'wait' ? expected.reason : expected.kind);
          }
          expect(second.state.quarantinedModels).toEqual(first.state.quarantinedModels);
          // The next failed probe keeps it open as long as if the process had lived on.
          expect(second.actor.read().context.openingsInRow).toBe(first.actor.read().context.openingsInRow);
        }
      },
    ),
    propertyRuns(200),
  );
  expect([...seen].toSorted()).toEqual(['exhausted', 'held', 'never', 'open', 'ready']);
});
