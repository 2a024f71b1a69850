/**
 * What one attempt has produced so far, in order. It is kept once, whoever reads it: the end of the attempt puts the whole
 * answer together from it, and each reader of a result goes through it at a place of its own. An answer comes in tens of
 * thousands of small pieces; here they grow together into runs of a few thousand characters, so that whoever comes late or
 * reads slowly gets long pieces, and memory holds text and little else.
 */
import type { AdapterPart } from '../contract/adapter.ts';
import type { StreamPart, ToolCall } from '../contract/response.ts';
import { visiblePart } from './judge-reply.ts';

/** A run is full when it has so many characters. */
const RUN_CHARS_MAX = 4_096;

type TextType = 'text' | 'reasoning' | 'refusal';

interface TextRun {
  readonly type: TextType;
  pieces: string[];
  length: number;
}

type Run = TextRun | ({ readonly type: 'toolCall' } & ToolCall);

/** How far a reader is. */
export interface Place {
  readonly run: number;
  /** Characters of that run which it has. */
  readonly offset: number;
}

/** Where every reader begins. */
export const BEGINNING: Place = { run: 0, offset: 0 };

export class AnswerParts {
  readonly #runs: Run[] = [];
  #length = 0;
  /** The attempt was answered, and this is all of the answer. */
  isWhole = false;

  /** Characters in all. */
  get length(): number {
    return this.#length;
  }

  get toolCalls(): readonly ToolCall[] {
    return this.#runs.flatMap((run) =>
      run.type === 'toolCall' ? [{ id: run.id, name: run.name, arguments: run.arguments }] : [],
    );
  }

  addText(type: TextType, text: string): void {
    if (text === '') return;
    this.#length += text.length;
    const last = this.#runs.at(-1);
    if (last?.type !== type || last.length >= RUN_CHARS_MAX) {
      this.#runs.push({ type, pieces: [text], length: text.length });
      return;
    }
    last.pieces.push(text);
    last.length += text.length;
    if (last.length >= RUN_CHARS_MAX) last.pieces = [last.pieces.join('')];
  }

  addToolCall({ id, name, arguments: written }: ToolCall): void {
    this.#length += written.length;
    this.#runs.push({ type: 'toolCall', id, name, arguments: written });
  }

  /** All text of one type. */
  textOf(type: TextType): string {
    return this.#runs.flatMap((run) => (run.type === type ? run.pieces : [])).join('');
  }

  /** What comes after `place`, as far as there is something. */
  read(place: Place): { readonly part: StreamPart; readonly next: Place } | undefined {
    const run = this.#runs[place.run];
    if (run === undefined) return undefined;
    const next = { run: place.run + 1, offset: 0 };
    if (run.type === 'toolCall') return { part: visible(run), next };
    if (place.offset === run.length) return place.run + 1 < this.#runs.length ? this.read(next) : undefined;
    return {
      part: visible({ type: run.type, text: endOf(run, run.length - place.offset) }),
      next: { run: place.run, offset: run.length },
    };
  }
}

/** The last `length` characters; whoever reads along wants the last piece and nothing before. */
function endOf({ pieces }: TextRun, length: number): string {
  let first = pieces.length;
  for (let found = 0; found < length; found += pieces[first]?.length ?? length) first -= 1;
  return pieces.slice(first).join('').slice(-length);
}

function visible(part: Extract<AdapterPart, { type: Run['type'] }>): StreamPart {
  const shown = visiblePart(part);
  if (shown === undefined) throw new TypeError(`expected a ${part.type} to be visible`);
  return shown;
}
