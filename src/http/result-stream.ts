/**
 * Streams the answer of a submitted request from its beginning, as chat completion chunks. It may wait for hours before it
 * begins, longer than proxies keep a silent connection: so when nothing has come for the length of a heartbeat the headers are
 * sent, and comments after them. That the request exists is known before. A client who leaves stops reading, and nothing else
 * (R8).
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ResultStream, StreamPart } from '../contract/response.ts';
import { watchCaller } from './caller.ts';
import type { Edge } from './edge.ts';
import { openaiWire } from './openai/wire.ts';
import { readQuery } from './query.ts';
import { chooseDelivery, headersOf, modelOf, readParts, relay, takeFirst, tellFailure } from './relay.ts';
import { parseRequestOptions } from './request-headers.ts';
import { type Headers, liveHeaders } from './response-headers.ts';
import { SseWriter } from './sse.ts';

/** The route handler of `GET /v1/requests/{id}/stream`. */
export function createResultStreamHandler(edge: Edge) {
  return async (
    request: FastifyRequest<{ Params: { readonly id: string } }>,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    readQuery(request.query, []);
    const { delivery = edge.config.service.delivery } = parseRequestOptions(request.headers);
    const signal = watchCaller(reply.raw);
    const { requestId } = await edge.service.getResult(request.params.id);
    const stream = edge.service.resultStream(requestId, { signal });
    const parts = readParts(stream);
    try {
      await streamResult({ edge, reply, stream, parts, delivery: chooseDelivery(delivery) });
    } finally {
      await parts.return(undefined);
    }
    return reply;
  };
}

interface StreamJob {
  readonly edge: Edge;
  readonly reply: FastifyReply;
  readonly stream: ResultStream;
  readonly parts: AsyncGenerator<StreamPart, undefined>;
  readonly delivery: 'live' | 'whole';
}

async function streamResult({ edge, reply, stream, parts, delivery }: StreamJob): Promise<void> {
  const writer = new SseWriter(reply.raw, edge);
  const createRenderer = (model = 'unknown') =>
    openaiWire.createStreamRenderer({
      requestId: stream.requestId,
      model,
      createdAt: edge.clock.wallMs(),
      includesUsage: false,
    });
  const open = (headers: Headers) => {
    // The error handler of the server has nothing more to say from here on.
    if (reply.sent) return;
    reply.hijack();
    writer.open(headers);
  };
  const opening = edge.clock.setTimeout(() => {
    open(liveHeaders(stream.requestId, undefined, openaiWire));
  }, edge.limits.heartbeatMs);
  try {
    const held = await takeFirst(parts, delivery);
    open(headersOf(held, stream, openaiWire));
    const renderer = createRenderer(modelOf(held, stream));
    const advice = 'read the stream again, from its beginning';
    await relay({ edge, log: reply.log, writer, renderer, held, parts, advice });
  } catch (error) {
    if (!reply.sent) throw error;
    await tellFailure({ edge, log: reply.log, writer, renderer: createRenderer() }, error);
  } finally {
    edge.clock.clearTimeout(opening);
  }
}
