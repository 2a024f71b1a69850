/** The files API, as far as batches need it: inputs are uploaded, what batches give is read like any other file. */
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { BatchId, BatchState, FileId, StoredFile } from '../../contract/batches.ts';
import { refuse } from '../check.ts';
import type { Edge } from '../edge.ts';
import { parseListQuery } from './list-query.ts';
import { readQuery } from '../query.ts';
import { parseRequestOptions } from '../request-headers.ts';
import { sendBytes } from '../send-bytes.ts';
import { type OutputFile, outputFileId, readOutputFileId, renderOutput } from './batch-output.ts';
import { renderFile, renderOutputFile, renderPage } from './batch-render.ts';
import { FORM_LIMITS, guardUpload, takeUpload } from './upload.ts';

const LIST_MAX = 1_000;
/** Sizes of finished outputs that are remembered. */
const SIZES_MAX = 1_000;

interface IdRoute {
  readonly Params: { readonly id: FileId };
}

export function registerFileRoutes(app: FastifyInstance, edge: Edge): void {
  const sizes = new Map<FileId, number>();

  // Only here are forms read; everywhere else they stay refused.
  void app.register(async (scope) => {
    await scope.register(multipart, { limits: FORM_LIMITS, throwFileSizeLimit: false });
    const onRequest = async (request: FastifyRequest) => {
      guardUpload(request, edge.limits.fileBytesMax);
    };
    scope.post('/v1/files', { onRequest }, async (request) => {
      const { tenant } = parseRequestOptions(request.headers);
      return renderFile(await takeUpload(request, edge, tenant));
    });
  });

  app.get('/v1/files', async (request) => listFiles(edge, sizes, request.query));
  app.get<IdRoute>('/v1/files/:id', async (request) => describeFile(edge, sizes, request.params.id));
  app.get<IdRoute>('/v1/files/:id/content', async (request, reply) => sendContent(edge, reply, request.params.id));
  app.delete<IdRoute>('/v1/files/:id', async (request) => {
    const { id } = request.params;
    if (readOutputFileId(id) !== undefined)
      throw refuse('id', 'the id of a file that was uploaded: what a batch gives is kept as long as the batch', id);
    await edge.service.batches.removeFile(id);
    return { id, object: 'file', deleted: true };
  });
}

async function sendContent(edge: Edge, reply: FastifyReply, fileId: FileId): Promise<FastifyReply> {
  const { batches } = edge.service;
  const output = readOutputFileId(fileId);
  const name = output === undefined ? (await batches.loadFile(fileId)).name : `${output.batchId}_${output.part}.jsonl`;
  const headers = {
    // Whatever was uploaded here must never run as a page of this server.
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="${name.replaceAll(/[^\w.-]/g, '_')}"`,
    'x-content-type-options': 'nosniff',
  };
  const chunks =
    output === undefined
      ? batches.readFile(fileId)
      : renderOutput(batches.endedRows(output.batchId), output.part, edge.scrub);
  return sendBytes({ edge, reply, headers, chunks });
}

async function describeFile(edge: Edge, sizes: Map<FileId, number>, fileId: FileId): Promise<object> {
  const { batches } = edge.service;
  const output = readOutputFileId(fileId);
  if (output === undefined) return renderFile(await batches.loadFile(fileId));
  const state = await batches.loadState(output.batchId);
  const bytes = sizes.get(fileId) ?? (await measure(edge, output));
  // While the batch runs they still grow.
  if (state.batch.finishedAt !== undefined) remember(sizes, fileId, bytes);
  return renderOutputFile(output, state, bytes);
}

async function measure(edge: Edge, { batchId, part }: OutputFile): Promise<number> {
  let bytes = 0;
  for await (const chunk of renderOutput(edge.service.batches.endedRows(batchId), part, edge.scrub))
    bytes += chunk.length;
  return bytes;
}

function remember(sizes: Map<FileId, number>, fileId: FileId, bytes: number): void {
  sizes.set(fileId, bytes);
  const [oldest] = sizes.keys();
  if (sizes.size > SIZES_MAX && oldest !== undefined) sizes.delete(oldest);
}

interface Listed {
  readonly id: FileId;
  readonly item: object;
}

/** Uploaded files first, then what batches gave, each newest first. */
async function listFiles(edge: Edge, sizes: ReadonlyMap<FileId, number>, query: unknown): Promise<object> {
  const { purpose } = readQuery(query, ['after', 'limit', 'order', 'purpose']);
  const { after, limit } = parseListQuery(query, { limitMax: LIST_MAX, limitDefault: LIST_MAX });
  const max = limit + 1;
  const isInOutputs = after !== undefined && readOutputFileId(after) !== undefined;
  const isWanted = (name: string) => purpose === undefined || purpose === name;
  const uploads =
    isInOutputs || !isWanted('batch')
      ? []
      : (await edge.service.batches.listFiles({ max, ...(after !== undefined && { after }) })).map(listUpload);
  const missing = max - uploads.length;
  const outputs =
    missing === 0 || !isWanted('batch_output')
      ? []
      : await listOutputs(edge, sizes, isInOutputs ? after : undefined, missing);
  const listed = [...uploads, ...outputs];
  return renderPage(listed.slice(0, limit), listed.length > limit);
}

function listUpload(file: StoredFile): Listed {
  return { id: file.fileId, item: renderFile(file) };
}

/** A batch gives up to two files; the list of batches is walked until there are enough. */
async function listOutputs(
  edge: Edge,
  sizes: ReadonlyMap<FileId, number>,
  after: FileId | undefined,
  max: number,
): Promise<readonly Listed[]> {
  const listed: Listed[] = [];
  const last = after === undefined ? undefined : readOutputFileId(after);
  // The batch of the last one that was seen may have a further file.
  if (last?.part === 'output')
    listed.push(...outputsOf(await edge.service.batches.loadState(last.batchId), sizes).filter(isErrors));
  let seen: BatchId | undefined = last?.batchId;
  while (listed.length < max) {
    const page = await edge.service.batches.listStates({ max, ...(seen !== undefined && { after: seen }) });
    for (const state of page) listed.push(...outputsOf(state, sizes));
    seen = page.at(-1)?.batch.batchId;
    if (seen === undefined) break;
  }
  return listed.slice(0, max);
}

function isErrors({ id }: Listed): boolean {
  return readOutputFileId(id)?.part === 'errors';
}

function outputsOf(state: BatchState, sizes: ReadonlyMap<FileId, number>): readonly Listed[] {
  const { batchId } = state.batch;
  const { succeeded, failed, cancelled } = state.counts;
  const parts = [...(succeeded > 0 ? ['output' as const] : []), ...(failed + cancelled > 0 ? ['errors' as const] : [])];
  return parts.map((part) => {
    const id = outputFileId(batchId, part);
    return { id, item: renderOutputFile({ batchId, part }, state, sizes.get(id) ?? null) };
  });
}
