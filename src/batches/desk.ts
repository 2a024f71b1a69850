/**
 * Where batches are handed over and asked for. It keeps a runner for each batch that has not finished, also for those that an
 * earlier process left behind; everything else is in the store.
 */
import type {
  Batch,
  BatchDesk,
  BatchId,
  BatchInput,
  BatchOptions,
  BatchRecord,
  BatchState,
  BatchSubmission,
  EndedRow,
  Page,
} from '../contract/batches.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { BatchLine } from '../contract/records.ts';
import type { CompletionRequest } from '../contract/request.ts';
import { askStore } from '../runtime/ask-store.ts';
import { stateOf } from './counts.ts';
import { FileShelf } from './file-shelf.ts';
import { hasEnded, LiveBatch, readRows } from './live-batch.ts';
import { parseBatchOptions } from './options.ts';
import type { BatchParts } from './parts.ts';
import { BatchRunner } from './runner.ts';
import { takeInputs, takeRequests, type TakenIn } from './submit.ts';

/** Batches that have not finished, at most. */
const OPEN_MAX = 100;
const TENANT_DEFAULT = 'default';

export class LiveDesk implements BatchDesk {
  readonly #parts: BatchParts;
  readonly #shelf: FileShelf;
  readonly #runners = new Map<BatchId, BatchRunner>();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: BatchParts) {
    this.#parts = parts;
    this.#shelf = new FileShelf(parts);
  }

  /** Goes on with what an earlier process left behind. @throws {SwitchgearError} `store-unavailable` */
  async start(): Promise<void> {
    if (!this.#parts.isKept) return;
    for (const batch of await askStore(this.#parts.clock, this.#parts.batches.recover())) this.#run(batch);
  }

  /** Resolves when no runner uses the store any more; they stop when the service ends. */
  async close(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** The request of a line has ended. */
  lineEnded({ batchId, index }: BatchLine): void {
    this.#runners.get(batchId)?.lineEnded(index);
  }

  /** Takes requests in; resolves once the batch is stored. */
  async completionBatch(requests: readonly CompletionRequest[], options: BatchOptions = {}): Promise<Batch> {
    const { onProgress, ...rest } = parseBatchOptions(options);
    this.#refuseMore();
    const batch = await this.#open(await takeRequests(this.#parts, requests, rest));
    const runner = this.#runners.get(batch.batchId);
    if (onProgress !== undefined) runner?.listen(onProgress);
    if (onProgress !== undefined && runner === undefined) onProgress(batch.counts);
    return batch;
  }

  /** @throws {SwitchgearError} `request-not-found`, `request-expired` */
  async getBatch(batchId: BatchId): Promise<Batch> {
    const { batch, counts } = await this.loadState(batchId);
    const { batches, clock } = this.#parts;
    return new LiveBatch({
      batchId,
      batches,
      clock,
      counts,
      runner: batch.finishedAt === undefined ? this.#runners.get(batchId) : undefined,
      cancel: () => this.#cancel(batchId),
    });
  }

  async submit(inputs: AsyncIterable<BatchInput>, submission: BatchSubmission): Promise<BatchState> {
    const { kind: _kind, file: _file, variant: _variant, ...options } = submission;
    parseBatchOptions(options);
    this.#refuseMore();
    const taken = await takeInputs(this.#parts, inputs, submission);
    await this.#begin(taken);
    return this.loadState(taken.batchId);
  }

  async loadState(batchId: BatchId): Promise<BatchState> {
    return this.#stateOf(await this.#load(batchId));
  }

  async findByKey(tenant: string | undefined, idempotencyKey: string): Promise<BatchState | undefined> {
    const { batches, clock } = this.#parts;
    const batch = await askStore(clock, batches.findByKey(tenant ?? TENANT_DEFAULT, idempotencyKey));
    return batch === undefined ? undefined : this.#stateOf(batch);
  }

  async listStates(page: Page): Promise<readonly BatchState[]> {
    const listed = await askStore(this.#parts.clock, this.#parts.batches.list(page));
    return Promise.all(listed.map((batch) => this.#stateOf(batch)));
  }

  async cancel(batchId: BatchId): Promise<BatchState> {
    await this.#cancel(batchId);
    return this.loadState(batchId);
  }

  async *endedRows(batchId: BatchId): AsyncGenerator<EndedRow, void> {
    await this.#load(batchId);
    for await (const row of readRows({ ...this.#parts, batchId }, 0)) if (hasEnded(row)) yield row;
  }

  createFile: BatchDesk['createFile'] = (head, chunks) => this.#shelf.create(head, chunks);
  loadFile: BatchDesk['loadFile'] = (fileId) => this.#shelf.load(fileId);
  readFile: BatchDesk['readFile'] = (fileId) => this.#shelf.read(fileId);
  listFiles: BatchDesk['listFiles'] = (page) => this.#shelf.list(page);
  removeFile: BatchDesk['removeFile'] = (fileId) => this.#shelf.remove(fileId);

  async #open(taken: TakenIn): Promise<Batch> {
    await this.#begin(taken);
    return this.getBatch(taken.batchId);
  }

  async #begin({ batchId, isNew }: TakenIn): Promise<void> {
    if (!isNew) return;
    const { total, tenant } = await this.#load(batchId);
    this.#parts.announce('batch.created', { batchId, total, tenant });
  }

  /** Also a batch whose creation nobody heard of has to be run. */
  #run(batch: BatchRecord): void {
    const { batchId } = batch;
    if (this.#runners.has(batchId) || batch.finishedAt !== undefined || this.#parts.ending.aborted) return;
    const runner = new BatchRunner(this.#parts, batch);
    this.#runners.set(batchId, runner);
    // It never rejects.
    const running = runner.run().then(() => {
      this.#runners.delete(batchId);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  async #cancel(batchId: BatchId): Promise<boolean> {
    const { batches, clock, steadyWallMs } = this.#parts;
    await this.#load(batchId);
    const isCancelled = await askStore(clock, batches.cancel(batchId, steadyWallMs()));
    this.#runners.get(batchId)?.cancelled(await this.#load(batchId));
    return isCancelled;
  }

  async #stateOf(batch: BatchRecord): Promise<BatchState> {
    return stateOf(batch, await askStore(this.#parts.clock, this.#parts.batches.counts(batch.batchId)));
  }

  async #load(batchId: BatchId): Promise<BatchRecord> {
    const loaded = await askStore(this.#parts.clock, this.#parts.batches.load(batchId));
    switch (loaded.kind) {
      case 'found':
        this.#run(loaded.batch);
        return loaded.batch;
      case 'expired':
        throw new SwitchgearError(
          'request-expired',
          `the results of batch ${batchId} are no longer kept; raise store.resultTtlMs to keep results longer`,
        );
      case 'unknown':
        throw new SwitchgearError(
          'request-not-found',
          'no such batch is known here: the id is wrong, or the process that took it kept it in its memory and has ended',
        );
    }
  }

  /** @throws {SwitchgearError} `queue-full`, `invalid-config` */
  #refuseMore(): void {
    if (!this.#parts.isKept)
      throw new SwitchgearError(
        'invalid-config',
        'expected deps.storage to keep batches beside its request records, got: requests alone; give it batches too',
      );
    if (this.#runners.size < OPEN_MAX) return;
    throw new SwitchgearError(
      'queue-full',
      `${OPEN_MAX} batches have not finished; wait for one of them, or put more requests into each`,
    );
  }
}
