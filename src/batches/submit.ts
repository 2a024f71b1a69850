/**
 * Takes a batch in: its lines are parsed once, here, and written group by group; the batch exists once its record is
 * written, and then whole. Whatever fails before leaves nothing behind.
 */
import { createHash } from 'node:crypto';
import type {
  BatchId,
  BatchInput,
  BatchInsertResult,
  BatchOptions,
  BatchProblem,
  BatchRecord,
  BatchSettings,
  BatchSubmission,
  LineRefusal,
  WaitingLine,
} from '../contract/batches.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { CompletionRequest, EmbeddingRequest, ParsedRequest } from '../contract/request.ts';
import { askStore } from '../runtime/ask-store.ts';
import { parseCompletion, parseEmbedding } from '../runtime/parse-request.ts';
import { hashRequest } from '../runtime/record.ts';
import { sleep } from '../runtime/sleep.ts';
import type { BatchParts } from './parts.ts';
import { LineWriter } from './waiting-lines.ts';

/** The largest batch. */
const LINES_MAX = 50_000;
/** Mistakes of one input that are told. */
const PROBLEMS_MAX = 100;
/** Others get their turn after so many lines. */
const LINES_PER_TURN = 100;
const BATCH_TIMEOUT_MS = 86_400_000;
const TENANT_DEFAULT = 'default';

export interface TakenIn {
  readonly batchId: BatchId;
  /** False: an idempotency key stands for it. */
  readonly isNew: boolean;
}

type Options = Omit<BatchOptions, 'onProgress'>;

/** What is known of a batch before its lines are. */
type Heading = Pick<
  BatchRecord,
  'tenant' | 'kind' | 'idempotencyKey' | 'requestHash' | 'settings' | 'metadata' | 'inputFileId'
>;

/** Takes in requests that a program has in memory. @throws {SwitchgearError} that names the first request at fault */
export async function takeRequests(
  parts: BatchParts,
  requests: readonly CompletionRequest[],
  options: Options,
): Promise<TakenIn> {
  refuseWhileDraining(parts);
  if (!isList(requests)) throw wrongLength(requests);
  const hash = createHash('sha256').update(JSON.stringify([options.fallbacks ?? null]));
  const parsed: ParsedRequest[] = [];
  for (const [index, request] of requests.entries()) {
    if (index % LINES_PER_TURN === LINES_PER_TURN - 1) await sleep(parts.clock, 0, parts.ending);
    const line = named(index, () => parseLine(parts, 'completion', request, options.fallbacks));
    hash.update(hashRequest(line, undefined));
    parsed.push(line);
  }
  const heading = headingOf(parts, options, { kind: 'completion', requestHash: hash.digest('hex') });
  const known = await findKnown(parts, heading);
  if (known !== undefined) return { batchId: known, isNew: false };
  return create(parts, heading, async (writer) => {
    for (const request of parsed) await writer.write({ request });
    return [];
  });
}

/** Takes in lines as the edge reads them. A batch with problems is created too: refused, so that its maker can look it up. */
export async function takeInputs(
  parts: BatchParts,
  inputs: AsyncIterable<BatchInput>,
  submission: BatchSubmission,
): Promise<TakenIn> {
  refuseWhileDraining(parts);
  const { kind, file, variant = null, fallbacks = null } = submission;
  const requestHash = createHash('sha256')
    .update(JSON.stringify([file.digest, kind, variant, fallbacks]))
    .digest('hex');
  const heading = headingOf(parts, submission, { kind, requestHash, inputFileId: file.fileId });
  const known = await findKnown(parts, heading);
  if (known !== undefined) return { batchId: known, isNew: false };
  return create(parts, heading, (writer) => writeInputs(parts, inputs, submission, writer));
}

/** Gives what is wrong with the input; from the first mistake on nothing more is written. */
async function writeInputs(
  parts: BatchParts,
  inputs: AsyncIterable<BatchInput>,
  submission: BatchSubmission,
  writer: LineWriter,
): Promise<readonly BatchProblem[]> {
  const problems: BatchProblem[] = [];
  let count = 0;
  for await (const input of inputs) {
    if (++count % LINES_PER_TURN === 0) await sleep(parts.clock, 0, parts.ending);
    if ('problem' in input) problems.push(input.problem);
    else if (problems.length === 0) await writer.write(readLine(parts, input, submission));
    if (count > LINES_MAX) problems.push(tooMany());
    if (problems.length >= PROBLEMS_MAX || count > LINES_MAX) break;
  }
  return count === 0 ? [nothingToDo()] : problems;
}

function readLine(
  parts: BatchParts,
  input: Exclude<BatchInput, { problem: BatchProblem }>,
  { kind, fallbacks }: BatchSubmission,
): WaitingLine {
  const { customId } = input;
  if ('refusal' in input) return { customId, refusal: input.refusal };
  try {
    return { customId, request: parseLine(parts, kind, input.request, fallbacks) };
  } catch (error) {
    return { customId, refusal: refusalOf(error) };
  }
}

/** @throws {SwitchgearError} `invalid-request`, `unknown-model` */
function parseLine(
  parts: BatchParts,
  kind: ParsedRequest['kind'],
  request: CompletionRequest | EmbeddingRequest,
  fallbacks: Options['fallbacks'],
): ParsedRequest {
  const parsed =
    kind === 'embedding'
      ? // Each function refuses what is of the other kind.
        parseEmbedding(request as EmbeddingRequest)
      : parseCompletion(request as CompletionRequest, parts.config().defaults.model);
  parts.checkModel(parsed.model, fallbacks);
  return parsed;
}

function refusalOf(error: unknown): LineRefusal {
  if (!(error instanceof SwitchgearError)) throw error;
  const { message, param } = error;
  const code = error.code === 'unknown-model' ? error.code : 'invalid-request';
  return { code, message, ...(param !== undefined && { param }) };
}

/** Says which request of a list an error is about. */
function named<Value>(index: number, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SwitchgearError)) throw error;
    const name = `requests[${index}]`;
    const param = error.param === undefined ? name : `${name}.${error.param}`;
    throw new SwitchgearError(error.code, `${name}: ${error.message}`, { param, cause: error });
  }
}

function headingOf(
  parts: BatchParts,
  options: Options,
  { kind, requestHash, inputFileId }: Pick<Heading, 'kind' | 'requestHash'> & { readonly inputFileId?: string },
): Heading {
  const { tenant = TENANT_DEFAULT, idempotencyKey, metadata = {} } = options;
  const settings: BatchSettings = {
    priority: options.priority ?? 'low',
    timeoutMs: options.timeoutMs ?? BATCH_TIMEOUT_MS,
    tags: options.tags ?? {},
    fallbacks: options.fallbacks,
    recovery: options.recovery ?? parts.config().service.recovery,
  };
  return { tenant, kind, idempotencyKey, requestHash, settings, metadata, inputFileId };
}

/** What the idempotency key stands for. @throws {SwitchgearError} `idempotency-conflict` */
async function findKnown(
  { batches, clock }: BatchParts,
  { tenant, idempotencyKey, requestHash }: Heading,
): Promise<BatchId | undefined> {
  if (idempotencyKey === undefined) return undefined;
  const known = await askStore(clock, batches.findByKey(tenant, idempotencyKey));
  if (known !== undefined && known.requestHash !== requestHash) throw conflict();
  return known?.batchId;
}

async function create(
  parts: BatchParts,
  heading: Heading,
  write: (writer: LineWriter) => Promise<readonly BatchProblem[]>,
): Promise<TakenIn> {
  const { batches, clock, steadyWallMs } = parts;
  const batchId = `batch_${parts.nextId()}`;
  const writer = new LineWriter(batchId, batches, clock);
  let isKept = false;
  try {
    const problems = await write(writer);
    if (problems.length === 0) await writer.flush();
    else await askStore(clock, batches.dropLines(batchId));
    refuseWhileDraining(parts);
    // The tag tells in the ledger what the batch has cost.
    const settings = { ...heading.settings, tags: { batch: batchId, ...heading.settings.tags } };
    const record: BatchRecord = { ...heading, settings, batchId, total: 0, entered: 0, createdAt: steadyWallMs() };
    const made =
      problems.length === 0
        ? { ...record, total: writer.total }
        : { ...record, finishedAt: record.createdAt, problems };
    const inserted = await insert(parts, made);
    isKept = inserted.kind === 'inserted';
    if (inserted.kind === 'conflict') throw conflict();
    if (inserted.kind === 'full') throw full();
    return inserted.kind === 'known' ? { batchId: inserted.batchId, isNew: false } : { batchId, isNew: true };
  } finally {
    // Should this fail, the next start removes lines that belong to no batch.
    if (!isKept) await askStore(clock, batches.dropLines(batchId)).catch(() => undefined);
  }
}

/** A creation that failed may have had its effect all the same; then the batch is ours. */
async function insert({ batches, clock }: BatchParts, batch: BatchRecord): Promise<BatchInsertResult> {
  try {
    return await askStore(clock, batches.create(batch));
  } catch (error) {
    const loaded = await askStore(clock, batches.load(batch.batchId)).catch(() => undefined);
    if (loaded?.kind === 'found') return { kind: 'inserted' };
    throw error;
  }
}

/** @throws {SwitchgearError} `shutting-down` */
function refuseWhileDraining({ isDraining }: BatchParts): void {
  if (isDraining())
    throw new SwitchgearError('shutting-down', 'the service is shutting down; submit the batch again later');
}

function isList(requests: readonly CompletionRequest[]): boolean {
  return Array.isArray(requests) && requests.length > 0 && requests.length <= LINES_MAX;
}

function wrongLength(requests: unknown): SwitchgearError {
  const found = Array.isArray(requests) ? String(requests.length) : typeof requests;
  return new SwitchgearError('invalid-request', `expected requests to be a list of 1 to ${LINES_MAX}, got: ${found}`, {
    param: 'requests',
  });
}

function nothingToDo(): BatchProblem {
  return { code: 'empty_file', message: 'expected the file to hold at least one request, got: none' };
}

function tooMany(): BatchProblem {
  const message = `expected the file to hold at most ${LINES_MAX} requests, got: more; split it into several batches`;
  return { code: 'batch_too_large', message };
}

function conflict(): SwitchgearError {
  return new SwitchgearError(
    'idempotency-conflict',
    'the idempotency key was used for another batch; use a new key, or send the same batch',
  );
}

function full(): SwitchgearError {
  return new SwitchgearError(
    'queue-full',
    'there is no room for so many requests; wait until earlier batches have expired, or send a smaller one',
  );
}
