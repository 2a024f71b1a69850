/**
 * Work that nobody asked for and nobody waits for: folding and sweeping. When it fails it is tried again, ever later; and
 * since nobody hears its error, an operator is told, once for as long as it goes on failing in the same way.
 */

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;

/** What failed at work that nobody waits for. */
export interface BackgroundFailure {
  readonly operation: string;
  readonly message: string;
}

export type ReportFailure = (failure: BackgroundFailure) => void;

/** How often one kind of work has failed in a row, and what was told of it. */
export class BackgroundWork {
  readonly #operation: string;
  readonly #report: ReportFailure;
  #failures = 0;
  #told: string | undefined;

  constructor(operation: string, report: ReportFailure) {
    this.#operation = operation;
    this.#report = report;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#told = undefined;
  }

  /** Gives how long to wait before the next try, ms. */
  failed(error: unknown): number {
    const message = String(error);
    if (message !== this.#told) this.#report({ operation: this.#operation, message });
    this.#told = message;
    this.#failures += 1;
    return Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failures - 1, 10));
  }
}
