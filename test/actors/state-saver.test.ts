import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { StateSaver } from '../../src/actors/state-saver.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { propertyRuns } from '../support/properties.ts';

/** One save, which ends once. */
class Save {
  readonly state: number;
  readonly atMs: number;
  readonly #ended = Promise.withResolvers<void>();
  readonly #onSucceeded: () => void;
  isUnderWay = true;

  constructor(state: number, atMs: number, onSucceeded: () => void) {
    this.state = state;
    this.atMs = atMs;
    this.#onSucceeded = onSucceeded;
  }

  get promise(): Promise<void> {
    return this.#ended.promise;
  }

  succeed(): void {
    this.isUnderWay = false;
    this.#onSucceeded();
    this.#ended.resolve();
  }

  fail(): void {
    this.isUnderWay = false;
    this.#ended.reject(new Error('disk full'));
  }
}

/** A saver of a number, and a store that answers when it is told to, or at once. */
class SaverRig {
  readonly clock = new VirtualClock();
  readonly saves: Save[] = [];
  readonly failures: string[] = [];
  /** What the store does at once: `wait` for the test to say it. */
  answer: 'succeed' | 'fail' | 'wait' = 'succeed';
  state = 0;
  /** What the store holds. */
  stored = 0;
  /** Saves that began while another one was under way. */
  overlaps = 0;
  readonly saver: StateSaver<number>;

  constructor(saved: string | undefined = '0') {
    this.saver = new StateSaver({
      clock: this.clock,
      read: () => this.state,
      identify: String,
      saved,
      save: (state) => this.#save(state),
      onFailed: (error) => this.failures.push(String(error)),
    });
  }

  change(urgency: 'now' | 'soon'): number {
    this.state += 1;
    this.saver.noteChange(urgency);
    return this.state;
  }

  get moments(): readonly (readonly [number, number])[] {
    return this.saves.map(({ state, atMs }) => [state, atMs]);
  }

  #save(state: number): Promise<void> {
    const atMs = this.clock.nowMs();
    // One that has said nothing for ten seconds is given up.
    this.overlaps += this.saves.filter((save) => save.isUnderWay && save.atMs + 10_000 > atMs).length;
    const save = new Save(state, atMs, () => {
      this.stored = state;
    });
    this.saves.push(save);
    if (this.answer === 'succeed') save.succeed();
    if (this.answer === 'fail') save.fail();
    return save.promise;
  }
}

describe('what has to be saved now', () => {
  test('is saved in the same turn of the event loop, once for all that changed in it', async () => {
    const rig = new SaverRig();
    rig.change('now');
    rig.change('soon');
    rig.change('now');
    expect(rig.saves).toEqual([]);
    await rig.clock.settle();
    expect(rig.moments).toEqual([[3, 0]]);
    expect(rig.clock.pendingTimers).toBe(0);
  });

  test('takes along what would have been saved soon', async () => {
    const rig = new SaverRig();
    rig.change('soon');
    await rig.clock.advance(400);
    rig.change('now');
    await rig.clock.advance(5_000);
    expect(rig.moments).toEqual([[2, 400]]);
  });
});

describe('what has to be saved soon', () => {
  test('is saved a second later, once for all that changed meanwhile', async () => {
    const rig = new SaverRig();
    rig.change('soon');
    await rig.clock.advance(999);
    rig.change('soon');
    expect(rig.saves).toEqual([]);
    await rig.clock.advance(1);
    expect(rig.moments).toEqual([[2, 1_000]]);
  });

  test('is saved at most once a second, however often it changes', async () => {
    const rig = new SaverRig();
    for (let count = 0; count < 100; count += 1) {
      rig.change('soon');
      await rig.clock.advance(100);
    }
    expect(rig.saves.length).toBeLessThanOrEqual(10);
    expect(rig.saves.length).toBeGreaterThanOrEqual(9);
  });
});

describe('nothing is written', () => {
  test('and no timer runs while nothing has changed', async () => {
    const rig = new SaverRig();
    await rig.clock.advance(60_000);
    await rig.saver.close();
    expect([rig.saves.length, rig.clock.pendingTimers]).toEqual([0, 0]);
  });

  test('that the store holds already', async () => {
    const rig = new SaverRig();
    rig.change('now');
    await rig.clock.settle();
    rig.saver.noteChange('now');
    rig.saver.noteChange('soon');
    await rig.clock.advance(5_000);
    await rig.saver.close();
    expect(rig.moments).toEqual([[1, 0]]);
  });

  test('that changed and changed back', async () => {
    const rig = new SaverRig();
    rig.change('soon');
    rig.state = 0;
    await rig.clock.advance(5_000);
    expect(rig.saves).toEqual([]);
  });

  test('but once when nobody knows what the store holds', async () => {
    const rig = new SaverRig('something else');
    await rig.saver.close();
    expect(rig.moments).toEqual([[0, 0]]);
  });
});

describe('while a save is under way', () => {
  test('nothing else is written, and the latest state is written right after it', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    await rig.clock.advance(3_000);
    rig.change('soon');
    rig.change('now');
    rig.change('soon');
    await rig.clock.advance(3_000);
    expect(rig.moments).toEqual([[1, 0]]);
    rig.saves[0]!.succeed();
    await rig.clock.settle();
    expect(rig.moments).toEqual([
      [1, 0],
      [4, 6_000],
    ]);
  });

  test('what has to be saved soon waits for a second more', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    await rig.clock.settle();
    rig.change('soon');
    rig.saves[0]!.succeed();
    await rig.clock.advance(999);
    expect(rig.saves.length).toBe(1);
    await rig.clock.advance(1);
    expect(rig.moments[1]).toEqual([2, 1_000]);
  });
});

describe('a store that fails', () => {
  test.each([1, 2, 3])(
    'at save number %i is told once and tried again until the latest state is there',
    async (nth) => {
      const rig = new SaverRig();
      for (let count = 1; count < nth; count += 1) {
        rig.change('now');
        await rig.clock.settle();
      }
      rig.answer = 'fail';
      rig.change('now');
      await rig.clock.advance(500);
      rig.change('now');
      await rig.clock.advance(9_000);
      expect(rig.failures).toEqual(['Error: disk full']);
      expect(rig.stored).toBe(nth - 1);
      // A change is no reason to ask a store that fails more often.
      expect(rig.saves.slice(nth - 1).map(({ atMs }) => atMs)).toEqual(
        Array.from({ length: 10 }, (_, index) => index * 1_000),
      );
      rig.answer = 'succeed';
      await rig.clock.advance(1_000);
      expect(rig.stored).toBe(nth + 1);
      expect(rig.clock.pendingTimers).toBe(0);
    },
  );

  test('again after it had worked is told again', async () => {
    const rig = new SaverRig();
    for (const answer of ['fail', 'succeed', 'fail'] as const) {
      rig.answer = answer;
      rig.change('now');
      await rig.clock.advance(2_000);
    }
    expect(rig.failures.length).toBe(2);
  });

  test('may have written all the same, so that the state before is written again', async () => {
    const rig = new SaverRig();
    rig.answer = 'fail';
    rig.change('now');
    await rig.clock.settle();
    rig.state = 0;
    rig.answer = 'succeed';
    await rig.clock.advance(1_000);
    expect(rig.moments.at(-1)).toEqual([0, 1_000]);
  });

  test('by throwing is as one that rejects', async () => {
    const clock = new VirtualClock();
    const failures: unknown[] = [];
    const saver = new StateSaver({
      clock,
      read: () => 1,
      identify: String,
      saved: '0',
      save: () => {
        throw new Error('no such table');
      },
      onFailed: (error) => failures.push(error),
    });
    saver.noteChange('now');
    await clock.advance(5_000);
    await saver.close();
    expect(failures).toEqual([new Error('no such table')]);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a store that says nothing', () => {
  test('has failed after ten seconds, and is asked again a second later', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    await rig.clock.advance(9_999);
    expect(rig.failures).toEqual([]);
    await rig.clock.advance(1);
    expect(rig.failures).toEqual(['Error: the store did not answer within 10000 ms']);
    rig.answer = 'succeed';
    rig.change('now');
    await rig.clock.advance(1_000);
    expect(rig.moments[1]).toEqual([2, 11_000]);
  });

  test('and then writes what is old by now gets the latest state once more', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    await rig.clock.advance(10_000);
    rig.answer = 'succeed';
    rig.change('now');
    await rig.clock.advance(1_000);
    expect(rig.stored).toBe(2);
    rig.saves[0]!.succeed();
    expect(rig.stored).toBe(1);
    await rig.clock.advance(1_000);
    expect([rig.stored, rig.clock.pendingTimers]).toEqual([2, 0]);
  });
});

describe('closing', () => {
  test('saves the last state, whatever the clock says, and nothing after it', async () => {
    const rig = new SaverRig();
    rig.change('soon');
    await rig.saver.close();
    expect([rig.stored, rig.clock.pendingTimers]).toEqual([1, 0]);
    rig.change('soon');
    expect(rig.clock.pendingTimers).toBe(0);
    rig.change('now');
    await rig.clock.advance(5_000);
    expect(rig.saves.length).toBe(1);
  });

  test('waits for the save under way, and saves what changed since', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    await rig.clock.settle();
    rig.change('now');
    const closed = rig.saver.close();
    await rig.clock.settle();
    expect(rig.saves.length).toBe(1);
    rig.answer = 'succeed';
    rig.saves[0]!.succeed();
    await closed;
    expect([rig.stored, rig.overlaps, rig.clock.pendingTimers]).toEqual([2, 0, 0]);
  });

  test('in the turn of a change saves it once', async () => {
    const rig = new SaverRig();
    rig.answer = 'wait';
    rig.change('now');
    const closed = rig.saver.close();
    await rig.clock.settle();
    rig.saves[0]!.succeed();
    await closed;
    expect([rig.stored, rig.saves.length, rig.overlaps]).toEqual([1, 1, 0]);
  });

  test.each<[string, 'fail' | 'wait', number]>([
    ['that fails', 'fail', 2],
    ['that says nothing', 'wait', 1],
  ])('ends with a store %s too, and tries no more', async (_name, answer, tries) => {
    const rig = new SaverRig();
    rig.answer = answer;
    rig.change('now');
    await rig.clock.settle();
    await rig.clock.waitFor(rig.saver.close(), 10_000);
    await rig.clock.advance(60_000);
    expect([rig.saves.length, rig.failures.length, rig.clock.pendingTimers]).toEqual([tries, 1, 0]);
  });
});

test('whatever happens, one save is under way at most and the last state is in the store in the end', async () => {
  const step = fc.oneof(
    fc.record({ type: fc.constantFrom('now' as const, 'soon' as const) }),
    fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
    fc.record({
      type: fc.constant('answer' as const),
      answer: fc.constantFrom('succeed' as const, 'fail' as const, 'wait' as const),
    }),
    fc.record({ type: fc.constantFrom('succeed' as const, 'fail' as const), pick: fc.nat() }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
      const rig = new SaverRig();
      for (const drawn of steps) {
        const underWay = rig.saves.filter((save) => save.isUnderWay);
        if (drawn.type === 'now' || drawn.type === 'soon') rig.change(drawn.type);
        else if (drawn.type === 'answer') rig.answer = drawn.answer;
        else if (drawn.type === 'wait') await rig.clock.advance(drawn.ms);
        else if ('pick' in drawn) underWay[drawn.pick % underWay.length]?.[drawn.type]();
      }
      rig.answer = 'succeed';
      for (const save of rig.saves.filter(({ isUnderWay }) => isUnderWay)) save.succeed();
      await rig.clock.advance(12_000);
      expect(rig.stored).toBe(rig.state);
      expect([rig.overlaps, rig.clock.pendingTimers]).toEqual([0, 0]);
    }),
    propertyRuns(200),
  );
});
