/**
 * Answers a completion over HTTP, in whichever wire it was asked. Nothing is sent, headers included, before the answer's
 * first part is there, so that a failure before it is a proper status; a failure after it is the wire's own error event. A
 * client who leaves cancels the work at once (R8).
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Delivery, RequestOptions } from '../contract/request.ts';
import type { CompletionStream, StreamPart } from '../contract/response.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { watchCaller } from './caller.ts';
import type { Edge } from './edge.ts';
import { toFailure } from './failure.ts';
import { readFeatureHeader } from './feature-headers.ts';
import { parseRequestOptions } from './request-headers.ts';
import { answerHeaders, type Headers, liveHeaders } from './response-headers.ts';
import { SseWriter } from './sse.ts';
import type { ParsedCall, StreamRenderer, Wire } from './wire.ts';

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
    const headers = headersOf(held, stream, wire);
    const renderer = wire.createStreamRenderer({
      requestId: stream.requestId,
      model: modelOf(held, stream) ?? call.request.model ?? edge.config.defaults.model ?? 'unknown',
      createdAt: edge.clock.wallMs(),
      includesUsage: call.includesUsage,
    });
    reply.hijack();
    await relay({ edge, reply, renderer, headers, held, parts });
  } finally {
    options.signal.removeEventListener('abort', cancel);
    await parts.return(undefined);
  }
  return reply;
}

/** No wire has a word for "discard what you have", so a configured `restart` is `live` here. */
function chooseDelivery(delivery: Delivery): 'live' | 'whole' {
  return delivery === 'whole' ? 'whole' : 'live';
}

/** The parts of a stream up to and including its finish; a stream that ends without one is broken. */
async function* readParts(stream: CompletionStream): AsyncGenerator<StreamPart, undefined> {
  for await (const part of stream) {
    yield part;
    if (part.type === 'finish') return;
  }
  throw new SwitchgearError('interrupted', 'expected the stream to end with a finish, got: its end', {
    requestId: stream.requestId,
  });
}

/** What must be there before anything is sent: the first part, or in `whole` delivery all of them. */
async function takeFirst(
  parts: AsyncGenerator<StreamPart, undefined>,
  delivery: 'live' | 'whole',
): Promise<readonly StreamPart[]> {
  const held: StreamPart[] = [];
  for (;;) {
    const next = await parts.next();
    if (next.done) return held;
    // Nothing was sent yet, so there is nothing to discard but what is held.
    if (next.value.type === 'restart') held.length = 0;
    else held.push(next.value);
    if (delivery === 'live' && held.length > 0) return held;
  }
}

function headersOf(held: readonly StreamPart[], stream: CompletionStream, wire: Wire): Headers {
  const last = held.at(-1);
  if (last?.type === 'finish') return answerHeaders(last.response, wire);
  return liveHeaders(stream.requestId, stream.target?.provider, wire);
}

function modelOf(held: readonly StreamPart[], stream: CompletionStream): string | undefined {
  const last = held.at(-1);
  return last?.type === 'finish' ? last.response.model : stream.target?.model;
}

interface RelayJob {
  readonly edge: Edge;
  readonly reply: FastifyReply;
  readonly renderer: StreamRenderer;
  readonly headers: Headers;
  readonly held: readonly StreamPart[];
  readonly parts: AsyncIterable<StreamPart>;
}

/** Sends what is held and what follows. Never rejects: from here on a failure is an event of the stream. */
async function relay({ edge, reply, renderer, headers, held, parts }: RelayJob): Promise<void> {
  const writer = new SseWriter(reply.raw, edge);
  try {
    writer.open(headers);
    for (const part of held) await writer.write(renderer.render(part));
    for await (const part of parts) {
      if (part.type === 'restart')
        throw new SwitchgearError(
          'interrupted',
          'the answer broke after a part of it was sent; send the request again',
        );
      if (!(await writer.write(renderer.render(part)))) return;
    }
  } catch (error) {
    const failure = toFailure(error, edge.scrub);
    if (failure.isDefect) reply.log.error({ err: error }, 'a stream failed in the edge');
    await writer.write(renderer.renderFailure(failure));
  } finally {
    writer.end();
  }
}
