/** Cuts a stream of bytes into lines of text. A line is never held beyond its limit, whatever comes before its end. */
const LINE_FEED = 10;

export type TextLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: 'too-long' | 'not-utf8' };

/** Lines by their number, from 1. Their ends (LF, CR LF) and a byte order mark are left out; the last one may have none. */
export async function* readTextLines(
  chunks: AsyncIterable<Uint8Array>,
  lengthMax: number,
): AsyncGenerator<TextLine, void> {
  const line = new LineBuffer(lengthMax);
  let number = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      line.add(chunk.subarray(from, end));
      yield { number: ++number, ...line.take() };
      from = end + 1;
    }
    line.add(chunk.subarray(from));
  }
  if (!line.isEmpty) yield { number: ++number, ...line.take() };
}

class LineBuffer {
  readonly #lengthMax: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (this.#length <= this.#lengthMax) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  take(): { readonly text: string } | { readonly fault: 'too-long' | 'not-utf8' } {
    const length = this.#length;
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    if (length > this.#lengthMax) return { fault: 'too-long' };
    try {
      return { text: this.#decoder.decode(bytes).replace(/\r$/, '') };
    } catch {
      return { fault: 'not-utf8' };
    }
  }
}
