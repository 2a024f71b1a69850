/**
 * Joins the pieces of OpenRouter's `reasoning_details`. In a stream each chunk carries a piece with the index of the block it
 * belongs to; the text grows, the signature comes last. Sent back in pieces they would be refused, so they are joined.
 */
import { asObject, type WireObject } from '../wire.ts';

/** The fields that grow from piece to piece; all others are the same each time or come once. */
const GROWING_FIELDS = ['text', 'summary', 'data'] as const;

export class ReasoningDetailsJoiner {
  readonly #blocks = new Map<string, Record<string, unknown>>();

  add(pieces: readonly unknown[]): void {
    for (const piece of pieces.map(asObject)) {
      if (piece !== undefined) this.#addPiece(piece);
    }
  }

  joined(): readonly WireObject[] {
    return [...this.#blocks.values()];
  }

  #addPiece(piece: WireObject): void {
    const key = `${String(piece['type'])} ${String(piece['index'])}`;
    const block = this.#blocks.get(key);
    if (block === undefined) {
      this.#blocks.set(key, { ...piece });
      return;
    }
    for (const [name, value] of Object.entries(piece)) {
      const before = block[name];
      const isGrowing =
        GROWING_FIELDS.some((field) => field === name) && typeof before === 'string' && typeof value === 'string';
      if (isGrowing) block[name] = before + value;
      else if (value !== null && value !== undefined) block[name] = value;
    }
  }
}
