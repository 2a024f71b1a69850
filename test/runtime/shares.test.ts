import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Priority } from '../../src/contract/request.ts';
import { type QueueKey, queueKey } from '../../src/policy/order.ts';
import { Shares } from '../../src/runtime/shares.ts';
import { heapUsed } from '../support/heap.ts';
import { lastOf, latest } from '../support/last-share.ts';
import { propertyRuns } from '../support/properties.ts';

type Step =
  | { readonly type: 'add'; readonly priority: Priority; readonly tenant: string; readonly enqueuedAtMs: number }
  | { readonly type: 'remove' | 'again'; readonly pick: number };

/** Few tenants that hold few things, so that they often hold as much; and keys in no order, as of what has been here before. */
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('add' as const),
        priority: fc.constantFrom<Priority>('high', 'normal', 'low', 'low'),
        tenant: fc.constantFrom('a', 'b', 'c'),
        enqueuedAtMs: fc.oneof(fc.nat(9), fc.constantFrom(0, 29_995, 570_000, 600_005), fc.nat(600_000)),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('remove' as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('again' as const), pick: fc.nat() }) },
  ),
  { maxLength: 60, size: 'max' },
);

describe('what is held by tenants', () => {
  test('says at any time who gives way, and what comes last', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const shares = new Shares();
        let keys: QueueKey[] = [];
        const idOf = (key: QueueKey | undefined) => key && `request-${key.sequence}`;
        for (const [index, step] of sequence.entries()) {
          if (step.type === 'add') {
            const key = queueKey({ ...step, sequence: index });
            shares.add(`request-${index}`, key);
            keys.push(key);
          } else {
            const picked = keys[step.pick % Math.max(1, keys.length)];
            if (step.type === 'remove') {
              shares.remove(idOf(picked) ?? 'nobody');
              keys = keys.filter((key) => key !== picked);
            } else if (picked !== undefined) shares.add(`request-${picked.sequence}`, picked);
          }
          assert.equal(shares.largest, latest(keys));
          assert.equal(shares.last, idOf(lastOf(keys)));
        }
      }),
      propertyRuns(3_000),
    );
  });

  test('is nothing when nothing is held, and nothing is kept of tenants that are gone', () => {
    const shares = new Shares();
    expect([shares.last, shares.largest]).toEqual([undefined, undefined]);
    const before = heapUsed();
    const keys = Array.from({ length: 5_000 }, (_, sequence) =>
      queueKey({ priority: 'low', tenant: `tenant ${sequence}`, enqueuedAtMs: 0, sequence }),
    );
    for (const key of keys) shares.add(`${key.sequence}`, key);
    const most = heapUsed() - before;
    for (const { sequence } of keys.splice(0)) shares.remove(`${sequence}`);
    expect(heapUsed() - before).toBeLessThan(most / 8);
    expect([shares.last, shares.largest]).toEqual([undefined, undefined]);
  });
});
