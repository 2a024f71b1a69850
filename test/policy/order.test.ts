import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Priority } from '../../src/contract/request.ts';
import { CLASSES, isBefore, keyOffsetMs, queueKey } from '../../src/policy/order.ts';
import { propertyRuns } from '../support/properties.ts';

const key = (priority: Priority, enqueuedAtMs: number, sequence: number, tenant = 'a') =>
  queueKey({ priority, tenant, enqueuedAtMs, sequence });

describe('the order of a lane', () => {
  test.each<[Priority, number, Priority, number]>([
    ['high', 29_999, 'normal', 0],
    ['normal', 0, 'high', 30_001],
    ['high', 599_999, 'low', 0],
    ['low', 0, 'high', 600_001],
    ['normal', 569_999, 'low', 0],
    ['low', 0, 'normal', 570_001],
  ])('%s of %d ms goes before %s of %d ms', (first, firstAtMs, second, secondAtMs) => {
    // The later sequence is given to the winner, so that it cannot win by having come first.
    expect(isBefore(key(first, firstAtMs, 2), key(second, secondAtMs, 1))).toBe(true);
  });

  test('requests of one class go in the order they came, also within one millisecond', () => {
    expect(isBefore(key('low', 5, 1), key('low', 5, 2))).toBe(true);
    expect(isBefore(key('low', 5, 9), key('low', 6, 1))).toBe(true);
  });

  test('nobody is overtaken by work that came 600 s later, whatever the priorities', () => {
    const priority = fc.constantFrom<Priority>('high', 'normal', 'low');
    fc.assert(
      fc.property(priority, priority, fc.nat(1e7), fc.nat(1e6), (early, late, atMs, extraMs) => {
        expect(isBefore(key(early, atMs, 1), key(late, atMs + 600_000 + extraMs, 2))).toBe(true);
      }),
      propertyRuns(200),
    );
  });

  test('is told by what a request is ordered by: class, tenant, virtual deadline, arrival', () => {
    expect(key('normal', 5, 7, 'b')).toEqual({ priority: 'normal', tenant: 'b', keyMs: 30_005, sequence: 7 });
  });

  test('names the classes from the most urgent to the most patient', () => {
    expect(CLASSES.map((priority) => [priority, keyOffsetMs(priority)])).toEqual([
      ['high', 0],
      ['normal', 30_000],
      ['low', 600_000],
    ]);
  });
});
