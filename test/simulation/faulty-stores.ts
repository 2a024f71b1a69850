/**
 * Stores that fall ill: while they are, an operation may fail before it had an effect, or after it, which nobody who asked
 * can tell apart. They may be slow at any time, and hang while they are ill.
 */
import type { Clock } from '../../src/contract/clock.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Ledger, LedgerEntry, LedgerQuery, RequestStore } from '../../src/contract/records.ts';
import type { RequestId } from '../../src/contract/response.ts';
import { sleep } from '../../src/runtime/sleep.ts';
import { wrapStore } from '../support/wrapped-store.ts';
import type { Chronicle } from './chronicle.ts';
import type { Dice } from './dice.ts';
import type { DisturbancePlan } from './plan.ts';

const HANG_MAX_MS = 30_000;
const SEQUEL_MS = 12_000;

/** Whether an operation fails, and whether it had its effect all the same. */
export type Verdict = 'fine' | 'before' | 'after';

export class Illness {
  readonly #plan: DisturbancePlan['store'];
  readonly #clock: Clock;
  readonly #dice: Dice;
  readonly #chronicle: Chronicle;
  #isHealed = false;
  #illUntilMs = 0;
  #nextMs: number;
  #lastIllAtMs = Number.NEGATIVE_INFINITY;
  #hangsUntilMs = Number.NEGATIVE_INFINITY;

  constructor(plan: DisturbancePlan['store'], clock: Clock, dice: Dice, chronicle: Chronicle) {
    this.#plan = plan;
    this.#clock = clock;
    this.#dice = dice;
    this.#chronicle = chronicle;
    this.#nextMs = dice.exponential(plan.everyMs);
  }

  heal(): void {
    this.#isHealed = true;
  }

  async run<Value>(operation: string, act: () => Promise<Value>): Promise<Value> {
    await this.delay();
    const verdict = this.judge(operation);
    if (verdict === 'before') throw failure(operation);
    const value = await act();
    if (verdict === 'after') throw failure(operation);
    return value;
  }

  /** How long an operation takes to reach the store; while it is ill, that may be long. */
  async delay(): Promise<void> {
    const { slowMs, hanging } = this.#plan;
    if (this.#isHealed) return;
    if (slowMs > 0) await sleep(this.#clock, this.#dice.between(0, slowMs));
    if (hanging === 0 || !this.#isIll() || !this.#dice.chance(hanging)) return;
    this.#chronicle.count('store: hung');
    const hangMs = this.#dice.between(1_000, HANG_MAX_MS);
    this.#hangsUntilMs = this.#clock.nowMs() + hangMs;
    await sleep(this.#clock, hangMs);
  }

  judge(operation: string): Verdict {
    if (!this.#isIll() || !this.#dice.chance(this.#plan.failing)) return 'fine';
    const verdict = this.#dice.chance(0.3) ? 'after' : 'before';
    this.#chronicle.count(`store: ${operation} failed ${verdict} its effect`);
    return verdict;
  }

  /** Since when everything that was asked has been done at once; monotonic ms. */
  get wellSinceMs(): number {
    if (!this.#isHealed && this.#plan.slowMs > 0) return Number.POSITIVE_INFINITY;
    // Whatever failed is tried again within this time.
    return Math.max(this.#lastIllAtMs, this.#hangsUntilMs) + SEQUEL_MS;
  }

  #isIll(): boolean {
    if (this.#isHealed || (this.#plan.failing === 0 && this.#plan.hanging === 0)) return false;
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#nextMs) {
      this.#illUntilMs = this.#nextMs + this.#plan.forMs;
      this.#nextMs = Math.max(nowMs, this.#illUntilMs) + this.#dice.exponential(this.#plan.everyMs);
    }
    const isIll = nowMs < this.#illUntilMs;
    if (isIll) this.#lastIllAtMs = nowMs;
    return isIll;
  }
}

function failure(operation: string): SwitchgearError {
  return new SwitchgearError('store-unavailable', `simulated: ${operation} failed`);
}

export function createFaultyStore(inner: RequestStore, illness: Illness): RequestStore {
  return wrapStore(inner, (operation, act) => illness.run(operation, act));
}

export class FaultyLedger implements Ledger {
  readonly #inner: Ledger;
  readonly #illness: Illness;

  constructor(inner: Ledger, illness: Illness) {
    this.#inner = inner;
    this.#illness = illness;
  }

  append(entries: readonly LedgerEntry[]) {
    return this.#illness.run('append', () => this.#inner.append(entries));
  }

  summary(query: LedgerQuery, nowMs: number) {
    return this.#illness.run('summary', () => this.#inner.summary(query, nowMs));
  }

  entriesFor(requestId: RequestId) {
    return this.#illness.run('entriesFor', () => this.#inner.entriesFor(requestId));
  }

  close() {
    return this.#inner.close();
  }
}
