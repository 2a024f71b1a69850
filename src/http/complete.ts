/**
 * Answers a completion over HTTP, in whichever wire it was asked. Nothing is sent, headers included, before the answer's
 * first part is there, so that a failure before it is a proper status; a failure after it is the wire's own error event. A
 * client who leaves cancels the work at once (R8).
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RequestOptions } from '../contract/request.ts';
import { watchCaller } from './caller.ts';
import type { Edge } from './edge.ts';
import { readFeatureHeader } from './feature-headers.ts';
import { chooseDelivery, headersOf, modelOf, readParts, relay, takeFirst } from './relay.ts';
import { parseRequestOptions } from './request-headers.ts';
import { answerHeaders } from './response-headers.ts';
import { SseWriter } from './sse.ts';
import type { ParsedCall, Wire } from './wire.ts';

/** The route handler of one wire's completion API. */
export function createCompletionHandler(edge: Edge, wire: Wire) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const call = parseCall(wire, request);
    const options = { ...parseRequestOptions(request.headers), signal: watchCaller(reply.raw) };
    if (call.isStream) return streamAnswer({ edge, wire, call, options, reply });
    const response = await edge.service.completion(call.request, options);
    return reply.headers(answerHeaders(response, wire)).send(wire.render(response));
  };
}

/** The body and the feature header beside it. */
export function parseCall(wire: Wire, { body, headers }: FastifyRequest): ParsedCall {
  const call = wire.parse(body);
  return { ...call, request: { ...call.request, ...readFeatureHeader(headers, wire.name) } };
}

interface StreamJob {
  readonly edge: Edge;
  readonly wire: Wire;
  readonly call: ParsedCall;
  readonly options: RequestOptions & { readonly signal: AbortSignal };
  readonly reply: FastifyReply;
}

async function streamAnswer(job: StreamJob): Promise<FastifyReply> {
  const { edge, wire, call, options, reply } = job;
  const delivery = chooseDelivery(options.delivery ?? edge.config.service.delivery);
  const stream = edge.service.completionStream(call.request, { ...options, delivery });
  const cancel = () => stream.cancel();
  options.signal.addEventListener('abort', cancel, { once: true });
  const parts = readParts(stream);
  try {
    const held = await takeFirst(parts, delivery);
    const renderer = wire.createStreamRenderer({
      requestId: stream.requestId,
      model: modelOf(held, stream) ?? call.request.model ?? edge.config.defaults.model ?? 'unknown',
      createdAt: edge.clock.wallMs(),
      includesUsage: call.includesUsage,
    });
    reply.hijack();
    const writer = new SseWriter(reply.raw, edge);
    writer.open(headersOf(held, stream, wire));
    await relay({ edge, log: reply.log, writer, renderer, held, parts, advice: 'send the request again' });
  } finally {
    options.signal.removeEventListener('abort', cancel);
    await parts.return(undefined);
  }
  return reply;
}
