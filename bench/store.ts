/**
 * How fast requests are acknowledged: our store alone, a whole service over it, with and without its thread, on this disk and
 * on a slow one, and BullMQ beside it in the same run. Each is measured in turn within one round, so that a slow machine slows
 * all alike.
 *
 *   npm run bench:store                       prints medians over rounds
 *   npm run bench:store -- --rounds 9 --json
 *   npm run bench:store -- --only service     leaves the others out
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Figures, type Subject, SUBJECTS, type Task } from './store/measurement.ts';
import { findRedis, startRedis } from './store/redis.ts';

const MEASURE = fileURLToPath(new URL('store/measure.ts', import.meta.url));
const SLOW_SYNC = fileURLToPath(new URL('store/slow-sync.c', import.meta.url));

/** Their queue holds 10,000, those of the warm-up included. */
const HELD_IN_MEMORY: readonly Subject[] = ['service', 'service without thread'];

interface Row {
  readonly subject: Subject;
  readonly disk: 'this disk' | 'slow disk';
  readonly callers: number;
  readonly requests: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const redis = findRedis();
const folder = await mkdtemp(join(tmpdir(), 'switchgear-bench-'));
const slow = buildSlowSync(folder);
const rows = listRows();
const figures = new Map<Row, Figures[]>(rows.map((row) => [row, []]));
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const row of rows) figures.get(row)?.push(await measure(row));
  process.stderr.write(`round ${round} of ${values.rounds}\n`);
}
await rm(folder, { recursive: true });
report();

/** On a slow disk fewer are asked: each takes as long as several hundred do here. */
function listRows(): readonly Row[] {
  const isWanted = (subject: Subject) =>
    (redis !== undefined || !subject.startsWith('BullMQ')) &&
    (values.only === undefined || values.only.some((name) => subject.startsWith(name)));
  const subjects = SUBJECTS.filter(isWanted);
  const here = subjects.flatMap((subject): readonly Row[] => [
    { subject, disk: 'this disk', callers: 1, requests: 3_000 },
    { subject, disk: 'this disk', callers: 32, requests: HELD_IN_MEMORY.includes(subject) ? 8_000 : 40_000 },
  ]);
  const there = subjects
    .filter((subject) => subject.startsWith('service') && slow !== undefined)
    .flatMap((subject): readonly Row[] => [
      { subject, disk: 'slow disk', callers: 1, requests: 100 },
      { subject, disk: 'slow disk', callers: 32, requests: 3_000 },
    ]);
  return [...here, ...there];
}

async function measure({ subject, disk, callers, requests }: Row): Promise<Figures> {
  const preload = disk === 'slow disk' && slow !== undefined ? { LD_PRELOAD: slow } : {};
  if (!subject.startsWith('BullMQ')) return run({ subject, callers, requests }, preload);
  await using server = await startRedis(subject === 'BullMQ, always' ? 'always' : 'everysec');
  return await run({ subject, callers, requests, port: server.port }, preload);
}

async function run(task: Task, env: Readonly<Record<string, string>>): Promise<Figures> {
  const child = spawn(process.execPath, ['--no-warnings', MEASURE, JSON.stringify(task)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`expected ${JSON.stringify(task)} to be measured, got: exit ${String(code)}`);
  // What `measure.ts` prints.
  return JSON.parse(text) as Figures;
}

/** A library that slows syncs down; undefined where there is no compiler, or no such library can be loaded. */
function buildSlowSync(into: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const library = join(into, 'slow-sync.so');
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-o', library, SLOW_SYNC, '-ldl']);
  return status === 0 ? library : undefined;
}

function report(): void {
  const table = rows.map((row) => {
    const rounds = figures.get(row) ?? [];
    const of = (name: keyof Figures) => median(rounds.map((round) => round[name]));
    return { ...row, perSecond: of('perSecond'), p50Ms: of('p50Ms'), p99Ms: of('p99Ms'), loopP99Ms: of('loopP99Ms') };
  });
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, redis, rounds: Number(values.rounds), table }, undefined, 2)}\n`,
    );
    return;
  }
  process.stdout.write(
    `medians of ${values.rounds} rounds, Node ${process.version}, Redis ${redis ?? 'not installed'}\n\n`,
  );
  const head = ['what', 'where', 'callers', 'submits/s', 'p50 ms', 'p99 ms', 'loop p99 ms'];
  process.stdout.write(`${renderLine(head)}\n`);
  for (const { subject, disk, callers, perSecond, p50Ms, p99Ms, loopP99Ms } of table) {
    const cells = [perSecond.toFixed(0), p50Ms.toFixed(2), p99Ms.toFixed(2), loopP99Ms.toFixed(2)];
    process.stdout.write(`${renderLine([subject, disk, String(callers), ...cells])}\n`);
  }
  if (slow === undefined) process.stdout.write('\nno C compiler (cc): the slow disk is left out\n');
}

function renderLine([subject = '', disk = '', ...cells]: readonly string[]): string {
  return `${subject.padEnd(24)}${disk.padEnd(11)}${cells.map((cell) => cell.padStart(13)).join('')}`;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
