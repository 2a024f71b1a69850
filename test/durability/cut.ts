/**
 * Lives many stores under strace, cuts their power at random moments and says what was lost.
 *
 *   npm run durability:power-cut                              500 cuts over 5 stores
 *   npm run durability:power-cut -- --points 2000 --runs 20
 */
import { parseArgs } from 'node:util';
import { findTraceProblem } from './trace.ts';
import { cutPower, type PowerCutPlan } from './power-cut.ts';

/** Long enough for the log to be folded into the file several times; ended by SIGKILL and by a proper end. */
const LIVES: PowerCutPlan['lives'] = [
  { callers: 4, requests: 80, end: 'kill' },
  { callers: 1, requests: 80, end: 'close' },
  { callers: 16, requests: 40, end: 'kill' },
  { callers: 8, requests: 40, end: 'close' },
];
const SHOWN_MAX = 20;

const { values } = parseArgs({
  options: {
    points: { type: 'string', default: '500' },
    runs: { type: 'string', default: '5' },
    seed: { type: 'string', default: 'a' },
  },
});
const problem = findTraceProblem();
if (problem === undefined) process.exitCode = await cutMany(Number(values.points), Number(values.runs));
else {
  process.stderr.write(`expected to be able to trace processes: ${problem}\n`);
  process.exitCode = 69;
}

async function cutMany(points: number, runs: number): Promise<number> {
  const startedAtMs = performance.now();
  const total = { points: 0, steps: 0, checkpoints: 0, promises: 0, broken: 0 };
  for (let run = 0; run < runs; run++) {
    const seed = `${values.seed}${run}`;
    const report = await cutPower({
      seed,
      points: Math.ceil((points * (run + 1)) / runs) - total.points,
      lives: LIVES,
    });
    total.points += report.points;
    total.steps += report.steps;
    total.checkpoints += report.checkpoints;
    total.promises += report.promises;
    total.broken += report.broken.length;
    for (const sentence of report.broken.slice(0, SHOWN_MAX)) process.stderr.write(`seed ${seed}: ${sentence}\n`);
    process.stderr.write(
      `store ${run + 1} of ${runs}: ${report.points} cuts, ${report.broken.length} broken promises\n`,
    );
  }
  const seconds = Math.round((performance.now() - startedAtMs) / 1000);
  process.stdout.write(
    `${total.points} power cuts in ${total.steps} steps with ${total.checkpoints} checkpoints: ${total.promises} acknowledgements ` +
      `looked for, ${total.broken} broken, in ${seconds} s\n`,
  );
  return total.broken === 0 ? 0 : 1;
}
