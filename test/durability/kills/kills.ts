/**
 * Kills daemons with SIGKILL while callers use them, and checks everything that was seen.
 *
 *   npm run durability:kills                             1,000 kills over 10 stores
 *   npm run durability:kills -- --kills 100 --runs 1 --seed b
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkHistory, countSeen, recoveryTimes } from './check-history.ts';
import { type KillReport, runKills } from './run-kills.ts';

const CALLERS = 12;
const REST_MS = 60_000;
const SHOWN_MAX = 20;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '10' },
    seed: { type: 'string', default: 'a' },
    /** A folder for everything that was seen. */
    keep: { type: 'string' },
    /** Another file for Node to run instead of the sources. */
    main: { type: 'string' },
  },
});
process.exitCode = await killMany(Number(values.kills), Number(values.runs));

async function killMany(kills: number, runs: number): Promise<number> {
  const startedAtMs = performance.now();
  const recoveries: number[] = [];
  const total = { kills: 0, requests: 0, calls: 0, broken: 0 };
  for (let run = 0; run < runs; run++) {
    const count = Math.ceil((kills * (run + 1)) / runs) - total.kills;
    const seed = `${values.seed}${run}`;
    const report = await runKills({
      seed,
      kills: count,
      callers: CALLERS,
      restMs: REST_MS,
      ...(values.main !== undefined && { main: values.main }),
    });
    if (values.keep !== undefined)
      writeFileSync(join(values.keep, `${seed}.json`), JSON.stringify(report, undefined, 1));
    total.kills += count;
    total.requests += report.rows.length;
    total.calls += report.calls.length;
    total.broken += tell(seed, count, report);
    recoveries.push(...recoveryTimes(report));
  }
  const seconds = Math.round((performance.now() - startedAtMs) / 1000);
  process.stdout.write(
    `${total.kills} kills in ${seconds} s: ${total.requests} requests stored, ${total.calls} calls to the provider, ` +
      `${total.broken} broken promises; a requeued request ran again after ${describe(recoveries)}\n`,
  );
  return total.broken === 0 ? 0 : 1;
}

function tell(seed: string, kills: number, report: KillReport): number {
  const problems = [...checkHistory(report), ...report.complaints];
  const { accepted, unanswered, refused, read, cancelled } = countSeen(report.seen);
  process.stderr.write(
    `store ${seed}: ${kills} kills, ${report.listening} lives listened; ${accepted} accepted, ${unanswered} in doubt, ${refused} refused, ` +
      `${read} reads, ${cancelled} cancelled, ${report.rows.length} stored, ${report.calls.length} calls; ` +
      `requeued after ${describe(recoveryTimes(report))}; ${problems.length} broken\n`,
  );
  for (const problem of problems.slice(0, SHOWN_MAX)) process.stderr.write(`  ${problem}\n`);
  return problems.length;
}

/** From the start of the process to the first call. */
function describe(timesMs: readonly number[]): string {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return `${Math.round(median)} ms (median of ${sorted.length}, at most ${Math.round(sorted.at(-1) ?? Number.NaN)} ms)`;
}
