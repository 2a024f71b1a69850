/**
 * Batches: many requests that are handed over together. What a batch is made of waits as *lines*; lines become request
 * records a few at a time (they are *entered*) and then take the path of every other request. What a batch says of itself
 * (its counts, its results) is read from those records, so that nothing is told twice.
 */
import type {
  EmbeddingRequest,
  CompletionRequest,
  ParsedRequest,
  Priority,
  RequestOptions,
  Recovery,
} from './request.ts';
import type { BatchLine, RequestRecord, RequestStatus, Settlement } from './records.ts';
import type { CompletionResponse, RequestId } from './response.ts';
import type { SwitchgearError } from './errors.ts';

export type BatchId = string;
export type FileId = string;

/** How far a batch is. All lines together: `total` is the sum of the others. */
export interface BatchCounts {
  readonly total: number;
  /** Lines that no provider was asked about yet, entered or not. */
  readonly queued: number;
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** What is the same for all requests of a batch. */
export interface BatchSettings {
  readonly priority: Priority;
  /** From its creation to the moment when what has not ended fails with `timeout`, in ms. */
  readonly timeoutMs: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly fallbacks: RequestOptions['fallbacks'];
  readonly recovery: Recovery;
}

/** Why nothing of a batch was run: what is wrong with its input. */
export interface BatchProblem {
  /** A name for programs, such as `duplicate_custom_id`. */
  readonly code: string;
  readonly message: string;
  /** Of the input file, from 1; undefined when no single line is at fault. */
  readonly line?: number;
  /** The field at fault. */
  readonly param?: string;
}

/** The stored form of a batch. Times are epoch ms. */
export interface BatchRecord {
  readonly batchId: BatchId;
  readonly tenant: string;
  readonly kind: ParsedRequest['kind'];
  readonly idempotencyKey: string | undefined;
  /** SHA-256 of what it was made from, for idempotency conflicts. */
  readonly requestHash: string;
  readonly settings: BatchSettings;
  /** The caller's own; kept and given back. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The uploaded file that it was made from, where there was one. */
  readonly inputFileId: FileId | undefined;
  readonly total: number;
  /** How many lines are request records; they are entered in order. */
  readonly entered: number;
  readonly createdAt: number;
  readonly cancelledAt?: number;
  /** When its last request had ended. */
  readonly finishedAt?: number;
  /** Never empty: nothing of the batch was run, and it has no lines. */
  readonly problems?: readonly BatchProblem[];
}

/** A line that waits: a request that was parsed, or what was wrong with it. */
export type WaitingLine =
  | { readonly customId?: string; readonly request: ParsedRequest }
  | { readonly customId?: string; readonly refusal: LineRefusal };

/** Why one line cannot be a request. */
export interface LineRefusal {
  readonly code: 'invalid-request' | 'unknown-model';
  readonly message: string;
  readonly param?: string;
}

/** Some lines of a batch that follow one another. */
export interface WaitingLines {
  /** Which line the first of them is, from 0. */
  readonly first: number;
  /** JSON of a `WaitingLine` each. */
  readonly lines: readonly string[];
}

/** One line of a batch that was entered, without what was asked. */
export interface BatchRow extends BatchLine {
  readonly requestId: RequestId;
  readonly status: RequestStatus;
  readonly settlement?: Settlement;
}

/** A row whose request has ended. */
export type EndedRow = BatchRow & { readonly settlement: Settlement };

export type BatchInsertResult =
  | { readonly kind: 'inserted' }
  /** The idempotency key is known with the same input. */
  | { readonly kind: 'known'; readonly batchId: BatchId }
  /** The idempotency key is known with another input. */
  | { readonly kind: 'conflict'; readonly batchId: BatchId }
  | { readonly kind: 'full' };

export type BatchLoadResult =
  | { readonly kind: 'found'; readonly batch: BatchRecord }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unknown' };

/** A part of a list, newest first. */
export interface Page {
  /** The id of the last one that was seen. */
  readonly after?: string;
  readonly max: number;
}

/** How many of the lines that were entered are in which state. */
export type EnteredCounts = Readonly<Record<RequestStatus, number>>;

/**
 * Keeps batches beside their request records. The records of a batch expire with it, `resultTtlMs` after it finished, and not
 * one by one. Every method rejects with `store-unavailable` when it cannot keep its word; what it resolves with is on disk,
 * where the store has one.
 */
export interface BatchStore {
  /** Keeps lines of a batch that is to be created; the same `first` again changes nothing. */
  appendLines(batchId: BatchId, lines: WaitingLines): Promise<void>;
  /** Forgets the lines of a batch that was not created. */
  dropLines(batchId: BatchId): Promise<void>;
  /** Makes the lines a batch. `full`: there is no room for so many requests. */
  create(batch: BatchRecord): Promise<BatchInsertResult>;
  load(batchId: BatchId): Promise<BatchLoadResult>;
  findByKey(tenant: string, idempotencyKey: string): Promise<BatchRecord | undefined>;
  list(page: Page): Promise<readonly BatchRecord[]>;
  /** Called once before anything else: forgets lines of batches that were never created. Gives those that have not finished. */
  recover(): Promise<readonly BatchRecord[]>;
  /** Waiting lines that hold line `index`; undefined when there are none. */
  readLines(batchId: BatchId, index: number): Promise<WaitingLines | undefined>;
  /**
   * Moves `entered` from `from` to `to` and inserts `records`, in one transaction: those with a settlement have ended, the
   * others are parked. False when `entered` is not `from` (any more): nothing changes then.
   */
  enter(
    batchId: BatchId,
    range: { readonly from: number; readonly to: number },
    records: readonly RequestRecord[],
  ): Promise<boolean>;
  counts(batchId: BatchId): Promise<EnteredCounts>;
  /** Rows in order of their lines, from line `from` on: at most `max`, fewer when they are large, none at the end. */
  rows(batchId: BatchId, from: number, max: number): Promise<readonly BatchRow[]>;
  /** Requests of a batch that have not ended, at most `max`. */
  listUnsettled(batchId: BatchId, max: number): Promise<readonly RequestId[]>;
  /** False when it was cancelled or had finished before. */
  cancel(batchId: BatchId, cancelledAt: number): Promise<boolean>;
  /** False when it had finished before. */
  finish(batchId: BatchId, finishedAt: number): Promise<boolean>;
}

/** A stored file: bytes under a name. Times are epoch ms. */
export interface StoredFile {
  readonly fileId: FileId;
  readonly tenant: string;
  readonly name: string;
  readonly purpose: string;
  readonly bytes: number;
  /** SHA-256 of its bytes. */
  readonly digest: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/**
 * Keeps files in chunks, so that none is ever whole in memory. A file is seen once it was finished; one that never was is
 * gone with the next start. Rejections are those of `BatchStore`.
 */
export interface FileStore {
  /** Adds chunk `index`, from 0; the same again changes nothing. False: there is no room. */
  append(fileId: FileId, index: number, chunk: Uint8Array): Promise<boolean>;
  finish(file: StoredFile): Promise<void>;
  load(fileId: FileId): Promise<StoredFile | undefined>;
  /** One chunk; undefined behind the last. */
  read(fileId: FileId, index: number): Promise<Uint8Array | undefined>;
  list(page: Page): Promise<readonly StoredFile[]>;
  /** Also one that was not finished. False: there is none. */
  remove(fileId: FileId): Promise<boolean>;
}

/** What `completionBatch` takes beside the requests. */
export interface BatchOptions extends Pick<
  RequestOptions,
  'timeoutMs' | 'idempotencyKey' | 'tenant' | 'tags' | 'fallbacks' | 'recovery'
> {
  /** Default `low`. */
  readonly priority?: Priority;
  /** Kept with the batch. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Told whenever the counts have changed, a few times a second at most. */
  readonly onProgress?: (counts: BatchCounts) => void;
}

interface ResultOfLine {
  /** Which request of the batch it answers, from 0. */
  readonly index: number;
  readonly requestId: RequestId;
}

/** How one request of a batch ended. */
export type BatchResult =
  | (ResultOfLine & { readonly status: 'succeeded'; readonly response: CompletionResponse })
  | (ResultOfLine & { readonly status: 'failed' | 'cancelled'; readonly error: SwitchgearError });

/** A batch in the hands of a caller. Iterating gives every result once, as requests end; leaving the loop stops nothing. */
export interface Batch extends AsyncIterable<BatchResult> {
  readonly batchId: BatchId;
  /** As last heard; exact once the batch has finished. */
  readonly counts: BatchCounts;
  /**
   * Every result, in the order of the requests, once the last one has ended.
   * @throws {SwitchgearError} `shutting-down` when the service stops before
   */
  results(): Promise<readonly BatchResult[]>;
  /** Ends what has not ended. False when the batch had finished, or was cancelled before. */
  cancel(): Promise<boolean>;
}

/** One line of an input, as the edge has read it. */
export type BatchInput =
  | { readonly customId: string; readonly request: CompletionRequest | EmbeddingRequest }
  | { readonly customId: string; readonly refusal: LineRefusal }
  /** What makes the whole batch fail before it begins. */
  | { readonly problem: BatchProblem };

/** A batch that the edge hands over. */
export interface BatchSubmission extends Omit<BatchOptions, 'onProgress'> {
  readonly kind: ParsedRequest['kind'];
  readonly file: StoredFile;
  /** What else decides what its lines mean: an idempotency key stands for the same file read in the same way. */
  readonly variant?: string;
}

export type BatchStatus = 'running' | 'cancelling' | 'refused' | 'completed' | 'expired' | 'cancelled';

/** A batch as it is now. */
export interface BatchState {
  readonly batch: BatchRecord;
  readonly counts: BatchCounts;
  /** `refused`: it had problems. `expired`: requests failed because its time was over. */
  readonly status: BatchStatus;
  /** When its time is over, epoch ms. */
  readonly expiresAt: number;
}

/** Files and batches as the edge serves them. Each call rejects with a `SwitchgearError`. */
export interface BatchDesk {
  /** Takes a file in as it comes; what was taken in is forgotten when `chunks` throws. */
  createFile(
    head: { readonly name: string; readonly purpose: string; readonly tenant?: string | undefined },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<StoredFile>;
  loadFile(fileId: FileId): Promise<StoredFile>;
  readFile(fileId: FileId): AsyncIterable<Uint8Array>;
  listFiles(page: Page): Promise<readonly StoredFile[]>;
  removeFile(fileId: FileId): Promise<void>;
  submit(inputs: AsyncIterable<BatchInput>, submission: BatchSubmission): Promise<BatchState>;
  loadState(batchId: BatchId): Promise<BatchState>;
  findByKey(tenant: string | undefined, idempotencyKey: string): Promise<BatchState | undefined>;
  listStates(page: Page): Promise<readonly BatchState[]>;
  /** Gives it as it is afterwards. */
  cancel(batchId: BatchId): Promise<BatchState>;
  /** Rows of requests that have ended, in order of their lines. */
  endedRows(batchId: BatchId): AsyncIterable<EndedRow>;
}
