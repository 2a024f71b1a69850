/**
 * The native routes: submit a chat completion and come back for its answer. A client that leaves stops waiting, and nothing
 * else: what was accepted goes on (R8).
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { RequestResult } from '../contract/service.ts';
import { watchCaller } from './caller.ts';
import { refuse } from './check.ts';
import { parseCall } from './complete.ts';
import type { Edge } from './edge.ts';
import { toFailure } from './failure.ts';
import { renderOpenaiFailure } from './openai/render.ts';
import { openaiWire } from './openai/wire.ts';
import { readQuery } from './query.ts';
import { parseIdempotencyKey, parseRequestOptions } from './request-headers.ts';
import { answerHeaders, liveHeaders } from './response-headers.ts';
import { createResultStreamHandler } from './result-stream.ts';

const WAIT_MAX_SECONDS = 60;

interface IdRoute {
  readonly Params: { readonly id: string };
}

export function registerRequestRoutes(app: FastifyInstance, edge: Edge): void {
  app.post('/v1/requests', async (request, reply) => {
    const call = parseCall(openaiWire, request);
    if (call.isStream) throw refuse('stream', 'absent from a submitted request', true);
    if (call.unstreamedOnly !== undefined) {
      throw refuse(call.unstreamedOnly, 'absent from a submitted request, whose stored answer cannot hold it', 'set');
    }
    const key = parseIdempotencyKey(request.headers);
    const requestId = await edge.service.completionAsync(call.request, {
      ...parseRequestOptions(request.headers),
      ...key,
    });
    // With a key this may be a request of long ago; without one it has only just been queued.
    const status = key.idempotencyKey === undefined ? 'queued' : (await edge.service.getResult(requestId)).status;
    return reply
      .code(202)
      .headers({
        ...liveHeaders(requestId, undefined, openaiWire),
        location: `/v1/requests/${encodeURIComponent(requestId)}`,
      })
      .send({ requestId, status });
  });

  app.get<IdRoute>('/v1/requests/:id', async (request, reply) => {
    const waitMs = parseWaitMs(readQuery(request.query, ['wait'])['wait']);
    const result = await edge.service.getResult(request.params.id, { waitMs, signal: watchCaller(reply.raw) });
    return sendResult(edge, reply, result);
  });

  // Asking for the headers alone would wait for the whole answer.
  app.get<IdRoute>('/v1/requests/:id/stream', { exposeHeadRoute: false }, createResultStreamHandler(edge));

  app.delete<IdRoute>('/v1/requests/:id', async (request, reply) => {
    const isCancelled = await edge.service.cancel(request.params.id);
    const result = await edge.service.getResult(request.params.id);
    const { requestId } = result;
    reply.headers(liveHeaders(requestId, undefined, openaiWire));
    return { requestId, status: isCancelled ? 'cancelled' : result.status };
  });
}

/** Seconds to ms; absent is 0, more than the maximum is the maximum. */
function parseWaitMs(value: string | undefined): number {
  if (value === undefined) return 0;
  if (!/^\d{1,9}(?:\.\d{1,9})?$/.test(value)) throw refuse('wait', 'a number of seconds', value);
  return Math.round(Math.min(Number(value), WAIT_MAX_SECONDS) * 1_000);
}

function sendResult(edge: Edge, reply: FastifyReply, result: RequestResult): FastifyReply {
  const { requestId, status } = result;
  switch (result.status) {
    case 'queued':
    case 'running':
      return reply.headers(liveHeaders(requestId, undefined, openaiWire)).send({ requestId, status });
    case 'succeeded':
      return reply
        .headers(answerHeaders(result.response, openaiWire))
        .send({ requestId, status, response: openaiWire.render(result.response) });
    case 'failed':
    case 'cancelled': {
      const failure = toFailure(result.error, edge.scrub);
      // The read succeeded; this header still names the request's own error, by our code.
      const headers = { ...liveHeaders(requestId, undefined, openaiWire), 'x-switchgear-error': failure.code };
      return reply.headers(headers).send({ requestId, status, error: renderOpenaiFailure(failure).error });
    }
  }
}
