/**
 * How long a start takes that finds a large file: what the check of its pages costs by size, and what a million requests cost
 * that wait in it.
 *
 *   node bench/store/starts.ts                     files of 100 MB, 500 MB and 2 GB, and a million parked requests
 *   node bench/store/starts.ts --megabytes 100
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { createRecord } from './submitters.ts';

const ROUNDS = 3;
/** Committed together, so that the file grows quickly. */
const GROUP = 500;

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', multiple: true, default: ['100', '500', '2000'] },
    parked: { type: 'string', default: '1000000' },
  },
});
const folder = await mkdtemp(join(process.env['SWITCHGEAR_BENCH_FOLDER'] ?? tmpdir(), 'switchgear-starts-'));
for (const megabytes of values.megabytes) await measureSize(Number(megabytes));
if (Number(values.parked) > 0) await measureParked(Number(values.parked));
await rm(folder, { recursive: true });

/** Records that have ended, with an answer of 2 kB. */
async function measureSize(megabytes: number): Promise<void> {
  const path = join(folder, `${megabytes}.db`);
  await fill(path, async (storage, number) => {
    const record = createRecord(number);
    await storage.requests.insert(record, 'memory');
    const message = 'x'.repeat(2_000);
    const settlement = { status: 'failed', error: { code: 'provider-error', message, attempts: [] } } as const;
    await storage.requests.settle({ requestId: record.requestId, fence: 1 }, settlement, Date.now());
    return number % GROUP !== 0 || (await stat(path)).size < megabytes * 1_000_000;
  });
  const checks = Array.from({ length: ROUNDS }, () => timeCheck(path));
  tell(
    `${((await stat(path)).size / 1e6).toFixed(0)} MB: quick_check ${checks.map((ms) => `${ms.toFixed(0)} ms`).join(', ')}`,
  );
  await tellStarts(path);
}

async function measureParked(parked: number): Promise<void> {
  const path = join(folder, 'parked.db');
  await fill(path, async (storage, number) => {
    await storage.requests.insert(createRecord(number), 'store');
    return number < parked;
  });
  tell(`${parked} parked requests, ${((await stat(path)).size / 1e6).toFixed(0)} MB`);
  await tellStarts(path);
}

/** From the call to the first requests that are handed out. */
async function tellStarts(path: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const startedAtMs = performance.now();
    const host = await createWorkerHost({ path, resultTtlMs: 86_400_000, hasWebhooks: false });
    const openedAtMs = performance.now();
    const storage = createSqliteStorage(host, { clock: systemClock, retainDays: 30 });
    await storage.requests.recover();
    const listed = await storage.requests.listParked(GROUP);
    const readyAtMs = performance.now();
    await storage.close();
    const [open, rest] = [openedAtMs - startedAtMs, readyAtMs - openedAtMs];
    tell(`  start: open ${open.toFixed(0)} ms, recover and list ${listed.length} ${rest.toFixed(0)} ms`);
  }
}

/** Adds until it is told to stop, many at a time. */
async function fill(
  path: string,
  add: (storage: ReturnType<typeof createSqliteStorage>, number: number) => Promise<boolean>,
): Promise<void> {
  const host = createInlineHost({ path, resultTtlMs: 86_400_000, hasWebhooks: false });
  const storage = createSqliteStorage(host, { clock: systemClock, retainDays: 30 });
  let isWanted = true;
  for (let number = 1; isWanted; number += GROUP) {
    const added = await Promise.all(Array.from({ length: GROUP }, (_, index) => add(storage, number + index)));
    isWanted = added.every(Boolean);
  }
  await storage.close();
}

/** As `open-database.ts` does it, on pages that the system has not cached where it can be told to forget them. */
function timeCheck(path: string): number {
  const database = new DatabaseSync(path);
  const startedAtMs = performance.now();
  database.prepare('PRAGMA quick_check(1)').all();
  const ms = performance.now() - startedAtMs;
  database.close();
  return ms;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
