/**
 * Every operation of the store goes wrong once, before its effect or after it: it fails, or the whole process dies at it. Each
 * time thirty requests are submitted to a service with room for five; some of them fail at first, are cancelled, or come with a
 * key, and the service is stopped once in between. Nothing that was acknowledged is lost, each ends once and says how, and
 * nothing is left in the file that waits for anybody.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { DurableStory } from '../support/durable-story.ts';
import { type Fault, FragileWorld } from '../support/fragile-world.ts';
import { judgeStory } from '../support/judge-story.ts';
import { propertyRuns } from '../support/properties.ts';
import { STORE_OPERATIONS, type StoreOperation } from '../support/wrapped-store.ts';

/** In the ordinary run the first, the middle or the last operation of each kind, by turns; all of them when properties are searched long. */
const IS_THOROUGH = propertyRuns(1).numRuns >= 10;

const FAULTS: readonly Pick<Fault, 'kind' | 'when'>[] = [
  { kind: 'fails', when: 'before' },
  { kind: 'fails', when: 'after' },
  { kind: 'dies', when: 'before' },
  { kind: 'dies', when: 'after' },
];

/** Nobody waits for so long here that a deadline passes. */
const KINDS = STORE_OPERATIONS.filter((name) => name !== 'listOverdue');

async function live(...faults: readonly Fault[]): Promise<FragileWorld> {
  using world = new FragileWorld(...faults);
  const story = new DurableStory(world);
  await story.live();
  judgeStory(world, story, faults.length);
  return world;
}

/** Several faults at a distance from each other. */
const someFaults: fc.Arbitrary<readonly Fault[]> = fc
  .array(fc.record({ fault: fc.constantFrom(...FAULTS), distance: fc.integer({ min: 1, max: 90 }) }), {
    minLength: 2,
    maxLength: 6,
  })
  .map((picked) =>
    picked.map(({ fault }, index) => ({
      ...fault,
      at: picked.slice(0, index + 1).reduce((sum, { distance }) => sum + distance, 0),
    })),
  );

describe('thirty requests', () => {
  let operations: readonly StoreOperation[];

  beforeAll(async () => {
    ({ operations } = await live());
  });

  test('make use of every operation of the store when nothing goes wrong', () => {
    expect(new Set(operations)).toEqual(new Set(KINDS));
  });

  describe.each(FAULTS)('of which one operation $kind $when its effect', (fault) => {
    const turn = FAULTS.indexOf(fault);
    test.each(KINDS)('end once each, and nothing of them is left, when it is one of %s', async (kind) => {
      for (const at of positionsOf(kind, operations, turn)) {
        const world = await live({ ...fault, at }).catch((error: unknown) => {
          throw new Error(`operation ${at} (${kind}) ${fault.kind} ${fault.when} its effect`, { cause: error });
        });
        expect(world.operations[at - 1]).toBe(kind);
        expect(world.crashes).toBe(fault.kind === 'dies' ? 1 : 0);
      }
    });
  });
});

test('thirty requests end once each, and nothing of them is left, whatever goes wrong again and again', async () => {
  await fc.assert(
    fc.asyncProperty(someFaults, async (faults) => {
      await live(...faults);
    }),
    propertyRuns(15),
  );
});

/** Where operations of a kind are, counted from 1; whose turn it is tells which of them. */
function positionsOf(kind: StoreOperation, operations: readonly StoreOperation[], turn: number): readonly number[] {
  const all = operations.flatMap((each, index) => (each === kind ? [index + 1] : []));
  if (IS_THOROUGH) return all;
  const some = [all[0], all[Math.floor(all.length / 2)], all.at(-1)];
  const offset = turn + STORE_OPERATIONS.indexOf(kind);
  return [some[offset % some.length]].filter((at) => at !== undefined);
}
