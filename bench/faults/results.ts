/** What a run of the board leaves behind: one record per cell, in a file that reads and compares line by line. */
import { readFile, writeFile } from 'node:fs/promises';
import type { WireName } from '../../src/simulator/wire.ts';
import type { FaultDelivery } from './fault.ts';
import type { Judgement } from './judge.ts';

/** One fault through one system, delivered one way. */
export interface Cell extends Judgement {
  readonly subject: string;
  /** What the providers spoke. */
  readonly wire: WireName;
  readonly fault: string;
  readonly delivery: FaultDelivery;
  /** Attempts that each upstream saw. */
  readonly primary: number;
  readonly fallback: number;
  /** How long the faulty request took; of a fault of many requests, all of them. */
  readonly seconds: number;
}

/** A run of the board. */
export interface Board {
  /** ISO 8601. */
  readonly date: string;
  readonly node: string;
  readonly cores: number;
  /** Packages whose version matters. */
  readonly versions: Readonly<Record<string, string>>;
  /** How each system was set up. */
  readonly settings: Readonly<Record<string, string>>;
  /** The longest moment in which the measuring process did not get to measure. */
  readonly pauseMsMax: number;
  readonly cells: readonly Cell[];
}

/** Loads a board that was saved. */
export async function loadBoard(file: URL): Promise<Board> {
  // `saveBoard` wrote it, and the repository keeps it.
  return JSON.parse(await readFile(file, 'utf8')) as Board;
}

/** Saves a board, one line per cell. */
export async function saveBoard(file: URL, board: Board): Promise<void> {
  await writeFile(file, renderJson(board));
}

/** Renders a board as JSON, one line per cell. */
export function renderJson({ cells, ...head }: Board): string {
  const lines = cells.map((cell) => `    ${JSON.stringify(cell)}`).join(',\n');
  return `${JSON.stringify(head, null, 2).replace(/\n\}$/u, '')},\n  "cells": [\n${lines}\n  ]\n}\n`;
}
