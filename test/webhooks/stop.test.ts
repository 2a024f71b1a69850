import { expect, test } from 'vitest';
import { answerAfter, answered, hangs, WebhookRig } from '../support/webhook-rig.ts';

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `req_${index + 1}`);

test('stop waits for what is in flight and leaves the rest in the outbox', async () => {
  const rig = new WebhookRig();
  rig.answer = answerAfter(rig.clock, 2_000, answered(200));
  rig.settle(...ids(12));
  await rig.clock.advance(500);
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBe(2_000);
  expect(rig.sent).toHaveLength(8);
  expect(rig.idsOf('webhook.delivered')).toEqual(ids(8));
  expect(await rig.left()).toEqual(ids(12).slice(8));
  expect(rig.closed).toHaveLength(1);
  expect(rig.clock.pendingTimers).toBe(0);
});

test('what takes longer is broken off, stays in the outbox and is sent again by the next process', async () => {
  const rig = new WebhookRig();
  rig.answer = hangs(rig.clock);
  rig.settle('req_1');
  await rig.clock.settle();
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBe(5_000);
  expect(await rig.left()).toEqual(['req_1']);
  expect(rig.announced).toEqual([]);
  rig.answer = async () => answered(200);
  rig.deliverer = rig.createDeliverer();
  rig.deliverer.wake();
  await rig.runOut();
  // A try that was broken off does not count.
  expect(rig.eventsOf('webhook.delivered')).toEqual([{ requestId: 'req_1', tries: 1, status: 200 }]);
});

test('a settlement written just before stop has its try still', async () => {
  const rig = new WebhookRig();
  rig.settle('req_1');
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.idsOf('webhook.delivered')).toEqual(['req_1']);
});

test('nothing is sent after stop, whatever is woken and due', async () => {
  const rig = new WebhookRig();
  rig.answer = async () => answered(500);
  rig.settle('req_1');
  await rig.clock.settle();
  await rig.clock.waitFor(rig.deliverer.stop());
  rig.settle('req_2');
  await rig.runOut();
  expect(rig.sent).toHaveLength(1);
  expect(await rig.left()).toEqual(['req_2', 'req_1']);
});

test.each(['due', 'remove'] as const)('a hanging %s does not hold up stop', async (operation) => {
  const rig = new WebhookRig();
  rig.fault = (name) => (name === operation ? 'hang' : undefined);
  rig.settle('req_1');
  await rig.clock.settle();
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBe(5_000);
  expect(await rig.left()).toEqual(['req_1']);
  const announced = rig.announced.length;
  await rig.runOut();
  // What is broken off is no failure of the outbox.
  expect(rig.announced.slice(0, announced)).toEqual([]);
  expect(rig.idsOf('webhook.delivered')).toEqual([]);
});

test('stop leaves no timer: not that of the next try', async () => {
  const rig = new WebhookRig();
  rig.answer = async () => answered(500);
  rig.settle('req_1');
  await rig.clock.advance(0);
  expect(rig.clock.pendingTimers).toBe(1);
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.pendingTimers).toBe(0);
});

test('stop leaves no timer: not that of an outbox that was just being asked', async () => {
  const rig = new WebhookRig();
  rig.memory.add('req_1', { status: 'succeeded' }, rig.clock.wallMs());
  await rig.memory.postpone('req_1', 1, rig.clock.wallMs() + 3_600_000);
  rig.slowMs = { nextDueAt: 100 };
  rig.deliverer.wake();
  await rig.clock.settle();
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBe(100);
  expect(rig.clock.pendingTimers).toBe(0);
});

test('an outbox that answers only after stop has nothing sent any more', async () => {
  const rig = new WebhookRig();
  rig.slowMs = { due: 8_000 };
  rig.settle('req_1');
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBeLessThan(8_000);
  await rig.runOut();
  expect(rig.sent).toEqual([]);
});

test('a receiver that ignores everything does not hold up stop', async () => {
  const rig = new WebhookRig();
  rig.answer = () => new Promise(() => undefined);
  rig.settle(...ids(8));
  await rig.clock.settle();
  await rig.clock.waitFor(rig.deliverer.stop());
  expect(rig.clock.nowMs()).toBeLessThanOrEqual(7_000);
});
