import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Permit } from '../../src/actors/provider-memory.ts';
import { propertyRuns } from '../support/properties.ts';
import { LEASE_MS, LIMIT_MS, ProviderRig } from '../support/provider-rig.ts';

type Verdict = 'success' | 'upstream-error' | 'abandoned';

interface Call {
  readonly generation: number;
  readonly isProbe: boolean;
  /** The failure that was counted for its being overdue. */
  overdue: { readonly atMs: number } | undefined;
}

/**
 * Rule B and the three states, written from the rules and not from the machine: a list of everything that completed, and no
 * cleverness. How long an opening lasts is drawn by chance, so that the machine is asked for it and its bounds are checked.
 */
class BreakerModel {
  state: 'closed' | 'open' | 'halfOpen' = 'closed';
  generation = 0;
  openings = 0;
  probeSuccesses = 0;
  openUntilMs = 0;
  probe: { readonly call: Call; readonly leaseUntilMs: number } | undefined;
  completed: { readonly atMs: number; readonly isFailure: boolean }[] = [];
  inFlight = 0;
  #lastAtMs = 0;

  counts(nowMs: number): { readonly failures: number; readonly successes: number } {
    const oldest = Math.floor(nowMs / 5_000) - 11;
    const live = this.completed.filter(({ atMs }) => Math.floor(atMs / 5_000) >= oldest);
    return { failures: live.filter(({ isFailure }) => isFailure).length, successes: live.filter(({ isFailure }) => !isFailure).length };
  }

  isTripped(nowMs: number): boolean {
    const { failures, successes } = this.counts(nowMs);
    const total = failures + successes;
    const inRow = this.completed.length - 1 - this.completed.findLastIndex(({ isFailure }) => !isFailure);
    return (total >= 10 && failures / total >= 0.5) || inRow >= 10 || (total < 10 && inRow >= 5);
  }

  /** Undefined: refused. */
  claim(nowMs: number): Call | undefined {
    if (this.state === 'open' || this.probe !== undefined) return undefined;
    const call: Call = { generation: this.generation, isProbe: this.state === 'halfOpen', overdue: undefined };
    if (call.isProbe) this.probe = { call, leaseUntilMs: nowMs + LEASE_MS };
    this.inFlight += 1;
    return call;
  }

  report(call: Call, verdict: Verdict, nowMs: number): void {
    this.inFlight -= 1;
    if (call.generation !== this.generation) return;
    if (call.isProbe) {
      this.probe = undefined;
      if (verdict === 'upstream-error') return this.open();
      if (verdict === 'success') this.probeSuccesses += 1;
      if (this.probeSuccesses === 2) this.#close();
      return;
    }
    const isReplaced = verdict === 'upstream-error' && call.overdue !== undefined;
    if (!isReplaced && (verdict !== 'abandoned' || call.overdue !== undefined)) {
      this.#touch(nowMs);
      this.completed = this.completed.filter((entry) => entry !== call.overdue);
      if (verdict !== 'abandoned') this.completed.push({ atMs: nowMs, isFailure: verdict === 'upstream-error' });
    }
    this.#judge(nowMs);
  }

  overdue(call: Call, nowMs: number): void {
    if (this.state !== 'closed' || call.generation !== this.generation || call.overdue !== undefined) return;
    this.#touch(nowMs);
    const failure = { atMs: nowMs, isFailure: true };
    call.overdue = failure;
    this.completed.push(failure);
    this.#judge(nowMs);
  }

  /** What time alone does. */
  pass(nowMs: number): void {
    if (this.probe !== undefined && nowMs >= this.probe.leaseUntilMs) {
      this.probe = undefined;
      this.open();
    } else if (this.state === 'open' && nowMs >= this.openUntilMs) this.halfOpen();
  }

  halfOpen(): void {
    this.state = 'halfOpen';
    this.generation += 1;
    this.probeSuccesses = 0;
  }

  open(): void {
    this.state = 'open';
    this.generation += 1;
    this.openings += 1;
  }

  #close(): void {
    this.state = 'closed';
    this.generation += 1;
    this.openings = 0;
    this.completed = [];
  }

  #judge(nowMs: number): void {
    if (this.isTripped(nowMs)) this.open();
  }

  /** A gap as long as the window since anything was recorded or taken back clears it. */
  #touch(nowMs: number): void {
    if (Math.floor(nowMs / 5_000) - Math.floor(this.#lastAtMs / 5_000) >= 12) this.completed = [];
    this.#lastAtMs = nowMs;
  }
}

type Step =
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
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Step>({ type: 'claim' }, { type: 'claim' }, { type: 'claim.forced' }, { type: 'crash' }, { type: 'inject' }, { type: 'check.failed' }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('report' as const), pick: fc.nat(), verdict }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('overdue' as const), pick: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('burst' as const), verdicts: fc.array(verdict, { minLength: 1, maxLength: 10 }) }) },
    { weight: 1, arbitrary: fc.constant<Step>({ type: 'recover' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ type: 'burst', verdicts: Array.from({ length: 10 }, () => 'upstream-error') }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(1, 900, 4_000, LIMIT_MS, LEASE_MS, 20_000, 65_000, 400_000) }) },
  ),
  { minLength: 5, maxLength: 60, size: 'max' },
);

class Comparison {
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
        if (model.state === 'closed') model.overdue({ generation: model.generation, isProbe: false, overdue: undefined }, nowMs);
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
      expect(result.kind).toBe('refused');
      return false;
    }
    if (isForced && model.state === 'open' && !this.#isForcedUsed) {
      this.#isForcedUsed = true;
      model.halfOpen();
    }
    const call = model.claim(rig.clock.nowMs());
    expect(result.kind).toBe(call === undefined ? 'refused' : 'claimed');
    if (result.kind !== 'claimed' || call === undefined) return false;
    expect(result.permit.isProbe).toBe(call.isProbe);
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
      expect(model.openUntilMs - nowMs).toBeGreaterThanOrEqual(nominalMs * 0.8 - 1e-6);
      expect(model.openUntilMs - nowMs).toBeLessThanOrEqual(nominalMs * 1.2 + 1e-6);
    }
    this.#openingsSeen = model.openings;
    if (model.state === 'closed') this.#isForcedUsed = false;
    const { breaker, concurrency } = rig.state;
    expect(breaker.state).toBe(model.state);
    expect(concurrency.inFlight).toBe(model.inFlight);
    expect(concurrency.inFlight).toBe(this.#open.length);
    if (model.state === 'closed') expect({ failures: breaker.failureCount, successes: breaker.successCount }).toEqual(model.counts(nowMs));
    this.#checkInvariants(nowMs);
  }

  /** What holds whatever the model says. */
  #checkInvariants(nowMs: number): void {
    const { generation, breaker, probe, permits } = this.rig.actor.read().context;
    const probes = [...permits.values()].filter((permit) => permit.isProbe && permit.generation === generation);
    expect(probes.length).toBeLessThanOrEqual(1);
    this.#halfOpenSinceMs = breaker === 'halfOpen' && probe !== undefined ? (this.#halfOpenSinceMs ?? nowMs) : undefined;
    expect(nowMs - (this.#halfOpenSinceMs ?? nowMs)).toBeLessThanOrEqual(LEASE_MS + 1_000);
  }
}

describe('the breaker against a model of its rules', () => {
  test('agrees after any sequence of claims, reports early and late, overdue calls, checks, time and crashes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const comparison = new Comparison();
        for (const step of sequence) await comparison.apply(step);
      }),
      propertyRuns(150),
    );
  });

  test('the search reaches every state, forced probes and leases that run out', async () => {
    const reached = new Map<string, number>();
    const count = (name: string) => reached.set(name, (reached.get(name) ?? 0) + 1);
    for (const sequence of fc.sample(steps, { numRuns: 60, seed: 11 })) {
      const comparison = new Comparison();
      for (const step of sequence) {
        await comparison.apply(step);
        count(comparison.model.state);
        if (comparison.model.openings > 1) count('opened again');
      }
      for (const { name } of comparison.rig.announced) count(name);
      if (comparison.rig.exits.length > 0) count('crashed');
      if (comparison.rig.state.breaker.lastError?.includes('lease') === true) count('lease over');
    }
    for (const name of ['closed', 'open', 'halfOpen', 'opened again', 'breaker.closed', 'crashed', 'lease over']) {
      expect([name, (reached.get(name) ?? 0) >= 5]).toEqual([name, true]);
    }
  });
});
