/** Renders a board for a terminal: a table per system, what did not pass and why, and one line per column. */
import { CATALOGUE } from './catalogue.ts';
import type { FaultDelivery } from './fault.ts';
import type { Board, Cell } from './results.ts';

const DELIVERIES: readonly FaultDelivery[] = ['unstreamed', 'live', 'whole'];
const CELL_WIDTH = 26;

/** One system on one wire: what a table shows. */
export interface Path {
  readonly subject: string;
  readonly wire: string;
  readonly cells: readonly Cell[];
}

/** Groups the cells of a board by system and wire, in their order. */
export function listPaths(cells: readonly Cell[]): readonly Path[] {
  const names = new Map(cells.map(({ subject, wire }) => [`${subject}|${wire}`, { subject, wire }]));
  return [...names.values()].map(({ subject, wire }) => ({
    subject,
    wire,
    cells: cells.filter((cell) => cell.subject === subject && cell.wire === wire),
  }));
}

/** Names a path for people. */
export function namePath({ subject, wire }: Pick<Path, 'subject' | 'wire'>): string {
  return `${subject}, ${wire} providers`;
}

/** Renders one cell as it ends. */
export function renderProgress(cell: Cell): string {
  return `${cell.fault.padEnd(5)}${`${namePath(cell)}, ${cell.delivery}`.padEnd(60)}${renderCell(cell)}`;
}

/** Renders the whole board. */
export function renderBoard(board: Board): string {
  const paths = listPaths(board.cells);
  return [
    ...paths.map(renderPath),
    ...renderReasons(board.cells),
    [
      `attempts: primary+fallback. The measuring process was held up for at most ${board.pauseMsMax} ms.`,
      ...paths.flatMap(renderSummary),
    ].join('\n'),
  ].join('\n\n');
}

/** One line per delivery of a path: how many of the counted faults passed. */
export function renderSummary(path: Path): readonly string[] {
  const counted = new Set(CATALOGUE.map(({ id }) => id));
  return DELIVERIES.flatMap((delivery) => {
    const cells = path.cells.filter((cell) => cell.delivery === delivery && counted.has(cell.fault));
    if (cells.length === 0) return [];
    const count = (verdict: Cell['verdict']) => cells.filter((cell) => cell.verdict === verdict).length;
    const rest = [
      ...(count('partial') > 0 ? [`${count('partial')} partial`] : []),
      ...(count('fail') > 0 ? [`${count('fail')} fail`] : []),
    ].join(', ');
    return [`${namePath(path)}, ${delivery}: ${count('pass')} of ${cells.length}${rest === '' ? '' : ` (${rest})`}`];
  });
}

/** What must pass and does not: anything short of a pass, but in `live` only a failure. */
export function listShortfalls(cells: readonly Cell[]): readonly Cell[] {
  return cells.filter(({ verdict, delivery }) => verdict === 'fail' || (verdict === 'partial' && delivery !== 'live'));
}

function renderPath(path: Path): string {
  const deliveries = DELIVERIES.filter((delivery) => path.cells.some((cell) => cell.delivery === delivery));
  const faults = [...new Set(path.cells.map(({ fault }) => fault))];
  const rows = faults.map((fault) => {
    const cells = deliveries.map((delivery) =>
      path.cells.find((cell) => cell.fault === fault && cell.delivery === delivery),
    );
    return `${fault.padEnd(6)}${cells.map((cell) => (cell === undefined ? '–' : renderCell(cell)).padEnd(CELL_WIDTH)).join('')}`.trimEnd();
  });
  const head = `${''.padEnd(6)}${deliveries.map((delivery) => delivery.padEnd(CELL_WIDTH)).join('')}`.trimEnd();
  return [namePath(path), head, ...rows].join('\n');
}

function renderCell({ verdict, primary, fallback, seconds }: Cell): string {
  return `${verdict.padEnd(8)}${`${primary}+${fallback}`.padStart(5)}${`${seconds.toFixed(1)} s`.padStart(9)}`;
}

function renderReasons(cells: readonly Cell[]): readonly string[] {
  const lines = cells
    .filter(({ verdict }) => verdict !== 'pass')
    .map(
      (cell) => `${cell.verdict.padEnd(8)}${cell.fault.padEnd(5)}${namePath(cell)}, ${cell.delivery}: ${cell.reason}`,
    );
  return lines.length === 0 ? [] : [lines.join('\n')];
}
