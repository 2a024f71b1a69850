/**
 * A disk that may lose its power: what was synced is on it, and of the rest any part may be. It is driven by a trace, so it
 * knows nothing of SQLite. It is as bad as a disk may be that keeps to what fsync promises: writes that were not synced are
 * kept, lost, torn or zeroed sector by sector and in any order, and names of files that were made or removed come or stay as
 * they like until their folder is synced. What a failed sync should have written is never written by a later one, as Linux
 * takes it for written (https://wiki.postgresql.org/wiki/Fsync_Errors). One thing it does not do, as SQLite relies on it (powersafe overwrite): bytes that
 * a write did not name are never harmed.
 */
import { basename, dirname } from 'node:path';
import type { Dice } from '../simulation/dice.ts';
import type { Step } from './trace.ts';

const SECTOR_BYTES = 512;

type Change = Extract<Step, { kind: 'write' | 'truncate' }>;

/** What a file holds, whatever it is called. */
interface Inode {
  readonly synced: Content;
  /** What was done to it and may not be on the disk, with the number of the step. */
  pending: { readonly number: number; readonly change: Change }[];
}

interface NameChange {
  readonly name: string;
  /** Undefined: the name was removed. */
  readonly inode: Inode | undefined;
}

export class DiskModel {
  readonly #folder: string;
  readonly #dice: Dice;
  readonly #isLying: boolean;
  /** As the running system sees it. */
  readonly #names = new Map<string, Inode>();
  #syncedNames: ReadonlyMap<string, Inode> = new Map();
  #pendingNames: NameChange[] = [];
  #steps = 0;

  /** Only files right in this folder are followed; it is empty at first. A disk that lies has never synced a thing. */
  constructor(folder: string, dice: Dice, isLying = false) {
    this.#folder = folder;
    this.#dice = dice;
    this.#isLying = isLying;
  }

  /** `Step.begun` counts from the beginning of a trace: a disk that lives through several is told where each begins. */
  get steps(): number {
    return this.#steps;
  }

  apply(step: Step, traceBegan: number): void {
    const number = this.#steps++;
    if (step.kind === 'said' || (step.kind === 'sync' && this.#isLying)) return;
    if (step.path === this.#folder) return step.kind === 'sync' ? this.#syncNames() : undefined;
    if (dirname(step.path) !== this.#folder) return;
    const name = basename(step.path);
    switch (step.kind) {
      case 'create':
        if (!this.#names.has(name)) this.#setName(name, { synced: new Content(), pending: [] });
        return;
      case 'unlink':
        this.#setName(name, undefined);
        return;
      case 'write':
      case 'truncate':
        this.#inode(name).pending.push({ number, change: step });
        return;
      case 'sync':
        syncInode(this.#inode(name), traceBegan + step.begun, (change) => [change]);
        return;
      case 'failed-sync':
        syncInode(this.#inode(name), traceBegan + step.begun, (change) => leftOf(change, this.#dice));
        return;
    }
  }

  /** One of the ways in which the power may go now: the files that are found afterwards, by name. */
  cut(): ReadonlyMap<string, Buffer> {
    const dice = this.#dice;
    const names = new Map(this.#syncedNames);
    for (const { name, inode } of this.#pendingNames) {
      if (dice.chance(0.5)) continue;
      if (inode === undefined) names.delete(name);
      else names.set(name, inode);
    }
    return new Map([...names].map(([name, inode]) => [name, cutInode(inode, dice)]));
  }

  #syncNames(): void {
    this.#syncedNames = new Map(this.#names);
    this.#pendingNames = [];
  }

  #setName(name: string, inode: Inode | undefined): void {
    if (inode === undefined) this.#names.delete(name);
    else this.#names.set(name, inode);
    this.#pendingNames.push({ name, inode });
  }

  #inode(name: string): Inode {
    const inode = this.#names.get(name);
    if (inode === undefined) throw new Error(`expected ${name} to have been made before it was written`);
    return inode;
  }
}

function syncInode(inode: Inode, until: number, left: (change: Change) => readonly Change[]): void {
  for (const { number, change } of inode.pending)
    if (number < until) for (const piece of left(change)) inode.synced.apply(piece);
  inode.pending = inode.pending.filter(({ number }) => number >= until);
}

function cutInode({ synced, pending }: Inode, dice: Dice): Buffer {
  const found = synced.copy();
  for (const { change } of pending) for (const piece of leftOf(change, dice)) found.apply(piece);
  return found.bytes;
}

/** Whole, lost, or in pieces of a sector each of which is there, is not, or is zero. */
function leftOf(change: Change, dice: Dice): readonly Change[] {
  const fate = dice.pick(['whole', 'lost', 'torn'] as const);
  if (fate === 'lost') return [];
  if (fate === 'whole' || change.kind === 'truncate') return [change];
  return piecesOf(change).flatMap((piece) => {
    const fateOfPiece = dice.pick(['whole', 'lost', 'zero'] as const);
    if (fateOfPiece === 'lost') return [];
    return fateOfPiece === 'zero' ? [{ ...piece, bytes: Buffer.alloc(piece.bytes.length) }] : [piece];
  });
}

function piecesOf(write: Extract<Change, { kind: 'write' }>): readonly Extract<Change, { kind: 'write' }>[] {
  const pieces = [];
  const end = write.offset + write.bytes.length;
  for (let from = write.offset; from < end;) {
    const to = Math.min(end, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    pieces.push({ ...write, offset: from, bytes: write.bytes.subarray(from - write.offset, to - write.offset) });
    from = to;
  }
  return pieces;
}

/** Bytes that grow and shrink as a file does: what was never written in between is zero. */
class Content {
  #bytes = Buffer.alloc(0);
  #size = 0;

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  copy(): Content {
    const copy = new Content();
    copy.#bytes = Buffer.from(this.bytes);
    copy.#size = this.#size;
    return copy;
  }

  apply(change: Change): void {
    if (change.kind === 'truncate') {
      this.#bytes.fill(0, change.size);
      this.#resize(change.size);
      return;
    }
    const end = change.offset + change.bytes.length;
    if (end > this.#size) this.#resize(end);
    change.bytes.copy(this.#bytes, change.offset);
  }

  #resize(size: number): void {
    if (size > this.#bytes.length) this.#bytes = Buffer.concat([this.bytes, Buffer.alloc(2 * size - this.#size)]);
    this.#size = size;
  }
}
