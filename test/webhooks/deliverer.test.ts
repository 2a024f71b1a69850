/** When notices are sent, how often and how many at once: a whole outage in virtual time. */
import { describe, expect, test } from 'vitest';
import { answerAfter, answered, hangs, WEBHOOKS, WebhookRig } from '../support/webhook-rig.ts';

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `req_${index + 1}`);
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

describe('a receiver that is there', () => {
  test('is sent a notice as soon as the settlement is written, and once', async () => {
    const rig = new WebhookRig();
    await rig.clock.advance(5_000);
    rig.settle('req_1');
    await rig.runOut();
    expect(rig.sent).toEqual([{ requestId: 'req_1', atMs: 5_000, url: WEBHOOKS.url }]);
    expect(rig.eventsOf('webhook.delivered')).toEqual([{ requestId: 'req_1', tries: 1, status: 200 }]);
    expect(await rig.left()).toEqual([]);
  });

  test('is sent what a process before has left', async () => {
    const rig = new WebhookRig();
    rig.memory.add('req_1', { status: 'succeeded' }, rig.clock.wallMs());
    rig.deliverer.wake();
    await rig.runOut();
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_1']);
  });

  test('is sent everything, oldest first, never more than eight at once', async () => {
    const rig = new WebhookRig();
    rig.answer = answerAfter(rig.clock, 20, answered(200));
    rig.settle(...ids(100));
    await rig.runOut();
    expect(rig.sent.map(({ requestId }) => requestId)).toEqual(ids(100));
    expect(rig.inFlightMax).toBe(8);
    expect(rig.clock.nowMs()).toBe(Math.ceil(100 / 8) * 20);
    expect(await rig.left()).toEqual([]);
  });
});

describe('while there is nothing to deliver', () => {
  test('there is no timer, and nobody asks', async () => {
    const rig = new WebhookRig();
    rig.deliverer.wake();
    await rig.clock.settle();
    expect(rig.asked).toEqual(['due', 'nextDueAt']);
    expect(rig.clock.pendingTimers).toBe(0);
    await rig.clock.advance(86_400_000);
    expect(rig.asked).toHaveLength(2);
  });

  test('a thousand wakes in one turn ask twice', async () => {
    const rig = new WebhookRig();
    for (let count = 0; count < 1_000; count++) rig.deliverer.wake();
    await rig.clock.settle();
    expect(rig.asked.filter((operation) => operation === 'due').length).toBeLessThanOrEqual(2);
  });

  test('and one is due in hours, there is one timer', async () => {
    const rig = new WebhookRig();
    rig.memory.add('req_1', { status: 'succeeded' }, rig.clock.wallMs());
    await rig.memory.postpone('req_1', 1, rig.clock.wallMs() + 3_600_000);
    rig.deliverer.wake();
    await rig.clock.settle();
    const asked = rig.asked.length;
    expect(rig.clock.pendingTimers).toBe(1);
    await rig.clock.advance(3_599_999);
    expect(rig.asked).toHaveLength(asked);
    await rig.clock.advance(1);
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_1']);
  });
});

describe('a receiver that fails', () => {
  test('is tried eight times, each wait as the schedule says, and then no more', async () => {
    const rig = new WebhookRig();
    rig.answer = async () => answered(500);
    rig.settle('req_1');
    await rig.runOut();
    const times = rig.sent.map(({ atMs }) => atMs);
    const waits = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
    const minutes = [5, 30, 120, 300, 600, 840].map((count) => (count * MINUTE_MS) / 2);
    expect(times[0]).toBe(0);
    expect(waits).toEqual([2.5 * SECOND_MS, ...minutes]);
    expect(rig.eventsOf('webhook.postponed')).toHaveLength(7);
    expect(rig.eventsOf('webhook.postponed')[0]).toEqual({
      requestId: 'req_1',
      tries: 1,
      retryInMs: 2_500,
      reason: 'the receiver answered 500',
    });
    expect(rig.eventsOf('webhook.failed')).toEqual([
      { requestId: 'req_1', tries: 8, reason: 'the receiver answered 500' },
    ]);
    expect(await rig.left()).toEqual([]);
  });

  test('and recovers is sent everything that was not given up', async () => {
    const rig = new WebhookRig();
    const isDown = (): boolean => rig.clock.nowMs() < 6 * 3_600_000;
    rig.answer = async () => (isDown() ? { kind: 'unanswered', reason: 'connection refused' } : answered(200));
    rig.settle(...ids(20));
    await rig.runOut();
    expect(new Set(rig.idsOf('webhook.delivered'))).toEqual(new Set(ids(20)));
    expect(rig.idsOf('webhook.failed')).toEqual([]);
  });

  test('costs other notices nothing', async () => {
    const rig = new WebhookRig();
    rig.answer = async ({ id }) => answered(id === 'msg_req_1' ? 500 : 200);
    rig.settle(...ids(3));
    await rig.clock.advance(0);
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_2', 'req_3']);
    expect(rig.idsOf('webhook.postponed')).toEqual(['req_1']);
  });

  test('goes on where the process before has stopped counting', async () => {
    const rig = new WebhookRig();
    rig.answer = async () => answered(500);
    rig.settle('req_1');
    await rig.clock.advance(200_000);
    expect(rig.sent).toHaveLength(3);
    await rig.clock.waitFor(rig.deliverer.stop());
    rig.deliverer = rig.createDeliverer();
    rig.deliverer.wake();
    await rig.runOut();
    expect(rig.sent).toHaveLength(8);
    expect(rig.eventsOf('webhook.failed')).toMatchObject([{ tries: 8 }]);
  });
});

describe('a receiver that hangs', () => {
  test('holds up eight connections, and the others have their turn', async () => {
    const rig = new WebhookRig();
    const hang = hangs(rig.clock);
    rig.answer = (notice, signal) =>
      Number(notice.id.slice(8)) <= 20 ? hang(notice, signal) : Promise.resolve(answered(200));
    rig.settle(...ids(30));
    await rig.clock.advance(9_999);
    expect(rig.sent).toHaveLength(8);
    await rig.clock.advance(25_000);
    expect(rig.inFlightMax).toBe(8);
    expect(rig.idsOf('webhook.delivered').toSorted()).toEqual(ids(30).slice(20).toSorted());
  });

  test('does not hold up whoever writes a settlement', () => {
    const rig = new WebhookRig();
    rig.answer = () => new Promise(() => undefined);
    // `wake` returns at once and gives nothing to wait for.
    rig.settle(...ids(100));
    expect(rig.asked.length).toBeLessThanOrEqual(1);
  });

  test('does not hide from a new notice that there is room', async () => {
    const rig = new WebhookRig();
    rig.answer = (notice, signal) =>
      notice.id === 'msg_req_1' ? hangs(rig.clock)(notice, signal) : Promise.resolve(answered(200));
    rig.settle('req_1');
    await rig.clock.advance(1_000);
    rig.settle('req_2');
    await rig.clock.advance(0);
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_2']);
  });

  test('makes a postponed notice late by one limit at most', async () => {
    const rig = new WebhookRig();
    let isFirst = true;
    rig.answer = (notice, signal) => {
      if (notice.id === 'msg_req_1') return hangs(rig.clock)(notice, signal);
      const outcome = answered(isFirst ? 500 : 200);
      isFirst = false;
      return Promise.resolve(outcome);
    };
    rig.settle('req_1', 'req_2');
    await rig.clock.advance(2_500 + WEBHOOKS.timeoutMs);
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_2']);
  });
});

describe('a receiver that wants no more', () => {
  test('is not sent a notice again that it answered with 410', async () => {
    const rig = new WebhookRig();
    rig.answer = async () => answered(410);
    rig.settle('req_1');
    await rig.runOut();
    expect(rig.sent).toHaveLength(1);
    expect(rig.eventsOf('webhook.failed')).toEqual([
      { requestId: 'req_1', tries: 1, reason: 'the receiver answered 410: it wants no more notices' },
    ]);
    expect(await rig.left()).toEqual([]);
  });

  test('is still sent the notices that come later', async () => {
    const rig = new WebhookRig();
    rig.answer = async ({ id }) => answered(id === 'msg_req_1' ? 410 : 200);
    rig.settle('req_1', 'req_2');
    await rig.runOut();
    expect(rig.idsOf('webhook.delivered')).toEqual(['req_2']);
  });
});

describe('a receiver that names a time', () => {
  test('is sent nothing until then, and everything afterwards', async () => {
    const rig = new WebhookRig();
    let isThrottling = true;
    rig.answer = async () => answered(isThrottling ? 429 : 200, isThrottling ? 60_000 : undefined);
    rig.settle('req_1');
    await rig.clock.advance(1_000);
    isThrottling = false;
    rig.settle(...ids(20).slice(1));
    await rig.clock.advance(58_999);
    expect(rig.sent).toHaveLength(1);
    expect(rig.clock.pendingTimers).toBe(1);
    await rig.clock.advance(1);
    expect(new Set(rig.idsOf('webhook.delivered'))).toEqual(new Set(ids(20)));
    expect(rig.eventsOf('webhook.postponed')).toMatchObject([{ requestId: 'req_1', retryInMs: 60_000 }]);
  });

  test('for each of several notices in flight is believed the latest', async () => {
    const rig = new WebhookRig();
    rig.answer = async ({ id }) =>
      rig.sent.length > 2 ? answered(200) : answered(503, id === 'msg_req_1' ? 90_000 : 30_000);
    rig.settle('req_1', 'req_2');
    await rig.clock.advance(89_999);
    expect(rig.sent).toHaveLength(2);
    await rig.clock.advance(1);
    expect(rig.idsOf('webhook.delivered').toSorted()).toEqual(['req_1', 'req_2']);
  });
});

describe('another config', () => {
  const other = { ...WEBHOOKS, url: 'https://example.org/hooks' };

  test('sends the next try to the new receiver and closes the way to the old one', async () => {
    const rig = new WebhookRig();
    rig.answer = async () => answered(rig.sent.length === 1 ? 500 : 200);
    rig.settle('req_1');
    await rig.clock.settle();
    rig.deliverer.configure(other);
    await rig.runOut();
    expect(rig.sent.map(({ url }) => url)).toEqual([WEBHOOKS.url, other.url]);
    expect(rig.closed).toEqual([WEBHOOKS.url]);
  });

  test('forgets that the old receiver wanted to be left alone', async () => {
    const rig = new WebhookRig();
    rig.answer = async () => answered(rig.sent.length === 1 ? 429 : 200, 3_600_000);
    rig.settle('req_1', 'req_2');
    await rig.clock.settle();
    const before = rig.sent.length;
    rig.settle('req_3');
    await rig.clock.advance(1_000);
    expect(rig.sent).toHaveLength(before);
    rig.deliverer.configure(other);
    await rig.clock.advance(0);
    expect(rig.sent.slice(before)).toEqual([{ requestId: 'req_3', atMs: 1_000, url: other.url }]);
  });

  test('that says the same changes nothing', async () => {
    const rig = new WebhookRig();
    rig.deliverer.configure({ ...WEBHOOKS, secrets: [...WEBHOOKS.secrets] });
    await rig.clock.settle();
    expect(rig.closed).toEqual([]);
    expect(rig.asked).toEqual([]);
  });
});

describe('a notice whose result expires before it is delivered', () => {
  const RESULT_TTL_MS = 3_600_000;

  test('is told as failed when the result expires, is not sent any more, and is forgotten', async () => {
    const rig = new WebhookRig({ resultTtlMs: RESULT_TTL_MS });
    rig.answer = async () => answered(500);
    rig.settle('req_1');
    await rig.runOut();
    const tries = rig.sent.length;
    expect(tries).toBeGreaterThan(1);
    expect(rig.eventsOf('webhook.failed')).toEqual([
      { requestId: 'req_1', tries, reason: 'the result expired before its notice was delivered' },
    ]);
    expect(rig.clock.nowMs()).toBe(RESULT_TTL_MS);
    expect(await rig.left()).toEqual([]);
  });

  test('is told as failed by the next process, when there was none as it expired', async () => {
    const rig = new WebhookRig({ resultTtlMs: RESULT_TTL_MS });
    rig.memory.add('req_1', { status: 'succeeded' }, rig.clock.wallMs());
    await rig.clock.advance(RESULT_TTL_MS);
    rig.deliverer.wake();
    await rig.runOut();
    expect(rig.sent).toEqual([]);
    expect(rig.eventsOf('webhook.failed')).toMatchObject([{ requestId: 'req_1', tries: 0 }]);
    expect(await rig.left()).toEqual([]);
  });

  test('is told as failed once, also when the outbox fails to forget it', async () => {
    const rig = new WebhookRig({ resultTtlMs: RESULT_TTL_MS });
    rig.memory.add('req_1', { status: 'succeeded' }, rig.clock.wallMs());
    await rig.clock.advance(RESULT_TTL_MS);
    rig.fault = (operation, count) => (operation === 'remove' && count < 3 ? 'before' : undefined);
    rig.deliverer.wake();
    await rig.runOut();
    expect(rig.idsOf('webhook.failed')).toEqual(['req_1']);
    expect(await rig.left()).toEqual([]);
  });

  test('is told as failed once the receiver does not want to be left alone any more', async () => {
    const rig = new WebhookRig({ resultTtlMs: RESULT_TTL_MS });
    rig.answer = async () => answered(503, 2 * RESULT_TTL_MS);
    rig.settle('req_1');
    await rig.runOut();
    expect(rig.sent).toHaveLength(1);
    expect(rig.eventsOf('webhook.failed')).toMatchObject([{ requestId: 'req_1', tries: 1 }]);
  });
});
