/**
 * Whether what was said was on disk before it was said. A mark is a text that occurs both in the file and in what is said (the
 * id of a request, the text of an answer): the group that wrote it first must have been synced, commit frame and all.
 */
import type { Step } from './trace.ts';

export interface SyncCheck {
  readonly steps: readonly Step[];
  /** The path of the write-ahead log. */
  readonly wal: string;
  /** Global; finds the marks in a page and in what was said. */
  readonly marks: RegExp;
}

export interface SyncVerdict {
  /** Marks that were said and had been synced before. */
  readonly kept: readonly string[];
  /** One sentence for each that had not. */
  readonly broken: readonly string[];
}

/** https://sqlite.org/fileformat2.html#the_write_ahead_log */
const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const PAGE_BYTES = 4096;

export function checkSyncedBeforeSaid({ steps, wal, marks }: SyncCheck): SyncVerdict {
  const writes = new WalWrites();
  const said = new Set<string>();
  const kept: string[] = [];
  const broken: string[] = [];
  for (const [index, step] of steps.entries()) {
    if (step.kind === 'write' && step.path === wal) writes.add(index, step, marks);
    if (step.kind === 'sync' && step.path === wal) writes.sync(step.begun);
    for (const mark of newMarksIn(step, marks, said)) {
      said.add(mark);
      const problem = writes.problemOf(mark);
      if (problem === undefined) kept.push(mark);
      else broken.push(`${mark} was said and ${problem}`);
    }
  }
  return { kept, broken };
}

/** What is said again was on the disk the first time, or was not. */
function newMarksIn(step: Step, marks: RegExp, said: ReadonlySet<string>): ReadonlySet<string> {
  if (step.kind !== 'said') return new Set();
  return new Set([...step.text.matchAll(marks)].map(([mark]) => mark).filter((mark) => !said.has(mark)));
}

class WalWrites {
  /** The group that a mark was written in first. */
  readonly #groupOf = new Map<string, number>();
  /** Of each group: the step that wrote its last page, once there is one. */
  readonly #endOf: number[] = [];
  #syncedUntil = 0;
  #group = 0;
  #isLastFrame = false;

  add(index: number, { offset, bytes }: Extract<Step, { kind: 'write' }>, marks: RegExp): void {
    if (isFrameHeader(offset, bytes)) {
      // The size of the database after the commit; zero in every frame but the last of a transaction.
      this.#isLastFrame = bytes.readUInt32BE(4) !== 0;
      return;
    }
    for (const [mark] of bytes.toString('latin1').matchAll(marks))
      if (!this.#groupOf.has(mark)) this.#groupOf.set(mark, this.#group);
    if (!this.#isLastFrame) return;
    this.#endOf[this.#group] = index;
    this.#group += 1;
    this.#isLastFrame = false;
  }

  sync(begun: number): void {
    this.#syncedUntil = begun;
  }

  problemOf(mark: string): string | undefined {
    const group = this.#groupOf.get(mark);
    if (group === undefined) return 'had not been written';
    const end = this.#endOf[group];
    if (end === undefined) return 'its group had not been committed';
    return end < this.#syncedUntil ? undefined : 'its group had not been synced';
  }
}

function isFrameHeader(offset: number, bytes: Buffer): boolean {
  const inFrames = offset - WAL_HEADER_BYTES;
  return bytes.length === FRAME_HEADER_BYTES && inFrames >= 0 && inFrames % (FRAME_HEADER_BYTES + PAGE_BYTES) === 0;
}
