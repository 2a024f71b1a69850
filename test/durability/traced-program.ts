/**
 * Uses a store in a worker thread, as a service does, and says on standard output what the store has acknowledged, at the
 * moment it hears it. Runs under strace; its arguments are one JSON text.
 */
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { RequestRecord, RequestStore, Settlement } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { Dice } from '../simulation/dice.ts';

export interface ProgramOptions {
  readonly path: string;
  readonly seed: string;
  readonly callers: number;
  /** Requests of each caller. */
  readonly requests: number;
  /** How it ends: well, or by SIGKILL in the middle of its work. */
  readonly end: 'close' | 'kill';
}

/** What the program says, and what is found in the file. They are of one length, as nothing parts them there from what follows. */
export const MARKS = /(?:req|end)_[a-z0-9-]{24}/g;
const ID_LENGTH = 28;
const LISTED_MAX = 10_000;
const TRIES_MAX = 5;

async function main(options: ProgramOptions): Promise<void> {
  const { path, callers, end } = options;
  const shared = { resultTtlMs: 86_400_000, hasWebhooks: true, clock: systemClock, retainDays: 30 };
  const storage = await again(() => openSqliteStorage({ path, ...shared }));
  await again(() => storage.requests.recover());
  // Whoever asks for what an earlier life has left is told that it is there.
  for (const { requestId } of await again(() => storage.requests.listParked(LISTED_MAX))) say(requestId);
  const work = Array.from({ length: callers }, (_, caller) => useStore(storage, options, caller));
  if (end === 'kill') {
    // Whoever is through first takes the others with it.
    await Promise.race(work);
    process.kill(process.pid, 'SIGKILL');
  }
  await Promise.all(work);
  await storage.close();
}

/** Submits, runs and settles; some requests are left queued, some parked, some running. */
async function useStore({ requests }: Storage, options: ProgramOptions, caller: number): Promise<void> {
  const dice = new Dice(`${options.seed}/${caller}`);
  for (let number = 0; number < options.requests; number++) {
    const requestId = `req_${options.seed}-${caller}-${number}`.padEnd(ID_LENGTH, '-');
    const place = dice.chance(0.2) ? 'store' : 'memory';
    if (!(await submit(requests, recordOf(requestId, dice), place))) continue;
    say(requestId);
    const claim = { requestId, fence: 1 };
    if (place === 'store' || dice.chance(0.1)) continue;
    await tried(() => requests.markRunning(claim, { provider: 'local', model: 'm' }));
    if (dice.chance(0.1)) continue;
    const end = requestId.replace('req_', 'end_');
    const settlement: Settlement = { status: 'failed', error: { code: 'provider-error', message: end, attempts: [] } };
    if ((await tried(() => requests.settle(claim, settlement, Date.now()))) === true) say(end);
  }
}

/** As the service does: an insertion that failed and is found all the same is ours. */
async function submit(requests: RequestStore, record: RequestRecord, place: 'memory' | 'store'): Promise<boolean> {
  if ((await tried(() => requests.insert(record, place))) !== undefined) return true;
  return (await tried(() => requests.load(record.requestId)))?.kind === 'found';
}

/** A disk that fails now and then is asked again. */
async function again<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (let tries = 1; tries < TRIES_MAX; tries++) {
    const value = await tried(ask);
    if (value !== undefined) return value;
  }
  return ask();
}

/** Undefined when the store says that it has failed. */
async function tried<Value>(ask: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof SwitchgearError && error.code === 'store-unavailable') return undefined;
    throw error;
  }
}

function recordOf(requestId: string, dice: Dice): RequestRecord {
  const content = 'x'.repeat(Math.round(dice.logUniform(20, 20_000)));
  return {
    requestId,
    tenant: dice.pick(['default', 'acme']),
    idempotencyKey: dice.chance(0.5) ? requestId : undefined,
    requestHash: requestId,
    request: { kind: 'completion', model: 'm', messages: [{ role: 'user', content }] },
    fallbacks: undefined,
    priority: dice.pick(['high', 'normal', 'low']),
    tags: {},
    createdAt: Date.now(),
    enqueuedAt: Date.now(),
    timeoutMs: 86_400_000,
    recovery: 'atLeastOnce',
    recoveries: 0,
    status: 'queued',
    attempts: [],
  };
}

function say(mark: string): void {
  process.stdout.write(`${mark}\n`);
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] ?? '{}') as ProgramOptions);
