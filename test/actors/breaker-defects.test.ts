/** Defects that other breakers had, most of them for years: each is a guarantee of ours, under virtual time. */
import { describe, expect, test } from 'vitest';

import { LEASE_MS, LIMIT_MS, OPEN_MAX_JITTERED_MS, OPEN_MS, ProviderRig } from '../support/provider-rig.ts';

const HOUR_MS = 3_600_000;

describe('1. stuck half-open because the probe never settles', () => {
  test('a probe that never ends opens the breaker again when its lease is over, and the next one gets its chance', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit();
    await rig.clock.advance(LEASE_MS - 1);
    expect(rig.breaker).toBe('halfOpen');
    await rig.clock.advance(1);
    expect(rig.breaker).toBe('open');
    expect(rig.state.breaker.lastError).toBe('the probe did not end within its lease');
    await rig.halfOpen();
    expect(rig.claim().kind).toBe('claimed');
  });

  test('six days of probes that all hang never end half-open for longer than the lease, and recovery is seen at once', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    const untilMs = rig.clock.nowMs() + 6 * 24 * HOUR_MS;
    let halfOpenings = 0;
    while (rig.clock.nowMs() < untilMs) {
      rig.permit();
      halfOpenings += 1;
      await rig.clock.advance(LEASE_MS);
      expect(rig.breaker).toBe('open');
      await rig.halfOpen();
    }
    expect(halfOpenings).toBeGreaterThan((6 * 24 * HOUR_MS) / (LEASE_MS + 360_000));
    rig.close();
    expect(rig.breaker).toBe('closed');
  });

  test('a hung probe does not lead to the opposite either: nobody else is let in beside it', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit();
    for (let count = 0; count < 1_000; count += 1) {
      expect(rig.claim()).toMatchObject({ kind: 'refused', admission: { kind: 'wait', reason: 'probing' } });
    }
    expect(rig.state.concurrency.inFlight).toBe(1);
  });

  test('callers that are refused during a probe learn at once when it ends at the latest', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit();
    await rig.clock.advance(5_000);
    expect(rig.claim()).toMatchObject({ admission: { retryAfterMs: LEASE_MS - 5_000 } });
  });

  test('the lease of a probe with a long limit of its own is a minute', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.permit({ limitMs: 10 * 60_000 });
    await rig.clock.advance(60_000);
    expect(rig.breaker).toBe('open');
  });
});

describe('2. a cancelled probe', () => {
  test.each(['abandoned', 'deadline', 'rate-limited', 'invalid-request'] as const)(
    'that ended as %s neither closes nor opens, and gives its slot back',
    async (kind) => {
      const rig = new ProviderRig();
      await rig.openAndWait();
      rig.attempt(kind, { effect: 'none', holdMs: 0 });
      expect(rig.breaker).toBe('halfOpen');
      expect(rig.claim().kind).toBe('claimed');
    },
  );

  test('a thousand cancelled probes in a row change nothing: two good ones still close', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    rig.attempt('success');
    for (let count = 0; count < 1_000; count += 1) rig.attempt('abandoned');
    expect(rig.breaker).toBe('halfOpen');
    rig.attempt('success');
    expect(rig.breaker).toBe('closed');
  });
});

describe('3. late results of an earlier epoch', () => {
  test('successes of calls that began while it was closed do not close a half-open breaker', async () => {
    const rig = new ProviderRig();
    const early = Array.from({ length: 5 }, () => rig.permit());
    await rig.openAndWait();
    for (const permit of early) rig.report(permit, 'success');
    expect(rig.breaker).toBe('halfOpen');
    expect(rig.state.breaker.successCount).toBe(0);
  });

  test('a late failure does not open it again while a probe is under way', async () => {
    const rig = new ProviderRig();
    const early = rig.permit();
    await rig.openAndWait();
    const probe = rig.permit();
    rig.report(early, 'upstream-error');
    expect(rig.breaker).toBe('halfOpen');
    rig.report(probe, 'success');
    rig.attempt('success');
    expect(rig.breaker).toBe('closed');
  });

  test('late failures do not open a breaker that has closed again', async () => {
    const rig = new ProviderRig();
    const early = Array.from({ length: 20 }, () => rig.permit());
    await rig.openAndWait();
    rig.close();
    for (const permit of early) rig.report(permit, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    expect(rig.state.breaker.failureCount).toBe(0);
  });

  test('the late end of a probe whose lease was over decides nothing about the next probe', async () => {
    const rig = new ProviderRig();
    await rig.openAndWait();
    const hung = rig.permit();
    await rig.clock.advance(LEASE_MS);
    await rig.halfOpen();
    const next = rig.permit();
    rig.report(hung, 'upstream-error');
    expect(rig.breaker).toBe('halfOpen');
    expect(rig.claim().kind).toBe('refused');
    rig.report(next, 'success');
    expect(rig.claim().kind).toBe('claimed');
  });

  test('late successes do not speed up the ramp of a breaker that has just closed', async () => {
    const rig = new ProviderRig();
    const early = Array.from({ length: 30 }, () => rig.permit());
    await rig.openAndWait();
    rig.close();
    for (const permit of early) rig.report(permit, 'success');
    expect(rig.state.concurrency.limit).toBe(1);
  });

  test('a late complaint does not shrink the limit of another epoch', async () => {
    const rig = new ProviderRig({ config: { concurrency: 8 } });
    const early = rig.permit();
    await rig.openAndWait();
    rig.close();
    for (let count = 0; count < 36; count += 1) rig.attempt('success');
    expect(rig.state.concurrency.limit).toBe(8);
    rig.report(early, 'overloaded');
    expect(rig.state.concurrency.limit).toBe(8);
  });
});

describe('4. permits that multiply', () => {
  test('giving a permit back twice, or after its epoch, admits nobody more than one probe', async () => {
    const rig = new ProviderRig();
    const early = rig.permit();
    await rig.openAndWait();
    const probe = rig.permit();
    for (let count = 0; count < 5; count += 1) rig.report(early, 'abandoned');
    expect(rig.claim().kind).toBe('refused');
    for (let count = 0; count < 5; count += 1) rig.report(probe, 'abandoned');
    rig.permit();
    expect(rig.claim().kind).toBe('refused');
    expect(rig.state.concurrency.inFlight).toBe(1);
  });

  test('what is in flight is what was claimed and not reported, through every state', async () => {
    const rig = new ProviderRig();
    const early = [rig.permit(), rig.permit(), rig.permit()];
    expect(rig.state.concurrency.inFlight).toBe(3);
    await rig.openAndWait();
    expect(rig.state.concurrency.inFlight).toBe(3);
    const probe = rig.permit();
    expect(rig.state.concurrency.inFlight).toBe(4);
    rig.report(early[0]!, 'success');
    rig.report(probe, 'upstream-error');
    expect(rig.state.concurrency.inFlight).toBe(2);
    rig.report(early[1]!, 'success');
    rig.report(early[2]!, 'abandoned');
    expect(rig.state.concurrency.inFlight).toBe(0);
  });
});

describe('5. a volume threshold that blocks the half-open verdict', () => {
  test('two probes are a verdict, whatever number of calls a closed breaker wants to see', async () => {
    const rig = new ProviderRig({
      config: { breaker: { ...new ProviderRig().control.config.breaker, minimumCalls: 1_000 } },
    });
    await rig.openAndWait();
    rig.attempt('success');
    expect(rig.breaker).toBe('halfOpen');
    rig.attempt('success');
    expect(rig.breaker).toBe('closed');
  });

  test('one failed probe is a verdict too', async () => {
    const rig = new ProviderRig({
      config: { breaker: { ...new ProviderRig().control.config.breaker, minimumCalls: 1_000 } },
    });
    await rig.openAndWait();
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });
});

describe('6. defaults that open on one failure', () => {
  test('one failed call, first thing after the start, opens nothing; the fifth in a row does', () => {
    const rig = new ProviderRig();
    rig.attempts(4, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });
});

describe('7. a stale window', () => {
  test('nine failures, an idle hour and one more failure do not open a breaker whose window is a minute', async () => {
    const rig = new ProviderRig({
      config: { breaker: { ...new ProviderRig().control.config.breaker, consecutiveFailures: 100 } },
    });
    for (let count = 0; count < 4; count += 1) {
      rig.attempts(1, 'success');
      rig.attempts(1, 'upstream-error');
    }
    rig.attempt('upstream-error');
    await rig.clock.advance(HOUR_MS);
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('closed');
    expect(rig.state.breaker).toMatchObject({ failureCount: 1, successCount: 0 });
  });

  test('what is shown of an idle provider has left the window too', async () => {
    const rig = new ProviderRig();
    rig.attempts(3, 'upstream-error');
    await rig.clock.advance(60_000);
    expect(rig.state.breaker.failureCount).toBe(0);
  });

  test('successes that age out open nothing by themselves: a claim or a passing second is no evidence', async () => {
    const rig = new ProviderRig();
    rig.attempts(7, 'success');
    await rig.clock.advance(20_000);
    rig.attempts(5, 'upstream-error');
    expect(rig.breaker).toBe('closed');
    // Now the five failures stand alone in the window.
    await rig.clock.advance(45_000);
    const permit = rig.permit();
    expect(rig.breaker).toBe('closed');
    rig.report(permit, 'success');
    expect(rig.breaker).toBe('closed');
  });
});

describe('8. jumps of the wall clock', () => {
  test.each([24, -24])('by %d h while it is open neither lengthen nor shorten the time it is open', async (hours) => {
    const rig = new ProviderRig();
    rig.open();
    const reference = new ProviderRig();
    reference.open();
    rig.clock.jumpWall(hours * HOUR_MS);
    for (let count = 0; count < 20; count += 1) {
      await rig.clock.advance(1_000);
      await reference.clock.advance(1_000);
      expect(rig.breaker).toBe(reference.breaker);
    }
    expect(rig.breaker).toBe('halfOpen');
  });

  test.each([24, -24])('by %d h change no lease, no gate, no window and no quarantine', async (hours) => {
    const rig = new ProviderRig();
    rig.attempts(4, 'upstream-error');
    rig.attempt('model-not-found', { model: 'missing' });
    rig.attempt('rate-limited', { holdMs: 10_000 });
    rig.clock.jumpWall(hours * HOUR_MS);
    expect(rig.state.breaker.failureCount).toBe(4);
    await rig.clock.advance(9_999);
    expect(rig.claim()).toMatchObject({ admission: { reason: 'held' } });
    expect(rig.claim({ model: 'missing' })).toMatchObject({ admission: { kind: 'never' } });
    await rig.clock.advance(1);
    rig.attempt('upstream-error');
    await rig.halfOpen();
    rig.permit();
    rig.clock.jumpWall(hours * HOUR_MS);
    await rig.clock.advance(LEASE_MS - 1);
    expect(rig.breaker).toBe('halfOpen');
    await rig.clock.advance(1);
    expect(rig.breaker).toBe('open');
  });
});

describe('9. calls in flight that hide an outage', () => {
  test('thirty hung calls do not dilute twenty failed ones', () => {
    const rig = new ProviderRig();
    for (let count = 0; count < 30; count += 1) rig.permit();
    for (let count = 0; count < 20 && rig.breaker === 'closed'; count += 1) rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
    expect(rig.state.breaker.failureCount).toBe(5);
  });

  test('a black hole is seen when calls are older than their limit, not when they end', async () => {
    const rig = new ProviderRig();
    const hung = Array.from({ length: 5 }, () => rig.permit());
    await rig.clock.advance(LIMIT_MS);
    for (const permit of hung.slice(0, 4)) rig.control.overdue(permit);
    expect(rig.breaker).toBe('closed');
    rig.control.overdue(hung[4]!);
    expect(rig.breaker).toBe('open');
    expect(rig.state.breaker.lastError).toBe(`no answer within ${LIMIT_MS} ms`);
  });

  test('an overdue call counts once, however often it is told and however it ends', () => {
    const rig = new ProviderRig();
    const permit = rig.permit();
    for (let count = 0; count < 10; count += 1) rig.control.overdue(permit);
    expect(rig.state.breaker.failureCount).toBe(1);
    rig.report(permit, 'silent');
    expect(rig.state.breaker).toMatchObject({ failureCount: 1, successCount: 0 });
    rig.control.overdue(permit);
    expect(rig.state.breaker.failureCount).toBe(1);
  });

  test('the success of an overdue call replaces its failure', () => {
    const rig = new ProviderRig();
    const permit = rig.permit();
    rig.control.overdue(permit);
    rig.report(permit, 'success');
    expect(rig.state.breaker).toMatchObject({ failureCount: 0, successCount: 1 });
  });

  test('the neutral end of an overdue call takes its failure back', () => {
    const rig = new ProviderRig();
    rig.attempts(3, 'upstream-error');
    const permit = rig.permit();
    rig.control.overdue(permit);
    rig.report(permit, 'abandoned');
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('closed');
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });

  test('taking an old overdue failure back does not shorten a run of failures that began after it', () => {
    const rig = new ProviderRig();
    const overdue = rig.permit();
    rig.control.overdue(overdue);
    rig.attempt('success');
    rig.attempts(4, 'upstream-error');
    rig.report(overdue, 'abandoned');
    rig.attempt('upstream-error');
    expect(rig.breaker).toBe('open');
  });
});

describe('10. state that processes share', () => {
  test('two breakers of one provider, as two processes have them, know nothing of each other', () => {
    const [one, other] = [new ProviderRig(), new ProviderRig()];
    one.open();
    expect([one.breaker, other.breaker]).toEqual(['open', 'closed']);
    expect(other.claim().kind).toBe('claimed');
  });
});

describe('11. retries against an open breaker', () => {
  test('a refusal says when to come back, truly: not before it re-opens, and it is open no longer then', async () => {
    const rig = new ProviderRig();
    rig.open();
    for (let openings = 0; openings < 8; openings += 1) {
      const refused = rig.claim();
      if (refused.kind !== 'refused' || refused.admission.kind !== 'wait')
        throw new Error('expected a refusal that tells the time');
      const { retryAfterMs } = refused.admission;
      await rig.clock.advance(retryAfterMs - 1);
      expect(rig.claim().kind).toBe('refused');
      await rig.clock.advance(1);
      rig.attempt('upstream-error');
      expect(rig.breaker).toBe('open');
    }
  });

  test('nothing is sent while it is open, but for one forced probe', () => {
    const rig = new ProviderRig();
    rig.open();
    expect(rig.claim().kind).toBe('refused');
    expect(rig.claim({ isForced: true }).kind).toBe('claimed');
    expect(rig.claim({ isForced: true }).kind).toBe('refused');
  });

  test('an outage of an hour costs few probes', async () => {
    const rig = new ProviderRig();
    rig.open();
    let probes = 0;
    while (rig.clock.nowMs() < HOUR_MS) {
      await rig.clock.advance(1_000);
      const result = rig.claim();
      if (result.kind !== 'claimed') continue;
      probes += 1;
      rig.report(result.permit, 'upstream-error');
    }
    // Four of 15 s, then 30, 60, 120, 240 and 300 s each, give or take a fifth.
    expect(probes).toBeGreaterThanOrEqual(Math.floor(HOUR_MS / 360_000));
    expect(probes).toBeLessThanOrEqual(4 + 4 + Math.ceil(HOUR_MS / 240_000));
    expect(OPEN_MAX_JITTERED_MS).toBe(OPEN_MS * 1.2);
  });
});
