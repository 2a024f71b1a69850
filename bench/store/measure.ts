/** Measures one thing in a process of its own, so that none warms or litters another's heap. Prints its figures as JSON. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Figures, Submitter, Task } from './measurement.ts';
import { openSubmitter } from './submitters.ts';

/** So many come before, that code is compiled and files have grown; they are not measured. */
const WARM_UP = 0.2;

// The benchmark gives it.
const task = JSON.parse(process.argv[2] ?? '{}') as Task;
const folder = await mkdtemp(join(process.env['SWITCHGEAR_BENCH_FOLDER'] ?? tmpdir(), 'switchgear-bench-'));
try {
  await using submitter = await openSubmitter(task, join(folder, 'store.db'));
  let number = 0;
  await submitAll(submitter, Math.ceil(task.requests * WARM_UP), () => number++);
  const figures = await measure(submitter, () => number++);
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  await rm(folder, { recursive: true });
}

async function measure(submitter: Submitter, next: () => number): Promise<Figures> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  // It measures from its first turn on.
  await sleep(5);
  const startedAtMs = performance.now();
  const timesMs = await submitAll(submitter, task.requests, next);
  const seconds = (performance.now() - startedAtMs) / 1_000;
  // A loop that never turned meanwhile turns once more, and is found to be late.
  await sleep(2);
  loop.disable();
  const sorted = timesMs.toSorted((left, right) => left - right);
  return {
    perSecond: task.requests / seconds,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    loopP99Ms: loop.percentile(99) / 1e6,
  };
}

/** How long each one took, ms. */
async function submitAll(submitter: Submitter, requests: number, next: () => number): Promise<readonly number[]> {
  const timesMs: number[] = [];
  let left = requests;
  const submit = async () => {
    while (left-- > 0) {
      const startedAtMs = performance.now();
      await submitter.submit(next());
      timesMs.push(performance.now() - startedAtMs);
    }
  };
  await Promise.all(Array.from({ length: task.callers }, submit));
  return timesMs;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
