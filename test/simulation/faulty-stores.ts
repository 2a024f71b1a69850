/**
 * Stores that fall ill: while they are, an operation may fail before it had an effect, or after it, which nobody who asked
 * can tell apart. They may be slow at any time.
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

export class Illness {
  readonly #plan: DisturbancePlan['store'];
  readonly #clock: Clock;
  readonly #dice: Dice;
  readonly #chronicle: Chronicle;
  #isHealed = false;
  #illUntilMs = 0;
  #nextMs: number;

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
    if (this.#plan.slowMs > 0 && !this.#isHealed) await sleep(this.#clock, this.#dice.between(0, this.#plan.slowMs));
    const isFailing = this.#isIll() && this.#dice.chance(this.#plan.failing);
    const isDone = isFailing && this.#dice.chance(0.3);
    if (isFailing && !isDone) throw this.#failure(operation, 'before');
    const value = await act();
    if (isDone) throw this.#failure(operation, 'after');
    return value;
  }

  #isIll(): boolean {
    if (this.#isHealed || this.#plan.failing === 0) return false;
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#nextMs) {
      this.#illUntilMs = this.#nextMs + this.#plan.forMs;
      this.#nextMs = Math.max(nowMs, this.#illUntilMs) + this.#dice.exponential(this.#plan.everyMs);
    }
    return nowMs < this.#illUntilMs;
  }

  #failure(operation: string, when: 'before' | 'after'): SwitchgearError {
    this.#chronicle.count(`store: ${operation} failed ${when} its effect`);
    return new SwitchgearError('store-unavailable', `simulated: ${operation} failed`);
  }
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
