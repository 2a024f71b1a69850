/**
 * The scoreboard of the sixteen faults for ours: the library and the daemon, both wires, every delivery.
 *
 *   npm run faults                       plays all of it in about two minutes; exit code 1 when something falls short
 *   npm run faults -- --only S07,S09     plays some of it
 *   npm run faults -- --json             prints the board as JSON
 *   npm run faults -- --save             keeps the board for docs/faults.md
 */
import { runBoard } from './board.ts';
import { parseCommand } from './command.ts';
import { OUR_PACKAGES, OURS } from './ours.ts';
import { listShortfalls, renderBoard, renderProgress } from './report.ts';
import { renderJson, saveBoard } from './results.ts';

const { faults, isJson, isSaved } = parseCommand(process.argv.slice(2));
const board = await runBoard({
  subjects: OURS,
  faults,
  packages: OUR_PACKAGES,
  onCell: (cell) => void process.stderr.write(`${renderProgress(cell)}\n`),
});
process.stdout.write(isJson ? renderJson(board) : `\n${renderBoard(board)}\n`);
if (isSaved) await saveBoard(new URL('results.json', import.meta.url), board);
process.exitCode = listShortfalls(board.cells).length === 0 ? 0 : 1;
