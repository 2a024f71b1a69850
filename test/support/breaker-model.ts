/**
 * Rule B and the three states of a breaker, written from the rules and not from the machine: a list of everything that
 * completed, and no cleverness. How long an opening lasts is drawn by chance, so that whoever compares asks the machine for
 * it and checks its bounds.
 */
import { LEASE_MS } from './provider-rig.ts';

export type Verdict = 'success' | 'upstream-error' | 'abandoned';

export interface Call {
  readonly generation: number;
  readonly isProbe: boolean;
  /** The failure that was counted for its being overdue. */
  overdue: { readonly atMs: number } | undefined;
}

export class BreakerModel {
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
    return {
      failures: live.filter(({ isFailure }) => isFailure).length,
      successes: live.filter(({ isFailure }) => !isFailure).length,
    };
  }

  isTripped(nowMs: number): boolean {
    if (this.#isOld(nowMs)) return false;
    const { failures, successes } = this.counts(nowMs);
    const total = failures + successes;
    const inRow = this.completed.length - 1 - this.completed.findLastIndex(({ isFailure }) => !isFailure);
    return (total >= 10 && failures / total >= 0.5) || inRow >= 10 || (total < 10 && inRow >= 5);
  }

  /** Undefined: refused. */
  claim(nowMs: number, leaseMs = LEASE_MS): Call | undefined {
    if (this.state === 'open' || this.probe !== undefined) return undefined;
    const call: Call = { generation: this.generation, isProbe: this.state === 'halfOpen', overdue: undefined };
    if (call.isProbe) this.probe = { call, leaseUntilMs: nowMs + leaseMs };
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
    if (verdict !== 'abandoned') this.#judge(nowMs);
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
    if (this.#isOld(nowMs)) this.completed = [];
    this.#lastAtMs = nowMs;
  }

  #isOld(nowMs: number): boolean {
    return Math.floor(nowMs / 5_000) - Math.floor(this.#lastAtMs / 5_000) >= 12;
  }
}
