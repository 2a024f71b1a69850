import { describe, expect, test } from 'vitest';
import { FIRST_FENCE } from '../../src/contract/records.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { describeOutboxContract } from '../contracts/outbox-contract.ts';
import { createRecord, failedSettlement } from '../support/request-records.ts';
import { RESULT_TTL_MS, StoreFile } from '../support/store-file.ts';

describeOutboxContract('sqlite', async (clock) => {
  const file = new StoreFile();
  const storage = file.open(clock, { hasWebhooks: true });
  return {
    requests: storage.requests,
    outbox: storage.webhooks,
    close: async () => {
      await storage.close();
      file[Symbol.dispose]();
    },
  };
});

describe('a file', () => {
  test('keeps notices, and how often each was tried, for the next process', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const before = file.open(clock, { hasWebhooks: true });
    for (const requestId of ['req_1', 'req_2']) {
      await before.requests.insert(createRecord(requestId), 'memory');
      await before.requests.settle({ requestId, fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    }
    await before.webhooks.postpone('req_1', 3, clock.wallMs() + 5_000);
    await before.close();
    const after = file.open(clock, { hasWebhooks: true });
    expect(await after.webhooks.due(clock.wallMs() + 5_000, 10)).toMatchObject([
      { requestId: 'req_2', tries: 0 },
      { requestId: 'req_1', tries: 3, dueAt: clock.wallMs() + 5_000 },
    ]);
    await after.close();
  });

  test('has a notice of a request that its process did not survive', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const before = file.open(clock, { hasWebhooks: true });
    await before.requests.insert(createRecord('req_1', { recovery: 'atMostOnce' }), 'memory');
    await before.requests.markRunning({ requestId: 'req_1', fence: FIRST_FENCE }, { provider: 'p', model: 'm' });
    await before.close();
    const after = file.open(clock, { hasWebhooks: true });
    expect(await after.requests.recover()).toMatchObject({ interrupted: ['req_1'] });
    expect(await after.webhooks.due(clock.wallMs(), 10)).toMatchObject([
      { requestId: 'req_1', settlement: { status: 'failed', error: { code: 'interrupted' } } },
    ]);
    await after.close();
  });

  test('has a notice of a request that ended while it waited there', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const storage = file.open(clock, { hasWebhooks: true });
    const { requests, webhooks } = storage;
    await requests.insert(createRecord('req_1'), 'store');
    expect(await requests.settleParked('req_1', failedSettlement, clock.wallMs())).toBe(true);
    expect(await webhooks.due(clock.wallMs(), 10)).toMatchObject([{ requestId: 'req_1' }]);
    await storage.close();
  });

  test('forgets with an expired result the notice of it, once webhooks are turned off', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const before = file.open(clock, { hasWebhooks: true });
    await before.requests.insert(createRecord('req_1'), 'memory');
    await before.requests.settle({ requestId: 'req_1', fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    await before.close();
    const after = file.open(clock, { hasWebhooks: false });
    await clock.advance(RESULT_TTL_MS + 60_000);
    expect(await after.webhooks.nextDueAt()).toBeUndefined();
    await after.close();
  });

  test('forgets with the id the notice that had expired while webhooks were on', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const before = file.open(clock, { hasWebhooks: true });
    await before.requests.insert(createRecord('req_1'), 'memory');
    await before.requests.settle({ requestId: 'req_1', fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    await clock.advance(RESULT_TTL_MS + 60_000);
    expect(await before.requests.load('req_1')).toEqual({ kind: 'expired' });
    await before.close();
    const after = file.open(clock, { hasWebhooks: false });
    await clock.advance(RESULT_TTL_MS + 60_000);
    expect(await after.requests.load('req_1')).toEqual({ kind: 'unknown' });
    await after.close();
    expect(file.read('SELECT count(*) AS left FROM webhooks')).toEqual([{ left: 0 }]);
  });

  test('has no notices while webhooks are off', async () => {
    const clock = new VirtualClock();
    using file = new StoreFile();
    const storage = file.open(clock, { hasWebhooks: false });
    const { requests, webhooks } = storage;
    await requests.insert(createRecord('req_1'), 'memory');
    await requests.settle({ requestId: 'req_1', fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    expect(await webhooks.due(clock.wallMs(), 10)).toEqual([]);
    await storage.close();
  });
});
