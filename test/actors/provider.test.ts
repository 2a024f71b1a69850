import { describe, expect, test, vi } from 'vitest';

import type { ProviderConfig } from '../../src/contract/config.ts';
import { FAILURE_POLICY, type FailureKind } from '../../src/contract/failures.ts';
import { type Announced, LEASE_MS, OPEN_MS, ProviderRig } from '../support/provider-rig.ts';

const kinds = Object.keys(FAILURE_POLICY) as FailureKind[]; // Its keys are exactly the kinds.

const twoKeys: Pick<ProviderConfig, 'credentials'> = {
  credentials: [
    { id: 'upstream#1', apiKey: 'first-key' },
    { id: 'upstream#2', apiKey: 'second-key' },
  ],
};

/** What one report did, as far as anybody outside can see. */
const seen = (rig: ProviderRig) => {
  const { breaker, gate, credentials, concurrency, quarantinedModels } = rig.state;
  return {
    breaker: breaker.state,
    failures: breaker.failureCount,
    successes: breaker.successCount,
    gate,
    credential: credentials[0]?.state,
    limit: concurrency.limit,
    inFlight: concurrency.inFlight,
    quarantined: quarantinedModels,
  };
};

/** What a report does to keys and models in every state of the breaker, by the failure table. */
const sideEffects = (kind: FailureKind) => {
  const { effect } = FAILURE_POLICY[kind];
  return {
    gate: effect === 'hold-gate' ? 'held' : 'clear',
    credential: effect === 'hold-gate' ? 'held' : effect === 'exhaust-credential' ? 'exhausted' : 'usable',
    quarantined: effect === 'quarantine-model' ? ['model-1'] : [],
  };
};

describe('the outcome table', () => {
  test.each(kinds)(
    'closed: %s counts, holds, shrinks, exhausts and quarantines exactly as the failure table says',
    (kind) => {
      const { breaker, effect } = FAILURE_POLICY[kind];
      const rig = new ProviderRig();
      rig.attempt(kind);
      expect(seen(rig)).toEqual({
        breaker: 'closed',
        failures: breaker === 'failure' ? 1 : 0,
        successes: 0,
        limit: effect === 'hold-gate' || effect === 'shrink-limit' ? 22 : 32,
        inFlight: 0,
        ...sideEffects(kind),
      });
    },
  );

  test.each(kinds)('closed: %s for ever opens the breaker if and only if it is a failure', (kind) => {
    const rig = new ProviderRig();
    const permits = Array.from({ length: 100 }, () => rig.permit());
    for (const permit of permits) rig.report(permit, kind);
    expect(rig.breaker).toBe(FAILURE_POLICY[kind].breaker === 'failure' ? 'open' : 'closed');
  });

  test.each(kinds)(
    'open: a late %s changes nothing of the breaker, and of keys and models what it says of them',
    (kind) => {
      const rig = new ProviderRig();
      const late = rig.permit();
      rig.open();
      const before = seen(rig);
      rig.report(late, kind);
      expect(seen(rig)).toEqual({ ...before, inFlight: 0, ...sideEffects(kind) });
    },
  );

  test.each(kinds)(
    'half-open, waiting: a late %s changes nothing of the breaker, and of keys and models what it says of them',
    async (kind) => {
      const rig = new ProviderRig();
      const late = rig.permit();
      await rig.openAndWait();
      const before = seen(rig);
      rig.report(late, kind);
      expect(seen(rig)).toEqual({ ...before, inFlight: 0, ...sideEffects(kind) });
    },
  );

  test.each(kinds)('half-open, probing: a late %s does not end the probe', async (kind) => {
    const rig = new ProviderRig();
    const late = rig.permit();
    await rig.openAndWait();
    rig.permit();
    const before = seen(rig);
    rig.report(late, kind);
    expect(seen(rig)).toEqual({ ...before, inFlight: 1, ...sideEffects(kind) });
    expect(rig.claim().kind).toBe('refused');
  });

  test.each(kinds)(
    'half-open, probing: a probe that ends as %s opens again if that is a failure, and otherwise leaves its slot to the next',
    async (kind) => {
      const rig = new ProviderRig();
      await rig.openAndWait();
      const before = seen(rig);
      rig.attempt(kind);
      const isFailure = FAILURE_POLICY[kind].breaker === 'failure';
      expect(seen(rig)).toEqual({
        ...before,
        breaker: isFailure ? 'open' : 'halfOpen',
        inFlight: 0,
        ...sideEffects(kind),
      });
      if (isFailure) expect(rig.state.breaker.lastError).toBe(`ended as ${kind}`);
      const { effect } = FAILURE_POLICY[kind];
      const isAdmitting =
        !isFailure && effect !== 'hold-gate' && effect !== 'exhaust-credential' && effect !== 'quarantine-model';
      expect(rig.claim().kind).toBe(isAdmitting ? 'claimed' : 'refused');
    },
  );

  test('success: counts when closed, closes after two as a probe, and decides nothing when late', async () => {
    const rig = new ProviderRig();
    const late = rig.permit();
    rig.attempt('success');
    expect(seen(rig)).toMatchObject({ breaker: 'closed', successes: 1, failures: 0 });
    await rig.openAndWait();
    rig.report(late, 'success');
    expect(seen(rig)).toMatchObject({ breaker: 'halfOpen', successes: 0 });
    rig.attempt('success');
    expect(seen(rig)).toMatchObject({ breaker: 'halfOpen', successes: 1 });
    rig.attempt('success');
    expect(seen(rig)).toMatchObject({ breaker: 'closed', successes: 0, failures: 0, limit: 1 });
  });

  test('a failed free check is one failure when closed and nothing otherwise', async () => {
    const rig = new ProviderRig();
    rig.control.checkFailed('connect refused');
    expect(rig.state.breaker).toMatchObject({ failureCount: 1, lastError: 'connect refused' });
    for (let count = 0; count < 4; count += 1) rig.control.checkFailed('connect refused');
    expect(rig.breaker).toBe('open');
    rig.control.checkFailed('connect refused');
    await rig.halfOpen();
    rig.control.checkFailed('connect refused');
    expect(rig.breaker).toBe('halfOpen');
    rig.close();
    expect(rig.breaker).toBe('closed');
  });
});

describe('rule B in the actor', () => {
  test('ten completed calls at half failures open it, nine do not', () => {
    const rig = new ProviderRig();
    for (let count = 0; count < 4; count += 1) rig.attempts(1, count % 2 === 0 ? 'success' : 'upstream-error');
    rig.attempts(1, 'success');
    rig.attempts(3, 'upstream-error');
    rig.attempts(1, 'success');
    expect([rig.breaker, rig.state.breaker.failureCount]).toEqual(['closed', 5]);
    rig.attempts(1, 'success');
    expect(rig.breaker).toBe('open');
  });

  test('ten failures in a row open it whatever came before, nine do not', () => {
    const rig = new ProviderRig();
    rig.attempts(30, 'success');
    rig.attempts(9, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    rig.attempts(1, 'upstream-error');
    expect(rig.breaker).toBe('open');
  });

  test('five in a row open it while fewer than ten completed, four do not', () => {
    const rig = new ProviderRig();
    rig.attempts(4, 'success');
    rig.attempts(4, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    rig.attempts(1, 'upstream-error');
    expect(rig.breaker).toBe('open');
    expect(rig.announced.find(({ name }) => name === 'breaker.opened')?.payload).toMatchObject({
      reason: '5 calls in a row failed',
    });
  });
});

describe('successes that have left the window', () => {
  /** Closed, with five failures in a row whose successes before them are forgotten: one more failure opens it. */
  const agedRig = async () => {
    const rig = new ProviderRig();
    const early = [rig.permit(), rig.permit(), rig.permit()] as const;
    await rig.openAndWait();
    rig.close();
    rig.attempts(7, 'success');
    await rig.clock.advance(20_000);
    rig.attempts(5, 'upstream-error');
    await rig.clock.advance(45_000);
    expect([rig.breaker, rig.state.breaker.failureCount, rig.state.breaker.successCount]).toEqual(['closed', 5, 0]);
    return { rig, early };
  };

  test('open nothing by what is counted nowhere: an end that says nothing, a late report, a late overdue', async () => {
    const { rig, early } = await agedRig();
    rig.attempt('abandoned');
    rig.report(early[0], 'upstream-error');
    rig.report(early[1], 'success');
    rig.control.overdue(early[2]);
    expect(rig.breaker).toBe('closed');
  });

  test.each<[string, (rig: ProviderRig) => void]>([
    ['a failure', (rig) => rig.attempt('upstream-error')],
    ['an overdue call', (rig) => rig.control.overdue(rig.permit())],
    ['a failed check', (rig) => rig.control.checkFailed('connect refused')],
  ])('are not there to hold it closed at the next piece of evidence: %s', async (_name, act) => {
    const { rig } = await agedRig();
    act(rig);
    expect(rig.breaker).toBe('open');
  });
});

describe('openings', () => {
  test('last 15 s for the first four in a row, then double up to five minutes, each within a fifth', async () => {
    const rig = new ProviderRig({ seed: 7 });
    rig.open();
    for (const nominalMs of [OPEN_MS, OPEN_MS, OPEN_MS, OPEN_MS, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000]) {
      const startedAtMs = rig.clock.nowMs();
      await rig.halfOpen();
      const tookMs = rig.clock.nowMs() - startedAtMs;
      expect(tookMs).toBeGreaterThanOrEqual(nominalMs * 0.8);
      expect(tookMs).toBeLessThanOrEqual(nominalMs * 1.2 + 1);
      rig.attempt('upstream-error');
    }
  });

  test('do not all last equally long: providers that went down together are not probed together', () => {
    const openings = new Set(
      Array.from({ length: 20 }, (_, seed) => {
        const rig = new ProviderRig({ seed: seed + 1 });
        rig.open();
        return rig.state.breaker.nextProbeAt;
      }),
    );
    expect(openings.size).toBeGreaterThan(15);
  });

  test('start over at 15 s once the breaker has closed', async () => {
    const rig = new ProviderRig();
    rig.open();
    for (let count = 0; count < 6; count += 1) {
      await rig.halfOpen();
      rig.attempt('upstream-error');
    }
    await rig.halfOpen();
    rig.close();
    rig.open();
    expect(rig.state.breaker.nextProbeAt! - rig.clock.wallMs()).toBeLessThanOrEqual(OPEN_MS * 1.2);
  });

  test('an open breaker becomes half-open at its deadline without anybody calling, and says so', async () => {
    const rig = new ProviderRig();
    rig.open();
    const changed = vi.fn<() => void>();
    rig.control.onChange(changed);
    await rig.halfOpen();
    expect(rig.namesOf('breaker.')).toEqual(['breaker.opened', 'breaker.halfOpened']);
    expect(changed).toHaveBeenCalled();
    rig.close();
    expect(rig.namesOf('breaker.')).toEqual(['breaker.opened', 'breaker.halfOpened', 'breaker.closed']);
  });
});

describe('forced probes', () => {
  test('one per run of openings: not the second opening, not the third', async () => {
    const rig = new ProviderRig();
    rig.open();
    rig.report(rig.permit({ isForced: true }), 'upstream-error');
    for (let count = 0; count < 3; count += 1) {
      expect(rig.claim({ isForced: true })).toMatchObject({
        kind: 'refused',
        admission: { reason: 'open', canForceProbe: false },
      });
      await rig.halfOpen();
      rig.attempt('upstream-error');
    }
  });

  test('another one is there after the breaker has closed in between', async () => {
    const rig = new ProviderRig();
    rig.open();
    rig.report(rig.permit({ isForced: true }), 'success');
    rig.attempt('success');
    expect(rig.breaker).toBe('closed');
    rig.open();
    expect(rig.claim({ isForced: true }).kind).toBe('claimed');
  });

  test('none while the gate is held: a forced probe does not break a Retry-After', () => {
    const rig = new ProviderRig();
    const late = rig.permit();
    rig.open();
    rig.report(late, 'rate-limited', { holdMs: 3_600_000 });
    expect(rig.claim({ isForced: true })).toMatchObject({ kind: 'refused', admission: { canForceProbe: false } });
  });

  test('is a probe like any other: one at a time, with a lease', async () => {
    const rig = new ProviderRig();
    rig.open();
    expect(rig.permit({ isForced: true }).isProbe).toBe(true);
    expect(rig.claim().kind).toBe('refused');
    await rig.clock.advance(LEASE_MS);
    expect(rig.breaker).toBe('open');
  });
});

describe('the ramp after closing', () => {
  test('goes from one slot to the configured ones, one more per round of successes', async () => {
    const rig = new ProviderRig({ config: { concurrency: 4 } });
    await rig.openAndWait();
    rig.close();
    const limits = Array.from({ length: 12 }, () => {
      rig.attempt('success');
      return rig.state.concurrency.limit;
    });
    expect(limits).toEqual([2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
  });

  test('is taken back by each 429 and 529, to one slot at the least', () => {
    const rig = new ProviderRig({ config: { concurrency: 10 } });
    const permits = Array.from({ length: 12 }, () => rig.permit());
    const limits = permits.map((permit, index) => {
      rig.report(permit, index % 2 === 0 ? 'rate-limited' : 'overloaded');
      return rig.state.concurrency.limit;
    });
    expect(limits.slice(0, 6)).toEqual([7, 4, 2, 1, 1, 1]);
  });

  test('says that it ramps once its few slots are taken, so that others help out', async () => {
    const rig = new ProviderRig();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
    await rig.openAndWait();
    rig.close();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
    rig.permit();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: true });
  });
});

describe('the gate', () => {
  test.each([1, 61_000, 3_600_000])('holds for the whole Retry-After of %d ms and opens at its end', async (holdMs) => {
    const rig = new ProviderRig();
    rig.attempt('rate-limited', { holdMs });
    await rig.clock.advance(holdMs - 1);
    expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'held', retryAfterMs: 1 } });
    await rig.clock.advance(1);
    expect(rig.claim().kind).toBe('claimed');
    expect(rig.state.gate).toBe('clear');
  });

  test('a Retry-After of 0 holds nothing', () => {
    const rig = new ProviderRig();
    rig.attempt('rate-limited', { holdMs: 0 });
    expect(rig.claim().kind).toBe('claimed');
  });

  test('its deadline only ever moves later', async () => {
    const rig = new ProviderRig();
    const permits = [10_000, 2_000, 20_000, 1].map((holdMs) => [rig.permit(), holdMs] as const);
    for (const [permit, holdMs] of permits) rig.report(permit, 'rate-limited', { holdMs });
    await rig.clock.advance(19_999);
    expect(rig.claim().kind).toBe('refused');
    await rig.clock.advance(1);
    expect(rig.claim().kind).toBe('claimed');
  });

  test('a success of another call does not open it', () => {
    const rig = new ProviderRig();
    const [throttled, fine] = [rig.permit(), rig.permit()];
    rig.report(throttled, 'rate-limited', { holdMs: 5_000 });
    rig.report(fine, 'success');
    expect(rig.claim().kind).toBe('refused');
  });

  test('tells whoever waits when it opens, also when it was held for longer meanwhile', async () => {
    const rig = new ProviderRig();
    const [first, second] = [rig.permit(), rig.permit()];
    rig.report(first, 'rate-limited', { holdMs: 5_000 });
    rig.report(second, 'rate-limited', { holdMs: 20_000 });
    const admissions: string[] = [];
    rig.control.onChange(() => {
      admissions.push(rig.control.admission('model-1').kind);
    });
    await rig.clock.advance(19_999);
    expect(admissions).not.toContain('ready');
    await rig.clock.advance(1);
    expect(admissions).toContain('ready');
  });

  test('tells whoever waits when it opens', async () => {
    const rig = new ProviderRig();
    rig.attempt('rate-limited', { holdMs: 5_000 });
    await rig.clock.settle();
    const changed = vi.fn<() => void>(() => {
      expect(rig.control.admission('model-1').kind).toBe('ready');
    });
    rig.control.onChange(changed);
    await rig.clock.advance(5_000);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  test('holds one credential: the others are used meanwhile', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('rate-limited', { holdMs: 60_000 });
    const second = rig.permit();
    expect(second.credentialId).toBe('upstream#2');
    rig.report(second, 'rate-limited', { holdMs: 10_000 });
    expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'held', retryAfterMs: 10_000 } });
    expect(rig.state.credentials).toEqual([
      { id: 'upstream#1', state: 'held', heldForMs: 60_000 },
      { id: 'upstream#2', state: 'held', heldForMs: 10_000 },
    ]);
  });

  test('when all are held the first to clear is used first, and the other one not before its own time', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('rate-limited', { holdMs: 60_000 });
    rig.attempt('rate-limited', { holdMs: 10_000 });
    await rig.clock.advance(10_000);
    expect([rig.permit().credentialId, rig.permit().credentialId]).toEqual(['upstream#2', 'upstream#2']);
    await rig.clock.advance(50_000);
    expect(rig.permit().credentialId).toBe('upstream#1');
  });

  test('no breaker opens for it: a thousand 429 are no failure', () => {
    const rig = new ProviderRig();
    const permits = Array.from({ length: 1_000 }, () => rig.permit());
    for (const permit of permits) rig.report(permit, 'rate-limited');
    expect(rig.state.breaker).toMatchObject({ state: 'closed', failureCount: 0 });
  });
});

describe('credentials', () => {
  test('one 401 takes nothing out, two in a row do, and it is told once', () => {
    const rig = new ProviderRig();
    rig.attempt('unauthorized');
    expect(rig.state.credentials[0]?.state).toBe('usable');
    const [second, third] = [rig.permit(), rig.permit()];
    rig.report(second, 'unauthorized');
    rig.report(third, 'unauthorized');
    expect(rig.state.credentials[0]?.state).toBe('disabled');
    expect(rig.announced.filter(({ name }) => name === 'credential.disabled')).toEqual([
      {
        name: 'credential.disabled',
        payload: { provider: 'upstream', credential: 'upstream#1', reason: 'unauthorized' },
      },
    ]);
  });

  test('a success in between starts the count over', () => {
    const rig = new ProviderRig();
    for (const kind of ['unauthorized', 'success', 'unauthorized'] as const) rig.attempt(kind);
    expect(rig.state.credentials[0]?.state).toBe('usable');
  });

  test('two refusals of two keys are not two in a row', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.report(rig.permit(), 'unauthorized');
    rig.report(rig.permit({ avoid: new Set(['upstream#1']) }), 'unauthorized');
    expect(rig.state.credentials.map(({ state }) => state)).toEqual(['usable', 'usable']);
  });

  test.each(['quota-exhausted', 'unauthorized'] as const)(
    'with every key out by %s the provider never admits and says why, without the key',
    (kind) => {
      const rig = new ProviderRig();
      const permits = [rig.permit(), rig.permit()];
      for (const permit of permits) rig.report(permit, kind);
      const admission = rig.control.admission('model-1');
      expect(admission).toMatchObject({ kind: 'never' });
      expect(JSON.stringify([admission, rig.state, rig.announced])).toContain('upstream#1');
      expect(JSON.stringify([admission, rig.state, rig.announced])).not.toContain(
        rig.control.config.credentials[0]!.apiKey!,
      );
    },
  );

  test('what says nothing of the key neither adds to a row of refusals nor ends it', () => {
    const rig = new ProviderRig();
    for (const kind of ['unauthorized', 'abandoned', 'overloaded', 'rate-limited'] as const)
      rig.attempt(kind, { holdMs: 0 });
    expect(rig.state.credentials[0]?.state).toBe('usable');
    rig.attempt('unauthorized');
    expect(rig.state.credentials[0]?.state).toBe('disabled');
  });

  test('one exhausted key leaves the other in use', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('quota-exhausted');
    expect(rig.permit().credentialId).toBe('upstream#2');
    expect(rig.control.hasOtherCredential(new Set(['upstream#2']))).toBe(false);
  });

  test('an operator’s reset gives them another chance', () => {
    const rig = new ProviderRig();
    rig.attempt('quota-exhausted');
    rig.control.resetCredentials();
    expect(rig.claim().kind).toBe('claimed');
    rig.attempt('unauthorized');
    expect(rig.state.credentials[0]?.state).toBe('usable');
  });

  test('a key to be avoided is used only where there is no other', () => {
    const rig = new ProviderRig({ config: twoKeys });
    expect(rig.permit({ avoid: new Set(['upstream#1']) }).credentialId).toBe('upstream#2');
    expect(rig.permit({ avoid: new Set(['upstream#1', 'upstream#2']) }).credentialId).toBe('upstream#1');
  });
});

describe('quarantine', () => {
  test('a model the provider does not know is left alone for ten minutes, its other models are not', async () => {
    const rig = new ProviderRig();
    rig.attempt('model-not-found', { model: 'missing' });
    expect(rig.claim({ model: 'missing' })).toMatchObject({ kind: 'refused', admission: { kind: 'never' } });
    expect(rig.claim().kind).toBe('claimed');
    await rig.clock.advance(599_999);
    expect(rig.claim({ model: 'missing' }).kind).toBe('refused');
    await rig.clock.advance(1);
    expect(rig.claim({ model: 'missing' }).kind).toBe('claimed');
    expect(rig.state.quarantinedModels).toEqual([]);
  });

  test('what it remembers of unknown models does not grow without end', async () => {
    const rig = new ProviderRig();
    for (let count = 0; count < 50; count += 1) {
      rig.attempt('model-not-found', { model: `missing-${count}` });
      await rig.clock.advance(60_000);
    }
    expect(Object.keys(rig.actor.read().context.quarantine).length).toBeLessThanOrEqual(11);
  });

  test('is of many models at once, each until its own time', async () => {
    const rig = new ProviderRig();
    for (const model of ['missing-1', 'missing-2', 'missing-3']) {
      rig.attempt('model-not-found', { model });
      await rig.clock.advance(60_000);
    }
    expect(rig.state.quarantinedModels).toEqual(['missing-1', 'missing-2', 'missing-3']);
    await rig.clock.advance(420_000);
    expect(rig.state.quarantinedModels).toEqual(['missing-2', 'missing-3']);
  });

  test('begins again for a model that is still not known, and is then the youngest', async () => {
    const rig = new ProviderRig();
    const late = rig.permit({ model: 'missing-1' });
    rig.attempt('model-not-found', { model: 'missing-1' });
    rig.attempt('model-not-found', { model: 'missing-2' });
    await rig.clock.advance(300_000);
    rig.report(late, 'model-not-found', { model: 'missing-1' });
    expect(rig.state.quarantinedModels).toEqual(['missing-2', 'missing-1']);
    await rig.clock.advance(300_000);
    expect(rig.state.quarantinedModels).toEqual(['missing-1']);
  });

  test('is remembered of the last thousand models that callers made up, and of no more', () => {
    const rig = new ProviderRig();
    for (let count = 0; count < 1_001; count += 1) rig.attempt('model-not-found', { model: `missing-${count}` });
    const { quarantinedModels } = rig.state;
    expect([quarantinedModels.length, quarantinedModels[0], quarantinedModels.at(-1)]).toEqual([
      1_000,
      'missing-1',
      'missing-1000',
    ]);
  });

  test('models named like properties of objects are models', () => {
    const rig = new ProviderRig();
    for (const model of ['__proto__', 'constructor', 'toString']) {
      expect(rig.claim({ model }).kind).toBe('claimed');
      rig.attempt('model-not-found', { model });
      expect(rig.claim({ model }).kind).toBe('refused');
    }
    expect(rig.claim().kind).toBe('claimed');
  });
});

describe('pacing', () => {
  const config = { rateLimit: { requestsPerMinute: 60, tokensPerMinute: 60_000 } };
  const bigClaim = { pace: { tokens: 5_000 } };

  test('a claim that is paced takes nothing: no permit, no probe, no tokens', () => {
    const rig = new ProviderRig({ config });
    rig.permit(bigClaim);
    const before = seen(rig);
    const first = rig.claim(bigClaim);
    if (first.kind !== 'paced') throw new Error('expected it to be paced');
    for (let count = 0; count < 10; count += 1) expect(rig.claim(bigClaim)).toEqual(first);
    expect(seen(rig)).toEqual(before);
  });

  test('a claim that its actor dies of takes no tokens either', () => {
    let isBroken = true;
    const rig = new ProviderRig({
      config,
      beforeEvent: ({ type }) => {
        if (type === 'permit.claimed' && isBroken) throw new Error('injected');
      },
    });
    for (let count = 0; count < 20; count += 1) {
      expect(rig.claim(bigClaim).kind).toBe('refused');
      rig.start();
    }
    isBroken = false;
    expect(rig.claim(bigClaim).kind).toBe('claimed');
    expect(rig.state.concurrency.inFlight).toBe(1);
  });

  test('a change of config that leaves the rates alone does not fill the bucket', () => {
    const rig = new ProviderRig({ config });
    rig.permit(bigClaim);
    rig.control.configure({ ...rig.control.config, priority: 9 });
    expect(rig.claim(bigClaim).kind).toBe('paced');
  });

  test('a change of the rates applies at once', () => {
    const rig = new ProviderRig({ config });
    rig.permit(bigClaim);
    rig.control.configure({ ...rig.control.config, rateLimit: { tokensPerMinute: 6_000_000 } });
    expect(rig.claim(bigClaim).kind).toBe('claimed');
  });

  test('tokens that were not used can be used by the next', () => {
    const rig = new ProviderRig({ config });
    rig.permit(bigClaim);
    rig.control.correctPace(bigClaim.pace, 0);
    expect(rig.claim(bigClaim).kind).toBe('claimed');
  });
});

describe('a change of config', () => {
  test('keeps breaker, window, openings and permits', () => {
    const rig = new ProviderRig();
    rig.permit();
    rig.attempts(4, 'upstream-error');
    rig.control.configure({ ...rig.control.config, priority: 9, headers: { 'x-team': 'one' } });
    expect(rig.state).toMatchObject({ breaker: { failureCount: 4 }, concurrency: { inFlight: 1 } });
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });

  test('follows a new concurrency up and down, but does not end a ramp', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    const concurrencyOf = (concurrency: number) => {
      rig.control.configure({ ...rig.control.config, concurrency });
      return rig.state.concurrency.limit;
    };
    expect([concurrencyOf(16), concurrencyOf(4), concurrencyOf(8)]).toEqual([16, 4, 8]);
    await rig.openAndWait();
    rig.close();
    expect(concurrencyOf(16)).toBe(1);
  });

  test('takes slots away from a ramp only where it has more of them than there are now', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    await rig.openAndWait();
    rig.close();
    rig.attempts(10, 'success');
    expect(rig.state.concurrency.limit).toBe(5);
    const limitUnder = (concurrency: number) => {
      rig.control.configure({ ...rig.control.config, concurrency });
      return rig.state.concurrency.limit;
    };
    expect([limitUnder(7), limitUnder(6), limitUnder(4)]).toEqual([5, 5, 4]);
  });

  test('of the window keeps every permit, and forgets only that it was overdue', async () => {
    const rig = new ProviderRig();
    const permits = [rig.permit(), rig.permit()];
    for (const permit of permits) rig.control.overdue(permit);
    const { config } = rig.control;
    rig.control.configure({ ...config, breaker: { ...config.breaker, windowMs: 61_000 } });
    expect([...rig.actor.read().context.permits]).toEqual(
      permits.map((permit) => [permit.id, { ...permit, overdue: undefined }]),
    );
    for (const permit of permits) rig.control.overdue(permit);
    expect(rig.state.breaker.failureCount).toBe(2);
  });

  test('a key that stays keeps its gate and its block, a new one starts clean', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('rate-limited', { holdMs: 60_000 });
    rig.attempt('quota-exhausted');
    const [first, second] = twoKeys.credentials;
    rig.control.configure({
      ...rig.control.config,
      credentials: [first!, second!, { id: 'upstream#3', apiKey: 'third-key' }],
    });
    expect(rig.state.credentials).toEqual([
      { id: 'upstream#1', state: 'held', heldForMs: 60_000 },
      { id: 'upstream#2', state: 'exhausted' },
      { id: 'upstream#3', state: 'usable' },
    ]);
  });

  test('late refusals of a key that was replaced are not held against the new one', () => {
    const rig = new ProviderRig();
    const late = Array.from({ length: 4 }, () => rig.permit());
    rig.control.configure({ ...rig.control.config, credentials: [{ id: 'upstream#1', apiKey: 'new-key' }] });
    rig.report(late[0]!, 'unauthorized');
    rig.report(late[1]!, 'unauthorized');
    rig.report(late[2]!, 'quota-exhausted');
    rig.report(late[3]!, 'rate-limited', { holdMs: 60_000 });
    expect(rig.state.credentials).toEqual([{ id: 'upstream#1', state: 'usable' }]);
    expect(rig.state.concurrency.inFlight).toBe(0);
  });

  test('a new window begins empty, and an overdue call of the old one is counted in it once it ends', () => {
    const rig = new ProviderRig();
    const permit = rig.permit();
    rig.control.overdue(permit);
    const { config } = rig.control;
    rig.control.configure({ ...config, breaker: { ...config.breaker, windowMs: 61_000 } });
    expect(rig.state.breaker.failureCount).toBe(0);
    rig.report(permit, 'upstream-error');
    expect(rig.state.breaker.failureCount).toBe(1);
  });
});

describe('what is told', () => {
  test('of a breaker is who opened, why and for how long, and every change after that', async () => {
    const rig = new ProviderRig();
    rig.open();
    const openMs = () => Math.round(rig.actor.read().context.openUntilMs - rig.clock.nowMs());
    const expected: Announced[] = [
      {
        name: 'breaker.opened',
        payload: { provider: 'upstream', reason: '5 calls in a row failed', openMs: openMs() },
      },
      { name: 'breaker.halfOpened', payload: { provider: 'upstream' } },
    ];
    rig.permit({ isForced: true });
    expect(rig.announced).toEqual(expected);
    await rig.clock.advance(LEASE_MS);
    expected.push({
      name: 'breaker.opened',
      payload: { provider: 'upstream', reason: 'the probe did not end within its lease', openMs: openMs() },
    });
    expect(rig.announced).toEqual(expected);
    expect(rig.state.breaker).toMatchObject({
      lastError: 'the probe did not end within its lease',
      lastFailureAt: rig.clock.wallMs(),
    });
    await rig.halfOpen();
    rig.attempt('upstream-error');
    expected.push(
      { name: 'breaker.halfOpened', payload: { provider: 'upstream' } },
      { name: 'breaker.opened', payload: { provider: 'upstream', reason: 'the probe failed', openMs: openMs() } },
    );
    await rig.halfOpen();
    rig.close();
    expected.push(
      { name: 'breaker.halfOpened', payload: { provider: 'upstream' } },
      { name: 'breaker.closed', payload: { provider: 'upstream' } },
    );
    expect(rig.announced).toEqual(expected);
  });

  test('of a gate is whose it is and how long it holds, and nothing of one that does not hold', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('rate-limited', { holdMs: 0 });
    expect(rig.announced).toEqual([]);
    rig.attempt('rate-limited', { holdMs: 1_234.5 });
    expect(rig.announced).toEqual([
      { name: 'gate.held', payload: { provider: 'upstream', credential: 'upstream#1', forMs: 1_235 } },
    ]);
  });

  test('of a key is each time it is taken out, once, and which one', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    const permits = [rig.permit(), rig.permit()];
    for (const permit of permits) rig.report(permit, 'quota-exhausted', { exhaustedMs: 60_000 });
    const told = { provider: 'upstream', credential: 'upstream#1', reason: 'quota-exhausted' };
    expect(rig.announced.map(({ payload }) => payload)).toEqual([told]);
    await rig.clock.advance(60_000);
    rig.attempt('quota-exhausted', { exhaustedMs: 60_000 });
    expect(rig.announced.map(({ payload }) => payload)).toEqual([told, told]);
  });
});

describe('the regions of the machine', () => {
  test('follow the gate: held while no key can be used yet, clear again at its moment', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    const gate = () => rig.actor.read().value.gate;
    expect(gate()).toBe('clear');
    rig.attempt('rate-limited', { holdMs: 10_000 });
    expect(gate()).toBe('clear');
    rig.attempt('rate-limited', { holdMs: 5_000 });
    expect(gate()).toBe('held');
    await rig.clock.advance(4_999);
    expect(gate()).toBe('held');
    await rig.clock.advance(1);
    expect(gate()).toBe('clear');
  });

  test('follow the keys: unusable while an operator has to act on every one of them', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    const credentials = () => rig.actor.read().value.credentials;
    rig.attempt('quota-exhausted');
    expect(credentials()).toBe('usable');
    rig.attempt('quota-exhausted', { exhaustedMs: 60_000 });
    expect(credentials()).toBe('usable');
    await rig.clock.advance(60_000);
    rig.attempt('quota-exhausted');
    expect(credentials()).toBe('unusable');
    const newKey = { id: 'upstream#3', apiKey: 'third-key' };
    rig.control.configure({ ...rig.control.config, credentials: [...twoKeys.credentials, newKey] });
    expect(credentials()).toBe('usable');
    rig.attempt('quota-exhausted');
    expect(credentials()).toBe('unusable');
    rig.control.resetCredentials();
    expect(credentials()).toBe('usable');
  });
});

describe('a report that is not expected', () => {
  test('a second one of the same attempt counts neither again nor for the ramp, and crashes nobody', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.close();
    const [good, bad] = [rig.permit(), rig.permit()];
    for (let count = 0; count < 3; count += 1) rig.report(good, 'success');
    for (let count = 0; count < 3; count += 1) rig.report(bad, 'upstream-error');
    rig.control.overdue(bad);
    expect(rig.state).toMatchObject({
      breaker: { successCount: 1, failureCount: 1 },
      concurrency: { limit: 2, inFlight: 0 },
    });
    expect(rig.exits).toEqual([]);
  });

  test('a failure in the middle of a round of successes begins the round again', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    await rig.openAndWait();
    rig.close();
    rig.attempts(2, 'success');
    rig.attempt('upstream-error');
    rig.attempt('success');
    expect(rig.state.concurrency.limit).toBe(2);
    rig.attempt('success');
    expect(rig.state.concurrency.limit).toBe(3);
  });
});

describe('a new incarnation', () => {
  test('of a closed breaker keeps window, permits in flight and the ramp', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.close();
    const permit = rig.permit();
    rig.attempt('upstream-error');
    const before = rig.state;
    rig.restart();
    expect(rig.state).toEqual(before);
    rig.report(permit, 'success');
    expect(rig.state).toMatchObject({
      breaker: { failureCount: 1, successCount: 1 },
      concurrency: { inFlight: 0, limit: 2 },
    });
  });

  test('of an open breaker still probes on time', async () => {
    const [rig, reference] = [new ProviderRig(), new ProviderRig()];
    rig.open();
    reference.open();
    for (let count = 0; count < 20; count += 1) {
      rig.restart();
      await rig.clock.advance(1_000);
      await reference.clock.advance(1_000);
      expect(rig.breaker).toBe(reference.breaker);
    }
    expect(rig.breaker).toBe('halfOpen');
  });

  test('of an open breaker whose time passed while nobody lived is half-open at once', async () => {
    const rig = new ProviderRig();
    rig.open();
    rig.crash();
    await rig.clock.advance(60_000);
    rig.start();
    await rig.clock.advance(0);
    expect(rig.breaker).toBe('halfOpen');
  });

  test('of a half-open breaker that waits takes a probe', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.attempt('success');
    rig.restart();
    rig.attempt('success');
    expect(rig.breaker).toBe('closed');
  });

  test('of a half-open breaker still waits for the probe in flight, and ends it with its lease', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit();
    for (let count = 0; count < 16; count += 1) {
      rig.restart();
      expect(rig.claim().kind).toBe('refused');
      await rig.clock.advance(1_000);
    }
    expect(rig.breaker).toBe('halfOpen');
    await rig.clock.advance(LEASE_MS - 16_000);
    expect(rig.breaker).toBe('open');
  });

  test('of a half-open breaker hears the end of the probe of the last one', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.attempt('success');
    const probe = rig.permit();
    rig.restart();
    rig.report(probe, 'success');
    expect(rig.breaker).toBe('closed');
  });

  test('keeps a held gate, a disabled credential and a quarantine', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('rate-limited', { holdMs: 30_000 });
    rig.attempt('model-not-found');
    rig.report(rig.permit({ model: 'model-2' }), 'quota-exhausted');
    const before = rig.state;
    rig.restart();
    expect(rig.state).toEqual(before);
    await rig.clock.advance(30_000);
    expect(rig.state).toMatchObject({
      gate: 'clear',
      credentials: [{ state: 'usable' }, { state: 'exhausted' }],
      quarantinedModels: ['model-1'],
    });
  });

  test('is told what was reported while nobody lived', () => {
    const rig = new ProviderRig();
    const permits = Array.from({ length: 5 }, () => rig.permit());
    rig.crash();
    for (const permit of permits) rig.report(permit, 'upstream-error');
    expect(rig.state.concurrency.inFlight).toBe(5);
    rig.start();
    expect(rig.state.concurrency.inFlight).toBe(0);
    expect(rig.breaker).toBe('open');
  });

  test('is told what waited in the mailbox of a suspended one that was restarted', () => {
    const rig = new ProviderRig();
    const permits = Array.from({ length: 5 }, () => rig.permit());
    rig.actor.suspend();
    for (const permit of permits) rig.report(permit, 'upstream-error');
    rig.restart();
    expect(rig.state.concurrency.inFlight).toBe(0);
    expect(rig.breaker).toBe('open');
  });

  test('a claim while nobody lives, or a suspended one lives, is refused and takes nothing', () => {
    const rig = new ProviderRig();
    rig.crash();
    expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'restarting' } });
    rig.start();
    rig.actor.suspend();
    expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'suspended' } });
    rig.actor.resume();
    expect(rig.state.concurrency.inFlight).toBe(0);
  });

  test('a provider that was given up never admits, until an incarnation lives again', () => {
    const rig = new ProviderRig();
    rig.crash();
    rig.control.markDown();
    expect(rig.control.admission('model-1')).toMatchObject({ kind: 'never' });
    expect(rig.state.isDown).toBe(true);
    rig.start();
    expect(rig.control.admission('model-1').kind).toBe('ready');
  });
});
