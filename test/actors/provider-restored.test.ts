/** A provider that was restored behaves as the one it was restored from would have, had its process lived on. */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { admissionOf } from '../../src/actors/admission.ts';
import type { CredentialMemory } from '../../src/actors/credentials.ts';
import { PacingBuckets } from '../../src/actors/pacing-buckets.ts';
import { beginHalfOpen, createProviderMemory, type ProviderMemory } from '../../src/actors/provider-memory.ts';
import { restore } from '../../src/actors/provider-restore.ts';
import { snapshotOf } from '../../src/actors/provider-snapshot.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';
import { propertyRuns } from '../support/properties.ts';

const QUARANTINE_MS = 600_000;
const DAY_MS = 86_400_000;
const config = createProviderConfig({
  adapter: 'openai',
  credentials: ['one', 'two', 'three'].map((apiKey, index) => ({ id: `upstream#${index + 1}`, apiKey })),
});
const openMaxMs = config.breaker.openMaxMs * 1.2;
const fingerprint = (apiKey = '') => `print of ${apiKey.length}, ${apiKey.slice(0, 1)}`;

/** Ms from the moment of saving: passed, just passed, or ahead. */
const within = (maxMs: number) => fc.oneof(fc.constantFrom(-1, 0, 1), fc.integer({ min: -DAY_MS, max: maxMs }));

const credential = fc.record({
  heldMs: within(400 * DAY_MS),
  blocked: fc.constantFrom(undefined, undefined, 'unauthorized' as const, 'quota-exhausted' as const),
  blockedMs: fc.option(within(40 * DAY_MS), { nil: undefined }),
  unauthorizedInRow: fc.nat(1),
});

const world = fc.record({
  nowMs: fc.nat(10 * DAY_MS),
  rebornMs: fc.nat(DAY_MS),
  /** What the shared clock says has passed between saving and restoring: less than nothing after it was set back. */
  passedMs: fc.oneof(fc.nat(openMaxMs), fc.integer({ min: -800 * DAY_MS, max: 800 * DAY_MS }), fc.constant(0)),
  breaker: fc.constantFrom('closed' as const, 'open' as const, 'halfOpen' as const),
  openMs: within(openMaxMs),
  hasProbe: fc.boolean(),
  isForcedProbeUsed: fc.boolean(),
  limit: fc.integer({ min: 1, max: config.concurrency }),
  credentials: fc.tuple(credential, credential, credential),
  quarantine: fc.dictionary(fc.constantFrom('m1', 'm2', '__proto__', '7'), within(QUARANTINE_MS)),
  /** When both are asked, ms after restoring. */
  moments: fc.array(fc.oneof(fc.nat(1_000), fc.nat(openMaxMs), fc.nat(500 * DAY_MS)), { minLength: 1, maxLength: 6 }),
});

type World = typeof world extends fc.Arbitrary<infer Value> ? Value : never;

function memoryOf({ nowMs, ...drawn }: World): ProviderMemory {
  const credentials = drawn.credentials.map(
    ({ heldMs, blocked, blockedMs, unauthorizedInRow }, index): CredentialMemory => ({
      id: `upstream#${index + 1}`,
      version: 1 + index,
      unauthorizedInRow,
      blocked,
      // Only money comes back by itself.
      blockedUntilMs: blockedMs === undefined || blocked !== 'quota-exhausted' ? undefined : nowMs + blockedMs,
      heldUntilMs: nowMs + heldMs,
    }),
  );
  const isClosed = drawn.breaker === 'closed';
  return {
    ...createProviderMemory(config, nowMs),
    breaker: drawn.breaker,
    generation: 12,
    openingsInRow: isClosed ? 0 : 3,
    openUntilMs: isClosed ? 0 : nowMs + drawn.openMs,
    openedAt: isClosed ? undefined : 1_700_000_000_000,
    openedBecause: isClosed ? undefined : 'calls failed',
    lastError: 'HTTP 503',
    isForcedProbeUsed: !isClosed && drawn.isForcedProbeUsed,
    probe: drawn.breaker === 'halfOpen' && drawn.hasProbe ? { permitId: 1, leaseUntilMs: nowMs + 17_000 } : undefined,
    limit: { limit: drawn.limit, successesInRow: 0 },
    credentials,
    quarantine: Object.fromEntries(Object.entries(drawn.quarantine).map(([model, leftMs]) => [model, nowMs + leftMs])),
  };
}

/** What time alone does to a memory: an open breaker becomes half-open. A probe ends with its process. */
function lived(memory: ProviderMemory, nowMs: number): ProviderMemory {
  const isDue = memory.breaker === 'open' && memory.openUntilMs <= nowMs;
  return { ...(isDue ? beginHalfOpen(memory, false) : memory), probe: undefined };
}

test('what was restored admits what its process would have admitted, at every later moment', () => {
  fc.assert(
    fc.property(world, (drawn) => {
      const memory = memoryOf(drawn);
      const saved = { nowMs: drawn.nowMs, steadyMs: 1_790_000_000_000 };
      const state: unknown = JSON.parse(
        JSON.stringify(snapshotOf({ memory, pacing: new PacingBuckets({}) }, fingerprint, saved)),
      );
      const owner = { config, fingerprint, isReturning: false };
      const at = { nowMs: drawn.rebornMs, steadyMs: saved.steadyMs + drawn.passedMs };
      const restored = restore(state, owner, at);
      expect(restored.problem).toBeUndefined();
      expect(restored.memory.limit).toEqual(memory.limit);
      // A clock that was set back says nothing of how much time has passed.
      const thenMs = drawn.nowMs + Math.max(0, drawn.passedMs);
      for (const later of drawn.moments)
        for (const model of ['m1', 'm2', '__proto__', '7', 'other'])
          expect(
            admissionOf(lived(restored.memory, drawn.rebornMs + later), model, drawn.rebornMs + later),
            `${model} after ${later} ms`,
          ).toEqual(admissionOf(lived(memory, thenMs + later), model, thenMs + later));
    }),
    propertyRuns(1_000),
  );
});

test('moments between two milliseconds are never taken for earlier ones', () => {
  const fraction = fc.nat(1_000_000_000).map((thousandths) => thousandths / 997);
  fc.assert(
    fc.property(fraction, fraction, fraction, fraction, (nowMs, openMs, rebornMs, passedMs) => {
      const memory: ProviderMemory = {
        ...createProviderMemory(config, nowMs),
        breaker: 'open',
        openUntilMs: nowMs + Math.min(openMs, openMaxMs),
        openingsInRow: 1,
      };
      const known = { memory, pacing: new PacingBuckets({}) };
      const state = snapshotOf(known, fingerprint, { nowMs, steadyMs: 1_790_000_000_000.25 });
      // The clock of the next process, as it reads it: a sum that is rounded each time.
      const offsetMs = 1_790_000_000_000.25 + passedMs - rebornMs;
      const at = { nowMs: rebornMs, steadyMs: offsetMs + rebornMs };
      const restored = restore(state, { config, fingerprint, isReturning: false }, at).memory;
      const expectedMs = Math.max(0, memory.openUntilMs - nowMs - passedMs);
      const leftMs = restored.openUntilMs - rebornMs;
      expect(leftMs).toBeGreaterThan(expectedMs - 0.02);
      expect(leftMs).toBeLessThan(expectedMs + 1.01);
      // At any later moment the same is saved, so that nothing is written again and no deadline creeps away.
      const later = { nowMs: rebornMs + openMs / 3, steadyMs: offsetMs + (rebornMs + openMs / 3) };
      const again = snapshotOf({ memory: restored, pacing: new PacingBuckets({}) }, fingerprint, later);
      if (leftMs > 0) expect(again.breaker).toEqual(state.breaker);
    }),
    propertyRuns(500),
  );
});

test('a rate limit is honoured by the next process as by the one before, but for the last second', () => {
  const draw = fc.record({
    requestsPerMinute: fc.option(fc.integer({ min: 6, max: 600 }), { nil: undefined }),
    tokensPerMinute: fc.option(fc.integer({ min: 100, max: 100_000 }), { nil: undefined }),
    taken: fc.array(fc.nat(60_000), { maxLength: 30 }),
    passedMs: fc.nat(60_000),
    asked: fc.nat(20_000),
  });
  fc.assert(
    fc.property(draw, ({ requestsPerMinute, tokensPerMinute, taken, passedMs, asked }) => {
      const limited = {
        ...config,
        rateLimit: {
          ...(requestsPerMinute !== undefined && { requestsPerMinute }),
          ...(tokensPerMinute !== undefined && { tokensPerMinute }),
        },
      };
      const pacing = new PacingBuckets(limited.rateLimit);
      for (const tokens of taken) pacing.take({ tokens }, 5_000);
      // An hour is the most that is kept.
      const { requests, tokens } = pacing.debts(5_000);
      fc.pre(Math.max(requests?.fullAtMs ?? 0, tokens?.fullAtMs ?? 0) < 3_600_000);
      const saved = { nowMs: 5_000, steadyMs: 1_790_000_000_000 };
      const state = snapshotOf({ memory: createProviderMemory(limited, 5_000), pacing }, fingerprint, saved);
      const at = { nowMs: 77, steadyMs: saved.steadyMs + passedMs };
      const restored = restore(state, { config: limited, fingerprint, isReturning: false }, at);
      const waitMs = pacing.take({ tokens: asked }, 5_000 + passedMs);
      const restoredMs = restored.pacing.take({ tokens: asked }, 77);
      const isWhole =
        (requestsPerMinute === undefined || requests !== undefined) &&
        (tokensPerMinute === undefined || tokens !== undefined);
      expect(restoredMs).toBeGreaterThanOrEqual(waitMs - (isWhole ? 0.1 : 1_000.1));
      expect(restoredMs).toBeLessThanOrEqual(waitMs + 1.1);
    }),
    propertyRuns(500),
  );
});
