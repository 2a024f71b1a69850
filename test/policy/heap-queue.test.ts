import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { compareKeys, type QueueKey } from '../../src/policy/order.ts';
import { HeapQueue, type LaneAddOptions } from '../../src/runtime/heap-queue.ts';
import { propertyRuns } from '../support/properties.ts';

interface Entry {
  readonly id: string;
  readonly key: QueueKey;
  readonly run: () => Promise<string>;
}

const createEntry = (keyMs: number, sequence: number): Entry => {
  const id = `request-${sequence}`;
  return { id, key: { priority: 'normal', tenant: 'a', keyMs, sequence }, run: async () => id };
};

const enqueue = (queue: HeapQueue, entry: Entry): void => {
  queue.enqueue(entry.run, { id: entry.id, key: entry.key });
};

/** Everything that is left, in the order it comes out. */
const drain = async (queue: HeapQueue): Promise<unknown[]> => {
  const ids: unknown[] = [];
  for (let run = queue.dequeue(); run !== undefined; run = queue.dequeue()) ids.push(await run());
  return ids;
};

type Step =
  | { readonly type: 'enqueue'; readonly keyMs: number }
  | { readonly type: 'dequeue' | 'remove.unknown' | 'remove.left' }
  | { readonly type: 'remove'; readonly pick: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constant('enqueue' as const), keyMs: fc.nat(20) }) },
    {
      weight: 3,
      arbitrary: fc.constantFrom<Step>({ type: 'dequeue' }, { type: 'remove.unknown' }, { type: 'remove.left' }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('remove' as const), pick: fc.nat() }) },
  ),
  { maxLength: 150, size: 'max' },
);

describe('the queue of a lane', () => {
  test('gives what a sorted list gives while one tenant uses it, however entering, leaving and removing are mixed', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const queue = new HeapQueue();
        let sorted: Entry[] = [];
        const gone: string[] = [];
        for (const [index, step] of sequence.entries()) {
          switch (step.type) {
            case 'enqueue': {
              const entry = createEntry(step.keyMs, index);
              enqueue(queue, entry);
              sorted = [...sorted, entry].toSorted((left, right) => compareKeys(left.key, right.key));
              break;
            }
            case 'dequeue':
              gone.push(sorted[0]?.id ?? 'nobody');
              assert.equal(await queue.dequeue()?.(), sorted.shift()?.id);
              break;
            case 'remove': {
              const [removed] = sorted.splice(step.pick % Math.max(1, sorted.length), 1);
              if (removed === undefined) break;
              gone.push(removed.id);
              queue.remove(removed.id);
              break;
            }
            case 'remove.unknown':
              queue.remove('nobody');
              break;
            case 'remove.left':
              for (const id of gone) queue.remove(id);
          }
          assert.equal(queue.size, sorted.length);
        }
        expect(new Set(queue.filter())).toEqual(new Set(sorted.map(({ run }) => run)));
        expect(await drain(queue)).toEqual(sorted.map((entry) => entry.id));
      }),
      propertyRuns(1_000),
    );
  });

  test('an id that left may come back, and one that is unknown changes nothing', async () => {
    const queue = new HeapQueue();
    enqueue(queue, createEntry(1, 1));
    queue.remove('request-1');
    queue.remove('request-1');
    expect(queue.dequeue()).toBeUndefined();
    enqueue(queue, createEntry(5, 1));
    enqueue(queue, createEntry(4, 2));
    expect(await drain(queue)).toEqual(['request-2', 'request-1']);
  });

  test.each<[string, Partial<LaneAddOptions> | undefined]>([
    ['neither id nor key', undefined],
    ['no id', { key: createEntry(0, 0).key }],
    ['no key', { id: 'request-0' }],
  ])('refuses a task with %s, and keeps nothing of it', (_name, options) => {
    const queue = new HeapQueue();
    expect(() => {
      queue.enqueue(async () => undefined, options);
    }).toThrow('expected a lane task to have an id and a key');
    expect(queue.size).toBe(0);
  });

  test('refuses keys that would change in place: whoever waits is not moved by those who ask', () => {
    expect(() => {
      new HeapQueue().setPriority();
    }).toThrow('to stay as it was enqueued');
  });

  test('says who is next, and gives a turn back to the tenant whose task did not need its slot', async () => {
    const queue = new HeapQueue();
    const entries = ['a', 'b', 'a', 'b'].map((tenant, sequence) => {
      const entry = createEntry(sequence, sequence);
      return { ...entry, key: { ...entry.key, tenant } };
    });
    for (const entry of entries) enqueue(queue, entry);
    expect(queue.nextId).toBe('request-0');
    await queue.dequeue()?.();
    expect(queue.nextId).toBe('request-1');
    queue.giveBack('request-0');
    expect(queue.nextId).toBe('request-2');
    expect(await drain(queue)).toEqual(['request-2', 'request-1', 'request-3']);
    expect(queue.nextId).toBeUndefined();
  });
});
