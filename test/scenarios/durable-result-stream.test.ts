/** Reading along with requests that wait in a store, go back to it, or outlive the process that asked for them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startService } from '../../src/compose.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { RequestStore } from '../../src/contract/records.ts';
import type { StreamPart } from '../../src/contract/response.ts';
import type { Service } from '../../src/contract/service.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { answer, finish, hang, ScriptedProvider, tokens } from '../support/scripted-provider.ts';
import { type StrayErrors, watchStrayErrors } from '../support/stray-errors.ts';
import { ask, rejection } from '../support/test-runtime.ts';
import { wrapStore } from '../support/wrapped-store.ts';

const DAY_MS = 86_400_000;
const LOW = { priority: 'low' } as const;

let folder = '';
let stray: StrayErrors;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
  stray = watchStrayErrors();
});
afterEach(async () => {
  await stray.finish();
  await rm(folder, { recursive: true, force: true });
});

/** One process over the file of the test: two requests fit into its memory, and one is answered at a time. */
interface Process extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly provider: ScriptedProvider;
  readonly service: Service;
  readonly store: RequestStore;
  /** How often a record was asked for. */
  readonly loads: () => number;
  /** Ends without a word: its file is let go, and its time stands still. */
  crash(): Promise<void>;
}

async function startProcess(wallMs = Date.UTC(2026, 0, 1)): Promise<Process> {
  const clock = new VirtualClock({ wallMs });
  const provider = new ScriptedProvider('a', clock);
  const host = createInlineHost({ path: join(folder, 'store.db'), resultTtlMs: DAY_MS, hasWebhooks: false });
  const storage = createSqliteStorage(host, { clock, retainDays: 30 });
  let loads = 0;
  const requests = wrapStore(storage.requests, (operation, act) => {
    if (operation === 'load') loads += 1;
    return act();
  });
  const service = await startService(
    {
      service: { queueDepthMax: 2 },
      providers: { a: { adapter: 'scripted', models: ['m'], concurrency: 1, health: { intervalMs: DAY_MS } } },
    },
    { clock, env: {}, storage: { ...storage, requests }, adapters: { scripted: provider.createAdapter } },
  );
  let isCrashed = false;
  return {
    clock,
    provider,
    service,
    store: storage.requests,
    loads: () => loads,
    crash: async () => {
      isCrashed = true;
      await host.close();
    },
    [Symbol.asyncDispose]: async () => {
      if (!isCrashed) await clock.waitFor(service.stop({ graceMs: 0 }));
    },
  };
}

/** Reads to the end in the background. */
function read({ service, clock }: Process, requestId: string) {
  const parts: StreamPart[] = [];
  let endedAtMs: number | undefined;
  const reading = async () => {
    for await (const part of service.resultStream(requestId)) parts.push(part);
  };
  return {
    types: () => parts.map(({ type }) => type).join(' '),
    text: () => parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    parts,
    endedAtMs: () => endedAtMs,
    ended: reading()
      .catch((error: unknown) => error)
      .finally(() => (endedAtMs = clock.nowMs())),
  };
}

/** Submits requests until one of them waits in the store alone; gives all their ids, that one last. */
async function fillMemory({ service, clock }: Process): Promise<readonly string[]> {
  const ids: string[] = [];
  while (service.queueStatus().parked === 0 && ids.length < 10) {
    ids.push(await service.completionAsync(ask(`${ids.length}`), LOW));
    await clock.settle();
  }
  expect(service.queueStatus()).toMatchObject({ parked: 1, running: 1 });
  return ids;
}

describe('a request that waits in the store', () => {
  test('is waited for without asking the store, and read from its first part on', async () => {
    await using process = await startProcess();
    process.provider.always = tokens(3, 1_000, finish());
    const ids = await fillMemory(process);
    const reading = read(process, ids.at(-1) ?? '');
    await process.clock.settle();
    const loadsBefore = process.loads();
    await process.clock.advance((ids.length - 1) * 2_000 - 1);
    expect({ types: reading.types(), loads: process.loads() - loadsBefore }).toEqual({ types: '', loads: 0 });
    await process.clock.advance(1);
    expect(reading.text()).toBe('t0 ');
    await process.clock.waitFor(reading.ended);
    expect(reading.types()).toBe('text text text finish');
    expect(process.provider.attempts).toHaveLength(ids.length);
  });

  test('is waited for also by who came in the moment in which it went there', async () => {
    await using process = await startProcess();
    process.provider.always = tokens(3, 1_000, finish());
    for (const prompt of ['1', '2']) await process.service.completionAsync(ask(prompt), LOW);
    await process.clock.settle();
    const requestId = await process.service.completionAsync(ask('last in line'), LOW);
    // It gives way to the newcomer before that is stored.
    const newcomer = process.service.completionAsync(ask('urgent'), { priority: 'high' });
    const reading = read(process, requestId);
    await newcomer;
    await process.clock.settle();
    expect(process.service.queueStatus()).toMatchObject({ parked: 1 });
    expect(reading.types()).toBe('');
    expect(await process.clock.waitFor(reading.ended)).toBeUndefined();
    expect(reading.types()).toBe('text text text finish');
  });

  test('and is cancelled there throws that', async () => {
    await using process = await startProcess();
    process.provider.always = hang();
    const requestId = (await fillMemory(process)).at(-1) ?? '';
    const reading = read(process, requestId);
    await process.clock.settle();
    expect(await process.clock.waitFor(process.service.cancel(requestId))).toBe(true);
    expect(await process.clock.waitFor(reading.ended)).toMatchObject({ code: 'cancelled', requestId });
  });

  test('is let go of by a reader who leaves, and nothing waits for it any more', async () => {
    await using process = await startProcess();
    process.provider.always = hang();
    const requestId = (await fillMemory(process)).at(-1) ?? '';
    const timers = process.clock.pendingTimers;
    const leaving = new AbortController();
    const stream = process.service.resultStream(requestId, { signal: leaving.signal });
    const { response } = stream;
    const iterator = stream[Symbol.asyncIterator]();
    const awaited = iterator.next();
    await process.clock.settle();
    expect(process.clock.pendingTimers).toBe(timers + 2);
    await iterator.return?.();
    expect(await awaited).toEqual({ done: true, value: undefined });
    leaving.abort();
    expect(await rejection(response)).toMatchObject({ code: 'cancelled' });
    expect(process.clock.pendingTimers).toBe(timers);
    expect(process.service.queueStatus().parked).toBe(1);
  });
});

describe('when the service ends', () => {
  test('its readers are told so, and read on in the next one, wherever their request was', async () => {
    const first = await startProcess();
    first.provider.always = tokens(2, 1_000, hang());
    const ids = await fillMemory(first);
    const readings = ids.map((requestId) => read(first, requestId));
    await first.clock.advance(1_500);
    await first.clock.waitFor(first.service.stop({ graceMs: 2_000 }));
    for (const reading of readings) expect(await reading.ended).toMatchObject({ code: 'shutting-down' });
    expect(readings.map((reading) => reading.types())).toEqual(['text text', ...ids.slice(1).map(() => '')]);
    // Who waits in memory is told at once, what runs has the grace, and so has who waits in the store.
    expect(readings.map((reading) => reading.endedAtMs())).toEqual([3_500, ...ids.slice(2).map(() => 1_500), 3_500]);

    await using second = await startProcess(Date.UTC(2026, 0, 1, 1));
    second.provider.always = tokens(3, 100, finish());
    const again = ids.map((requestId) => read(second, requestId));
    await second.clock.waitFor(Promise.all(again.map(({ ended }) => ended)));
    for (const reading of again) expect(reading.types()).toBe('text text text finish');
  });

  test('without a word, who reads in the next one sees the parts of the next attempt alone', async () => {
    const first = await startProcess();
    first.provider.always = tokens(2, 1_000, hang());
    const requestId = await first.service.completionAsync(ask('x'));
    const before = read(first, requestId);
    await first.clock.advance(1_500);
    expect(before.text()).toBe('t0 t1 ');
    await first.crash();

    await using second = await startProcess();
    second.provider.always = tokens(3, 100, finish());
    const reading = read(second, requestId);
    await second.clock.waitFor(reading.ended);
    expect(reading.types()).toBe('text text text finish');
    expect(reading.parts.at(-1)).toMatchObject({ response: { requestId, text: 't0 t1 t2 ' } });
  });
});

describe('a request that somebody else has ended meanwhile', () => {
  test('is told with the end that counts: whoever saw another answer is told to discard it', async () => {
    await using process = await startProcess();
    process.provider.always = answer('not what counts', { afterMs: 1_000 });
    const requestId = await process.service.completionAsync(ask('x'));
    const reading = read(process, requestId);
    await process.clock.settle();
    const [claim] = await process.store.claim([requestId]);
    if (claim === undefined) throw new Error('expected the record to be open');
    const response = { ...(await answerOf(process, 'what counts')), requestId };
    await process.store.settle(claim, { status: 'succeeded', response }, 0);
    expect(await process.clock.waitFor(reading.ended)).toBeUndefined();
    expect(reading.types()).toBe('text restart text finish');
    expect(reading.parts.slice(2)).toEqual([
      { type: 'text', text: 'what counts' },
      { type: 'finish', response },
    ]);
  });

  test('and failed there throws that', async () => {
    await using process = await startProcess();
    process.provider.always = answer('not what counts', { afterMs: 1_000 });
    const requestId = await process.service.completionAsync(ask('x'));
    const reading = read(process, requestId);
    await process.clock.settle();
    const [claim] = await process.store.claim([requestId]);
    if (claim === undefined) throw new Error('expected the record to be open');
    const error = new SwitchgearError('content-filtered', 'no', { requestId }).toJSON();
    await process.store.settle(claim, { status: 'failed', error }, 0);
    expect(await process.clock.waitFor(reading.ended)).toMatchObject({ code: 'content-filtered', requestId });
  });
});

/** A response as any service gives it. */
async function answerOf(process: Process, text: string) {
  const { clock } = process;
  const provider = new ScriptedProvider('a', clock);
  provider.always = answer(text);
  const other = await startService(
    { providers: { a: { adapter: 'scripted', models: ['m'], health: { intervalMs: DAY_MS } } } },
    { clock, env: {}, adapters: { scripted: provider.createAdapter } },
  );
  const response = await other.completion(ask('x'));
  await other.stop({ graceMs: 0 });
  return response;
}
