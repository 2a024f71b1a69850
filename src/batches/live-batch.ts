/** A batch in the hands of a caller. It holds no results: each is read from the store when it is asked for. */
import type { Batch, BatchCounts, BatchId, BatchResult, BatchRow, BatchStore, EndedRow } from '../contract/batches.ts';
import type { Clock } from '../contract/clock.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { askStore } from '../runtime/ask-store.ts';
import type { BatchRunner } from './runner.ts';
import type { Watch } from './watch.ts';

/** Rows that are read at once. */
const ROWS_MAX = 100;

export interface LiveBatchParts {
  readonly batchId: BatchId;
  readonly batches: BatchStore;
  readonly clock: Clock;
  /** Undefined once it has finished. */
  readonly runner: BatchRunner | undefined;
  /** As it was when the handle was made; for one that has finished, for good. */
  readonly counts: BatchCounts;
  readonly cancel: () => Promise<boolean>;
}

export class LiveBatch implements Batch {
  readonly #parts: LiveBatchParts;

  constructor(parts: LiveBatchParts) {
    this.#parts = parts;
  }

  get batchId(): BatchId {
    return this.#parts.batchId;
  }

  get counts(): BatchCounts {
    return this.#parts.runner?.counts ?? this.#parts.counts;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<BatchResult, void> {
    const { runner } = this.#parts;
    const reader = new Reader(this.#parts, this.counts.total);
    const watch = runner?.watch();
    try {
      // Those that have ended; those that end meanwhile are noted by the watch.
      yield* reader.readAll();
      while (!reader.isDone) yield* reader.readNews(watch);
    } finally {
      if (watch !== undefined) runner?.unwatch(watch);
    }
  }

  async results(): Promise<readonly BatchResult[]> {
    const results: BatchResult[] = [];
    for await (const result of this) results[result.index] = result;
    return results;
  }

  cancel(): Promise<boolean> {
    return this.#parts.cancel();
  }
}

/** Reads each result once. */
class Reader {
  readonly #parts: LiveBatchParts;
  /** By line: 1 once its result was given. */
  readonly #given: Uint8Array;
  #left: number;

  constructor(parts: LiveBatchParts, total: number) {
    this.#parts = parts;
    this.#given = new Uint8Array(total);
    this.#left = total;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  /** Results of all that have ended and were not given. */
  async *readAll(): AsyncGenerator<BatchResult, void> {
    const from = Math.max(0, this.#given.indexOf(0));
    for await (const row of readRows(this.#parts, from)) yield* this.#give(row);
  }

  async *readNews(watch: Watch | undefined): AsyncGenerator<BatchResult, void> {
    if (watch === undefined) throw expired(this.#parts.batchId);
    const { ended, hasMissed } = await watch.news();
    for (const index of ended) {
      if (this.#given[index] === 1) continue;
      const { batches, clock, batchId } = this.#parts;
      const [row] = await askStore(clock, batches.rows(batchId, index, 1));
      if (row?.index === index) yield* this.#give(row);
    }
    if (hasMissed) yield* this.readAll();
  }

  *#give(row: BatchRow): Generator<BatchResult, void> {
    if (!hasEnded(row) || this.#given[row.index] === 1) return;
    this.#given[row.index] = 1;
    this.#left -= 1;
    yield resultOf(row);
  }
}

/** Rows from line `from` on, page by page. */
export async function* readRows(
  { batches, clock, batchId }: Pick<LiveBatchParts, 'batches' | 'clock' | 'batchId'>,
  from: number,
): AsyncGenerator<BatchRow, void> {
  for (let next = from; ;) {
    const rows = await askStore(clock, batches.rows(batchId, next, ROWS_MAX));
    const last = rows.at(-1);
    if (last === undefined) return;
    yield* rows;
    next = last.index + 1;
  }
}

export function hasEnded(row: BatchRow): row is EndedRow {
  return row.settlement !== undefined;
}

function resultOf({ index, requestId, settlement }: EndedRow): BatchResult {
  if (settlement.status !== 'succeeded')
    return { index, requestId, status: settlement.status, error: SwitchgearError.fromReport(settlement.error) };
  const { response } = settlement;
  if (response.kind === 'completion') return { index, requestId, status: 'succeeded', response };
  throw new SwitchgearError(
    'invalid-request',
    'expected a batch of completions, got: one of embeddings; read the files that it gives over HTTP',
  );
}

function expired(batchId: BatchId): SwitchgearError {
  return new SwitchgearError(
    'request-expired',
    `the results of batch ${batchId} are no longer kept; raise store.resultTtlMs to keep results longer`,
  );
}
