/** In which order records that wait in the file are taken into memory. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RequestRecord, RequestStore } from '../../src/contract/records.ts';
import type { Priority } from '../../src/contract/request.ts';
import { CLASSES, keyOffsetMs } from '../../src/policy/order.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { propertyRuns } from '../support/properties.ts';
import { cancelledSettlement, createRecord } from '../support/request-records.ts';

const START_MS = Date.UTC(2026, 0, 1);

/** A store in memory with the same engine: the order does not depend on the disk. */
function openStore(): RequestStore {
  const host = createInlineHost({ path: ':memory:', resultTtlMs: 1_000, hasWebhooks: false });
  return createSqliteStorage(host, { clock: new VirtualClock(), retainDays: 30 }).requests;
}

interface Arrival {
  readonly tenant: number;
  readonly priority: Priority;
  readonly atMs: number;
}

const arrival: fc.Arbitrary<Arrival> = fc.record({
  tenant: fc.nat(3),
  priority: fc.constantFrom(...CLASSES),
  atMs: fc.oneof(fc.constantFrom(0, 1, 29_999, 30_000, 30_001, 599_999, 600_000, 600_001), fc.nat(700_000)),
});

function recordOf({ tenant, priority, atMs }: Arrival, index: number): RequestRecord {
  return createRecord(`req_${index}`, { tenant: `tenant ${tenant}`, priority, enqueuedAt: START_MS + atMs });
}

const keyOf = ({ enqueuedAt, priority }: RequestRecord) => enqueuedAt + keyOffsetMs(priority);

/** Which classes may be next: those whose smallest key is the smallest; of several the most urgent. */
function classDue(waiting: readonly RequestRecord[]): Priority {
  const smallest = Math.min(...waiting.map(keyOf));
  return CLASSES.find((priority) => waiting.some((each) => each.priority === priority && keyOf(each) === smallest))!;
}

/** The first of a tenant in a class, by when they came and then by when they were stored. */
function firstOf(waiting: readonly RequestRecord[], { tenant, priority }: RequestRecord): string | undefined {
  const own = waiting.filter((each) => each.tenant === tenant && each.priority === priority);
  return own.toSorted((one, other) => one.enqueuedAt - other.enqueuedAt)[0]?.requestId;
}

/** Takes the list apart, record by record; `turns` counts how often each tenant had its turn in its class. */
function expectInOrder(parked: readonly RequestRecord[], listed: readonly RequestRecord[]): void {
  let waiting = parked;
  const turns = new Map<string, number>();
  const turnsOf = ({ priority, tenant }: RequestRecord) => turns.get(`${priority} ${tenant}`) ?? 0;
  for (const record of listed) {
    expect(waiting.map(({ requestId }) => requestId)).toContain(record.requestId);
    expect(record.priority).toBe(classDue(waiting));
    expect(record.requestId).toBe(firstOf(waiting, record));
    const others = waiting.filter(({ priority }) => priority === record.priority);
    expect(turnsOf(record)).toBe(Math.min(...others.map(turnsOf)));
    turns.set(`${record.priority} ${record.tenant}`, turnsOf(record) + 1);
    waiting = waiting.filter(({ requestId }) => requestId !== record.requestId);
  }
}

test('the class whose oldest is due first comes first, and inside it tenants take turns, oldest first', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { minLength: 1, maxLength: 30, size: 'max' }),
      fc.integer({ min: 1, max: 12 }),
      async (arrivals, max) => {
        const store = openStore();
        let parked = arrivals.map(recordOf);
        await Promise.all(parked.map((record) => store.insert(record, 'store')));
        // Until nobody waits any more; each listing is in order, and as long as it may be.
        while (parked.length > 0) {
          const listed = await store.listParked(max);
          expect(listed).toHaveLength(Math.min(max, parked.length));
          expectInOrder(parked, listed);
          const ids = listed.map(({ requestId }) => requestId);
          expect(await store.claim(ids)).toHaveLength(ids.length);
          parked = parked.filter(({ requestId }) => !ids.includes(requestId));
          expect(store.parked).toBe(parked.length);
        }
        expect(await store.listParked(max)).toEqual([]);
        await store.close();
      },
    ),
    propertyRuns(150),
  );
});

test('whoever waits beside a backlog of thousands is not behind it', async () => {
  const store = openStore();
  const flood = Array.from({ length: 5_000 }, (_, index) => createRecord(`req_flood_${index}`, { tenant: 'flood' }));
  await Promise.all(flood.map((record) => store.insert(record, 'store')));
  const late = createRecord('req_late', { tenant: 'late', enqueuedAt: START_MS + 86_400_000 });
  await store.insert(late, 'store');
  expect((await store.listParked(2)).map(({ requestId }) => requestId)).toContain('req_late');
  expect((await store.listParked(500)).slice(0, 2).map(({ requestId }) => requestId)).toContain('req_late');
});

test.each([1, 2, 3, 5, 7])(
  'taken in %i at a time, tenants that wait have had as many turns as each other',
  async (max) => {
    const store = openStore();
    const tenants = ['a', 'b', 'c', 'd'];
    const records = tenants.flatMap((tenant) =>
      Array.from({ length: 40 }, (_, index) => createRecord(`req_${tenant}_${index}`, { tenant, enqueuedAt: index })),
    );
    await Promise.all(records.map((record) => store.insert(record, 'store')));
    const turns = new Map(tenants.map((tenant) => [tenant, 0]));
    for (let taken = 0; taken < 100;) {
      const listed = await store.listParked(max);
      await store.claim(listed.map(({ requestId }) => requestId));
      for (const { tenant } of listed) turns.set(tenant, (turns.get(tenant) ?? 0) + 1);
      taken += listed.length;
      expect(Math.max(...turns.values()) - Math.min(...turns.values())).toBeLessThanOrEqual(1);
    }
  },
);

test('thousands of tenants have their turn one after another, and none twice before each had one', async () => {
  const store = openStore();
  const records = Array.from({ length: 2_500 }, (_, index) =>
    createRecord(`req_${index}`, { tenant: `tenant ${index % 1_250}`, enqueuedAt: index < 1_250 ? START_MS : 0 }),
  );
  await Promise.all(records.map((record) => store.insert(record, 'store')));
  const served: string[] = [];
  while (served.length < 1_250) {
    const listed = await store.listParked(500);
    await store.claim(listed.map(({ requestId }) => requestId));
    served.push(...listed.map(({ tenant }) => tenant));
  }
  expect(new Set(served).size).toBe(1_250);
});

test('a class is seen however many tenants wait in the others', async () => {
  const store = openStore();
  const lows = Array.from({ length: 1_200 }, (_, index) =>
    createRecord(`req_${index}`, { tenant: `tenant ${index}`, priority: 'low' }),
  );
  await Promise.all(lows.map((record) => store.insert(record, 'store')));
  await store.insert(createRecord('req_high', { tenant: 'other', priority: 'high' }), 'store');
  expect((await store.listParked(1)).map(({ requestId }) => requestId)).toEqual(['req_high']);
});

test('what was given back is in its old place, and what has ended or is in memory is in none', async () => {
  const store = openStore();
  const records = [3, 1, 2, 0].map((index) => createRecord(`req_${index}`, { enqueuedAt: START_MS + index }));
  for (const record of records) await store.insert(record, 'store');
  const claims = await store.claim(['req_1', 'req_2']);
  await store.settleParked('req_3', cancelledSettlement, 1);
  expect((await store.listParked(10)).map(({ requestId }) => requestId)).toEqual(['req_0']);
  for (const claim of claims) await store.park(claim);
  expect((await store.listParked(10)).map(({ requestId }) => requestId)).toEqual(['req_0', 'req_1', 'req_2']);
});

test('large ones come a few at a time, one at least, in the same order', async () => {
  const store = openStore();
  const sizes = [7, 7, 7, 20, 1, 1];
  for (const [index, size] of sizes.entries()) {
    const content = 'x'.repeat(size * 1_000_000);
    const request = { kind: 'completion', model: 'm', messages: [{ role: 'user', content }] } as const;
    await store.insert(createRecord(`req_${index}`, { request, enqueuedAt: index, timeoutMs: 1 }), 'store');
  }
  const listed: string[][] = [];
  while (store.parked > 0) {
    const ids = (await store.listParked(10)).map(({ requestId }) => requestId);
    expect((await store.listOverdue(10)).map(({ requestId }) => requestId)).toEqual(ids);
    listed.push(ids);
    await store.claim(ids);
  }
  expect(listed).toEqual([['req_0', 'req_1'], ['req_2'], ['req_3'], ['req_4', 'req_5']]);
});
