import assert from 'node:assert/strict';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { TurnLine } from '../../src/runtime/turn-line.ts';
import { propertyRuns } from '../support/properties.ts';

interface Member {
  rank: number;
  position: number;
}

type Step =
  | { readonly type: 'add'; readonly rank: number }
  | { readonly type: 'remove' | 'turn' | 'leave-and-return'; readonly pick: number }
  | { readonly type: 'turn-back'; readonly pick: number; readonly leaver: number }
  | { readonly type: 'rank'; readonly pick: number; readonly rank: number };

const picks = fc.nat();
const ranks = fc.nat(30);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('add' as const), rank: ranks }) },
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constantFrom('remove' as const, 'turn' as const, 'turn' as const, 'leave-and-return' as const),
        pick: picks,
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('turn-back' as const), pick: picks, leaver: picks }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('rank' as const), pick: picks, rank: ranks }) },
  ),
  { maxLength: 120, size: 'max' },
);

/** Who stands where, as a plain list. */
class Pair {
  readonly line = new TurnLine<Member>((left, right) => left.rank < right.rank);
  members: Member[] = [];
  #count = 0;

  apply(step: Step): void {
    if (step.type === 'add') {
      this.#add(step.rank);
      return;
    }
    const picked = this.members[step.pick % Math.max(1, this.members.length)];
    if (picked === undefined) return;
    switch (step.type) {
      case 'remove':
        this.#remove(picked);
        break;
      case 'turn':
        this.line.moveToEnd(picked);
        this.members = [...this.members.filter((member) => member !== picked), picked];
        break;
      case 'turn-back': {
        const place = this.line.moveToEnd(picked);
        const leaver = this.members[step.leaver % this.members.length];
        if (leaver !== undefined && leaver !== picked) this.#remove(leaver);
        this.line.moveBack(picked, place);
        break;
      }
      case 'leave-and-return': {
        const place = this.line.moveToEnd(picked);
        this.line.remove(picked);
        this.line.add(picked, place);
        break;
      }
      case 'rank':
        picked.rank = step.rank + this.#tie();
        this.line.refresh(picked);
    }
  }

  #add(rank: number): void {
    const member = { rank: rank + this.#tie(), position: 0 };
    this.line.add(member);
    this.members.push(member);
  }

  #remove(member: Member): void {
    this.line.remove(member);
    this.members = this.members.filter((other) => other !== member);
  }

  /** Makes every rank another one. */
  #tie(): number {
    return this.#count++ / 1_000;
  }
}

describe('a line of turns', () => {
  test('finds the first that may go, and the winner of all, as looking through a list does', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const pair = new Pair();
        for (const step of sequence) {
          pair.apply(step);
          const { members, line } = pair;
          assert.equal(line.winner?.rank, members.map(({ rank }) => rank).toSorted((left, right) => left - right)[0]);
          for (const bound of [0, 1, 3, 10, 100])
            assert.equal(
              line.find(({ rank }) => rank < bound),
              members.find(({ rank }) => rank < bound),
            );
        }
      }),
      propertyRuns(2_000),
    );
  });

  test.each([1, 2, 15, 16, 17, 33])('of %d lets each have its turn once a round, for a thousand rounds', (count) => {
    const pair = new Pair();
    for (let rank = 0; rank < count; rank += 1) pair.apply({ type: 'add', rank });
    const [...order] = pair.members;
    for (let turn = 0; turn < 1_000; turn += 1) {
      const next = pair.line.find(() => true);
      expect(next).toBe(order[turn % count]);
      if (next !== undefined) pair.line.moveToEnd(next);
    }
  });

  test('forgets the places of those who left: they do not count when somebody comes', () => {
    const pair = new Pair();
    for (let rank = 0; rank < 1_000; rank += 1) pair.apply({ type: 'add', rank });
    for (let left = 0; left < 998; left += 1) pair.apply({ type: 'remove', pick: 0 });
    pair.apply({ type: 'add', rank: 0 });
    expect(pair.members.map(({ position }) => position)).toEqual([0, 1, 2]);
    for (let left = 0; left < 3; left += 1) pair.apply({ type: 'remove', pick: 0 });
    pair.apply({ type: 'add', rank: 0 });
    expect(pair.members.map(({ position }) => position)).toEqual([0]);
  });
});
