/**
 * The files that a batch gives: what succeeded, what did not, and both together. None is stored: each is written from the
 * request records while it is read, in the order of the input, so it can be read while the batch runs and is never whole in
 * memory.
 */
import type { BatchId, EndedRow, FileId } from '../../contract/batches.ts';
import { SwitchgearError } from '../../contract/errors.ts';
import { type Scrub, toFailure } from '../failure.ts';
import { renderEmbedding } from './embedding.ts';
import { renderChatCompletion, renderOpenaiFailure } from './render.ts';

export type OutputPart = 'output' | 'errors' | 'results';

export interface OutputFile {
  readonly batchId: BatchId;
  readonly part: OutputPart;
}

/** Lines are gathered to about so much before they are sent. */
const PIECE_LENGTH = 65_536;

const BATCH_PREFIX = 'batch_';
const FILE_PATTERN = /^file-([A-Za-z0-9]+)-(output|errors|results)$/;

export function outputFileId(batchId: BatchId, part: OutputPart): FileId {
  return `file-${batchId.slice(BATCH_PREFIX.length)}-${part}`;
}

/** Undefined for a file that was uploaded. */
export function readOutputFileId(fileId: FileId): OutputFile | undefined {
  const [, random, part] = FILE_PATTERN.exec(fileId) ?? [];
  if (random === undefined || (part !== 'output' && part !== 'errors' && part !== 'results')) return undefined;
  return { batchId: `${BATCH_PREFIX}${random}`, part };
}

/** The bytes of such a file. */
export async function* renderOutput(
  rows: AsyncIterable<EndedRow>,
  part: OutputPart,
  scrub: Scrub,
): AsyncGenerator<Uint8Array, void> {
  let piece = '';
  for await (const row of rows) {
    if (!isIn(part, row)) continue;
    piece += `${JSON.stringify(renderRow(row, scrub))}\n`;
    if (piece.length < PIECE_LENGTH) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  if (piece !== '') yield Buffer.from(piece);
}

function isIn(part: OutputPart, { settlement }: EndedRow): boolean {
  return part === 'results' || (settlement.status === 'succeeded') === (part === 'output');
}

function renderRow(row: EndedRow, scrub: Scrub): object {
  const { requestId, customId, settlement } = row;
  const common = { id: requestId, custom_id: customId ?? String(row.index) };
  if (settlement.status !== 'succeeded') return { ...common, ...renderEnd(row, scrub) };
  const { response } = settlement;
  const body = response.kind === 'completion' ? renderChatCompletion(response) : renderEmbedding(response, false);
  return { ...common, response: { status_code: 200, request_id: requestId, body }, error: null };
}

/** What was given up has no response; what was refused or failed has the answer that a single request would have got. */
function renderEnd({ requestId, settlement }: EndedRow, scrub: Scrub): object {
  if (settlement.status === 'succeeded') throw new TypeError('expected a request that did not succeed');
  const failure = toFailure(SwitchgearError.fromReport(settlement.error), scrub);
  if (settlement.status === 'cancelled')
    return { response: null, error: { code: 'batch_cancelled', message: failure.message } };
  // A submitted request is tried again and again until the time of its batch is over.
  if (settlement.error.code === 'timeout')
    return { response: null, error: { code: 'batch_expired', message: failure.message } };
  const response = { status_code: failure.status, request_id: requestId, body: renderOpenaiFailure(failure) };
  return { response, error: null };
}
