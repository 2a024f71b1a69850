import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FIRST_FENCE } from '../../src/contract/records.ts';
import type { SettlementNotice } from '../../src/contract/storage.ts';
import { MemoryOutbox } from '../../src/stores/memory-outbox.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { describeOutboxContract } from '../contracts/outbox-contract.ts';
import { createRecord, failedSettlement } from '../support/request-records.ts';
import { RESULT_TTL_MS } from '../support/store-file.ts';
import { propertyRuns } from '../support/properties.ts';

describeOutboxContract('memory', async (clock) => {
  const outbox = new MemoryOutbox({ clock, resultTtlMs: RESULT_TTL_MS });
  const requests = new MemoryStore({ clock, resultTtlMs: RESULT_TTL_MS, outbox });
  return { requests, outbox, close: () => requests.close() };
});

const succeeded: SettlementNotice = { status: 'succeeded' };

test('a record that makes room leaves word that its notice was in vain, and so many and no more do', async () => {
  const clock = new VirtualClock();
  const outbox = new MemoryOutbox({ clock, resultTtlMs: RESULT_TTL_MS, expiredMax: 2 });
  const requests = new MemoryStore({ clock, resultTtlMs: RESULT_TTL_MS, recordsMax: 2, outbox });
  for (const requestId of ['req_1', 'req_2', 'req_3', 'req_4', 'req_5']) {
    await requests.insert(createRecord(requestId));
    await requests.settle({ requestId, fence: FIRST_FENCE }, failedSettlement, clock.wallMs());
    if (requestId === 'req_1') await outbox.postpone(requestId, 1, clock.wallMs() + 5_000);
    if (requestId === 'req_3') {
      expect(await outbox.due(clock.wallMs(), 10)).toMatchObject([
        { requestId: 'req_1', tries: 1, settlement: undefined },
        { requestId: 'req_2', settlement: { status: 'failed' } },
        { requestId: 'req_3', settlement: { status: 'failed' } },
      ]);
    }
  }
  const due = await outbox.due(clock.wallMs(), 10);
  expect(due.map(({ requestId, settlement }) => [requestId, settlement?.status])).toEqual([
    ['req_2', undefined],
    ['req_3', undefined],
    ['req_4', 'failed'],
    ['req_5', 'failed'],
  ]);
});

test('an answer is not kept for as long as its receiver is down', async () => {
  const clock = new VirtualClock();
  const outbox = new MemoryOutbox({ clock, resultTtlMs: RESULT_TTL_MS });
  const answer = { status: 'succeeded' as const, response: { text: 'canary' } };
  const error = { status: 'failed' as const, error: { code: 'timeout' as const, message: 'm', partial: 'canary' } };
  outbox.add('req_1', answer, 1);
  outbox.add('req_2', error, 1);
  expect(JSON.stringify(await outbox.due(clock.wallMs(), 10))).not.toContain('canary');
});

type Step =
  | { readonly kind: 'add' | 'remove'; readonly id: number }
  | { readonly kind: 'postpone'; readonly id: number; readonly byMs: number }
  | { readonly kind: 'wait'; readonly byMs: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('add' as const, 'remove' as const), id: fc.nat(7) }),
  fc.record({ kind: fc.constant('postpone' as const), id: fc.nat(7), byMs: fc.nat(20) }),
  fc.record({ kind: fc.constant('wait' as const), byMs: fc.nat(10) }),
);

test('whatever is done with it, it says what a sorted list would', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), async (steps, max) => {
      const clock = new VirtualClock();
      const outbox = new MemoryOutbox({ clock, resultTtlMs: RESULT_TTL_MS });
      let model: { id: string; dueAt: number; tries: number; sequence: number }[] = [];
      for (const [sequence, each] of steps.entries()) {
        const id = each.kind === 'wait' ? '' : `req_${each.id}`;
        const known = model.find((entry) => entry.id === id);
        if (each.kind === 'wait') await clock.advance(each.byMs);
        else if (each.kind === 'remove') {
          await outbox.remove(id);
          model = model.filter((entry) => entry.id !== id);
        } else if (each.kind === 'postpone') {
          const dueAt = clock.wallMs() + each.byMs;
          await outbox.postpone(id, sequence, dueAt);
          if (known !== undefined) Object.assign(known, { dueAt, tries: sequence });
        } else if (known === undefined) {
          // A request ends once.
          outbox.add(id, succeeded, clock.wallMs());
          model.push({ id, dueAt: clock.wallMs(), tries: 0, sequence });
        }
        const sorted = model.toSorted((left, right) => left.dueAt - right.dueAt || left.sequence - right.sequence);
        const due = sorted.filter(({ dueAt }) => dueAt <= clock.wallMs()).slice(0, max);
        const said = await outbox.due(clock.wallMs(), max);
        expect(said.map(({ requestId, dueAt, tries }) => ({ id: requestId, dueAt, tries }))).toEqual(
          due.map(({ id: dueId, dueAt, tries }) => ({ id: dueId, dueAt, tries })),
        );
        expect(await outbox.nextDueAt()).toBe(sorted[0]?.dueAt);
      }
    }),
    propertyRuns(200),
  );
});
