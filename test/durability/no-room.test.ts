import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../daemon/daemon-process.ts';
import { findMountProblem, limitFiles, mountSmallDisk, type SmallDisk } from './small-disk.ts';
import { createRecord, createSettlement, openStore } from './stores.ts';

const PATIENCE = { timeout: 120_000 };
const LARGE_BYTES = 50_000;
/** Longer than the room that a refused submission may have left. */
const LONG_ANSWER = 'slowly '.repeat(20_000);

interface Answer {
  readonly status: number;
  readonly code: string | null;
  readonly body: {
    readonly requestId?: string;
    readonly status?: string;
    readonly error?: { readonly message: string };
  };
}

async function ask(url: string, path: string, prompt?: string): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    ...(prompt !== undefined && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: prompt }] }),
    }),
  });
  // What the routes promise.
  const body = (await response.json()) as Answer['body'];
  return { status: response.status, code: response.headers.get('x-switchgear-error'), body };
}

async function startOn({ folder }: SmallDisk): Promise<Daemon> {
  const config = {
    defaults: { model: 'm' },
    store: { kind: 'sqlite', path: join(folder, 'store.db') },
    providers: {
      local: {
        adapter: 'mock',
        models: ['m'],
        options: {
          rules: [{ match: 'slow', step: { delayMs: 1_500, text: LONG_ANSWER } }],
          default: { text: 'at once' },
        },
      },
    },
  };
  await writeFile(join(folder, 'switchgear.yaml'), JSON.stringify(config));
  return startDaemon(join(folder, 'switchgear.yaml'));
}

/** Submits until nothing more is taken: what is refused, and what was accepted before. */
async function submitUntilRefused(url: string): Promise<{ readonly refused: Answer; readonly accepted: string[] }> {
  const accepted: string[] = [];
  for (;;) {
    const answer = await ask(url, '/v1/requests', 'x'.repeat(LARGE_BYTES));
    if (answer.status !== 202) return { refused: answer, accepted };
    accepted.push(answer.body.requestId ?? '');
  }
}

async function untilEnded(url: string, requestId: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(url, `/v1/requests/${requestId}?wait=5`);
    if (answer.status !== 200 || (answer.body.status !== 'queued' && answer.body.status !== 'running')) return answer;
  }
}

/** A daemon that finds no room, refuses what it cannot keep, and goes on by itself when there is room. */
async function expectToLiveThrough(disk: SmallDisk, reason: RegExp): Promise<void> {
  await using daemon = await startOn(disk);
  const { url } = daemon;
  const pid = daemon.process.pid ?? 0;
  const path = join(disk.folder, 'store.db');
  const running = (await ask(url, '/v1/requests', 'be slow')).body.requestId ?? '';
  // On a disk that is full it would wait: that it runs has to be written.
  while ((await ask(url, `/v1/requests/${running}`)).body.status !== 'running') await sleep(10);
  disk.fill(pid);
  const { refused, accepted } = await submitUntilRefused(url);
  expect(refused).toMatchObject({ status: 503, code: 'store-unavailable' });
  expect(refused.body.error?.message).toContain(path);
  expect(refused.body.error?.message).toMatch(reason);
  // Long enough for the slow one to be answered, which nobody may be told before it is written.
  await sleep(2_500);
  expect(await ask(url, `/v1/requests/${running}`)).toMatchObject({ status: 200, body: { status: 'running' } });
  expect((await ask(url, '/healthz')).status).toBe(200);
  disk.free(pid);
  expect(await untilEnded(url, running)).toMatchObject({ status: 200, body: { status: 'succeeded' } });
  for (const requestId of accepted) expect((await untilEnded(url, requestId)).body.status).toBe('succeeded');
  const later = await ask(url, '/v1/requests', 'again');
  expect(later.status).toBe(202);
  expect((await untilEnded(url, later.body.requestId ?? '')).body.status).toBe('succeeded');
  daemon.process.kill('SIGTERM');
  expect(await daemon.exit).toEqual({ code: 0, signal: null });
}

function canMount(): boolean {
  const problem = findMountProblem();
  if (problem === undefined) return true;
  process.stderr.write(`left out: what is shown on a disk that is full, because ${problem}\n`);
  return false;
}

describe.runIf(canMount())('a full disk', { concurrent: true }, () => {
  test('refuses submissions in words and lets what is running end when there is room again', PATIENCE, async () => {
    using disk = mountSmallDisk(4);
    await expectToLiveThrough(disk, /is full; free some space/);
  });

  test('has everything that was acknowledged before, and can be read meanwhile', PATIENCE, async () => {
    using disk = mountSmallDisk(4);
    await using storage = await openStore(join(disk.folder, 'store.db'));
    const { requests } = storage;
    const kept: string[] = [];
    const insert = async () => {
      const requestId = `req_${kept.length}`;
      await requests.insert(createRecord(requestId, LARGE_BYTES), 'memory');
      kept.push(requestId);
    };
    await insert();
    disk.fill(process.pid);
    const fill = async () => {
      for (;;) await insert();
    };
    await expect(fill()).rejects.toThrow('is full; free some space');
    const settlement = createSettlement('x'.repeat(LARGE_BYTES));
    await expect(requests.settle({ requestId: 'req_0', fence: 1 }, settlement, 1)).rejects.toThrow('is full');
    for (const requestId of kept) expect((await requests.load(requestId)).kind).toBe('found');
    expect((await requests.load(`req_${kept.length}`)).kind).toBe('unknown');
    disk.free(process.pid);
    expect(await requests.settle({ requestId: 'req_0', fence: 1 }, settlement, 1)).toBe(true);
    await insert();
  });

  test('is said when a store is opened on it', PATIENCE, async () => {
    using disk = mountSmallDisk(4);
    disk.fill(process.pid);
    const path = join(disk.folder, 'store.db');
    await expect(openStore(path)).rejects.toThrow(`the disk that holds the store ${path} is full`);
    disk.free(process.pid);
    await (await openStore(path)).close();
  });
});

describe.concurrent('a disk that fails', () => {
  test('refuses submissions in words and lets what is running end when it works again', PATIENCE, async () => {
    using disk = limitFiles();
    await expectToLiveThrough(disk, /fails \(disk I\/O error\); look at the system's log/);
  });
});
