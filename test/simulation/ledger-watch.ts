/** What the ledger in the store's file holds: one entry for an attempt, whoever books it how often. */
import type { StoredEntry } from '../../src/stores/sqlite/stored-entry.ts';
import type { Chronicle } from './chronicle.ts';

const RULE = 'promise 21: the ledger is exact';

/** What one attempt cost. */
export interface Spent {
  readonly requestId: string;
  readonly attempt: number;
  readonly nanos: bigint;
}

export class LedgerWatch {
  readonly #chronicle: Chronicle;
  /** Nano-dollars by request and attempt. */
  readonly #booked = new Map<string, bigint>();
  /** Requests for which something was spent in the moment in which a process died. */
  readonly #excused = new Set<string>();

  constructor(chronicle: Chronicle) {
    this.#chronicle = chronicle;
  }

  get totalNanos(): bigint {
    return [...this.#booked.values()].reduce((sum, nanos) => sum + nanos, 0n);
  }

  /** Entries were written; those that are known change nothing, and must not have had to. */
  append(entries: readonly StoredEntry[]): void {
    for (const { requestId, attempt, costNanos } of entries) {
      const key = `${requestId}/${attempt}`;
      const nanos = BigInt(costNanos ?? 0);
      const known = this.#booked.get(key) ?? nanos;
      this.#chronicle.expect(known === nanos, RULE, () => `${key} is booked with ${nanos}, and was with ${known}`);
      this.#booked.set(key, known);
    }
  }

  /** What was spent for it lately may have been lost with a process. */
  excuse(requestId: string): void {
    this.#excused.add(requestId);
  }

  /** Everything that was told was booked, and nothing else. */
  compare(told: readonly Spent[]): void {
    const left = new Map(this.#booked);
    for (const { requestId, attempt, nanos } of told) {
      const key = `${requestId}/${attempt}`;
      const booked = left.get(key);
      left.delete(key);
      const isLost = booked === undefined && (nanos === 0n || this.#excused.has(requestId));
      this.#chronicle.expect(
        booked === nanos || isLost,
        RULE,
        () => `${key} cost ${nanos}, and is booked as ${booked}`,
      );
    }
    for (const [key, nanos] of left) {
      const isUntold = nanos === 0n || this.#excused.has(key.slice(0, key.indexOf('/')));
      this.#chronicle.expect(isUntold, RULE, () => `${key} is booked with ${nanos}, and nobody was told`);
    }
  }
}
