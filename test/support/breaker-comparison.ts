/** Random lives of a breaker, lived by the provider actor and by the model of its rules at once. */
import assert from 'node:assert/strict';

import fc from 'fast-check';

import type { Permit } from '../../src/actors/provider-memory.ts';
import { BreakerModel, type Call, type Verdict } from './breaker-model.ts';
import { LEASE_MS, LIMIT_MS, ProviderRig } from './provider-rig.ts';

export type Step =
  | { readonly type: 'claim' | 'claim.forced' | 'crash' | 'check.failed' }
  /** Waits until an open breaker admits, and probes it well. */
  | { readonly type: 'recover' }
  /** The fault seam crashes the actor at the next event, which must not get lost. */
  | { readonly type: 'inject' }
  | { readonly type: 'report'; readonly pick: number; readonly verdict: Verdict }
  | { readonly type: 'overdue'; readonly pick: number }
  /** Claims one and ends it at once, so that breakers open and close often enough. */
  | { readonly type: 'burst'; readonly verdicts: readonly Verdict[] }
  | { readonly type: 'wait'; readonly ms: number };

const verdict = fc.constantFrom<Verdict>('success', 'upstream-error', 'upstream-error', 'abandoned');
/** Sequences that open, close and disturb breakers often enough. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom<Step>(
        { type: 'claim' },
        { type: 'claim' },
        { type: 'claim.forced' },
        { type: 'crash' },
        { type: 'inject' },
        { type: 'check.failed' },
      ),
    },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('report' as const), pick: fc.nat(), verdict }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('overdue' as const), pick: fc.nat() }) },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('burst' as const),
        verdicts: fc.array(verdict, { minLength: 1, maxLength: 10 }),
      }),
    },
    { weight: 1, arbitrary: fc.constant<Step>({ type: 'recover' }) },
    {
      weight: 1,
      arbitrary: fc.constant<Step>({ type: 'burst', verdicts: Array.from({ length: 10 }, () => 'upstream-error') }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 900, 4_000, LIMIT_MS, LEASE_MS, 20_000, 65_000, 400_000),
      }),
    },
  ),
  { minLength: 5, maxLength: 60, size: 'max' },
);

/** Both after each step; any difference, and any broken invariant, is a failed assertion. */
export class Comparison {
  readonly model = new BreakerModel();
  readonly rig: ProviderRig;
  readonly #open: { readonly permit: Permit; readonly call: Call }[] = [];
  #isInjected = false;
  #halfOpenSinceMs: number | undefined;
  #isForcedUsed = false;
  #openingsSeen = 0;

  constructor() {
    this.rig = new ProviderRig({
      beforeEvent: () => {
        if (!this.#isInjected) return;
        this.#isInjected = false;
        throw new Error('injected');
      },
    });
  }

  async apply(step: Step): Promise<void> {
    const { rig, model } = this;
    const nowMs = rig.clock.nowMs();
    switch (step.type) {
      case 'claim':
        this.#claim(false);
        break;
      case 'claim.forced':
        this.#claim(true);
        break;
      case 'crash':
        rig.restart();
        break;
      case 'inject':
        this.#isInjected = true;
        break;
      case 'check.failed':
        rig.control.checkFailed('unreachable');
        this.#revive();
        if (model.state === 'closed')
          model.overdue({ generation: model.generation, isProbe: false, overdue: undefined }, nowMs);
        break;
      case 'report':
        this.#report(step.pick, step.verdict);
        break;
      case 'overdue': {
        const entry = this.#open[step.pick % Math.max(1, this.#open.length)];
        if (entry === undefined) break;
        rig.control.overdue(entry.permit);
        this.#revive();
        model.overdue(entry.call, nowMs);
        break;
      }
      case 'burst':
        this.#burst(step.verdicts);
        break;
      case 'recover':
        if (model.state === 'open') await this.#wait(model.openUntilMs - nowMs);
        if (model.state === 'halfOpen') this.#burst(['success', 'success']);
        break;
      case 'wait':
        await this.#wait(step.ms);
    }
    this.#check();
  }

  #burst(verdicts: readonly Verdict[]): void {
    for (const each of verdicts) {
      if (this.#claim(false)) this.#report(this.#open.length - 1, each);
      this.#check();
    }
  }

  /** A crash by the fault seam is followed by the next incarnation, which gets what the last one did not take. */
  #revive(): void {
    while (!this.rig.isAlive) this.rig.start();
  }

  /** Whether both gave a permit. */
  #claim(isForced: boolean): boolean {
    const { rig, model } = this;
    const wasArmed = this.#isInjected;
    const result = rig.claim({ isForced });
    const hasCrashed = wasArmed && !this.#isInjected;
    this.#revive();
    // A claim that its actor died of was not made.
    if (hasCrashed) {
      assert.equal(result.kind, 'refused');
      return false;
    }
    if (isForced && model.state === 'open' && !this.#isForcedUsed) {
      this.#isForcedUsed = true;
      model.halfOpen();
    }
    const call = model.claim(rig.clock.nowMs());
    assert.equal(result.kind, call === undefined ? 'refused' : 'claimed');
    if (result.kind !== 'claimed' || call === undefined) return false;
    assert.equal(result.permit.isProbe, call.isProbe);
    this.#open.push({ permit: result.permit, call });
    return true;
  }

  #report(pick: number, kind: Verdict): void {
    const [entry] = this.#open.splice(pick % Math.max(1, this.#open.length), 1);
    if (entry === undefined) return;
    this.rig.report(entry.permit, kind);
    this.#revive();
    this.model.report(entry.call, kind, this.rig.clock.nowMs());
  }

  /** Time goes on in pieces no longer than a second, so that each deadline is seen at its moment. */
  async #wait(ms: number): Promise<void> {
    const untilMs = this.rig.clock.nowMs() + ms;
    while (this.rig.clock.nowMs() < untilMs) {
      const pieceMs = Math.min(untilMs, this.#nextDeadlineMs()) - this.rig.clock.nowMs();
      await this.rig.clock.advance(Math.max(pieceMs, 1e-6));
      // A deadline that the fault seam turned into a crash: the next incarnation keeps it, at once.
      this.#revive();
      await this.rig.clock.advance(0);
      this.model.pass(this.rig.clock.nowMs());
      this.#check();
    }
  }

  #nextDeadlineMs(): number {
    if (this.model.probe !== undefined) return this.model.probe.leaseUntilMs;
    return this.model.state === 'open' ? this.model.openUntilMs : Number.POSITIVE_INFINITY;
  }

  #check(): void {
    const { rig, model } = this;
    const nowMs = rig.clock.nowMs();
    if (model.state === 'open' && this.#openingsSeen !== model.openings) {
      model.openUntilMs = rig.actor.read().context.openUntilMs;
      const nominalMs = Math.min(300_000, 15_000 * 2 ** Math.max(0, model.openings - 4));
      assert.ok(
        model.openUntilMs - nowMs >= nominalMs * 0.8 - 1e-6,
        'an opening is not shorter than four fifths of its nominal time',
      );
      assert.ok(
        model.openUntilMs - nowMs <= nominalMs * 1.2 + 1e-6,
        'an opening is not longer than six fifths of its nominal time',
      );
    }
    this.#openingsSeen = model.openings;
    if (model.state === 'closed') this.#isForcedUsed = false;
    const { breaker, concurrency } = rig.state;
    assert.equal(breaker.state, model.state);
    assert.equal(concurrency.inFlight, model.inFlight);
    assert.equal(concurrency.inFlight, this.#open.length);
    if (model.state === 'closed')
      assert.deepEqual({ failures: breaker.failureCount, successes: breaker.successCount }, model.counts(nowMs));
    this.#checkInvariants(nowMs);
  }

  /** What holds whatever the model says. */
  #checkInvariants(nowMs: number): void {
    const { generation, breaker, probe, permits } = this.rig.actor.read().context;
    const probes = [...permits.values()].filter((permit) => permit.isProbe && permit.generation === generation);
    assert.ok(probes.length <= 1, 'at most one probe is in flight');
    this.#halfOpenSinceMs =
      breaker === 'halfOpen' && probe !== undefined ? (this.#halfOpenSinceMs ?? nowMs) : undefined;
    assert.ok(nowMs - (this.#halfOpenSinceMs ?? nowMs) <= LEASE_MS + 1_000, 'a probe ends within its lease');
  }
}
