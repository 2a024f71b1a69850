/** What a review found in the durable path: each of these was lost, stuck or told wrongly once. */
import { describe, expect, test } from 'vitest';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { OperationName } from '../../src/stores/sqlite/operations.ts';
import { DurableWorld } from '../support/durable-world.ts';
import { answer, hang, tokens } from '../support/scripted-provider.ts';
import { ask, HELLO, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;

type Fault = 'before' | 'after';

/** A host whose operations of these names fail, before or after their effect, for as long as the list says so. */
function failing(faults: Partial<Record<OperationName, Fault[]>>): (host: Host) => Host {
  return (host) => ({
    ...host,
    run: async (group) => {
      const drawn = group.map(({ name }) => faults[name]?.shift());
      const done = await host.run(group.filter((_, index) => drawn[index] !== 'before'));
      const results = [...done.results];
      return {
        ...done,
        results: drawn.map((fault) => {
          const result = fault === 'before' ? undefined : results.shift();
          return fault === undefined && result !== undefined ? result : { kind: 'failed' as const, message: 'planned' };
        }),
      };
    },
  });
}

describe('a record that cannot be read', () => {
  test.each([
    ['is no JSON', '{'],
    ['has another form', '{"request":{"kind":"completion","model":"m"},"tags":{}}'],
  ])('because it %s ends and says so; the others are run, and a stop ends', async (_what, body) => {
    using world = new DurableWorld();
    const first = await world.start({ always: hang() });
    const ids = await world.run(Promise.all(['1', '2', '3'].map((text) => first.service.completionAsync(ask(text)))));
    first.kill();
    world.file.visit((database) =>
      database
        .prepare('UPDATE bodies SET body = ? WHERE seq = (SELECT seq FROM requests WHERE id = ?)')
        .run(body, ids[1] ?? ''),
    );
    const second = await world.start();
    const waitMs = HOUR_MS;
    const [one, three] = await world.run(
      Promise.all([ids[0] ?? '', ids[2] ?? ''].map((requestId) => second.service.getResult(requestId, { waitMs }))),
    );
    expect([one?.status, three?.status]).toEqual(['succeeded', 'succeeded']);
    expect(second.service.queueStatus()).toMatchObject({ open: 0, parked: 0 });
    expect(second.provider.attempts).toHaveLength(2);
    await world.run(second.service.stop());
    expect(world.file.read('SELECT status FROM requests WHERE id = ?', ids[1] ?? '')).toEqual([{ status: 'failed' }]);
  });
});

test('an end that could not be written is told to nobody: the next process tells another one', async () => {
  using world = new DurableWorld();
  const settle = Array.from({ length: 1_000 }, (): Fault => 'before');
  const first = await world.start({ wrapHost: failing({ settle }) });
  const requestId = await world.run(first.service.completionAsync(HELLO));
  const waiting = rejection(first.service.getResult(requestId, { waitMs: HOUR_MS }));
  await world.clock.advance(5_000);
  const stopped = first.service.stop({ graceMs: 1_000 });
  expect(await world.run(waiting)).toMatchObject({ code: 'store-unavailable', requestId });
  await world.run(stopped);
  expect(world.events.filter(({ name }) => name === 'request.settled')).toEqual([]);
  const second = await world.start();
  const result = await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }));
  expect(result).toMatchObject({ status: 'succeeded' });
  await world.run(second.service.stop());
});

test('the end of a parked request is told, to whoever waits and as an event, although nobody heard that it was written', async () => {
  using world = new DurableWorld();
  const faults: Partial<Record<OperationName, Fault[]>> = {};
  const process = await world.start({
    service: { queueDepthMax: 1 },
    concurrency: 1,
    always: tokens(1_000, 5_000, answer()),
    wrapHost: failing(faults),
  });
  const submit = (text: string, timeoutMs: number) =>
    world.run(process.service.completionAsync(ask(text), { timeoutMs }));
  for (const text of ['running', 'waiting']) await submit(text, HOUR_MS);
  const last = await submit('parked', 60_000);
  const waiting = process.service.getResult(last, { waitMs: HOUR_MS });
  await world.clock.advance(50_000);
  faults.settleParked = ['after'];
  faults.load = ['before'];
  const startedAtMs = world.clock.nowMs();
  expect(await world.run(waiting)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
  expect(world.clock.nowMs() - startedAtMs).toBeLessThan(30_000);
  await world.clock.advance(60_000);
  const settled = world.events.filter(({ name }) => name === 'request.settled').map(({ payload }) => payload);
  expect(settled.filter((payload) => 'requestId' in payload && payload.requestId === last)).toHaveLength(1);
  await world.run(process.service.stop({ graceMs: 0 }));
});

test('two who cancel a parked request at once are told one end, also when the store loses its answers', async () => {
  using world = new DurableWorld();
  const faults: Partial<Record<OperationName, Fault[]>> = {};
  const process = await world.start({
    service: { queueDepthMax: 1 },
    concurrency: 1,
    always: tokens(1_000, 5_000, answer()),
    wrapHost: failing(faults),
  });
  for (const text of ['running', 'waiting']) await world.run(process.service.completionAsync(ask(text)));
  const parked = await world.run(process.service.completionAsync(ask('parked')));
  faults.settleParked = ['after', 'after'];
  const cancelled = await world.run(Promise.all([process.service.cancel(parked), process.service.cancel(parked)]));
  expect(cancelled.toSorted()).toEqual([false, true]);
  const settled = world.events.filter(({ name }) => name === 'request.settled').map(({ payload }) => payload);
  expect(settled).toMatchObject([{ requestId: parked, outcome: 'cancelled' }]);
  await world.run(process.service.stop({ graceMs: 0 }));
});

test('what was recorded as running and not sent is not taken for sent', async () => {
  using world = new DurableWorld();
  const hung = hang();
  const first = await world.start({
    concurrency: 1,
    always: hung,
    wrapHost: failing({ markRunning: ['after'], markQueued: ['before'] }),
  });
  const requestId = await world.run(first.service.completionAsync(HELLO, { recovery: 'atMostOnce' }));
  // Somebody else takes the one slot while it pauses.
  await world.clock.advance(500);
  await world.run(first.service.completionAsync(ask('other')));
  await world.clock.advance(5_000);
  expect(first.provider.attempts.map(({ prompt }) => prompt)).toEqual(['other']);
  first.kill();
  const second = await world.start();
  const result = await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }));
  expect(result).toMatchObject({ status: 'succeeded' });
  await world.run(second.service.stop());
});

test('a store that works is not said to fail because a running request is cancelled or the service stops', async () => {
  using world = new DurableWorld();
  const process = await world.start({ always: hang() });
  const [one = ''] = await world.run(Promise.all(['1', '2'].map((text) => process.service.completionAsync(ask(text)))));
  await world.clock.advance(100);
  expect(await world.run(process.service.cancel(one))).toBe(true);
  await world.run(process.service.stop({ graceMs: 100 }));
  expect(world.events.filter(({ name }) => name === 'store.failed')).toEqual([]);
});
