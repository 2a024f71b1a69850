import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  type CallWindow,
  countWindow,
  createWindow,
  recordFailure,
  recordSuccess,
  retractFailure,
  rollWindow,
} from '../../src/policy/window.ts';
import { propertyRuns } from '../support/properties.ts';

const windowMs = 60_000;
const bucketMs = 5_000;

describe('the window', () => {
  test('forgets a call when its bucket leaves, twelve buckets later', () => {
    const window = recordFailure(createWindow(windowMs, 4_999), 4_999);
    expect(countWindow(rollWindow(window, 59_999)).failures).toBe(1);
    expect(countWindow(rollWindow(window, 60_000)).failures).toBe(0);
  });

  test('forgets everything, the run of failures included, after a gap as long as itself', () => {
    const window = recordFailure(recordSuccess(createWindow(windowMs, 0), 0), 0);
    expect(rollWindow(window, 59_999).failuresInRow).toBe(1);
    expect(rollWindow(window, 60_000)).toMatchObject({ failuresInRow: 0 });
    expect(countWindow(rollWindow(window, 1e12)).completed).toBe(0);
  });

  test('stays as it is when time does not move, or a caller read the clock a moment earlier', () => {
    const window = recordFailure(createWindow(windowMs, 70_000), 70_000);
    expect(rollWindow(window, 70_001)).toBe(window);
    expect(rollWindow(window, 64_000)).toBe(window);
  });

  test('a failure that is taken back was never there', () => {
    const before = recordFailure(createWindow(windowMs, 0), 0);
    const counted = recordFailure(before, 6_000);
    const after = retractFailure(counted, countedIn(counted), 12_000);
    expect(countWindow(after)).toEqual({ successes: 0, failures: 1, completed: 1 });
    expect(after.failuresInRow).toBe(1);
  });

  test('taking back a failure that a success has followed leaves the present run of failures alone', () => {
    const overdue = recordFailure(createWindow(windowMs, 0), 0);
    const later = recordFailure(recordFailure(recordSuccess(overdue, 0), 0), 0);
    const after = retractFailure(later, countedIn(overdue), 0);
    expect(after.failuresInRow).toBe(2);
    expect(countWindow(after)).toEqual({ successes: 1, failures: 2, completed: 3 });
  });

  test('taking back a failure that has left the window takes nothing else', () => {
    const overdue = recordFailure(createWindow(windowMs, 0), 0);
    let window: CallWindow = overdue;
    for (let nowMs = 10_000; nowMs <= 90_000; nowMs += 10_000) window = recordSuccess(window, nowMs);
    const counts = countWindow(window);
    expect(countWindow(retractFailure(window, countedIn(overdue), 90_000))).toEqual(counts);
  });
});

/** Where the failure recorded last was counted. */
function countedIn(window: CallWindow) {
  return { bucket: window.newest, run: window.run };
}

type Step =
  | { readonly type: 'success' | 'failure' | 'overdue' }
  | { readonly type: 'retract'; readonly pick: number }
  | { readonly type: 'wait'; readonly ms: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<Step>({ type: 'success' }, { type: 'failure' }, { type: 'overdue' }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('retract' as const), pick: fc.nat() }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.oneof(fc.nat(12_000), fc.nat(90_000)) }),
    },
  ),
  { maxLength: 80, size: 'max' },
);

interface Call {
  readonly atMs: number;
  readonly isFailure: boolean;
  readonly mark: ReturnType<typeof countedIn> | undefined;
}

/** The window as a list of calls: what a reader would write who had all the memory in the world. */
class NaiveWindow {
  calls: Call[] = [];
  #lastAtMs = 0;
  #first = 0;

  note(call: Call): void {
    this.look(call.atMs);
    this.calls.push(call);
  }

  /** Every look moves the window; a gap of twelve buckets since the last one clears it. */
  look(nowMs: number): void {
    if (Math.floor(nowMs / bucketMs) - Math.floor(this.#lastAtMs / bucketMs) >= 12) this.#first = this.calls.length;
    this.#lastAtMs = nowMs;
  }

  counts(nowMs: number) {
    const oldest = Math.floor(nowMs / bucketMs) - 11;
    const live = this.calls.slice(this.#first).filter((call) => Math.floor(call.atMs / bucketMs) >= oldest);
    const failures = live.filter((call) => call.isFailure).length;
    return { successes: live.length - failures, failures, completed: live.length };
  }

  /** Failures since the last success or clearing. */
  failuresInRow(): number {
    const live = this.calls.slice(this.#first);
    return live.length - 1 - live.findLastIndex((call) => !call.isFailure);
  }

  retract(mark: ReturnType<typeof countedIn>, nowMs: number): void {
    this.look(nowMs);
    const index = this.calls.findIndex((call) => call.mark === mark);
    if (index < this.#first) this.#first -= 1;
    this.calls.splice(index, 1);
  }
}

describe('the window against a list of calls', () => {
  test('counts the same calls and the same failures in a row, whatever happens in whatever order', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        let nowMs = 0;
        let window = createWindow(windowMs, nowMs);
        const naive = new NaiveWindow();
        const marks: ReturnType<typeof countedIn>[] = [];
        for (const step of sequence) {
          switch (step.type) {
            case 'wait':
              nowMs += step.ms;
              break;
            case 'success':
              window = recordSuccess(window, nowMs);
              naive.note({ atMs: nowMs, isFailure: false, mark: undefined });
              break;
            case 'failure':
              window = recordFailure(window, nowMs);
              naive.note({ atMs: nowMs, isFailure: true, mark: undefined });
              break;
            case 'overdue': {
              window = recordFailure(window, nowMs);
              const mark = countedIn(window);
              marks.push(mark);
              naive.note({ atMs: nowMs, isFailure: true, mark });
              break;
            }
            case 'retract': {
              const [mark] = marks.splice(step.pick % Math.max(1, marks.length), 1);
              if (mark === undefined) break;
              window = retractFailure(window, mark, nowMs);
              naive.retract(mark, nowMs);
            }
          }
          window = rollWindow(window, nowMs);
          naive.look(nowMs);
          expect(countWindow(window)).toEqual(naive.counts(nowMs));
          expect(window.failuresInRow).toBe(naive.failuresInRow());
        }
      }),
      propertyRuns(400),
    );
  });
});
