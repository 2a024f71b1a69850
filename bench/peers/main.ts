/**
 * The scoreboard of the sixteen faults for what one would use instead of ours, and ours beside it in the same run.
 *
 *   npm run faults:peers                       installs the peers in bench/peers and plays all of it
 *   npm run faults:peers -- --only S07,S09     plays some of it
 *   npm run faults:peers -- --json             prints the board as JSON
 *   npm run faults:peers -- --save             keeps the board for docs/faults.md
 */
import { runBoard } from '../faults/board.ts';
import { parseCommand } from '../faults/command.ts';
import { createDaemon, createLibrary, OUR_PACKAGES } from '../faults/ours.ts';
import { renderBoard, renderProgress } from '../faults/report.ts';
import { renderJson, saveBoard } from '../faults/results.ts';
import { AI_FALLBACK, AI_RETRY, AI_SDK } from './ai-sdk.ts';
import { OPENAI_SDK } from './openai-sdk.ts';
import { PORTKEY } from './portkey.ts';

const HERE = new URL('./', import.meta.url);
const PACKAGES = ['ai', '@ai-sdk/openai', 'ai-fallback', 'ai-retry', '@portkey-ai/gateway'];
const { faults, isJson, isSaved } = parseCommand(process.argv.slice(2));
const board = await runBoard({
  subjects: [
    createLibrary('openai'),
    createDaemon('openai', 'openai'),
    OPENAI_SDK,
    AI_SDK,
    AI_FALLBACK,
    AI_RETRY,
    PORTKEY,
  ],
  faults,
  packages: [...OUR_PACKAGES, ...PACKAGES.map((name) => ({ name, root: HERE }))],
  onCell: (cell) => void process.stderr.write(`${renderProgress(cell)}\n`),
});
process.stdout.write(isJson ? renderJson(board) : `\n${renderBoard(board)}\n`);
if (isSaved) await saveBoard(new URL('results.json', HERE), board);
