/**
 * What every request store keeps to, whatever it is made of: records, claims and settlements here, for how long they are kept
 * in `store-keeping-contract.ts`. A store's own test file hands in how to open an empty one over a virtual clock and gets these
 * tests; what only stores have that outlive their process is in `durable-store-contract.ts`.
 */
import { describe, expect, test } from 'vitest';
import { FIRST_FENCE, type Claim, type RequestRecord, type RequestStore } from '../../src/contract/records.ts';
import type { AttemptReport, EmbeddingResponse } from '../../src/contract/response.ts';
import {
  attemptReport,
  cancelledSettlement,
  claimOf,
  createRecord,
  failedSettlement,
  succeededSettlement,
  TARGET,
} from '../support/request-records.ts';
import { describeStoreKeeping } from './store-keeping-contract.ts';
import { loadRecord, type OpenStore, statusOf, subjectOf } from './store-subject.ts';

/** Every kind of character that text may hold, up to half a surrogate pair. */
const WIDE = '\u0000 \u001f "quoted" \\ \u00e9 e\u0301 \u4e2d\u6587 \u{1f600} \ufeff \u2028 \uffff';
const HALF = '\ud800';

/** Records that differ from the usual one in what is easily lost on the way to a file and back. */
const UNUSUAL: readonly (readonly [string, Partial<RequestRecord>])[] = [
  ['nothing unusual', {}],
  ['all that is optional', { idempotencyKey: 'k', fallbacks: ['openai/gpt-4.1'], tenant: 'acme', priority: 'low' }],
  ['no fallbacks, and no tags', { fallbacks: 'none', tags: {} }],
  ['a line of a batch', { batch: { batchId: 'batch_1', index: 0, customId: 'line-1' } }],
  ['a line of a batch without a name', { batch: { batchId: 'batch_1', index: 49_999, customId: undefined } }],
  ['wide characters in every name', { tenant: WIDE, idempotencyKey: WIDE, requestHash: WIDE, tags: { [WIDE]: WIDE } }],
  [
    'half a surrogate pair in what the model is asked',
    { request: { kind: 'completion', model: 'm', messages: [{ role: 'user', content: `${HALF}x` }] } },
  ],
  [
    'a body of a megabyte',
    { request: { kind: 'completion', model: 'm', messages: [{ role: 'user', content: '\u00e9'.repeat(500_000) }] } },
  ],
  [
    'values of every type in a request',
    {
      request: {
        kind: 'completion',
        model: 'm',
        messages: [{ role: 'assistant', content: null }],
        temperature: 0,
        maxTokens: 1,
        stop: [],
        providerOptions: { openai: { deep: [{ yes: true, no: false, none: null, small: 1e-21, large: 2 ** 53 }] } },
      },
    },
  ],
  ['an embedding', { request: { kind: 'embedding', model: 'm', input: ['', 'two'] } }],
  ['moments and durations that are no integers', { createdAt: 1.5, enqueuedAt: 1_767_225_600_000.25, timeoutMs: 0.1 }],
  ['the most careful recovery', { recovery: 'atMostOnce', priority: 'high' }],
];

/** Runs the contract against the stores that `open` opens. */
export function describeStoreContract(name: string, open: OpenStore): void {
  const within = subjectOf(open);

  describe(`the ${name} store: records`, () => {
    test.each(UNUSUAL)('a record with %s is found as it was, every field of it', (_, changes) =>
      within(async ({ store }) => {
        const record = createRecord('req_1', changes);
        expect(await store.insert(record, 'memory')).toEqual({ kind: 'inserted' });
        expect(await store.load('req_1')).toEqual({ kind: 'found', record, isParked: false });
      }),
    );

    test('an id that was never inserted is unknown', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        for (const requestId of ['req_none', '', 'req_', 'req_1 ', 'REQ_1', 'req_1\u0000', '%'])
          expect(await store.load(requestId)).toEqual({ kind: 'unknown' });
      }));

    test('status and attempts follow the request, attempts in the order they were made', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        const attempts = [
          attemptReport('failed', { code: 'overloaded', message: WIDE + HALF, isMaybeBilled: true }),
          attemptReport('refused', { durationMs: 0.5, cost: { usd: 0.1, usdNanos: 100_000_000, priceVersion: 'v' } }),
          attemptReport('answered', { provider: 'other' }),
        ];
        for (const [index, attempt] of attempts.entries()) {
          expect(await store.markRunning(claimOf('req_1'), TARGET)).toBe(true);
          expect(await statusOf(store, 'req_1')).toBe('running');
          expect(await store.addAttempt(claimOf('req_1'), index + 1, attempt)).toBe(true);
          expect(await store.markQueued(claimOf('req_1'))).toBe(true);
          expect(await statusOf(store, 'req_1')).toBe('queued');
        }
        expect((await loadRecord(store, 'req_1')).attempts).toEqual(attempts);
      }));

    test('an attempt that was begun is no attempt before it is told what it came to', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.markRunning(claimOf('req_1'), TARGET);
        expect((await loadRecord(store, 'req_1')).attempts).toEqual([]);
        await store.addAttempt(claimOf('req_1'), 1, attemptReport('answered'));
        await store.markRunning(claimOf('req_1'), TARGET);
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        expect((await loadRecord(store, 'req_1')).attempts).toEqual([attemptReport('answered')]);
      }));

    test('an attempt that is told twice is there once, as it was told first', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        const first = attemptReport('failed');
        const second = attemptReport('answered');
        const tell = (number: number, report: AttemptReport) => store.addAttempt(claimOf('req_1'), number, report);
        await store.markRunning(claimOf('req_1'), TARGET);
        expect(await tell(1, first)).toBe(true);
        expect(await tell(1, second)).toBe(true);
        expect((await loadRecord(store, 'req_1')).attempts).toEqual([first]);
        // Also when the next one has begun meanwhile, or has ended.
        await store.markRunning(claimOf('req_1'), TARGET);
        expect(await tell(1, first)).toBe(true);
        expect(await tell(2, second)).toBe(true);
        expect(await tell(1, first)).toBe(true);
        expect(await tell(2, second)).toBe(true);
        expect((await loadRecord(store, 'req_1')).attempts).toEqual([first, second]);
      }));

    test('what happens to one record happens to no other', () =>
      within(async ({ store }) => {
        for (const requestId of ['req_1', 'req_2', 'req_3']) await store.insert(createRecord(requestId), 'memory');
        const others = [await store.load('req_1'), await store.load('req_3')];
        await store.markRunning(claimOf('req_2'), TARGET);
        await store.addAttempt(claimOf('req_2'), 1, attemptReport('failed'));
        await store.settle(claimOf('req_2'), failedSettlement, 1);
        expect([await store.load('req_1'), await store.load('req_3')]).toEqual(others);
      }));
  });

  describe(`the ${name} store: claims`, () => {
    test('a claim that was taken over writes nothing, and says so', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        const [claim] = await store.claim(['req_1']);
        expect(claim?.fence).toBeGreaterThan(FIRST_FENCE);
        await expectFenced(store, claimOf('req_1'));
        await expectHolds(store, claim!);
      }));

    test('claiming twice is no mistake: the last claim is the one that holds', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        const claims = (await Promise.all([1, 2, 3].map(() => store.claim(['req_1'])))).flat();
        expect(claims).toHaveLength(3);
        expect(new Set(claims.map(({ fence }) => fence)).size).toBe(3);
        const [last, ...older] = claims.toSorted((one, other) => other.fence - one.fence);
        for (const claim of older) await expectFenced(store, claim);
        await expectHolds(store, last!);
      }));

    test('a fence that was never given holds nothing', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        for (const fence of [-1, 0, FIRST_FENCE + 1, 2 ** 40]) await expectFenced(store, { requestId: 'req_1', fence });
        await expectHolds(store, claimOf('req_1'));
      }));

    test('what has ended and what is unknown is left out of the claims, the rest keeps its order', () =>
      within(async ({ store }) => {
        for (const requestId of ['req_1', 'req_2', 'req_3']) await store.insert(createRecord(requestId), 'memory');
        await store.settle(claimOf('req_2'), failedSettlement, 1);
        const claims = await store.claim(['req_3', 'req_none', 'req_2', 'req_1']);
        expect(claims.map(({ requestId }) => requestId)).toEqual(['req_3', 'req_1']);
        expect(await store.claim([])).toEqual([]);
        expect(await statusOf(store, 'req_none')).toBe('unknown');
      }));

    test('a record that has ended takes no claim', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        await expectFenced(store, claimOf('req_1'));
      }));

    test('bookkeeping for an unknown id is no error and creates nothing', () =>
      within(async ({ store }) => {
        await expectFenced(store, claimOf('req_none'));
        expect(await store.load('req_none')).toEqual({ kind: 'unknown' });
      }));
  });

  describe(`the ${name} store: settlement`, () => {
    const vectors: EmbeddingResponse = {
      kind: 'embedding',
      requestId: 'req_1',
      ...TARGET,
      vectors: [[0.1, -1e-9, 3.402_823_466e38], []],
      usage: {},
      latency: { queuedMs: 0.125, totalMs: 5 },
      attempts: [attemptReport('answered')],
      createdAt: 1,
    };

    test.each([
      ['an answer', succeededSettlement('req_1')],
      ['an answer in wide characters', succeededSettlement('req_1', WIDE + HALF)],
      ['an answer of a megabyte', succeededSettlement('req_1', 'x'.repeat(1_000_000))],
      ['vectors', { status: 'succeeded', response: vectors } as const],
      ['a failure', failedSettlement],
      ['a cancellation', cancelledSettlement],
    ])('%s is kept whole with its moment', (_, settlement) =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        expect(await store.settle(claimOf('req_1'), settlement, 1_767_225_600_123)).toBe(true);
        expect(await loadRecord(store, 'req_1')).toEqual(
          createRecord('req_1', { status: settlement.status, settlement, settledAt: 1_767_225_600_123 }),
        );
      }),
    );

    test('the first settlement wins, and nothing after it changes the record (R1)', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), succeededSettlement('req_1'), 5);
        const settled = await store.load('req_1');
        expect(await store.settle(claimOf('req_1'), failedSettlement, 6)).toBe(false);
        expect(await store.settle(claimOf('req_1'), succeededSettlement('req_1', 'another'), 6)).toBe(false);
        expect(await store.settleParked('req_1', failedSettlement, 6)).toBe(false);
        expect(await store.load('req_1')).toEqual(settled);
      }));

    test('of a hundred settlements at once exactly one wins, and it is the one that is read', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        const settlements = Array.from({ length: 100 }, (_, index) => succeededSettlement('req_1', `answer ${index}`));
        const won = await Promise.all(settlements.map((settlement) => store.settle(claimOf('req_1'), settlement, 1)));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await loadRecord(store, 'req_1')).toMatchObject({ settlement: settlements[won.indexOf(true)] });
      }));

    test('a record that is in memory is not ended from outside', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        expect(await store.settleParked('req_1', cancelledSettlement, 1)).toBe(false);
        expect(await statusOf(store, 'req_1')).toBe('queued');
      }));

    test('reading never deletes', () =>
      within(async ({ store }) => {
        await store.insert(createRecord('req_1'), 'memory');
        await store.settle(claimOf('req_1'), failedSettlement, 1);
        for (let index = 0; index < 5; index += 1) expect(await statusOf(store, 'req_1')).toBe('failed');
      }));
  });

  describeStoreKeeping(name, open);
}

/** Every write that a claim gives the right to. */
function writesOf(store: RequestStore, claim: Claim): readonly (readonly [string, () => Promise<boolean>])[] {
  return [
    ['markRunning', () => store.markRunning(claim, TARGET)],
    ['addAttempt', () => store.addAttempt(claim, 1, attemptReport('answered'))],
    ['markQueued', () => store.markQueued(claim)],
    ['settle', () => store.settle(claim, succeededSettlement(claim.requestId, 'fenced'), 9)],
  ];
}

/** None of its writes is taken, and the record is what it was. */
export async function expectFenced(store: RequestStore, claim: Claim): Promise<void> {
  const before = await store.load(claim.requestId);
  const parked = store.parked;
  for (const [name, write] of writesOf(store, claim)) expect([name, await write()]).toEqual([name, false]);
  expect(await store.park(claim)).toBe(false);
  expect(await store.load(claim.requestId)).toEqual(before);
  expect(store.parked).toBe(parked);
}

/** All of its writes are taken; the record is settled then. */
export async function expectHolds(store: RequestStore, claim: Claim): Promise<void> {
  for (const [name, write] of writesOf(store, claim)) expect([name, await write()]).toEqual([name, true]);
  expect(await statusOf(store, claim.requestId)).toBe('succeeded');
}
