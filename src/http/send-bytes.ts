/**
 * Sends an answer of unknown length as it is made, at the pace of its reader. A failure after the first byte cannot be told in
 * words any more: the connection is cut, so that half a file is never taken for a whole one.
 */
import type { FastifyReply } from 'fastify';
import { drained } from './drained.ts';
import type { Edge } from './edge.ts';

export interface BytesJob {
  readonly edge: Edge;
  readonly reply: FastifyReply;
  readonly headers: Readonly<Record<string, string>>;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** What fails before the first chunk is thrown; nothing was sent then. */
export async function sendBytes({ edge, reply, headers, chunks }: BytesJob): Promise<FastifyReply> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, headers);
  try {
    for (let next = first; next.done !== true && !raw.destroyed; next = await iterator.next()) {
      if (!raw.write(next.value)) await drained(raw, edge);
    }
    if (!raw.destroyed) raw.end();
  } catch (error) {
    reply.log.error({ err: error }, 'an answer broke while it was sent');
    raw.destroy();
  } finally {
    await iterator.return?.();
  }
  return reply;
}
