/**
 * Passes the parts of an answer on as the events of a wire. The first part, or in `whole` delivery all of them, is taken
 * before anything is sent, so that a failure until then is a proper status; from the first byte on a failure is the wire's own
 * error event, and never is a second answer glued to the first.
 */
import type { FastifyBaseLogger } from 'fastify';
import type { Delivery } from '../contract/request.ts';
import type { RequestId, StreamPart } from '../contract/response.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { Edge } from './edge.ts';
import { toFailure } from './failure.ts';
import { answerHeaders, type Headers, liveHeaders } from './response-headers.ts';
import type { SseWriter } from './sse.ts';
import type { StreamRenderer, Wire } from './wire.ts';

/** What the edge reads a streamed answer from. */
interface PartSource extends AsyncIterable<StreamPart> {
  readonly requestId: RequestId;
  readonly target?: { readonly provider: string; readonly model: string } | undefined;
}

/** No wire has a word for "discard what you have", so a configured `restart` is `live` here. */
export function chooseDelivery(delivery: Delivery): 'live' | 'whole' {
  return delivery === 'whole' ? 'whole' : 'live';
}

/** The parts of a stream up to and including its finish; a stream that ends without one is broken. */
export async function* readParts(stream: PartSource): AsyncGenerator<StreamPart, undefined> {
  for await (const part of stream) {
    yield part;
    if (part.type === 'finish') return;
  }
  throw new SwitchgearError('interrupted', 'expected the stream to end with a finish, got: its end', {
    requestId: stream.requestId,
  });
}

/** What must be there before anything is sent: the first part, or in `whole` delivery all of them. */
export async function takeFirst(
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

/** What the headers can say once the first parts are there. */
export function headersOf(held: readonly StreamPart[], stream: PartSource, wire: Wire): Headers {
  const last = held.at(-1);
  if (last?.type === 'finish') return answerHeaders(last.response, wire);
  return liveHeaders(stream.requestId, stream.target?.provider, wire);
}

/** The model that is answering, as far as it is known. */
export function modelOf(held: readonly StreamPart[], stream: PartSource): string | undefined {
  const last = held.at(-1);
  return last?.type === 'finish' ? last.response.model : stream.target?.model;
}

interface RelayJob {
  readonly edge: Edge;
  readonly log: FastifyBaseLogger;
  /** Open already. */
  readonly writer: SseWriter;
  readonly renderer: StreamRenderer;
  readonly held: readonly StreamPart[];
  readonly parts: AsyncIterable<StreamPart>;
  /** What a reader is to do whose answer starts over after a part of it was sent. */
  readonly advice: string;
}

/** Sends what is held and what follows, then ends the stream. Never rejects. */
export async function relay(job: RelayJob): Promise<void> {
  const { writer, renderer, held, parts, advice } = job;
  try {
    for (const part of held) await writer.write(renderer.render(part));
    for await (const part of parts) {
      if (part.type === 'restart')
        throw new SwitchgearError('interrupted', `the answer broke after a part of it was sent; ${advice}`);
      if (!(await writer.write(renderer.render(part)))) return;
    }
  } catch (error) {
    await tellFailure(job, error);
  } finally {
    writer.end();
  }
}

/** Ends an open stream with the wire's own error event. Never rejects. */
export async function tellFailure(
  { edge, log, writer, renderer }: Pick<RelayJob, 'edge' | 'log' | 'writer' | 'renderer'>,
  error: unknown,
): Promise<void> {
  const failure = toFailure(error, edge.scrub);
  if (failure.isDefect) log.error({ err: error }, 'a stream failed in the edge');
  await writer.write(renderer.renderFailure(failure));
  writer.end();
}
