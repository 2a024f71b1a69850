/**
 * Folds what is old in the background, one small transaction after the other: whoever appended or asked has it begin, and
 * waits for none of it. What fails is tried again when the next one comes; until then the sums are the same.
 */
import { OLD_SHARE } from '../daily-totals.ts';
import type { Gateway } from './gateway.ts';
import type { LedgerTurns } from './ledger-turns.ts';

export interface FoldingOptions {
  /** Bounds the groups of daily totals. */
  readonly groupsMax: number;
  /** How many folded requests are remembered. */
  readonly rememberedMax: number;
}

/** Folds, as far as nobody scans. */
export class LedgerFolding {
  readonly #gateway: Gateway;
  readonly #turns: LedgerTurns;
  readonly #options: FoldingOptions;
  /** What is older is folded. */
  #beforeMs = Number.NEGATIVE_INFINITY;
  #run: Promise<void> | undefined;
  #isClosed = false;

  constructor(gateway: Gateway, turns: LedgerTurns, options: FoldingOptions) {
    this.#gateway = gateway;
    this.#turns = turns;
    this.#options = options;
  }

  /** Has everything older folded. */
  begin(beforeMs: number): void {
    this.#beforeMs = Math.max(this.#beforeMs, beforeMs);
    this.#run ??= this.#foldAll();
  }

  /** Resolves when nothing is being folded; never rejects. */
  async done(): Promise<void> {
    await this.#run;
  }

  /** Ends with the step under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#run;
  }

  /** Never rejects. */
  async #foldAll(): Promise<void> {
    try {
      while (!this.#isClosed && (await this.#isDue())) await this.#turns.alone(() => this.#foldOnce());
    } catch {
      // Whoever writes hears what is wrong with the store.
    }
    this.#run = undefined;
    this.#beforeMs = Number.NEGATIVE_INFINITY;
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
