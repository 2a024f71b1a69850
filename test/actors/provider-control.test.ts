import { describe, expect, test, vi } from 'vitest';

import { ProviderControl } from '../../src/actors/provider-control.ts';
import { Registry } from '../../src/supervision/registry.ts';
import type { ProviderConfig } from '../../src/contract/config.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createProviderConfig } from '../support/adapter-calls.ts';
import { LEASE_MS, LIMIT_MS, OPEN_MS, ProviderRig } from '../support/provider-rig.ts';

const twoKeys: Pick<ProviderConfig, 'credentials'> = {
  credentials: [
    { id: 'upstream#1', apiKey: 'first-key' },
    { id: 'upstream#2', apiKey: 'second-key' },
  ],
};

/** How often whoever waits is told of a change while `act` runs and until everything that follows has run. */
async function timesTold(
  rig: ProviderRig,
  act: () => void | Promise<void>,
  of: 'onChange' | 'onPaceRelaxed' = 'onChange',
) {
  await rig.clock.settle();
  const listener = vi.fn<() => void>();
  rig.control[of](listener);
  await act();
  await rig.clock.settle();
  return listener.mock.calls.length;
}

describe('a refused claim says', () => {
  const wait = { kind: 'wait', canForceProbe: false };

  test('when an open breaker takes a probe, and that one may be forced meanwhile', async () => {
    const rig = new ProviderRig();
    rig.open();
    const openMs = rig.actor.read().context.openUntilMs;
    await rig.clock.advance(1_000);
    expect(rig.claim()).toMatchObject({
      kind: 'refused',
      admission: { kind: 'wait', reason: 'open', retryAfterMs: openMs - 1_000, canForceProbe: true },
    });
  });

  test('the later of both when the breaker is open and its key is held, and that none may be forced', () => {
    const rig = new ProviderRig();
    const late = rig.permit();
    rig.open();
    rig.report(late, 'rate-limited', { holdMs: 10 * OPEN_MS });
    const refused = { kind: 'refused', admission: { ...wait, reason: 'open', retryAfterMs: 10 * OPEN_MS } };
    expect(rig.claim()).toMatchObject(refused);
    expect(rig.claim({ isForced: true })).toMatchObject(refused);
    expect(rig.breaker).toBe('open');
  });

  test('when the probe ends at the latest, and no other is forced beside it', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit();
    await rig.clock.advance(7_000);
    for (const isForced of [false, true]) {
      expect(rig.claim({ isForced })).toMatchObject({
        kind: 'refused',
        admission: { ...wait, reason: 'probing', retryAfterMs: LEASE_MS - 7_000 },
      });
    }
  });

  test('when the gate clears, and that it is the gate', () => {
    const rig = new ProviderRig();
    rig.attempt('rate-limited', { holdMs: 61_000 });
    expect(rig.claim()).toEqual({ kind: 'refused', admission: { ...wait, reason: 'held', retryAfterMs: 61_000 } });
  });

  test('when the money of its key is there again, and that it is the money', () => {
    const rig = new ProviderRig();
    rig.attempt('quota-exhausted', { exhaustedMs: 61_000 });
    expect(rig.claim()).toEqual({ kind: 'refused', admission: { ...wait, reason: 'exhausted', retryAfterMs: 61_000 } });
  });

  test.each<[string | undefined, string]>([
    ['HTTP 503', 'opened because 5 calls in a row failed, the last one with: HTTP 503'],
    [undefined, 'opened because 5 calls in a row failed'],
  ])('to operators what opened the breaker, the last error %s included', async (message, background) => {
    const rig = new ProviderRig();
    for (let count = 0; count < 5; count += 1)
      rig.control.report(rig.permit(), {
        verdict: 'failure',
        effect: 'none',
        model: 'model-1',
        ...(message !== undefined && { message }),
      });
    expect(rig.claim()).toMatchObject({ admission: { reason: 'open', background } });
    await rig.halfOpen();
    rig.permit();
    expect(rig.claim()).toMatchObject({ admission: { reason: 'probing', background } });
  });

  test.each<[string, string, (rig: ProviderRig) => void]>([
    ['restarting', 'has crashed', (rig) => rig.crash()],
    ['suspended', 'was suspended', (rig) => rig.actor.suspend()],
  ])('%s when its actor %s, and to come back in a second', (reason, _what, spoil) => {
    const rig = new ProviderRig();
    spoil(rig);
    expect(rig.claim()).toEqual({ kind: 'refused', admission: { ...wait, reason, retryAfterMs: 1_000 } });
    expect(rig.state.isSuspended).toBe(reason === 'suspended');
  });

  test('restarting before its actor has ever started', () => {
    const control = new ProviderControl({
      config: createProviderConfig({ adapter: 'openai' }),
      clock: new VirtualClock(),
      registry: new Registry(),
      announce: () => {},
      beforeEvent: undefined,
    });
    expect(control.admission('model-1')).toEqual({ ...wait, reason: 'restarting', retryAfterMs: 1_000 });
  });

  test('restarting when its actor dies of the claim', () => {
    const rig = new ProviderRig({
      beforeEvent: ({ type }) => {
        if (type === 'permit.claimed') throw new Error('injected');
      },
    });
    expect(rig.claim()).toEqual({ kind: 'refused', admission: { ...wait, reason: 'restarting', retryAfterMs: 1_000 } });
  });

  test('how to revive a provider that was given up', () => {
    const rig = new ProviderRig();
    rig.crash();
    rig.control.markDown();
    expect(rig.claim()).toEqual({
      kind: 'refused',
      admission: {
        kind: 'never',
        reason: 'its actor kept crashing and was given up; revive it with supervisor.restart',
      },
    });
  });

  test('which model the provider does not know, and when it is asked again', async () => {
    const rig = new ProviderRig();
    rig.attempt('model-not-found', { model: 'missing' });
    await rig.clock.advance(1_500);
    expect(rig.claim({ model: 'missing' })).toEqual({
      kind: 'refused',
      admission: { kind: 'never', reason: 'the provider does not know model missing; asked again in 599 s' },
    });
  });

  test('what is wrong with which key when none is left, and what to do', () => {
    const rig = new ProviderRig({ config: twoKeys });
    rig.attempt('quota-exhausted');
    rig.attempt('unauthorized');
    rig.attempt('unauthorized');
    expect(rig.claim()).toEqual({
      kind: 'refused',
      admission: {
        kind: 'never',
        reason:
          'no usable credential (upstream#1 quota-exhausted, upstream#2 unauthorized); ' +
          'set a working key and reload, or restart the provider',
      },
    });
  });
});

describe('a claim', () => {
  test('gives a permit of its own generation, key and limit, and says whether it is a probe', async () => {
    const rig = new ProviderRig({ config: twoKeys });
    expect(rig.permit()).toMatchObject({ credentialId: 'upstream#1', isProbe: false, limitMs: LIMIT_MS });
    expect(rig.permit({ avoid: new Set(['upstream#1']), limitMs: 5 })).toMatchObject({
      credentialId: 'upstream#2',
      limitMs: 5,
    });
    await rig.openAndWait();
    expect(rig.permit()).toMatchObject({ isProbe: true, generation: rig.actor.read().context.generation });
  });

  test('finds a half-open breaker ready for a probe, and does not call that ramping', async () => {
    const rig = new ProviderRig({ config: { concurrency: 2 } });
    rig.attempt('overloaded');
    const late = rig.permit();
    await rig.openAndWait();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false, isForProbe: true });
    rig.report(late, 'success');
  });

  test('that is not forced forces no probe', () => {
    const rig = new ProviderRig();
    rig.open();
    for (let count = 0; count < 3; count += 1) expect(rig.claim().kind).toBe('refused');
    expect(rig.breaker).toBe('open');
  });

  test('finds a provider ready without ramping when its limit is the configured one, however many are in flight', () => {
    const rig = new ProviderRig({ config: { concurrency: 2 } });
    for (let count = 0; count < 3; count += 1) {
      expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
      rig.permit();
    }
  });

  test('ramps from its last slot on, and not before', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    await rig.openAndWait();
    rig.close();
    rig.attempt('success');
    expect(rig.control.concurrencyLimit).toBe(2);
    rig.permit();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
    rig.permit();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: true });
  });
});

describe('a ramp', () => {
  test('does not wait for calls of an earlier epoch, nor for those that hang beyond their limit', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    const early = rig.permit();
    await rig.openAndWait();
    rig.close();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
    const hung = rig.permit();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: true });
    rig.control.overdue(hung);
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: false });
    rig.report(early, 'success');
    rig.permit();
    expect(rig.control.admission('model-1')).toEqual({ kind: 'ready', isRamping: true });
  });
});

describe('a claim that is undone', () => {
  const claimed = (rig: ProviderRig, request: Parameters<ProviderRig['claim']>[0] = {}) => {
    const result = rig.claim(request);
    if (result.kind !== 'claimed') throw new TypeError(`expected a permit, got: ${result.kind}`);
    return result;
  };

  test('gives its permit, a probe too, and its pacing tokens back, and counts for nothing', async () => {
    const pace = { tokens: 540 };
    const rig = new ProviderRig({ config: { rateLimit: { requestsPerMinute: 1, tokensPerMinute: 6_000 } } });
    await rig.clock.advance(60_000);
    const before = rig.state;
    for (let count = 0; count < 5; count += 1) rig.control.undo(claimed(rig, { pace }), pace);
    expect(rig.state).toEqual(before);
    rig.permit({ pace });
    expect(rig.claim({ pace }).kind).toBe('paced');

    const probed = new ProviderRig();
    await probed.openAndWait();
    probed.control.undo(claimed(probed), { tokens: 0 });
    expect(probed.breaker).toBe('halfOpen');
    expect(probed.claim().kind).toBe('claimed');
  });

  test('gives the price of a repeat back, and nothing where nothing was paid', async () => {
    const rig = new ProviderRig();
    while (rig.control.bookAttempt('upstream#1', 'retry'));
    rig.control.undo(claimed(rig), { tokens: 0 });
    expect(rig.control.bookAttempt('upstream#1', 'retry')).toBe(false);
    await rig.clock.advance(10_000);
    rig.control.undo(claimed(rig, { isRepeat: true }), { tokens: 0 });
    expect(rig.control.bookAttempt('upstream#1', 'retry')).toBe(true);
    expect(rig.control.bookAttempt('upstream#1', 'retry')).toBe(false);
  });

  test('tells whoever is paced, because there is room again', async () => {
    const rig = new ProviderRig();
    const claim = claimed(rig);
    const told = await timesTold(
      rig,
      () => {
        rig.control.undo(claim, { tokens: 0 });
      },
      'onPaceRelaxed',
    );
    expect(told).toBe(1);
  });
});

describe('what was claimed a moment ago', () => {
  test.each<[string, boolean, (rig: ProviderRig) => void]>([
    ['nothing has happened', true, () => {}],
    ['another attempt has failed', true, (rig) => rig.attempt('upstream-error')],
    ['the breaker has opened', false, (rig) => rig.open()],
    ['its key is held', false, (rig) => rig.attempt('rate-limited', { holdMs: 10_000 })],
    ['its key was held and is not any more', true, (rig) => rig.attempt('rate-limited', { holdMs: 0 })],
    ['its key has no money left', false, (rig) => rig.attempt('quota-exhausted')],
    [
      'its key was replaced',
      false,
      (rig) => {
        const credentials = [{ id: 'upstream#1', apiKey: 'new-key' }];
        rig.control.configure({ ...rig.control.config, credentials });
      },
    ],
    [
      'its key was taken out of the config',
      false,
      (rig) => {
        rig.control.configure({ ...rig.control.config, credentials: twoKeys.credentials.slice(1) });
      },
    ],
  ])('may be sent when %s: %s', (_name, isAdmitted, act) => {
    const rig = new ProviderRig({ config: twoKeys });
    const permit = rig.permit();
    act(rig);
    expect(rig.control.isStillAdmitted(permit)).toBe(isAdmitted);
  });

  test('may be sent from the moment on at which its key is free again', async () => {
    const rig = new ProviderRig();
    const permits = [rig.permit(), rig.permit(), rig.permit()];
    rig.report(permits[0]!, 'rate-limited', { holdMs: 10_000 });
    rig.report(permits[1]!, 'quota-exhausted', { exhaustedMs: 10_000 });
    await rig.clock.advance(9_999);
    expect(rig.control.isStillAdmitted(permits[2]!)).toBe(false);
    await rig.clock.advance(1);
    expect(rig.control.isStillAdmitted(permits[2]!)).toBe(true);
  });
});

describe('another credential', () => {
  test('is one that is neither avoided, held nor taken out', () => {
    const rig = new ProviderRig({ config: twoKeys });
    const hasOther = (...avoid: readonly string[]) => rig.control.hasOtherCredential(new Set(avoid));
    expect([hasOther('upstream#1'), hasOther('upstream#2'), hasOther('upstream#1', 'upstream#2')]).toEqual([
      true,
      true,
      false,
    ]);
    rig.attempt('rate-limited', { holdMs: 10_000 });
    expect([hasOther('upstream#1'), hasOther('upstream#2')]).toEqual([true, false]);
    rig.attempt('quota-exhausted');
    expect(hasOther('upstream#1')).toBe(false);
  });
});

describe('the retry budget of a claim', () => {
  const empty = (rig: ProviderRig) => {
    while (rig.control.bookAttempt('upstream#1', 'retry'));
  };
  const affordable = (rig: ProviderRig, credentialId = 'upstream#1') => {
    let count = 0;
    while (rig.control.bookAttempt(credentialId, 'retry')) count += 1;
    return count;
  };

  test.each([
    ['first', 5, 6],
    ['failover', 1, 4],
    ['retry', 1, 4],
  ] as const)('booked as %s, %d times, leaves of five retries %d', async (kind, times, left) => {
    const rig = new ProviderRig();
    empty(rig);
    await rig.clock.advance(50_000);
    for (let count = 0; count < times; count += 1) rig.control.bookAttempt('upstream#1', kind);
    expect(affordable(rig)).toBe(left);
  });

  test.each([
    [true, 4],
    [false, 5],
    [undefined, 5],
  ])('pays for a claim that is a repeat (%s) and leaves of five retries %d', async (isRepeat, left) => {
    const rig = new ProviderRig();
    empty(rig);
    await rig.clock.advance(50_000);
    rig.report(rig.permit(isRepeat === undefined ? {} : { isRepeat }), 'success');
    expect(affordable(rig)).toBe(left);
  });

  test('gets back what a claim took of which nothing was sent: permit, price and pacing', async () => {
    const rig = new ProviderRig({ config: { rateLimit: { requestsPerMinute: 1, tokensPerMinute: 1_000 } } });
    empty(rig);
    await rig.clock.advance(10_000);
    const pace = { tokens: 50 };
    for (let count = 0; count < 20; count += 1) {
      const claimed = rig.claim({ isRepeat: true, pace });
      if (claimed.kind !== 'claimed') throw new TypeError(`expected claim ${count} to be made, got: ${claimed.kind}`);
      rig.control.undo(claimed, pace);
    }
    expect(rig.state.concurrency.inFlight).toBe(0);
    expect(affordable(rig)).toBe(1);
  });

  test('refuses retries alone: a first attempt and a failover are made however empty it is', () => {
    const rig = new ProviderRig();
    empty(rig);
    for (let count = 0; count < 3; count += 1) {
      expect(rig.control.bookAttempt('upstream#1', 'failover')).toBe(true);
      expect(rig.control.bookAttempt('upstream#1', 'first')).toBe(true);
      expect(rig.control.bookAttempt('upstream#1', 'retry')).toBe(false);
    }
  });

  test('is a bucket per credential', () => {
    const rig = new ProviderRig({ config: twoKeys });
    expect([affordable(rig), affordable(rig, 'upstream#2'), affordable(rig)]).toEqual([20, 20, 0]);
  });

  test('refuses a repeat that it does not afford, which takes neither a permit nor pacing tokens', () => {
    const rig = new ProviderRig({ config: { rateLimit: { requestsPerMinute: 1 } } });
    empty(rig);
    expect(rig.claim({ isRepeat: true })).toEqual({ kind: 'unaffordable' });
    expect(rig.state.concurrency.inFlight).toBe(0);
    expect(rig.claim()).toMatchObject({ kind: 'claimed', isRefundable: false });
  });

  test('gets the price of a repeat back when it is refunded, and is full at twenty', async () => {
    const rig = new ProviderRig();
    empty(rig);
    await rig.clock.advance(10_000);
    expect(rig.claim({ isRepeat: true })).toMatchObject({ kind: 'claimed', isRefundable: true });
    expect(rig.claim({ isRepeat: true })).toEqual({ kind: 'unaffordable' });
    rig.control.refundRepeat('upstream#1');
    expect(rig.claim({ isRepeat: true })).toMatchObject({ kind: 'claimed' });
    for (let count = 0; count < 30; count += 1) rig.control.refundRepeat('upstream#1');
    expect(affordable(rig)).toBe(20);
  });

  test('is not asked for a probe: the breaker rations those itself', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    empty(rig);
    expect(rig.claim({ isRepeat: true })).toMatchObject({ kind: 'claimed', isRefundable: false });
  });

  test('is not charged for a claim that is paced', () => {
    const rig = new ProviderRig({ config: { rateLimit: { requestsPerMinute: 1 } } });
    rig.permit();
    for (let count = 0; count < 30; count += 1) expect(rig.claim({ isRepeat: true }).kind).toBe('paced');
    expect(affordable(rig)).toBe(20);
  });
});

test('what was claimed is not confirmed while the actor is down and may not have heard of a 429', () => {
  const rig = new ProviderRig();
  const permit = rig.permit();
  expect(rig.control.isStillAdmitted(permit)).toBe(true);
  rig.crash();
  expect(rig.control.isStillAdmitted(permit)).toBe(false);
  rig.start();
  expect(rig.control.isStillAdmitted(permit)).toBe(true);
  rig.actor.suspend();
  expect(rig.control.isStillAdmitted(permit)).toBe(false);
});

describe('whoever waits is told', () => {
  test.each<[string, (rig: ProviderRig) => void]>([
    ['a report', (rig) => rig.report(rig.permit(), 'success')],
    ['an actor that ends', (rig) => rig.crash()],
    ['a provider that is given up', (rig) => rig.control.markDown()],
    ['a change outside the actor', (rig) => rig.control.noteChange()],
    [
      'everything that happens in one turn',
      (rig) => {
        rig.attempts(3, 'success');
        rig.restart();
        rig.control.noteChange();
      },
    ],
  ])('once of %s', async (_name, act) => {
    const rig = new ProviderRig();
    expect(
      await timesTold(rig, () => {
        act(rig);
      }),
    ).toBe(1);
  });

  test('of an actor that started, also when it started from nothing new', async () => {
    const rig = new ProviderRig();
    const told = await timesTold(rig, async () => {
      rig.crash();
      await rig.clock.settle();
      rig.control.actorStarted();
    });
    expect(told).toBe(2);
  });

  test('again of what happens in a later turn', async () => {
    const rig = new ProviderRig();
    const told = await timesTold(rig, async () => {
      for (let count = 0; count < 3; count += 1) {
        rig.control.noteChange();
        await rig.clock.settle();
      }
    });
    expect(told).toBe(3);
  });

  test('not before the turn has ended, so that nobody claims in the middle of a change', () => {
    const rig = new ProviderRig();
    const listener = vi.fn<() => void>();
    rig.control.onChange(listener);
    rig.attempt('success');
    expect(listener).not.toHaveBeenCalled();
  });
});

describe('whoever is paced is told', () => {
  const config = { rateLimit: { tokensPerMinute: 6_000 } };
  const taken = { tokens: 540 };

  test.each([
    [0, 1],
    [539, 1],
    [540, 0],
    [541, 0],
  ])('when an attempt that took 540 tokens has used %d: %d times', async (usedTokens, times) => {
    const rig = new ProviderRig({ config });
    rig.permit({ pace: taken });
    const told = await timesTold(
      rig,
      () => {
        rig.control.correctPace(taken, usedTokens);
      },
      'onPaceRelaxed',
    );
    expect(told).toBe(times);
  });

  test('when the config changes, because the rates may have', async () => {
    const rig = new ProviderRig({ config });
    const told = await timesTold(
      rig,
      () => {
        rig.control.configure(rig.control.config);
      },
      'onPaceRelaxed',
    );
    expect(told).toBe(1);
  });

  test('by the wait itself how much an attempt used: less than it took shortens it, more lengthens it', () => {
    const waitAfter = (usedTokens: number) => {
      const rig = new ProviderRig({ config });
      rig.permit({ pace: taken });
      rig.control.correctPace(taken, usedTokens);
      const next = rig.claim({ pace: taken });
      return next.kind === 'paced' ? next.waitMs : 0;
    };
    // 5,400 a minute are paced, so that 90 tokens flow in a second.
    expect([0, 270, 540, 810].map(waitAfter)).toEqual([0, 3_000, 6_000, 9_000].map((ms) => expect.closeTo(ms, 3)));
  });
});

describe('what operators see', () => {
  test('is the next probe of an open breaker and of no other', async () => {
    const rig = new ProviderRig();
    expect(rig.state.breaker.nextProbeAt).toBeUndefined();
    rig.open();
    expect(rig.state.breaker.nextProbeAt).toBeGreaterThan(rig.clock.wallMs());
    await rig.halfOpen();
    expect(rig.state.breaker.nextProbeAt).toBeUndefined();
    rig.close();
    expect(rig.state.breaker).toMatchObject({ nextProbeAt: undefined, openedAt: undefined });
  });

  test('is a provider that is neither down nor suspended, without an actor too', () => {
    const rig = new ProviderRig();
    expect(rig.state).toMatchObject({ isDown: false, isSuspended: false });
    rig.crash();
    expect(rig.state).toMatchObject({ isDown: false, isSuspended: false });
  });

  test('is a quarantine until it is over', async () => {
    const rig = new ProviderRig();
    rig.attempt('model-not-found', { model: 'missing' });
    await rig.clock.advance(599_999);
    expect(rig.state.quarantinedModels).toEqual(['missing']);
    await rig.clock.advance(1);
    expect(rig.state.quarantinedModels).toEqual([]);
  });
});

describe('a report that crashes one incarnation after another', () => {
  test('is given up after three and gives its slot back, or the slot would be taken for ever', () => {
    const rig = new ProviderRig({
      beforeEvent: ({ type }) => {
        if (type === 'attempt.reported') throw new Error('injected');
      },
    });
    rig.report(rig.permit(), 'success');
    for (let incarnations = 0; incarnations < 5; incarnations += 1) if (!rig.isAlive) rig.start();
    expect(rig.exits).toHaveLength(3);
    expect(rig.state.concurrency.inFlight).toBe(0);
  });

  test('that is another event than a report gives no slot back', () => {
    const rig = new ProviderRig({
      beforeEvent: ({ type }) => {
        if (type === 'attempt.overdue') throw new Error('injected');
      },
    });
    rig.control.overdue(rig.permit());
    for (let incarnations = 0; incarnations < 5; incarnations += 1) if (!rig.isAlive) rig.start();
    expect(rig.exits).toHaveLength(3);
    expect(rig.state.concurrency.inFlight).toBe(1);
  });
});

describe('a provider that left the config', () => {
  test('is told nothing any more: neither what comes late nor what was kept for it', () => {
    const rig = new ProviderRig();
    const permits = Array.from({ length: 10 }, () => rig.permit());
    rig.crash();
    for (const permit of permits.slice(5)) rig.report(permit, 'upstream-error');
    rig.control.retire();
    rig.start();
    for (const permit of permits.slice(0, 5)) rig.report(permit, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { reason: 'restarting' } });
  });
});
