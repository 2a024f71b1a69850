/** What one operation that fails may cost nobody. Most were found when every operation of the store went wrong once. */
import { afterEach, expect, test } from 'vitest';
import { type Fault, FragileWorld } from '../support/fragile-world.ts';
import { answer } from '../support/scripted-provider.ts';
import { ask } from '../support/test-runtime.ts';

const ANSWER_MS = 1_000;

let world: FragileWorld;

afterEach(() => {
  world[Symbol.dispose]();
});

/** More than fits into memory, of a patient class; gives the ids. */
async function submitMany(fault: Fault, count: number): Promise<readonly string[]> {
  world = new FragileWorld(fault);
  world.provider.always = answer('fine', { afterMs: ANSWER_MS });
  const service = await world.up();
  const ids = Array.from({ length: count }, (_, index) =>
    service.completionAsync(ask(`low ${index}`), { priority: 'low' }),
  );
  return world.clock.waitFor(Promise.all(ids));
}

test('a request that was parked unheard, and is taken in again meanwhile, is not forgotten by the one that was parked', async () => {
  const ids = await submitMany({ kind: 'fails', when: 'after', operation: 'park', at: 1 }, 7);
  const service = await world.up();
  // Shortly before room comes free, somebody more urgent drives one out.
  await world.clock.advance(ANSWER_MS - 30);
  const urgent = await world.clock.waitFor(service.completionAsync(ask('urgent'), { priority: 'high' }));
  await world.clock.advance(60);
  expect(world.operations.filter((name) => name === 'park')).toHaveLength(1);
  expect(world.operations).toContain('claim');
  // Now the one that was parked hears that its claim is old.
  await world.clock.advance(100);
  expect(world.operations.filter((name) => name === 'park')).toHaveLength(2);
  const known = () => new Set([...service.openRequests().map(({ requestId }) => requestId)]);
  const { parked } = service.queueStatus();
  expect(known().size + parked).toBe(6);
  await world.clock.advance(10 * ANSWER_MS);
  for (const id of [...ids, urgent]) expect(await service.getResult(id)).toMatchObject({ status: 'succeeded' });
  expect(world.provider.attempts).toHaveLength(8);
  expect(world.told).toHaveLength(8);
  expect(service.queueStatus()).toMatchObject({ open: 0, waiting: 0, running: 0, parked: 0 });
  await world.down(0);
});

test('a parked request that was cancelled unheard is told as cancelled, to those who wait for it too', async () => {
  const ids = await submitMany({ kind: 'fails', when: 'after', operation: 'settleParked', at: 1 }, 12);
  const service = await world.up();
  const last = ids.at(-1)!;
  const waiting = service.getResult(last, { waitMs: 60_000 });
  await world.clock.settle();
  expect(await world.clock.waitFor(service.cancel(last))).toBe(true);
  const cancelledAtMs = world.clock.nowMs();
  expect(await world.clock.waitFor(waiting)).toMatchObject({ status: 'cancelled' });
  expect(world.clock.nowMs()).toBe(cancelledAtMs);
  expect(world.told).toEqual([{ requestId: last, outcome: 'cancelled' }]);
  await world.down(0);
});

test('a parked request of which the end could not be written is open, and says so', async () => {
  const ids = await submitMany({ kind: 'fails', when: 'before', operation: 'settleParked', at: 1 }, 12);
  const service = await world.up();
  const last = ids.at(-1)!;
  await expect(world.clock.waitFor(service.cancel(last))).rejects.toMatchObject({ code: 'store-unavailable' });
  expect(await service.getResult(last)).toMatchObject({ status: 'queued' });
  expect(world.told).toEqual([]);
  expect(await world.clock.waitFor(service.cancel(last))).toBe(true);
  expect(await service.getResult(last)).toMatchObject({ status: 'cancelled' });
  await world.down(0);
});

test('requests that wait in the file are taken in although listing them failed, and nobody comes to remind of them', async () => {
  const listings = () => world.operations.filter((name) => name === 'listParked').length;
  await submitMany({ kind: 'fails', when: 'before', operation: 'listParked', at: 0 }, 12);
  await world.down(0);
  const before = listings();
  world[Symbol.dispose]();
  // The same again: it is the first listing of the next process that fails.
  const ids = await submitMany({ kind: 'fails', when: 'before', operation: 'listParked', at: before + 1 }, 12);
  await world.down(0);
  expect(listings()).toBe(before);
  const service = await world.up();
  await world.clock.advance(1);
  expect(listings()).toBe(before + 1);
  expect(service.queueStatus()).toMatchObject({ open: 0, parked: 12 });
  await world.clock.advance(20 * ANSWER_MS);
  for (const id of ids) expect(await service.getResult(id)).toMatchObject({ status: 'succeeded' });
  expect(service.queueStatus()).toMatchObject({ open: 0, parked: 0 });
  await world.down(0);
});
