/** What a reader of a batch may rely on when the runner is told too little, too much, or by a store that fails. */
import { describe, expect, test } from 'vitest';
import { LiveBatch } from '../../src/batches/live-batch.ts';
import type { BatchParts } from '../../src/batches/parts.ts';
import { BatchRunner } from '../../src/batches/runner.ts';
import type { EventName, Events } from '../../src/contract/events.ts';
import { FIRST_FENCE } from '../../src/contract/records.ts';
import { MemoryBatches } from '../../src/stores/memory-batches.ts';
import { MemoryFiles } from '../../src/stores/memory-files.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { createBatch, createLine, refused } from '../contracts/batch-store-contract.ts';
import { createConfig } from '../support/http-edge.ts';

async function startRunner(total: number) {
  const clock = new VirtualClock();
  const resultTtlMs = 60_000;
  const requests = new MemoryStore({ clock, resultTtlMs });
  const batches = new MemoryBatches({ clock, resultTtlMs, records: requests });
  const batch = createBatch('batch_1', { total, entered: total });
  await batches.create(batch);
  for (let index = 0; index < total; index++) await requests.insert(createLine('batch_1', index));
  const events: { readonly name: EventName; readonly payload: Events[EventName] }[] = [];
  const ending = new AbortController();
  const parts: BatchParts = {
    clock,
    steadyWallMs: () => clock.wallMs(),
    config: createConfig,
    batches,
    files: new MemoryFiles({ clock }),
    isKept: true,
    isDurable: false,
    nextRequestId: () => 'req_x',
    nextId: () => 'x',
    announce: (name, payload) => void events.push({ name, payload }),
    isDraining: () => false,
    ending: ending.signal,
    checkModel: () => undefined,
    admit: async () => undefined,
    feed: () => undefined,
    cancelRequest: async () => undefined,
  };
  const runner = new BatchRunner(parts, batch);
  const running = runner.run();
  const live = new LiveBatch({
    batchId: 'batch_1',
    batches,
    clock,
    runner,
    counts: runner.counts,
    cancel: async () => false,
  });
  const end = async (index: number) => {
    await requests.settle({ requestId: `req_batch_1_${index}`, fence: FIRST_FENCE }, refused, clock.wallMs());
  };
  return { clock, batches, runner, running, live, end, events, stop: () => ending.abort() };
}

describe('a reader', () => {
  test('is given in time what ended without a word', async () => {
    const { clock, live, end } = await startRunner(2);
    const given: number[] = [];
    const reading = (async () => {
      for await (const { index } of live) given.push(index);
    })();
    await clock.advance(100);
    await end(1);
    await clock.advance(11_000);
    expect(given).toEqual([1]);
    await end(0);
    await clock.waitFor(reading);
    expect(given).toEqual([1, 0]);
  });

  test('misses nothing at the end, also where one line was told instead of another', async () => {
    const { clock, live, runner, end } = await startRunner(2);
    const results = live.results();
    await clock.advance(100);
    // Line 1 has ended, line 0 is told; once line 0 has ended as well, it is told again.
    await end(1);
    runner.lineEnded(0);
    await clock.advance(6_000);
    await end(0);
    runner.lineEnded(0);
    expect(await clock.waitFor(results)).toHaveLength(2);
  });

  test('is given each result once, however often its line is told', async () => {
    const { clock, live, runner, end } = await startRunner(2);
    const given: number[] = [];
    const reading = (async () => {
      for await (const { index } of live) given.push(index);
    })();
    await clock.advance(100);
    await end(0);
    for (let time = 0; time < 3; time++) runner.lineEnded(0);
    await clock.advance(20_000);
    await end(1);
    runner.lineEnded(1);
    await clock.waitFor(reading);
    expect(given).toEqual([0, 1]);
  });
});

describe('a runner', () => {
  test('finishes by what is stored, whatever it was told', async () => {
    const { clock, batches, runner, running, end, events } = await startRunner(2);
    await clock.advance(100);
    for (let time = 0; time < 5; time++) runner.lineEnded(0);
    await clock.advance(20_000);
    expect(await batches.load('batch_1')).not.toHaveProperty('batch.finishedAt');
    await end(0);
    await end(1);
    await clock.waitFor(running);
    expect(await batches.load('batch_1')).toHaveProperty('batch.finishedAt');
    expect(events).toMatchObject([{ name: 'batch.finished', payload: { status: 'completed', failed: 2 } }]);
  });

  test('asks a store that fails again, less and less often, and says so', async () => {
    const { clock, batches, running, end, events } = await startRunner(1);
    const counts = batches.counts.bind(batches);
    batches.counts = async () => {
      throw new Error('the disk is full');
    };
    await clock.advance(60_000);
    const failures = events.filter(({ name }) => name === 'store.failed');
    expect(failures.length).toBeGreaterThan(3);
    expect(failures.length).toBeLessThan(12);
    expect(failures[0]?.payload).toMatchObject({ operation: 'batch batch_1', message: 'Error: the disk is full' });
    await end(0);
    batches.counts = counts;
    await clock.waitFor(running);
    expect(events.at(-1)).toMatchObject({ name: 'batch.finished' });
  });

  test('looks at the store a few times a second while lines end, not once for each of them', async () => {
    const { clock, batches, runner, running, end } = await startRunner(400);
    let looks = 0;
    const counts = batches.counts.bind(batches);
    batches.counts = (batchId) => {
      looks += 1;
      return counts(batchId);
    };
    for (let index = 0; index < 400; index++) {
      await end(index);
      runner.lineEnded(index);
      await clock.advance(5);
    }
    await clock.waitFor(running);
    // Two seconds.
    expect(looks).toBeLessThan(14);
  });

  test('leaves nothing behind when the service ends', async () => {
    const { clock, running, live, stop } = await startRunner(2);
    const failed = live.results().catch((error: unknown) => error);
    await clock.advance(1_000);
    stop();
    await running;
    expect(await failed).toMatchObject({ code: 'shutting-down' });
    expect(clock.pendingTimers).toBe(0);
  });
});
