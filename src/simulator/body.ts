/** Reads request bodies, up to a limit. */
import type { IncomingMessage } from 'node:http';

/** Largest request body, as large as the largest that the real APIs take. */
const bodyBytesMax = 33_554_432;

export type ReadBody =
  | { readonly kind: 'json'; readonly value: unknown; readonly bytes: number }
  | { readonly kind: 'not-json' | 'too-large' | 'gone'; readonly bytes: number };

/** Reads a whole JSON body. Never rejects. */
export async function readBody(request: IncomingMessage, bytesMax: number = bodyBytesMax): Promise<ReadBody> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    // An IncomingMessage without an encoding yields buffers.
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      // The rest is read and dropped, so that the client gets to read the answer.
      if (bytes <= bytesMax) chunks.push(chunk);
    }
  } catch {
    return { kind: 'gone', bytes };
  }
  if (bytes > bytesMax) return { kind: 'too-large', bytes };
  try {
    return { kind: 'json', value: JSON.parse(Buffer.concat(chunks).toString('utf8')), bytes };
  } catch {
    return { kind: 'not-json', bytes };
  }
}
