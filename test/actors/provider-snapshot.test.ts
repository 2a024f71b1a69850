import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { admissionOf } from '../../src/actors/admission.ts';
import { createCredential, type CredentialMemory } from '../../src/actors/credentials.ts';
import { PacingBuckets } from '../../src/actors/pacing-buckets.ts';
import {
  beginClosed,
  beginHalfOpen,
  beginOpen,
  createProviderMemory,
  type ProviderMemory,
} from '../../src/actors/provider-memory.ts';
import { restore, type Restored } from '../../src/actors/provider-restore.ts';
import { type SharedMoment, snapshotOf, urgencyOf } from '../../src/actors/provider-snapshot.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import { CANARY_KEY, createProviderConfig } from '../support/adapter-calls.ts';
import { propertyRuns } from '../support/properties.ts';

const OPEN_MAX_MS = 300_000 * 1.2;
const QUARANTINE_MS = 600_000;
const HOUR_MS = 3_600_000;
const YEAR_MS = 31_536_000_000;
const NOW_MS = 7_000;
const SAVED: SharedMoment = { nowMs: NOW_MS, steadyMs: 1_800_000_000_000 };
/** Another process: its monotonic clock has nothing to do with the one before. */
const REBORN_MS = 123;

/** Not a secret, and not a hash either: tests want to read it. */
const fingerprint = (apiKey = 'none') => `print of ${[...apiKey].toReversed().join('')}`;

const config = createProviderConfig({
  adapter: 'openai',
  credentials: [
    { id: 'upstream#1', apiKey: CANARY_KEY },
    { id: 'upstream#2', apiKey: 'second-key' },
    { id: 'upstream#3', apiKey: 'third-key' },
  ],
});

const fresh = createProviderMemory(config, NOW_MS);

/** As a store would give it back. */
function stored(memory: ProviderMemory, pacing = new PacingBuckets(memory.config.rateLimit)): Record<string, unknown> {
  // A snapshot is an object.
  return JSON.parse(JSON.stringify(snapshotOf({ memory, pacing }, fingerprint, SAVED))) as Record<string, unknown>;
}

function revive(
  state: unknown,
  changes: { readonly config?: ProviderConfig; readonly isReturning?: boolean; readonly afterMs?: number } = {},
): Restored {
  const { isReturning = false, afterMs = 0, config: owner = config } = changes;
  const at = { nowMs: REBORN_MS, steadyMs: SAVED.steadyMs + afterMs };
  return restore(state, { config: owner, fingerprint, isReturning }, at);
}

/** What can be compared of it: buckets hide what they hold. */
function readable({ memory, pacing, problem }: Restored) {
  return { memory, debts: pacing.debts(REBORN_MS), problem };
}

const NOTHING_KNOWN = { memory: createProviderMemory(config, REBORN_MS), debts: {}, problem: undefined };

function withKey(changes: Partial<CredentialMemory>): ProviderMemory {
  const [first, ...others] = fresh.credentials;
  return { ...fresh, credentials: [{ ...createCredential('upstream#1', 1), ...first, ...changes }, ...others] };
}

const opened = (openMs: number, changes: Partial<ProviderMemory> = {}): ProviderMemory => ({
  ...fresh,
  breaker: 'open',
  openUntilMs: NOW_MS + openMs,
  openingsInRow: 3,
  openedAt: 1_799_999_999_000,
  openedBecause: '5 calls in a row failed',
  lastFailureAt: 1_799_999_998_000,
  lastError: 'HTTP 503',
  ...changes,
});

describe('of a provider that nothing is wrong with', () => {
  test('nothing is kept but when that was', () => {
    expect(stored(fresh)).toEqual({ version: 1, savedAt: SAVED.steadyMs });
    expect(revive(stored(fresh)).memory).toEqual(createProviderMemory(config, REBORN_MS));
  });

  test('neither counts nor permits nor what its last failure said is kept', () => {
    const permit = { id: 9, generation: 1, credentialId: 'upstream#1', credentialVersion: 1 };
    const busy: ProviderMemory = {
      ...fresh,
      generation: 7,
      lastError: 'HTTP 500',
      lastFailureAt: 1,
      permits: new Map([[9, { ...permit, isProbe: false, limitMs: 1, overdue: undefined }]]),
      credentials: fresh.credentials.map((credential) => ({ ...credential, unauthorizedInRow: 1 })),
    };
    expect(stored(busy)).toEqual(stored(fresh));
  });

  test('begins as any provider does when nothing was stored', () => {
    expect(readable(revive(undefined))).toEqual(NOTHING_KNOWN);
  });
});

describe('an open breaker', () => {
  test('is still open, for what is left, and says why', () => {
    const { memory, problem } = revive(stored(opened(90_000, { isForcedProbeUsed: true })), { afterMs: 20_000 });
    expect(problem).toBeUndefined();
    expect(memory).toEqual({
      ...createProviderMemory(config, REBORN_MS),
      breaker: 'open',
      openUntilMs: REBORN_MS + 70_000,
      openingsInRow: 3,
      isForcedProbeUsed: true,
      openedAt: 1_799_999_999_000,
      openedBecause: '5 calls in a row failed',
      lastFailureAt: 1_799_999_998_000,
      lastError: 'HTTP 503',
    });
  });

  test('that is due meanwhile admits a probe at once', () => {
    const { memory } = revive(stored(opened(90_000)), { afterMs: YEAR_MS });
    expect(admissionOf(memory, 'm', REBORN_MS)).toMatchObject({ kind: 'ready', isForProbe: true });
    const { memory: justNow } = revive(stored(opened(90_000)), { afterMs: 90_000 });
    expect(justNow.breaker).toBe('halfOpen');
  });

  test('that was half-open admits another probe at once, whatever its deadline and its probe were', () => {
    const halfOpen = beginHalfOpen(opened(90_000), true);
    const probing = { ...halfOpen, halfOpenSuccesses: 1, probe: { permitId: 4, leaseUntilMs: NOW_MS + 17_000 } };
    const { memory } = revive(stored(probing));
    expect(memory).toMatchObject({ breaker: 'halfOpen', openUntilMs: REBORN_MS, openingsInRow: 3 });
    expect([memory.isForcedProbeUsed, memory.probe, memory.halfOpenSuccesses]).toEqual([true, undefined, 0]);
    expect(admissionOf(memory, 'm', REBORN_MS)).toMatchObject({ kind: 'ready', isForProbe: true });
  });

  test('opens for as long as if the process had lived on when its next probe fails', () => {
    const at = { nowMs: REBORN_MS, wallMs: 0 };
    const again = beginOpen(revive(stored(opened(90_000, { openingsInRow: 6 }))).memory, at, 0.5, 'the probe failed');
    // The seventh in a row: 15 s, doubled three times.
    expect(again.openUntilMs - REBORN_MS).toBe(120_000);
  });
});

describe('no wait is longer', () => {
  test('than it was when it was saved, however far the clock was turned back', () => {
    const memory = {
      ...opened(90_000),
      credentials: withKey({ heldUntilMs: NOW_MS + HOUR_MS }).credentials,
      quarantine: { gone: NOW_MS + 5_000 },
    };
    const pacing = new PacingBuckets({ requestsPerMinute: 60 });
    for (let count = 0; count < 6; count += 1) pacing.take({ tokens: 0 }, NOW_MS);
    const debtMs = (pacing.debts(NOW_MS).requests?.fullAtMs ?? 0) - NOW_MS;
    const limited = { ...config, rateLimit: { requestsPerMinute: 60 } };
    const reborn = revive(stored(memory, pacing), { afterMs: -YEAR_MS, config: limited });
    expect(reborn.memory.openUntilMs - REBORN_MS).toBe(90_000);
    expect(reborn.memory.credentials[0]!.heldUntilMs - REBORN_MS).toBe(HOUR_MS);
    expect(reborn.memory.quarantine).toEqual({ gone: REBORN_MS + 5_000 });
    const carriedMs = (reborn.pacing.debts(REBORN_MS).requests?.fullAtMs ?? 0) - REBORN_MS;
    expect(debtMs).toBeGreaterThan(5_000);
    expect(carriedMs).toBeGreaterThanOrEqual(debtMs);
    expect(carriedMs).toBeLessThan(debtMs + 2);
  });

  test('than the config could have set it', () => {
    const memory = { ...opened(YEAR_MS), quarantine: { gone: NOW_MS + YEAR_MS } };
    const reborn = revive(stored(memory)).memory;
    expect(reborn.openUntilMs - REBORN_MS).toBe(OPEN_MAX_MS);
    expect(reborn.quarantine).toEqual({ gone: REBORN_MS + QUARANTINE_MS });
    const patient = { ...config, breaker: { ...config.breaker, openMaxMs: 2 * YEAR_MS } };
    expect(revive(stored(memory), { config: patient }).memory.openUntilMs - REBORN_MS).toBe(YEAR_MS);
  });

  test('but a provider is believed however long it wants to be left alone', () => {
    const reborn = revive(stored(withKey({ heldUntilMs: NOW_MS + YEAR_MS }))).memory;
    expect(reborn.credentials[0]!.heldUntilMs - REBORN_MS).toBe(YEAR_MS);
  });
});

describe('a key', () => {
  const outOfMoney = withKey({ blocked: 'quota-exhausted', blockedUntilMs: NOW_MS + HOUR_MS });
  const unauthorized = withKey({ blocked: 'unauthorized', unauthorizedInRow: 2 });

  test.each<[string, ProviderMemory, Partial<CredentialMemory>]>([
    ['that is held', withKey({ heldUntilMs: NOW_MS + 61_000 }), { heldUntilMs: REBORN_MS + 60_000 }],
    ['that was refused', unauthorized, { blocked: 'unauthorized', blockedUntilMs: undefined }],
    ['without money', outOfMoney, { blocked: 'quota-exhausted', blockedUntilMs: REBORN_MS + HOUR_MS - 1_000 }],
    ['without money for good', withKey({ blocked: 'quota-exhausted' }), { blocked: 'quota-exhausted' }],
  ])('%s still is', (_name, memory, expected) => {
    const { credentials } = revive(stored(memory), { afterMs: 1_000 }).memory;
    expect(credentials[0]).toEqual({ ...createCredential('upstream#1', 1), ...expected });
    expect(credentials.slice(1)).toEqual([createCredential('upstream#2', 1), createCredential('upstream#3', 1)]);
  });

  test('whose time has come is like any other', () => {
    const memory = { ...outOfMoney, credentials: outOfMoney.credentials };
    expect(admissionOf(revive(stored(memory), { afterMs: HOUR_MS }).memory, 'm', REBORN_MS)).toMatchObject({
      kind: 'ready',
    });
    const past = withKey({ heldUntilMs: NOW_MS, blocked: 'quota-exhausted', blockedUntilMs: NOW_MS });
    expect(stored({ ...past, quarantine: { gone: NOW_MS } })).toEqual(stored(fresh));
  });

  test('is known by what it is and not by its name or its place', () => {
    const [first, second, third] = config.credentials;
    const moved = {
      ...config,
      credentials: [
        { ...third!, id: 'a' },
        { ...first!, id: 'b' },
        { ...second!, id: 'c' },
      ],
    };
    const { credentials } = revive(stored(unauthorized), { config: moved }).memory;
    expect(credentials.map(({ id, blocked }) => [id, blocked])).toEqual([
      ['a', undefined],
      ['b', 'unauthorized'],
      ['c', undefined],
    ]);
  });

  test('that took the place and the name of another one begins clean', () => {
    const renewed = { ...config, credentials: [{ id: 'upstream#1', apiKey: 'a-new-key' }] };
    expect(revive(stored(unauthorized), { config: renewed }).memory.credentials).toEqual([
      createCredential('upstream#1', 1),
    ]);
  });

  test('is not part of what is stored, nor is a part of it', () => {
    const memory = {
      ...opened(90_000),
      credentials: fresh.credentials.map((credential) => ({ ...credential, blocked: 'unauthorized' as const })),
    };
    const text = JSON.stringify(stored(memory));
    expect(text).toContain('unauthorized');
    for (const { apiKey = '' } of config.credentials)
      for (let from = 0; from + 8 <= apiKey.length; from += 1) expect(text).not.toContain(apiKey.slice(from, from + 8));
  });
});

describe('the number of slots', () => {
  const ramping = { ...beginClosed(opened(1), NOW_MS), limit: { limit: 5, successesInRow: 3 } };

  test('grows on from where it was', () => {
    expect(revive(stored(ramping)).memory.limit).toEqual({ limit: 5, successesInRow: 0 });
  });

  test('is never above what the config allows now', () => {
    const small = { ...config, concurrency: 2 };
    expect(revive(stored(ramping), { config: small }).memory.limit.limit).toBe(2);
  });

  test('that was full is full, also when the config allows more now', () => {
    expect(revive(stored(fresh), { config: { ...config, concurrency: 64 } }).memory.limit.limit).toBe(64);
  });
});

describe('what is owed to a rate limit', () => {
  const limited = { ...config, rateLimit: { requestsPerMinute: 60, tokensPerMinute: 6_000 } };
  const indebted = () => {
    const pacing = new PacingBuckets(limited.rateLimit);
    pacing.take({ tokens: 9_000 }, NOW_MS);
    return pacing;
  };
  const memory = createProviderMemory(limited, NOW_MS);

  test('is owed by the next process, less what has flowed off meanwhile', () => {
    const before = indebted();
    const { pacing } = revive(stored(memory, before), { config: limited, afterMs: 30_000 });
    const waitMs = before.take({ tokens: 100 }, NOW_MS + 30_000);
    expect(waitMs).toBeGreaterThan(60_000);
    const carriedMs = pacing.take({ tokens: 100 }, REBORN_MS);
    expect(carriedMs).toBeGreaterThanOrEqual(waitMs);
    expect(carriedMs).toBeLessThan(waitMs + 2);
  });

  test('is so many tokens and not so many seconds when the limit is another one now', () => {
    const wider = { ...limited, rateLimit: { tokensPerMinute: 60_000 } };
    const { pacing } = revive(stored(memory, indebted()), { config: wider });
    const { requests, tokens } = pacing.debts(REBORN_MS);
    expect(requests).toBeUndefined();
    // 9,000 tokens at nine tenths of 60,000 a minute.
    expect(tokens!.fullAtMs - REBORN_MS).toBeCloseTo(10_000, -1);
  });

  test('is nothing where no limit is any more', () => {
    const { pacing } = revive(stored(memory, indebted()));
    expect(pacing.take({ tokens: 1_000_000 }, REBORN_MS)).toBe(0);
  });

  test('is not worth keeping when a second has it paid', () => {
    const pacing = new PacingBuckets({ tokensPerMinute: 60_000 });
    pacing.take({ tokens: 900 }, NOW_MS);
    expect(stored(memory, pacing)).toEqual(stored(fresh));
    pacing.take({ tokens: 1 }, NOW_MS);
    expect(stored(memory, pacing)).toHaveProperty('debts.tokens.perMinute', 60_000);
  });

  test('is never more than an hour', () => {
    const state = { version: 1, savedAt: SAVED.steadyMs };
    const debts = { tokens: { until: SAVED.steadyMs + YEAR_MS, perMinute: 6_000 } };
    const { pacing } = revive({ ...state, debts }, { config: limited });
    expect(pacing.debts(REBORN_MS).tokens?.fullAtMs).toBe(REBORN_MS + HOUR_MS);
    const huge = { requests: { until: SAVED.steadyMs + HOUR_MS, perMinute: Number.MAX_VALUE } };
    const other = revive({ ...state, debts: huge }, { config: limited });
    expect(other.pacing.debts(REBORN_MS).requests?.fullAtMs).toBe(REBORN_MS + HOUR_MS);
  });
});

describe('of a provider that comes back while the service runs', () => {
  test('what is still due is kept', () => {
    const memory = { ...opened(90_000), credentials: withKey({ blocked: 'unauthorized' }).credentials };
    const reborn = revive(stored(memory), { isReturning: true, afterMs: 1_000 }).memory;
    expect([reborn.breaker, reborn.openUntilMs]).toEqual(['open', REBORN_MS + 89_000]);
    expect(reborn.credentials[0]!.blocked).toBe('unauthorized');
  });

  test.each<[string, ProviderMemory]>([
    ['a breaker that was due', opened(1_000)],
    ['a breaker that was half-open', beginHalfOpen(opened(1_000), false)],
    ['slots it had not ramped up to', { ...fresh, limit: { limit: 3, successesInRow: 0 } }],
  ])('%s is not', (_name, memory) => {
    const { memory: reborn } = revive(stored(memory), { isReturning: true, afterMs: 1_000 });
    expect(reborn).toEqual(createProviderMemory(config, REBORN_MS));
  });
});

describe('what is not understood', () => {
  const whole = () => {
    const pacing = new PacingBuckets({ requestsPerMinute: 6 });
    pacing.take({ tokens: 0 }, NOW_MS);
    return stored(
      {
        ...opened(90_000, { isForcedProbeUsed: true, limit: { limit: 5, successesInRow: 0 } }),
        credentials: withKey({
          heldUntilMs: NOW_MS + 1_000,
          blocked: 'quota-exhausted',
          blockedUntilMs: NOW_MS + 2_000,
        }).credentials,
        quarantine: { gone: NOW_MS + 5_000 },
      },
      pacing,
    );
  };

  function knownOf(state: unknown, owner: ProviderConfig) {
    const { memory, debts } = readable(revive(state, { config: owner }));
    return { memory, debts };
  }

  test.each<[string, unknown, string]>([
    ['no object', 'open', 'expected the state to be an object, got: a value of type string'],
    ['null', null, 'expected the state to be an object, got: null'],
    ['a list', [], 'expected the state to be an object, got: a list'],
    ['of another version', { ...whole(), version: 2 }, 'expected version to be 1, got: 2'],
    ['of no version', {}, 'expected version to be 1, got: a value of type undefined'],
    ['of no time', { ...whole(), savedAt: undefined }, 'expected savedAt to be a time in epoch ms, got: null'],
    ['from before time', { ...whole(), savedAt: -1 }, 'expected savedAt to be a time in epoch ms, got: -1'],
  ])('as a whole (%s) is left out as a whole, and told', (_name, state, problem) => {
    expect(readable(revive(state))).toEqual({ ...NOTHING_KNOWN, problem });
  });

  /** A path into the state, what stands there, and what must not differ from a state without the path. */
  test.each<[string, unknown, string]>([
    ['breaker', 7, 'breaker to be an object'],
    ['breaker.state', 'ajar', 'breaker.state to be open or halfOpen'],
    ['breaker.openUntil', 'tomorrow', 'breaker.openUntil to be a time in epoch ms'],
    ['breaker.openUntil', Number.MAX_VALUE, 'breaker.openUntil to be a time in epoch ms'],
    ['breaker.openingsInRow', 0, 'breaker.openingsInRow to be a whole number from 1'],
    ['breaker.openingsInRow', 1.5, 'breaker.openingsInRow to be a whole number from 1'],
    ['breaker.isForcedProbeUsed', 'yes', 'breaker.isForcedProbeUsed to be true or false'],
    ['breaker.openedAt', {}, 'breaker.openedAt to be a time in epoch ms'],
    ['breaker.openedBecause', 5, 'breaker.openedBecause to be a text'],
    ['breaker.lastFailureAt', -5, 'breaker.lastFailureAt to be a time in epoch ms'],
    ['breaker.lastError', [], 'breaker.lastError to be a text'],
    ['limit', 0, 'limit to be a whole number from 1'],
    ['limit', null, 'limit to be a whole number from 1'],
    ['credentials', {}, 'credentials to be a list'],
    ['credentials.0', null, 'credentials[0] to be an object'],
    ['credentials.0.key', 5, 'credentials[0].key to be a text'],
    ['credentials.0.heldUntil', '9', 'credentials[0].heldUntil to be a time in epoch ms'],
    ['credentials.0.blocked', 'bored', 'credentials[0].blocked to be unauthorized or quota-exhausted'],
    ['quarantine', 'all', 'quarantine to be a list'],
    ['quarantine.0', 4, 'quarantine[0] to be an object'],
    ['quarantine.0.model', 4, 'quarantine[0].model to be a text'],
    ['quarantine.0.until', true, 'quarantine[0].until to be a time in epoch ms'],
    ['debts', [], 'debts to be an object'],
    ['debts.requests', 1, 'debts.requests to be an object'],
    ['debts.requests.until', null, 'debts.requests.until to be a time in epoch ms'],
    ['debts.requests.perMinute', 0, 'debts.requests.perMinute to be a number above 0'],
  ])('of one field (%s: %j) costs that field, and is told', (path, value, problem) => {
    const limited = { ...config, rateLimit: { requestsPerMinute: 6 } };
    const { problem: told, ...damaged } = readable(revive(put(whole(), path, value), { config: limited }));
    expect(told).toMatch(`expected ${problem}, got: `);
    expect(damaged).toEqual(knownOf(put(whole(), path, undefined), limited));
    expect(damaged).not.toEqual(knownOf(whole(), limited));
  });

  test('of the end of a block never makes it one for good', () => {
    const reborn = revive(put(whole(), 'credentials.0.blockedUntil', 'never'));
    expect(reborn.problem).toMatch('credentials[0].blockedUntil');
    expect(reborn.memory.credentials[0]).toMatchObject({ blocked: undefined, heldUntilMs: REBORN_MS + 1_000 });
  });

  test('is told in a few words, however much it is, and never quoted', () => {
    const quarantine = Array.from({ length: 900 }, () => ({ model: CANARY_KEY, until: CANARY_KEY }));
    const { problem } = revive({ ...whole(), quarantine });
    expect(problem).toMatch(/^expected quarantine\[0\].*; and 895 more$/);
    expect(problem?.match(/expected/g)).toHaveLength(5);
    expect(problem).not.toContain('canary');
  });

  test('is cut where it is too long or too many', () => {
    const state = put(whole(), 'breaker.lastError', 'x'.repeat(10_000));
    expect(revive(state).memory.lastError).toHaveLength(2_000);
    const quarantine = Array.from({ length: 1_500 }, (_, index) => ({ model: `m${index}`, until: SAVED.steadyMs + 9 }));
    const kept = Object.keys(revive({ ...whole(), quarantine }).memory.quarantine);
    expect([kept.length, kept[0], kept.at(-1)]).toEqual([1_000, 'm500', 'm1499']);
    const chatty = { ...fresh, quarantine: { ['m'.repeat(257)]: NOW_MS + 9, ['m'.repeat(256)]: NOW_MS + 9 } };
    expect(stored(chatty)['quarantine']).toHaveLength(1);
  });

  test('of whatever kind crashes nothing and keeps nobody waiting longer than the config does', () => {
    const anyValue = fc.oneof(
      fc.constantFrom(0, -1, 1e300, -0.5, null, '', 'open', 'unauthorized', true, SAVED.steadyMs + 9, NaN),
      fc.anything(),
    );
    const paths = fc.constantFrom(...pathsIn(whole()));
    fc.assert(
      fc.property(fc.array(fc.tuple(paths, anyValue), { maxLength: 8 }), fc.boolean(), (changes, isReturning) => {
        let state = whole();
        for (const [path, value] of changes) state = put(state, path, value);
        const { memory } = revive(state, { isReturning });
        expect(memory.probe).toBeUndefined();
        if (memory.breaker === 'open') {
          expect(memory.openUntilMs - REBORN_MS).toBeGreaterThanOrEqual(0);
          expect(memory.openUntilMs - REBORN_MS).toBeLessThanOrEqual(OPEN_MAX_MS);
        }
        for (const untilMs of Object.values(memory.quarantine))
          expect(untilMs - REBORN_MS).toBeLessThanOrEqual(QUARANTINE_MS);
        expect(memory.limit.limit).toBeGreaterThanOrEqual(1);
        expect(memory.limit.limit).toBeLessThanOrEqual(config.concurrency);
        expect(memory.credentials.map(({ id }) => id)).toEqual(config.credentials.map(({ id }) => id));
        // Whoever has to wait is told for how long.
        const admission = admissionOf(memory, 'm', REBORN_MS);
        if (admission.kind === 'wait') expect(admission.retryAfterMs).toBeGreaterThanOrEqual(0);
      }),
      propertyRuns(500),
    );
  });
});

describe('a change is to be saved', () => {
  test.each<[string, ProviderMemory, 'now' | 'soon' | undefined]>([
    ['when the breaker opens', opened(1), 'now'],
    ['when it becomes half-open', beginHalfOpen(fresh, false), 'now'],
    ['when a key is held', withKey({ heldUntilMs: NOW_MS + 1 }), 'now'],
    ['when a key is taken out', withKey({ blocked: 'unauthorized' }), 'now'],
    ['when a key is taken out for a while', withKey({ blockedUntilMs: 9 }), 'now'],
    ['when a key is replaced', withKey({ version: 2 }), 'now'],
    ['when there are fewer keys', { ...fresh, credentials: fresh.credentials.slice(1) }, 'now'],
    ['when there are more keys', { ...fresh, credentials: [...fresh.credentials, createCredential('d', 1)] }, 'now'],
    ['when a model is left alone', { ...fresh, quarantine: { gone: 1 } }, 'soon'],
    ['when slots come or go', { ...fresh, limit: { limit: 3, successesInRow: 0 } }, 'soon'],
    ['not when a success is counted', { ...fresh, limit: { ...fresh.limit, successesInRow: 1 } }, undefined],
    ['not when a refusal is counted', withKey({ unauthorizedInRow: 1 }), undefined],
    ['not when a failure is counted', { ...fresh, lastError: 'HTTP 500', lastFailureAt: 5 }, undefined],
  ])('%s', (_name, after, urgency) => {
    expect(urgencyOf(fresh, after)).toBe(urgency);
  });

  test('when a breaker that is open opens again', () => {
    expect(urgencyOf(opened(1), opened(2))).toBe('now');
  });
});

/** The same state with another value at `path`; left out where the value is undefined. */
function put(state: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const copy = structuredClone(state);
  const steps = path.split('.');
  const last = steps.pop()!;
  // Paths lead through objects and lists; where a change has cut one off, there is nothing to change.
  let at: unknown = copy;
  for (const step of steps) at = (at as Record<string, unknown> | null | undefined)?.[step];
  if (typeof at !== 'object' || at === null) return copy;
  const parent = at as Record<string, unknown>;
  if (value !== undefined) parent[last] = value;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy;
}

function pathsIn(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, field]) => [`${prefix}${name}`, ...pathsIn(field, `${prefix}${name}.`)]);
}
