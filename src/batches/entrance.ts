/**
 * Turns waiting lines into requests. Where the store is durable they are parked there, group by group, together with how far
 * that is, so that no line is lost or doubled wherever a process ends; else each comes into memory as any submitted request.
 * What it throws leaves open how many lines were entered: the store knows.
 */
import type { BatchRecord, WaitingLine, WaitingLines } from '../contract/batches.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord } from '../contract/records.ts';
import { askStore } from '../runtime/ask-store.ts';
import { sleep } from '../runtime/sleep.ts';
import { endedRecord, type LineEnd, type PlacedLine, recordOfLine, timeLeftMs } from './line-records.ts';
import type { BatchParts } from './parts.ts';
import { decodeLine } from './waiting-lines.ts';

/** Lines that come into memory one after the other before others get their turn. */
const LINES_PER_TURN = 20;

export class Entrance {
  readonly #parts: BatchParts;
  readonly #onEnded: (index: number) => void;
  /** Read last; what is left of it comes next. */
  #group: WaitingLines | undefined;

  /** `onEnded` is told of each line whose request is over. */
  constructor(parts: BatchParts, onEnded: (index: number) => void) {
    this.#parts = parts;
    this.#onEnded = onEnded;
  }

  /** Enters at most `max` lines. Gives how many are entered then; as many as before: there is no room now. */
  async enterSome(batch: BatchRecord, max: number): Promise<number> {
    const placed = await this.#next(batch, max);
    if (!this.#parts.isDurable) return this.#admitAll(batch, placed);
    return this.#write(
      batch,
      placed.map((line) => recordOfLine(batch, line, this.#moment())),
    );
  }

  /** Enters some lines as ended. Gives how many are entered then. */
  async endSome(batch: BatchRecord, end: LineEnd): Promise<number> {
    const placed = await this.#next(batch, Number.POSITIVE_INFINITY);
    return this.#write(
      batch,
      placed.map((line) => {
        // What is no request was wrong before it was too late.
        return 'refusal' in line.line
          ? recordOfLine(batch, line, this.#moment())
          : endedRecord(batch, line, this.#moment(), end);
      }),
    );
  }

  async #next({ batchId, entered }: BatchRecord, max: number): Promise<readonly PlacedLine[]> {
    const isHeld =
      this.#group !== undefined &&
      entered >= this.#group.first &&
      entered < this.#group.first + this.#group.lines.length;
    if (!isHeld) this.#group = await askStore(this.#parts.clock, this.#parts.batches.readLines(batchId, entered));
    const { first, lines } = this.#group ?? { first: entered, lines: [] };
    if (lines.length === 0) throw new SwitchgearError('store-unavailable', `line ${entered} is not in the store`);
    return lines
      .slice(entered - first, entered - first + max)
      .map((text, offset): { index: number; line: WaitingLine } => ({
        index: entered + offset,
        line: decodeLine(text),
      }));
  }

  #moment() {
    return { requestId: this.#parts.nextRequestId(), nowMs: this.#parts.steadyWallMs() };
  }

  async #write(batch: BatchRecord, records: readonly RequestRecord[], from = batch.entered): Promise<number> {
    const { batches, clock } = this.#parts;
    const range = { from, to: from + records.length };
    const isEntered = await askStore(clock, batches.enter(batch.batchId, range, records));
    if (this.#parts.isDurable) this.#parts.feed();
    if (!isEntered) throw elsewhere(batch, from);
    for (const record of records) {
      if (record.settlement !== undefined && record.batch !== undefined) this.#onEnded(record.batch.index);
    }
    return range.to;
  }

  async #admitAll(batch: BatchRecord, placed: readonly PlacedLine[]): Promise<number> {
    let entered = batch.entered;
    for (const [count, line] of placed.entries()) {
      // Providers that answer at once would leave nobody else a turn.
      if (count % LINES_PER_TURN === 0) await sleep(this.#parts.clock, 0, this.#parts.ending);
      const next = await this.#admit(batch, line);
      if (next === undefined) break;
      entered = next;
    }
    return entered;
  }

  /** Undefined when the queue takes no more. */
  async #admit(batch: BatchRecord, placed: PlacedLine): Promise<number | undefined> {
    const { line, index } = placed;
    if ('refusal' in line) return this.#write(batch, [recordOfLine(batch, placed, this.#moment())], index);
    try {
      await this.#parts.admit({
        request: line.request,
        options: this.#optionsOf(batch),
        line: { batchId: batch.batchId, index, customId: line.customId },
      });
    } catch (error) {
      if (!(error instanceof SwitchgearError)) throw error;
      if (error.code === 'queue-full' || error.code === 'shutting-down') return undefined;
      if (error.code === 'store-unavailable') throw error;
      return this.#write(batch, [endedRecord(batch, placed, this.#moment(), endOf(error))], index);
    }
    const range = { from: index, to: index + 1 };
    const isEntered = await askStore(this.#parts.clock, this.#parts.batches.enter(batch.batchId, range, []));
    if (!isEntered) throw elsewhere(batch, index);
    return range.to;
  }

  #optionsOf(batch: BatchRecord) {
    const { priority, fallbacks, recovery, tags } = batch.settings;
    const timeoutMs = timeLeftMs(batch, this.#parts.steadyWallMs());
    return { priority, tags, recovery, timeoutMs, tenant: batch.tenant, ...(fallbacks !== undefined && { fallbacks }) };
  }
}

function elsewhere({ batchId }: BatchRecord, from: number): SwitchgearError {
  return new SwitchgearError('store-unavailable', `line ${from} of ${batchId} is not the next one in the store`);
}

function endOf({ code, message, param }: SwitchgearError): LineEnd {
  return { code, message, ...(param !== undefined && { param }) };
}
