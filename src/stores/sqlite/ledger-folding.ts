/**
 * Folds what is old in the background, one small transaction after the other: whoever appended or asked has it begin, and
 * waits for none of it. What fails is tried again, ever later; until then the sums are the same.
 */
import type { Clock, TimerHandle } from '../../contract/clock.ts';
import { OLD_SHARE } from '../daily-totals.ts';
import { BackgroundWork, type ReportFailure } from './background-work.ts';
import type { Gateway } from './gateway.ts';
import type { LedgerTurns } from './ledger-turns.ts';

export interface FoldingOptions {
  /** Bounds the groups of daily totals. */
  readonly groupsMax: number;
  /** How many folded requests are remembered. */
  readonly rememberedMax: number;
  readonly clock: Clock;
  readonly report: ReportFailure;
}

/** Folds, as far as nobody scans. */
export class LedgerFolding {
  readonly #gateway: Gateway;
  readonly #turns: LedgerTurns;
  readonly #options: FoldingOptions;
  readonly #work: BackgroundWork;
  /** What is older is folded. */
  #beforeMs = Number.NEGATIVE_INFINITY;
  #run: Promise<void> | undefined;
  #isClosed = false;
  /** Ends the wait after a failure. */
  #wake: () => void = () => undefined;

  constructor(gateway: Gateway, turns: LedgerTurns, options: FoldingOptions) {
    this.#gateway = gateway;
    this.#turns = turns;
    this.#options = options;
    this.#work = new BackgroundWork('foldEntries', options.report);
  }

  /** Has everything older folded. */
  begin(beforeMs: number): void {
    this.#beforeMs = Math.max(this.#beforeMs, beforeMs);
    this.#run ??= this.#foldAll();
  }

  /** Resolves when everything old is folded; never rejects. */
  async done(): Promise<void> {
    await this.#run;
  }

  /** Ends with the step under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    await this.#run;
  }

  /** Never rejects. */
  async #foldAll(): Promise<void> {
    let isLeft = true;
    while (!this.#isClosed && isLeft) {
      try {
        isLeft = await this.#isDue();
        if (isLeft) await this.#turns.alone(() => this.#foldOnce());
        this.#work.succeeded();
      } catch (error) {
        if (!this.#isClosed) await this.#pause(this.#work.failed(error));
      }
    }
    this.#run = undefined;
    this.#beforeMs = Number.NEGATIVE_INFINITY;
  }

  async #pause(waitMs: number): Promise<void> {
    const { clock } = this.#options;
    let timer: TimerHandle | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = clock.setTimeout(resolve, waitMs);
    });
    if (timer !== undefined) clock.clearTimeout(timer);
  }

  async #isDue(): Promise<boolean> {
    const foldAt = await this.#gateway.ask('nextFoldAt');
    return foldAt !== undefined && foldAt < this.#beforeMs;
  }

  async #foldOnce(): Promise<void> {
    const { groupsMax, rememberedMax } = this.#options;
    let groups = await this.#gateway.ask('foldEntries', this.#beforeMs, rememberedMax);
    let before = Number.POSITIVE_INFINITY;
    while (groups > groupsMax && groups < before) {
      before = groups;
      groups = await this.#coarsenOldHalf();
    }
  }

  /** How many groups there are then. */
  async #coarsenOldHalf(): Promise<number> {
    let step = await this.#gateway.ask('coarsenGroups');
    while (!step.isExhausted && step.oldGroups > this.#options.groupsMax * OLD_SHARE)
      step = await this.#gateway.ask('coarsenGroups', step.untilId);
    return step.groups;
  }
}
