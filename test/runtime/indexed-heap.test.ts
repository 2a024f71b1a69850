import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { IndexedHeap } from '../../src/runtime/indexed-heap.ts';
import { propertyRuns } from '../support/properties.ts';

interface Entry {
  readonly id: string;
  readonly rank: number;
}

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant('add' as const), rank: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('remove' as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('take' as const) }) },
  ),
  { maxLength: 100, size: 'max' },
);

const byRank = (left: Entry, right: Entry): number => left.rank - right.rank;

describe('an indexed heap', () => {
  test('shows and takes the first of a sorted list, and knows who is in it', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const heap = new IndexedHeap<Entry>((left, right) => byRank(left, right) < 0);
        const left = new Set<string>();
        let sorted: Entry[] = [];
        for (const [index, step] of sequence.entries()) {
          switch (step.type) {
            case 'add': {
              // The index makes every rank another one.
              const entry = { id: `entry-${index}`, rank: step.rank + index / 1_000 };
              heap.add(entry);
              sorted = [...sorted, entry].toSorted(byRank);
              break;
            }
            case 'remove': {
              const [removed] = sorted.splice(step.pick % Math.max(1, sorted.length), 1);
              heap.remove(removed?.id ?? 'nobody');
              left.add(removed?.id ?? 'nobody');
              break;
            }
            case 'take': {
              const taken = sorted.shift();
              assert.equal(heap.first, taken);
              heap.remove(taken?.id ?? 'nobody');
              left.add(taken?.id ?? 'nobody');
            }
          }
          heap.remove('nobody');
          assert.equal(heap.first, sorted[0]);
          assert.equal(heap.size, sorted.length);
          assert.ok(sorted.every(({ id }) => heap.has(id)));
          assert.ok([...left].every((id) => !heap.has(id)));
        }
        for (const entry of sorted) {
          expect(heap.first).toBe(entry);
          heap.remove(entry.id);
        }
        expect(heap.size).toBe(0);
      }),
      propertyRuns(500),
    );
  });

  test('of many levels gives everything in order, whatever has left from the middle', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(), { minLength: 200, maxLength: 400 }),
        fc.array(fc.nat(), { maxLength: 200 }),
        (ranks, picks) => {
          const heap = new IndexedHeap<Entry>((left, right) => byRank(left, right) < 0);
          let entries = ranks.map((rank, index) => ({ id: `entry-${index}`, rank: rank + index / 1_000 }));
          for (const entry of entries) heap.add(entry);
          for (const pick of picks) {
            const id = `entry-${pick % ranks.length}`;
            heap.remove(id);
            entries = entries.filter((entry) => entry.id !== id);
          }
          for (const entry of entries.toSorted(byRank)) {
            assert.equal(heap.first, entry);
            heap.remove(entry.id);
          }
          expect(heap.first).toBeUndefined();
        },
      ),
      propertyRuns(300),
    );
  });
});
