/** A store whose answers are lost: what had its effect is found out, and nobody is told anything else meanwhile. */
import { expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { OperationName } from '../../src/stores/sqlite/operations.ts';
import { DurableWorld } from '../support/durable-world.ts';
import { answer, fail, hang } from '../support/scripted-provider.ts';
import { ask, HELLO, rejection } from '../support/test-runtime.ts';

const HOUR_MS = 3_600_000;

/** A host that loses the answers to operations of these names, after their effect, for as long as there are any left. */
function losing(answers: Partial<Record<OperationName, number>>): (host: Host) => Host {
  return (host) => ({
    ...host,
    run: async (group) => {
      const { results, parked } = await host.run(group);
      const told = results.map((result, index) => {
        const name = group[index]?.name ?? 'sweep';
        const left = answers[name] ?? 0;
        if (left === 0) return result;
        answers[name] = left - 1;
        return { kind: 'failed' as const, message: 'the answer is lost' };
      });
      return { results: told, parked };
    },
  });
}

test('whoever waits for a request that waits in the store is let go when the service ends', async () => {
  using world = new DurableWorld();
  const process = await world.start({ service: { queueDepthMax: 1 }, concurrency: 1, always: hang() });
  const ids = await world.run(
    Promise.all(['1', '2', '3', '4'].map((text) => process.service.completionAsync(ask(text)))),
  );
  await world.clock.advance(100);
  expect(process.service.queueStatus()).toMatchObject({ parked: 2 });
  const waiting = process.service.getResult(ids[3] ?? '', { waitMs: HOUR_MS });
  const startedAtMs = world.clock.nowMs();
  await world.run(process.service.stop({ graceMs: 1_000 }));
  expect(await world.run(waiting)).toEqual({ requestId: ids[3], status: 'queued' });
  expect(world.clock.nowMs() - startedAtMs).toBeLessThanOrEqual(1_000);
});

test('a request of whose insertion nobody heard is announced as admitted when its key comes again', async () => {
  using world = new DurableWorld();
  const process = await world.start({ wrapHost: losing({ insert: 1, load: 1 }) });
  const admitted: string[] = [];
  process.service.on('request.admitted', ({ requestId }) => admitted.push(requestId));
  const options = { idempotencyKey: 'k' };
  expect(await world.run(rejection(process.service.completionAsync(HELLO, options)))).toMatchObject({
    code: 'store-unavailable',
  });
  expect(admitted).toEqual([]);
  const requestId = await world.run(process.service.completionAsync(HELLO, options));
  expect(admitted).toEqual([requestId]);
  const result = await world.run(process.service.getResult(requestId, { waitMs: HOUR_MS }));
  expect(result).toMatchObject({ status: 'succeeded' });
  await world.run(process.service.stop());
});

test('an end whose writing failed and whose reading fails is told as it was written, and no other', async () => {
  using world = new DurableWorld();
  const process = await world.start({ wrapHost: losing({ settle: 1, load: 3 }) });
  process.provider.plan(answer('kept'));
  const requestId = await world.run(process.service.completionAsync(HELLO));
  const waiting = process.service.getResult(requestId, { waitMs: HOUR_MS });
  expect(await world.run(waiting)).toMatchObject({ status: 'succeeded', response: { text: 'kept' } });
  expect(world.events.filter(({ name }) => name === 'request.settled')).toMatchObject([
    { payload: { requestId, outcome: 'succeeded' } },
  ]);
  await world.run(process.service.stop());
});

test('an attempt that could not be recorded when it ended is recorded before the next one is sent', async () => {
  using world = new DurableWorld();
  let failures = 1;
  const first = await world.start({
    always: hang(),
    wrapHost: (host) => ({
      ...host,
      run: async (group) => {
        const isRefused = group.some(({ name }) => name === 'addAttempt') && failures-- > 0;
        if (isRefused) throw new SwitchgearError('store-unavailable', 'the disk is full');
        return host.run(group);
      },
    }),
  });
  first.provider.plan(fail('upstream-error'));
  const requestId = await world.run(first.service.completionAsync(HELLO));
  await world.clock.advance(5_000);
  expect(first.provider.attempts).toHaveLength(2);
  first.kill();
  const second = await world.start();
  expect(await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }))).toMatchObject({
    response: { attempts: [{ code: 'provider-error' }, { code: 'interrupted' }, { outcome: 'answered' }] },
  });
  await world.run(second.service.stop());
});

test('an attempt of which the store said wrongly that it was not recorded is there once', async () => {
  using world = new DurableWorld();
  const first = await world.start({ always: hang(), wrapHost: losing({ addAttempt: 1 }) });
  first.provider.plan(fail('upstream-error'));
  const requestId = await world.run(first.service.completionAsync(HELLO));
  await world.clock.advance(5_000);
  expect(first.provider.attempts).toHaveLength(2);
  first.kill();
  const second = await world.start();
  expect(await world.run(second.service.getResult(requestId, { waitMs: HOUR_MS }))).toMatchObject({
    response: { attempts: [{ code: 'provider-error' }, { code: 'interrupted' }, { outcome: 'answered' }] },
  });
  await world.run(second.service.stop());
});

test('a stop ends although the disk hangs, and nobody is told that anything was stored meanwhile', async () => {
  using world = new DurableWorld();
  let isHung = false;
  const process = await world.start({
    always: hang(),
    wrapHost: (host) => ({
      ...host,
      run: async (group) => (isHung ? new Promise<never>(() => undefined) : host.run(group)),
    }),
  });
  const requestId = await world.run(process.service.completionAsync(HELLO));
  await world.clock.advance(100);
  isHung = true;
  const late = rejection(process.service.completionAsync(HELLO));
  const startedAtMs = world.clock.nowMs();
  await world.run(process.service.stop({ graceMs: 1_000 }));
  expect(world.clock.nowMs() - startedAtMs).toBeLessThanOrEqual(31_000);
  expect(await world.run(late)).toMatchObject({ code: 'store-unavailable' });
  process.kill();
  const next = await world.start();
  expect(await world.run(next.service.getResult(requestId, { waitMs: HOUR_MS }))).toMatchObject({
    status: 'succeeded',
  });
  await world.run(next.service.stop());
});
