/** Stores on a real disk, for tests: opened here or by another process. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RequestRecord, Settlement } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { EngineOptions } from '../../src/stores/sqlite/engine.ts';
import { openSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';

const PROGRAM = fileURLToPath(new URL('store-program.ts', import.meta.url));

export interface Folder extends AsyncDisposable {
  readonly path: string;
}

/** A folder for one test, removed afterwards. */
export async function makeFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'switchgear-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Opens a store in a thread of this process, as a service does. */
export async function openStore(
  path: string,
  options: Partial<EngineOptions> = {},
): Promise<Storage & AsyncDisposable> {
  const defaults = {
    resultTtlMs: 86_400_000,
    hasWebhooks: false,
    clock: systemClock,
    retainDays: 30,
    busyTimeoutMs: 100,
  };
  const storage = await openSqliteStorage({ ...defaults, ...options, path });
  return { ...storage, [Symbol.asyncDispose]: () => storage.close() };
}

/** Who holds a store that a process of this machine has opened, as messages name it. */
export function nameProcess(child: ChildProcess): string {
  return `process ${child.pid} on ${hostname()}`;
}

export interface StoreProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The first line it said: `opened`, or what is wrong. */
  readonly said: string;
}

/** Opens a store in another process, which holds it until it is disposed of. */
export async function openElsewhere(
  path: string,
  { nodeWords = [], cwd }: { readonly nodeWords?: readonly string[]; readonly cwd?: string } = {},
): Promise<StoreProcess> {
  return start([process.execPath, '--no-warnings', ...nodeWords, PROGRAM, path], cwd);
}

/** The same by somebody whom permissions bind: root may write what nobody may. */
export async function openUnprivileged(path: string): Promise<StoreProcess> {
  const words = [process.execPath, '--no-warnings', PROGRAM, path];
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) return start(words);
  if (spawnSync('setpriv', ['--version']).status !== 0)
    throw new Error('expected setpriv (util-linux) to be installed');
  return start(['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all', ...words]);
}

async function start([command = '', ...words]: readonly string[], cwd?: string): Promise<StoreProcess> {
  const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'], ...(cwd !== undefined && { cwd }) });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  let text = '';
  const first = new Promise<string>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    void ended.then(() => resolve(text)); // It never rejects.
  });
  const said = await first;
  const leave = async () => {
    child.stdin.end();
    await ended;
  };
  return { child, said, [Symbol.asyncDispose]: leave };
}

/** A record with a body of about `bytes`. */
export function createRecord(requestId: string, bytes = 100): RequestRecord {
  return {
    requestId,
    tenant: 'default',
    idempotencyKey: undefined,
    requestHash: requestId,
    request: { kind: 'completion', model: 'm', messages: [{ role: 'user', content: 'x'.repeat(bytes) }] },
    fallbacks: undefined,
    priority: 'normal',
    tags: {},
    createdAt: 1,
    enqueuedAt: 1,
    timeoutMs: 86_400_000,
    recovery: 'atLeastOnce',
    recoveries: 0,
    status: 'queued',
    attempts: [],
  };
}

export function createSettlement(message: string): Settlement {
  return { status: 'failed', error: { code: 'provider-error', message, attempts: [] } };
}
