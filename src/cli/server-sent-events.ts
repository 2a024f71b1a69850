/** Reads server-sent events as they arrive, however the network has cut them. */

/** Longest line taken: an answer streamed in one piece is far below it. */
const LINE_MAX_CHARS = 16 * 1024 * 1024;

/** Yields the payload of each event; comments and other fields are passed over. @throws {Error} on an endless line. */
export async function* readEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let payload: string[] = [];
  for await (const line of readLines(bytes)) {
    if (line === '' && payload.length > 0) {
      yield payload.join('\n');
      payload = [];
    } else if (line.startsWith('data:')) {
      payload.push(line.slice(line.startsWith('data: ') ? 6 : 5));
    }
  }
  // An event that its empty line never closed was cut; it is not passed on.
}

async function* readLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_MAX_CHARS)
      throw new Error(`expected lines up to ${LINE_MAX_CHARS} characters, got a longer one`);
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line;
  }
}
