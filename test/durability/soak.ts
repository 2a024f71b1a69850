/**
 * A million requests through a store whose results expire soon, at a rate that leaves it room: memory and file have to stay as
 * large as they are, and nobody who submits may notice that others are deleted.
 *
 *   npm run durability:soak
 *   npm run durability:soak -- --requests 200000 --ttl 3000 --rate 1000
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { heapUsed } from '../support/heap.ts';
import { createRecord, createSettlement } from './stores.ts';

const CALLERS = 16;
const BODY_BYTES = 1_000;
/** Samples before this share of the run are growth that has to be: code is compiled, the first results have not expired. */
const WARM_UP = 0.3;
const SAMPLES = 200;
/** By how much memory or file may grow over the rest of the run, as a share of what they were. */
const GROWTH_MAX = 0.1;
const DELAY_MAX_MS = 20;

interface SoakPlan {
  readonly requests: number;
  readonly resultTtlMs: number;
  readonly perSecond: number;
  readonly path: string;
}

interface Sample {
  readonly requests: number;
  readonly rssBytes: number;
  readonly fileBytes: number;
}

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    ttl: { type: 'string', default: '10000' },
    /** Requests per second. */
    rate: { type: 'string', default: '1500' },
  },
});
const folder = await mkdtemp(join(tmpdir(), 'switchgear-soak-'));
process.exitCode = await soak({
  requests: Number(values.requests),
  resultTtlMs: Number(values.ttl),
  perSecond: Number(values.rate),
  path: join(folder, 'store.db'),
});
await rm(folder, { recursive: true });

async function soak({ requests, resultTtlMs, perSecond, path }: SoakPlan): Promise<number> {
  const deletions: Deletions = { count: 0, isUnderWay: false };
  const host = watchDeletions(await createWorkerHost({ path, resultTtlMs, hasWebhooks: false }), deletions);
  const storage = createSqliteStorage(host, { clock: systemClock, retainDays: 30 });
  const samples: Sample[] = [];
  // Of a size that does not grow, in microseconds.
  const beside = createHistogram();
  const alone = createHistogram();
  const startedAtMs = performance.now();
  let next = 0;
  const live = async () => {
    while (next < requests) {
      const number = next++;
      if (number % Math.ceil(requests / SAMPLES) === 0) samples.push(await sample(number, path));
      await sleep(Math.max(0, startedAtMs + (number / perSecond) * 1_000 - performance.now()));
      const requestId = `req_${String(number).padStart(21, '0')}`;
      // It waits for the group under way and travels in the next one: either may delete.
      const { count: deletionsBefore, isUnderWay: hasWaited } = deletions;
      const submittedAtMs = performance.now();
      await storage.requests.insert(createRecord(requestId, BODY_BYTES), 'memory');
      const ms = performance.now() - submittedAtMs;
      (hasWaited || deletions.count > deletionsBefore ? beside : alone).record(Math.ceil(ms * 1_000));
      await storage.requests.markRunning({ requestId, fence: 1 }, { provider: 'local', model: 'm' });
      await storage.requests.settle({ requestId, fence: 1 }, createSettlement('x'.repeat(BODY_BYTES)), Date.now());
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, live));
  const seconds = (performance.now() - startedAtMs) / 1_000;
  await storage.close();
  return report({ requests, seconds, samples, beside, alone, deletions: deletions.count });
}

interface Deletions {
  count: number;
  isUnderWay: boolean;
}

/** Counts the groups in which something is deleted, and says whether one is under way. */
function watchDeletions(host: Host, deletions: Deletions): Host {
  return {
    afterTurn: (callback) => {
      host.afterTurn(callback);
    },
    close: () => host.close(),
    abandon: () => {
      host.abandon();
    },
    run: async (group) => {
      if (!group.some(({ name }) => name === 'sweep')) return host.run(group);
      deletions.count += 1;
      deletions.isUnderWay = true;
      try {
        return await host.run(group);
      } finally {
        deletions.isUnderWay = false;
      }
    },
  };
}

async function sample(requests: number, path: string): Promise<Sample> {
  // What the collector had not got to is no growth.
  heapUsed();
  const sizes = await Promise.all([path, `${path}-wal`].map(async (name) => (await stat(name)).size));
  return { requests, rssBytes: process.memoryUsage.rss(), fileBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

interface Soaked {
  readonly requests: number;
  readonly seconds: number;
  readonly samples: readonly Sample[];
  /** How long submissions took while something was deleted, and otherwise. */
  readonly beside: RecordableHistogram;
  readonly alone: RecordableHistogram;
  readonly deletions: number;
}

function report({ requests, seconds, samples, beside, alone, deletions }: Soaked): number {
  const settled = samples.filter((one) => one.requests >= requests * WARM_UP);
  const memory = fit(settled.map((one) => [one.requests, one.rssBytes]));
  const file = fit(settled.map((one) => [one.requests, one.fileBytes]));
  const [besideMs, aloneMs] = [beside.percentile(99) / 1_000, alone.percentile(99) / 1_000];
  const delayMs = besideMs - aloneMs;
  tell(
    `${requests} requests in ${seconds.toFixed(0)} s (${(requests / seconds).toFixed(0)}/s), ${deletions} deletions`,
  );
  tell(`memory: ${describe(memory)}`);
  tell(`file:   ${describe(file)}`);
  tell(`submit: p99 ${aloneMs.toFixed(1)} ms, beside a deletion ${besideMs.toFixed(1)} ms (${beside.count} of them)`);
  const problems = [
    ...(memory.growth > GROWTH_MAX ? ['memory grows'] : []),
    ...(file.growth > GROWTH_MAX ? ['the file grows'] : []),
    ...(delayMs > DELAY_MAX_MS ? [`deletions delay submissions by ${delayMs.toFixed(1)} ms`] : []),
    ...(deletions === 0 || beside.count === 0 ? ['nothing was deleted beside a submission'] : []),
  ];
  for (const problem of problems) tell(problem);
  return problems.length === 0 ? 0 : 1;
}

interface Fit {
  readonly level: number;
  /** Bytes per request. */
  readonly slope: number;
  /** Over the run that was looked at, as a share of the level. */
  readonly growth: number;
}

/** The straight line with the least squares. */
function fit(points: readonly (readonly [number, number])[]): Fit {
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const middle = mean(points.map(([x]) => x));
  const level = mean(points.map(([, y]) => y));
  const above = points.reduce((sum, [x, y]) => sum + (x - middle) * (y - level), 0);
  const below = points.reduce((sum, [x]) => sum + (x - middle) ** 2, 0);
  const slope = above / below;
  const length = (points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0);
  return { level, slope, growth: (slope * length) / level };
}

function describe({ level, slope, growth }: Fit): string {
  return `${(level / 1e6).toFixed(0)} MB, ${slope.toFixed(1)} bytes for each request more, ${(growth * 100).toFixed(1)} % over the run`;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
