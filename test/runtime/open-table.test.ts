import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OpenRequest, type OpenRequestInit } from '../../src/runtime/open-request.ts';
import { OpenTable } from '../../src/runtime/open-table.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';

function createOpen(clock: VirtualClock, requestId: string): OpenRequest {
  const init: OpenRequestInit = {
    requestId,
    mode: 'async',
    request: { kind: 'completion', model: 'm', messages: [] },
    candidates: [],
    priority: 'normal',
    tenant: 'default',
    tags: {},
    delivery: 'live',
    timeoutMs: 1_000,
    inputTokens: 0,
    isStored: true,
    key: { keyMs: 0, sequence: 0 },
    sink: undefined,
  };
  return new OpenRequest(init, clock);
}

test('the count of waiting requests is right after any sequence of changes', () => {
  const change = fc.tuple(
    fc.integer({ min: 0, max: 9 }),
    fc.constantFrom('add' as const, 'queued' as const, 'running' as const, 'remove' as const),
  );
  const property = fc.property(fc.array(change, { maxLength: 100 }), (changes) => {
    const clock = new VirtualClock();
    const table = new OpenTable();
    const known = Array.from({ length: 10 }, (_, index) => createOpen(clock, `req_${index}`));
    for (const [index, verb] of changes) {
      const open = known[index];
      const isIn = open !== undefined && table.find(open.requestId) !== undefined;
      if (open === undefined) continue;
      if (verb === 'add' && !isIn && open.status === 'queued') table.add(open);
      if (verb === 'remove') table.remove(open);
      if ((verb === 'queued' || verb === 'running') && isIn) table.mark(open, verb);
      expect(table.waiting).toBe(table.list().filter(({ status }) => status === 'queued').length);
    }
  });
  fc.assert(property, { numRuns: 1_000 });
});

test('whoever waits for an empty table is woken by the last request that leaves', async () => {
  const clock = new VirtualClock();
  const table = new OpenTable();
  const [first, second] = [createOpen(clock, 'req_1'), createOpen(clock, 'req_2')];
  table.add(first);
  table.add(second);
  let isEmpty = false;
  const waiting = table.whenEmpty().then(() => {
    isEmpty = true;
  });
  table.remove(first);
  await clock.settle();
  expect(isEmpty).toBe(false);
  table.remove(second);
  await waiting;
  expect(isEmpty).toBe(true);
});

test('the first settlement and the first reason to stop win, and the deadline timer goes with the settlement', () => {
  const clock = new VirtualClock();
  const open = createOpen(clock, 'req_1');
  const error = { code: 'cancelled', message: 'x', attempts: [] } as const;
  expect(open.settle({ status: 'cancelled', error }, undefined)).toBe(true);
  expect(open.settle({ status: 'failed', error }, undefined)).toBe(false);
  expect(open.settlement?.status).toBe('cancelled');
  expect(clock.pendingTimers).toBe(0);
  open.stop('deadline');
  open.stop('shutdown');
  expect(open.stopReason).toBe('deadline');
});
