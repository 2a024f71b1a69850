/**
 * Lives many seeds and says what came of them.
 *
 *   npm run simulate:seeds -- --seeds 1000 --hours 1      many worlds, in parallel
 *   npm run simulate:seeds -- --seed 17 --hours 1 --trace one world, told line by line
 *   npm run simulate:seeds -- --points 3                  one of the worlds that die at every operation, both ways
 *   npm run simulate:seeds -- --crashes 3                 one of the worlds whose actors crash at every event; `all` of them
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { COVERAGE } from './coverage.ts';
import { CRASH_WORLDS, liveCrashes } from './crash-points.ts';
import { livePoints } from './death-points.ts';
import { simulate, type SimulationReport } from './simulation.ts';
import type { SeedSummary } from './worker.ts';

const LINES_SHOWN = 40;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    hours: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    seed: { type: 'string' },
    points: { type: 'string' },
    crashes: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});
const hours = positive('hours', values.hours);

async function liveOne(seed: number): Promise<number> {
  const report = await simulate({ seed, hours, ...(values.trace && { print }) });
  return tell(report);
}

/** Both ways: what is died before in the one is died after in the other. */
async function livePointsOf(world: number): Promise<number> {
  const exits: number[] = [];
  for (const isEvenBefore of [true, false])
    exits.push(tell(await livePoints(world, isEvenBefore, values.trace ? print : undefined)));
  return Math.max(...exits);
}

async function liveCrashesOf(which: string): Promise<number> {
  const worlds = Array.from({ length: CRASH_WORLDS }, (_, index) => index + 1);
  const exits: number[] = [];
  for (const world of which === 'all' ? worlds : [positive('crashes', which)])
    exits.push(tell(await liveCrashes(world, values.trace ? print : undefined)));
  return Math.max(...exits);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function tell(report: SimulationReport): number {
  const { seed } = report;
  if (!values.trace) tellFailure(report);
  print(`seed ${seed}: ${report.digest}, ${report.requests} requests, ${report.violations.length} broken promises`);
  return report.violations.length > 0 ? 1 : 0;
}

function tellFailure({ violations, lastLines }: SimulationReport): void {
  if (violations.length > 0) process.stdout.write(`${lastLines.slice(-LINES_SHOWN).join('\n')}\n`);
}

async function liveMany(): Promise<number> {
  const from = positive('from', values.from);
  const until = from + positive('seeds', values.seeds);
  const jobs = Math.min(positive('jobs', values.jobs), until - from);
  const startedAtMs = performance.now();
  const total = new Totals();
  let next = from;
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      const worker = new Worker(new URL('worker.ts', import.meta.url));
      while (next < until) {
        const summary = await ask(worker, next++);
        total.add(summary);
        if (summary.violations.length > 0) process.stderr.write(`${failureOf(summary)}\n`);
        if (total.seeds % 100 === 0) process.stderr.write(`${total.line(startedAtMs)}\n`);
      }
      await worker.terminate();
    }),
  );
  total.tell(startedAtMs);
  return total.failed.length > 0 ? 1 : 0;
}

function failureOf({ seed, violations: [first] }: SeedSummary): string {
  return `seed ${seed}: ${first?.rule}: ${first?.message}\n  npm run simulate:seeds -- --seed ${seed} --hours ${hours} --trace`;
}

function ask(worker: Worker, seed: number): Promise<SeedSummary> {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    // oxlint-disable-next-line require-post-message-target-origin -- a thread has no origin
    worker.postMessage({ seed, hours });
  });
}

class Totals {
  readonly failed: SeedSummary[] = [];
  readonly #counts = new Map<string, number>();
  seeds = 0;
  #steps = 0;
  #requests = 0;
  #upstreamCalls = 0;

  add(summary: SeedSummary): void {
    this.seeds += 1;
    this.#steps += summary.steps;
    this.#requests += summary.requests;
    this.#upstreamCalls += summary.upstreamCalls;
    for (const [kind, count] of summary.counts) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + count);
    if (summary.violations.length > 0) this.failed.push(summary);
  }

  line(startedAtMs: number): string {
    const seconds = (performance.now() - startedAtMs) / 1000;
    const simulated = this.seeds * hours;
    const speed = Math.round((simulated * 3600) / seconds);
    return `${this.seeds} seeds, ${simulated} simulated hours in ${seconds.toFixed(0)} s (${speed} × real time), ${this.failed.length} failed`;
  }

  tell(startedAtMs: number): void {
    const kinds = [...this.#counts].toSorted(([one], [other]) => one.localeCompare(other));
    for (const [kind, count] of kinds) print(`${String(count).padStart(12)}  ${kind}`);
    const missing = COVERAGE.filter((kind) => !this.#counts.has(kind));
    if (missing.length > 0) print(`never happened: ${missing.join(', ')}`);
    print(`${this.#requests} requests, ${this.#upstreamCalls} upstream calls, ${this.#steps} steps`);
    for (const summary of this.failed.toSorted((one, other) => one.seed - other.seed)) print(failureOf(summary));
    print(this.line(startedAtMs));
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  process.stderr.write(`expected --${name} to be a positive number, got: ${text}\n`);
  process.exit(64);
}

async function live(): Promise<number> {
  if (values.points !== undefined) return livePointsOf(positive('points', values.points));
  if (values.crashes !== undefined) return liveCrashesOf(values.crashes);
  return values.seed === undefined ? liveMany() : liveOne(positive('seed', values.seed));
}

process.exitCode = await live();
