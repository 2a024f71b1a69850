/** The batch API: an uploaded file of requests is taken in, looked at, listed, cancelled. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { BatchId, BatchState, BatchSubmission } from '../../contract/batches.ts';
import { check, refuse, text } from '../check.ts';
import type { Edge } from '../edge.ts';
import { readFeatureHeader } from '../feature-headers.ts';
import { readQuery } from '../query.ts';
import { parseIdempotencyKey, parseRequestOptions } from '../request-headers.ts';
import { BATCH_ENDPOINTS, kindOf, readBatchInputs } from './batch-input.ts';
import { renderBatch, renderPage } from './batch-render.ts';
import { pageOf, parseListQuery } from './list-query.ts';

const LIST_MAX = 100;
const LIST_DEFAULT = 20;
const WINDOW_MAX_MS = 7 * 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

const WINDOW = 'a time such as 24h, at most 7d';
const bodySchema = z.strictObject({
  input_file_id: text('the id of an uploaded file'),
  endpoint: z.enum(BATCH_ENDPOINTS, { error: BATCH_ENDPOINTS.join(' or ') }),
  completion_window: z.string({ error: WINDOW }).regex(/^\d{1,5}[mhd]$/, { error: WINDOW }),
  metadata: z
    .record(z.string().max(64), z.string().max(512), { error: 'an object of short texts' })
    .refine((metadata) => Object.keys(metadata).length <= 16, { error: 'an object of at most 16 texts' })
    .nullish(),
  /** For requests that name no model. */
  model: text().nullish(),
  /** What a batch gives is kept as long as the batch. */
  output_expires_after: z.unknown().optional(),
});

interface IdRoute {
  readonly Params: { readonly id: BatchId };
}

export function registerBatchRoutes(app: FastifyInstance, edge: Edge): void {
  const { batches } = edge.service;

  app.post('/v1/batches', async (request) => renderBatch(await createBatch(edge, request)));
  app.get('/v1/batches', async (request) => {
    const key = readQuery(request.query, ['after', 'limit', 'idempotency_key'])['idempotency_key'];
    if (key !== undefined) {
      const { tenant } = parseRequestOptions(request.headers);
      const state = await batches.findByKey(tenant, key);
      return renderPage(state === undefined ? [] : [listed(state)], false);
    }
    const asked = parseListQuery(request.query, { limitMax: LIST_MAX, limitDefault: LIST_DEFAULT });
    const states = await batches.listStates(pageOf(asked));
    return renderPage(states.slice(0, asked.limit).map(listed), states.length > asked.limit);
  });
  app.get<IdRoute>('/v1/batches/:id', async (request) => describe(edge, await batches.loadState(request.params.id)));
  // A batch that has finished is given as it is.
  app.post<IdRoute>('/v1/batches/:id/cancel', async (request) => renderBatch(await batches.cancel(request.params.id)));
}

async function createBatch(edge: Edge, { body, headers }: FastifyRequest): Promise<BatchState> {
  const { batches } = edge.service;
  const asked = check(bodySchema, body ?? {}, '');
  const { priority, timeoutMs, tenant, fallbacks, recovery } = parseRequestOptions(headers);
  const file = await batches.loadFile(asked.input_file_id);
  const submission: BatchSubmission = {
    kind: kindOf(asked.endpoint),
    file,
    timeoutMs: timeoutMs ?? parseWindow(asked.completion_window),
    ...parseIdempotencyKey(headers),
    ...(asked.metadata && { metadata: asked.metadata }),
    ...(asked.model && { variant: `model ${asked.model}` }),
    ...(priority !== undefined && { priority }),
    ...(tenant !== undefined && { tenant }),
    ...(fallbacks !== undefined && { fallbacks }),
    ...(recovery !== undefined && { recovery }),
  };
  const inputs = readBatchInputs(batches.readFile(file.fileId), {
    endpoint: asked.endpoint,
    model: asked.model ?? undefined,
    limits: { lineLengthMax: edge.config.http.bodyLimitBytes, depthMax: edge.limits.bodyDepthMax },
    ...readFeatureHeader(headers, 'openai'),
  });
  return batches.submit(inputs, submission);
}

/** What it has used is told once it has finished; until then it would change with every look. */
async function describe({ service }: Edge, state: BatchState): Promise<object> {
  const { batchId, finishedAt, problems } = state.batch;
  if (finishedAt === undefined || problems !== undefined) return renderBatch(state);
  const { tokenUsage } = await service.costSummary({ tag: `batch=${batchId}` });
  return renderBatch(state, tokenUsage);
}

function listed(state: BatchState) {
  return { id: state.batch.batchId, item: renderBatch(state) };
}

function parseWindow(window: string): number {
  const timeoutMs = Number(window.slice(0, -1)) * (UNIT_MS[window.slice(-1)] ?? 0);
  if (timeoutMs < 1 || timeoutMs > WINDOW_MAX_MS) throw refuse('completion_window', WINDOW, window);
  return timeoutMs;
}
