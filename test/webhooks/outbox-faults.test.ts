/** An outbox that fails, hangs or is slow: nothing is lost, nothing is asked in a hurry, and it is told. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { propertyRuns } from '../support/properties.ts';
import { answered, type Fault, type Operation, WebhookRig } from '../support/webhook-rig.ts';

const OPERATIONS: readonly Operation[] = ['due', 'nextDueAt', 'postpone', 'remove'];
const FAULTS: readonly Fault[] = ['before', 'after', 'hang'];
const IDS = ['req_1', 'req_2', 'req_3'];

/** Every notice fails once and is delivered at its second try. */
function secondTry(): WebhookRig {
  const rig = new WebhookRig();
  const failed = new Set<string>();
  rig.answer = async ({ id }) => {
    const status = failed.has(id) ? 200 : 500;
    failed.add(id);
    return answered(status);
  };
  return rig;
}

const cases = OPERATIONS.flatMap((operation) =>
  FAULTS.flatMap((fault) => [1, 2, 3, 4].map((call) => ({ operation, fault, call }))),
);

test.each(cases)(
  '$operation, call $call: $fault, and every notice is delivered',
  async ({ operation, fault, call }) => {
    const rig = secondTry();
    rig.fault = (name, count) => (name === operation && count === call ? fault : undefined);
    rig.settle(...IDS);
    await rig.runOut();
    expect(new Set(rig.idsOf('webhook.delivered'))).toEqual(new Set(IDS));
    expect(await rig.left()).toEqual([]);
    const calls = rig.asked.filter((name) => name === operation).length;
    // A healthy run may make fewer calls than the one that would have failed.
    expect(rig.eventsOf('store.failed')).toHaveLength(calls >= call ? 1 : 0);
  },
);

test('what was sent is not sent again while it cannot be written that it was', async () => {
  const rig = new WebhookRig();
  rig.fault = (operation) => (operation === 'remove' && rig.clock.nowMs() < 600_000 ? 'before' : undefined);
  rig.settle('req_1');
  await rig.clock.advance(600_000);
  expect(rig.eventsOf('webhook.delivered')).toEqual([]);
  rig.settle('req_2');
  await rig.runOut();
  expect(rig.sent.map(({ requestId }) => requestId)).toEqual(['req_1', 'req_2']);
  expect(new Set(rig.idsOf('webhook.delivered'))).toEqual(new Set(['req_1', 'req_2']));
});

test('a try is counted once, however often the outbox has to be asked', async () => {
  const rig = new WebhookRig();
  rig.answer = async () => answered(500);
  // It does what it is asked and does not come back.
  rig.fault = (operation, count) => (operation === 'postpone' && count % 5 !== 0 ? 'after' : undefined);
  rig.settle('req_1');
  await rig.runOut();
  expect(rig.sent).toHaveLength(8);
  expect(rig.eventsOf('webhook.failed')).toMatchObject([{ tries: 8 }]);
});

test.each<Operation>(OPERATIONS)('an outbox whose %s keeps failing is asked less and less often', async (operation) => {
  const rig = secondTry();
  rig.fault = (name) => (name === operation ? 'before' : undefined);
  rig.settle('req_1');
  await rig.clock.advance(3_600_000);
  const failures = rig.eventsOf('store.failed');
  // 1, 2, 4 … 60 s, then once a minute.
  expect(failures.length).toBeGreaterThan(55);
  expect(failures.length).toBeLessThan(70);
  rig.fault = () => undefined;
  await rig.runOut();
  expect(rig.idsOf('webhook.delivered')).toEqual(['req_1']);
});

test('an outbox that was mended and fails again is asked again as soon as the first time', async () => {
  const rig = new WebhookRig();
  rig.fault = () => (rig.clock.nowMs() < 600_000 ? 'before' : undefined);
  rig.settle('req_1');
  await rig.clock.advance(700_000);
  expect(rig.idsOf('webhook.delivered')).toEqual(['req_1']);
  rig.fault = () => (rig.clock.nowMs() < 700_500 ? 'before' : undefined);
  rig.settle('req_2');
  await rig.clock.advance(1_000);
  expect(rig.idsOf('webhook.delivered')).toEqual(['req_1', 'req_2']);
});

test('settlements meanwhile do not make it be asked more often', async () => {
  const rig = new WebhookRig();
  rig.fault = () => 'before';
  for (let second = 0; second < 600; second++) {
    rig.settle(`req_${second}`);
    await rig.clock.advance(1_000);
  }
  expect(rig.asked.length).toBeLessThan(20);
});

test('a failure says which operation it was, and of which request', async () => {
  const rig = secondTry();
  rig.fault = (_operation, count) => (count === 1 ? 'before' : undefined);
  rig.settle('req_1');
  await rig.runOut();
  expect(rig.eventsOf('store.failed')).toEqual([
    { operation: 'webhooks.due', message: 'Error: scripted failure' },
    { operation: 'webhooks.due', message: 'Error: scripted failure' },
    { requestId: 'req_1', operation: 'webhooks.postpone', message: 'Error: scripted failure' },
    { requestId: 'req_1', operation: 'webhooks.remove', message: 'Error: scripted failure' },
  ]);
});

describe('an outbox that is slow', () => {
  test('and says that a notice is due which was delivered meanwhile does not have it sent again', async () => {
    const rig = new WebhookRig();
    rig.slowMs = { due: 50 };
    rig.settle('req_1');
    await rig.clock.advance(49);
    // Still being read is what was due before; from now on a second look is wanted.
    rig.settle('req_2');
    await rig.runOut();
    expect(rig.sent.map(({ requestId }) => requestId)).toEqual(['req_1', 'req_2']);
  });

  test('in every operation delivers everything once', async () => {
    const rig = new WebhookRig();
    rig.slowMs = { due: 7, nextDueAt: 3, remove: 5, postpone: 2 };
    rig.answer = async () => {
      await rig.clock.settle();
      return answered(200);
    };
    for (let count = 0; count < 40; count++) {
      rig.settle(`req_${count}`);
      await rig.clock.advance(2);
    }
    await rig.runOut();
    expect(rig.sent).toHaveLength(40);
    expect(rig.idsOf('webhook.delivered')).toHaveLength(40);
  });
});

const world = fc.record({
  /** What the tries of a notice come to, in turn, over and over. */
  statuses: fc.array(fc.constantFrom(200, 500, 410, 429), { minLength: 1, maxLength: 12 }),
  retryAfterMs: fc.constantFrom(undefined, 1_000, 7_200_000),
  /** Of 20 calls of the outbox, over and over. */
  faults: fc.array(fc.option(fc.constantFrom(...FAULTS), { nil: undefined, freq: 4 }), {
    minLength: 20,
    maxLength: 20,
  }),
  gapsMs: fc.array(fc.constantFrom(0, 1, 500, 60_000), { minLength: 1, maxLength: 15 }),
});

test('whatever receiver and outbox do, each notice ends once, after eight tries at most, and nothing is left', async () => {
  await fc.assert(
    fc.asyncProperty(world, async ({ statuses, retryAfterMs, faults, gapsMs }) => {
      const rig = new WebhookRig();
      let tries = 0;
      rig.answer = async () => answered(statuses[tries++ % statuses.length] ?? 200, retryAfterMs);
      rig.fault = () => faults[rig.asked.length - 1];
      for (const [index, gapMs] of gapsMs.entries()) {
        rig.settle(`req_${index}`);
        await rig.clock.advance(gapMs);
      }
      await rig.runOut(100 * 86_400_000);
      const ended = [...rig.idsOf('webhook.delivered'), ...rig.idsOf('webhook.failed')];
      expect(ended.toSorted()).toEqual(gapsMs.map((_, index) => `req_${index}`).toSorted());
      expect(await rig.left()).toEqual([]);
      expect(rig.inFlightMax).toBeLessThanOrEqual(8);
      const sent = rig.sent.map(({ requestId }) => requestId);
      for (const id of ended) expect(sent.filter((other) => other === id).length).toBeLessThanOrEqual(8);
    }),
    propertyRuns(100),
  );
});
