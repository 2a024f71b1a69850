/**
 * The model of the breaker rules lived beside every provider actor: what the actor is told decides in the model too, and what
 * time does is told by the actor and judged. A difference, a late probe and a second forced probe are broken promises.
 */
import type { ProviderEvent } from '../../src/actors/provider.ts';
import type { Permit } from '../../src/actors/provider-memory.ts';
import type { Clock } from '../../src/contract/clock.ts';
import { BreakerModel, type Call, type Verdict } from '../support/breaker-model.ts';
import type { Chronicle } from './chronicle.ts';
import type { SavedBreaker } from './saved-breaker.ts';

/** Timers fire at their moment, but the moments told are rounded. */
const ROUNDING_MS = 1;
const VERDICTS = { success: 'success', failure: 'upstream-error', neutral: 'abandoned' } satisfies Record<
  string,
  Verdict
>;
const RULE = 'promises 1 and 2: a breaker keeps to its rules';

export class BreakerWatch {
  readonly #provider: string;
  readonly #clock: Clock;
  readonly #chronicle: Chronicle;
  #model = new BreakerModel();
  readonly #calls = new Map<number, Call>();
  /** Permits of attempts that are under way and have not outlived their own limit. */
  readonly #occupied = new Set<number>();
  /** Changes of state that observers have still to be told of. */
  readonly #untold: BreakerModel['state'][] = [];
  #isForcedUsed = false;
  #restartedAtMs = -1;

  constructor(provider: string, clock: Clock, chronicle: Chronicle) {
    this.#provider = provider;
    this.#clock = clock;
    this.#chronicle = chronicle;
  }

  get state(): BreakerModel['state'] {
    return this.#model.state;
  }

  /** The actor is about to take `event`, and will not crash on it; `limit` is how many attempts may be under way. */
  saw(event: ProviderEvent | { readonly type: `xstate.${string}` }, limit: number): void {
    if (event.type === 'permit.claimed')
      this.#expect(
        this.#occupied.size < limit || event.permit.isProbe,
        () => `${this.#occupied.size} attempts are under way, and the limit is ${limit}`,
      );
    const before = this.#model.state;
    const openings = this.#model.openings;
    this.#live(event);
    const after = this.#model.state;
    if (after !== before || this.#model.openings !== openings) this.#untold.push(after);
    if (after === 'closed') this.#isForcedUsed = false;
  }

  /** A process begins: its breaker is what was saved. */
  processStarts({ state, openings, openForMs, isForcedUsed }: SavedBreaker): void {
    const nowMs = this.#clock.nowMs();
    this.#model = new BreakerModel();
    if (state === 'halfOpen') this.#model.halfOpen();
    this.#model.state = state;
    this.#model.openings = openings;
    this.#model.openUntilMs = nowMs + openForMs;
    this.#isForcedUsed = isForcedUsed;
    this.#restartedAtMs = nowMs;
    this.#calls.clear();
    this.#occupied.clear();
    this.#untold.length = 0;
  }

  /** Whether what was saved last, as it reads now, is what the rules say. */
  isAsSaved({ state, openings, openForMs }: SavedBreaker): boolean {
    const model = this.#model;
    if (state !== model.state) {
      // One that is due is half-open to whoever comes next.
      const isDue = model.state === 'open' && model.openUntilMs <= this.#clock.nowMs() + ROUNDING_MS;
      return state === 'halfOpen' && isDue;
    }
    const leftMs = model.openUntilMs - this.#clock.nowMs();
    return state !== 'open' || (openings === model.openings && Math.abs(openForMs - leftMs) <= 2 * ROUNDING_MS + 1);
  }

  /** For people. */
  describe(): string {
    const { state, openings, openUntilMs } = this.#model;
    return `${state} (opening ${openings}, for ${openUntilMs - this.#clock.nowMs()} ms)`;
  }

  opened(openMs: number): void {
    this.#told('open');
    const { openings } = this.#model;
    const nominalMs = Math.min(300_000, 15_000 * 2 ** Math.max(0, openings - 4));
    this.#expect(
      openMs >= nominalMs * 0.8 - ROUNDING_MS && openMs <= nominalMs * 1.2 + ROUNDING_MS,
      () => `opening ${openings} lasts ${openMs} ms`,
    );
    this.#model.openUntilMs = this.#clock.nowMs() + openMs;
  }

  halfOpened(): void {
    this.#told('halfOpen');
  }

  restarted(): void {
    this.#restartedAtMs = this.#clock.nowMs();
  }

  closed(): void {
    this.#told('closed');
  }

  /** To be called after every step while the actor lives. */
  check(state: BreakerModel['state']): void {
    const nowMs = this.#clock.nowMs();
    const model = this.#model;
    this.#expect(
      state === model.state && this.#untold.length === 0,
      () => `it is ${state}, the rules say ${model.state}: ${JSON.stringify(model.counts(nowMs))}`,
    );
    // What came due while it was down happens with its next timer.
    if (nowMs === this.#restartedAtMs) return;
    this.#expect(
      model.state !== 'open' || nowMs <= model.openUntilMs + ROUNDING_MS,
      () => `it is still open ${nowMs - model.openUntilMs} ms after its time`,
    );
    this.#expect(
      model.probe === undefined || nowMs <= model.probe.leaseUntilMs + 1_000,
      () => 'a probe outlives its lease by a second',
    );
  }

  #live(event: ProviderEvent | { readonly type: `xstate.${string}` }): void {
    const nowMs = this.#clock.nowMs();
    switch (event.type) {
      case 'permit.claimed':
        this.#occupied.add(event.permit.id);
        this.#claim(event.permit, nowMs);
        return;
      case 'attempt.reported': {
        const call = this.#calls.get(event.permit.id);
        this.#calls.delete(event.permit.id);
        this.#occupied.delete(event.permit.id);
        if (call !== undefined) this.#model.report(call, VERDICTS[event.report.verdict], nowMs);
        return;
      }
      case 'attempt.overdue': {
        const call = this.#calls.get(event.permit.id);
        this.#occupied.delete(event.permit.id);
        if (call !== undefined) this.#model.overdue(call, nowMs);
        return;
      }
      case 'check.failed': {
        const { generation } = this.#model;
        this.#model.overdue({ generation, isProbe: false, overdue: undefined }, nowMs);
        return;
      }
      case 'probe.forced':
        this.#force();
        return;
      case 'credentials.reset':
      case 'config.changed':
        return;
      default:
        this.#pass(event.type, nowMs);
    }
  }

  #claim(permit: Permit, nowMs: number): void {
    const call = this.#model.claim(nowMs, Math.min(permit.limitMs + 5_000, 60_000));
    this.#expect(call !== undefined, () => `a permit was given while ${this.#model.state}`);
    if (call === undefined) return;
    this.#expect(call.isProbe === permit.isProbe, () => `a permit while ${this.#model.state} is mislabelled`);
    this.#calls.set(permit.id, call);
  }

  #force(): void {
    if (this.#model.state !== 'open') return;
    this.#expect(!this.#isForcedUsed, () => 'a second probe was forced in one run of openings');
    this.#chronicle.count('breaker: forced probe');
    this.#isForcedUsed = true;
    this.#model.halfOpen();
  }

  /** What time does: the actor's own timers. */
  #pass(type: string, nowMs: number): void {
    const model = this.#model;
    if (type.startsWith('xstate.after.openRemaining.')) {
      this.#expect(
        model.state === 'open' && nowMs >= model.openUntilMs - ROUNDING_MS,
        () => `it half-opened from ${model.state}, ${model.openUntilMs - nowMs} ms too early`,
      );
      model.halfOpen();
    }
    if (type.startsWith('xstate.after.leaseRemaining.')) {
      const { probe } = model;
      this.#expect(
        probe !== undefined && nowMs >= probe.leaseUntilMs - ROUNDING_MS,
        () => `a lease ended ${probe === undefined ? 'without a probe' : 'too early'}`,
      );
      model.probe = undefined;
      model.open();
    }
  }

  #told(state: BreakerModel['state']): void {
    const expected = this.#untold.shift();
    this.#expect(state === expected, () => `observers hear ${state}, the rules say ${expected ?? 'nothing new'}`);
  }

  #expect(holds: boolean, message: () => string): void {
    this.#chronicle.expect(holds, RULE, () => `${this.#provider}: ${message()}`);
  }
}
