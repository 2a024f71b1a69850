/** The cost tracker over a ledger whose engine fails, before or after it has done what it was asked. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { CostControl } from '../../src/actors/cost-tracker.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { LedgerEntry } from '../../src/contract/records.ts';
import type { CostSummary } from '../../src/contract/state.ts';
import { dayMs, ledgerEntry } from '../support/ledger-entries.ts';
import { LedgerModel } from '../support/ledger-model.ts';
import { SqliteLedgerSubject } from '../support/ledger-subjects.ts';
import { propertyRuns } from '../support/properties.ts';
import { WatchedHost } from '../support/watched-host.ts';

type Fault = 'none' | 'before' | 'after';

/** Faults for one transaction after the other; whatever comes later is done as it should be. */
class FaultyHost extends WatchedHost {
  readonly faults: Fault[] = [];
  readonly failed = new Set<string>();

  constructor() {
    super();
    let fault: Fault = 'none';
    this.before = (group) => {
      fault = this.faults.shift() ?? 'none';
      if (fault === 'before') this.#fail(fault, group[0]?.name);
    };
    this.after = (group) => {
      if (fault === 'after') this.#fail(fault, group[0]?.name);
    };
  }

  #fail(when: Fault, name = 'nothing'): never {
    this.failed.add(`${name} ${when} its effect`);
    throw new SwitchgearError('store-unavailable', 'the engine is gone');
  }
}

class Rig implements AsyncDisposable {
  readonly host = new FaultyHost();
  readonly subject = new SqliteLedgerSubject({ retainDays: 2, rememberedMax: 1_000 }, this.host.wrap);
  readonly model = new LedgerModel();
  readonly control: CostControl;
  #count = 0;

  constructor() {
    const { clock, ledger } = this.subject;
    const registry = new Registry();
    this.control = new CostControl({ ledger, clock, registry, announce: () => {}, beforeEvent: undefined });
    registry.register(this.control.startActor(1));
    this.control.actorStarted();
  }

  /** Attempts of as many requests, two of each other one. */
  record(requests: number): void {
    for (let index = 0; index < requests; index += 1) {
      this.#count += 1;
      for (const attempt of index % 2 === 0 ? [1] : [1, 2]) {
        const entry: LedgerEntry = ledgerEntry({
          requestId: `req_${this.#count}`,
          attempt,
          at: this.subject.clock.wallMs(),
          costNanos: this.#count,
        });
        this.model.record(entry);
        this.control.record(entry);
      }
    }
  }

  /** Undefined when the ledger could not say. */
  async summary(): Promise<CostSummary | undefined> {
    try {
      return await this.subject.clock.waitFor(this.control.summary({}));
    } catch (error) {
      assert(error instanceof SwitchgearError && error.code === 'store-unavailable', String(error));
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.subject[Symbol.asyncDispose]();
  }
}

const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ type: fc.constant('record' as const), requests: fc.integer({ min: 1, max: 9 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 1_000, 9_000, dayMs, 3 * dayMs),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('ask' as const) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('fail' as const),
        faults: fc.array(fc.constantFrom<Fault>('none', 'before', 'after'), { minLength: 1, maxLength: 8 }),
      }),
    },
  ),
  { maxLength: 40, size: 'max' },
);
type Step = typeof steps extends fc.Arbitrary<(infer Each)[]> ? Each : never;

async function live(rig: Rig, sequence: readonly Step[]): Promise<void> {
  for (const step of sequence) {
    if (step.type === 'record') rig.record(step.requests);
    if (step.type === 'wait') await rig.subject.clock.advance(step.ms);
    if (step.type === 'fail') rig.host.faults.push(...step.faults);
    if (step.type === 'ask') {
      const expected = rig.model.summary({});
      const summary = await rig.summary();
      if (summary !== undefined) expect(summary).toEqual(expected);
    }
  }
  rig.host.faults.length = 0;
  await rig.subject.clock.advance(3_000);
  expect(await rig.summary()).toEqual(rig.model.summary({}));
  // Whatever was written and not heard of is told once more, long after.
  await rig.subject.ledger.append(rig.model.entries);
  expect(await rig.summary()).toEqual(rig.model.summary({}));
}

beforeEach(() => {
  // XState's development build remarks on each write that fails; that it may is the point here.
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  return () => {
    vi.restoreAllMocks();
  };
});

describe('an engine that fails', () => {
  test('before or after its effect, at whatever operation, makes no entry count twice or never', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        await using rig = new Rig();
        await live(rig, sequence);
      }),
      propertyRuns(60),
    );
  });

  test('the search has everything fail both ways, folding too', async () => {
    const failed = new Set<string>();
    for (const sequence of fc.sample(steps, { numRuns: 60, seed: 7 })) {
      await using rig = new Rig();
      await live(rig, sequence);
      for (const each of rig.host.failed) failed.add(each);
    }
    const operations = ['appendEntries', 'foldEntries', 'nextFoldAt', 'planScan', 'scanBlocks', 'scanGroups'];
    expect([...failed]).toEqual(
      expect.arrayContaining(operations.flatMap((name) => [`${name} before its effect`, `${name} after its effect`])),
    );
  });

  describe('to fold', () => {
    const triesOf = (rig: Rig) => rig.host.countOf('foldEntries');
    const failWith = (rig: Rig, message: () => string) => {
      rig.host.before = (group) => {
        if (group.some(({ name }) => name === 'foldEntries')) throw new Error(message());
      };
    };

    async function beginOf(rig: Rig): Promise<void> {
      rig.record(9);
      await rig.subject.clock.advance(3 * dayMs);
      expect(await rig.summary()).toEqual(rig.model.summary({}));
      await rig.subject.clock.advance(0);
    }

    test('lets a summary be exact, and folds by itself once it can', async () => {
      await using rig = new Rig();
      failWith(rig, () => 'the disk is full');
      await beginOf(rig);
      await rig.subject.clock.advance(10_000);
      expect(await rig.subject.ledger.entriesFor('req_1')).toHaveLength(1);
      expect(await rig.summary()).toEqual(rig.model.summary({}));
      rig.host.before = () => {};
      await rig.subject.clock.advance(60_000);
      expect(await rig.subject.ledger.entriesFor('req_1')).toEqual([]);
      expect(await rig.summary()).toEqual(rig.model.summary({}));
      expect(rig.subject.clock.pendingTimers).toBe(0);
    });

    test('is tried again ever later, and no sooner because somebody asks', async () => {
      await using rig = new Rig();
      failWith(rig, () => 'the disk is full');
      await beginOf(rig);
      const tries: number[] = [];
      for (const waitMs of [999, 1, 1_999, 1, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
        await rig.summary();
        await rig.subject.clock.advance(waitMs);
        tries.push(triesOf(rig));
      }
      expect(tries).toEqual([1, 2, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    test('is told once for each way in which it fails, and again after it has not', async () => {
      await using rig = new Rig();
      let message = 'the disk is full';
      failWith(rig, () => message);
      await beginOf(rig);
      await rig.subject.clock.advance(10_000);
      const full = { operation: 'foldEntries', message: 'Error: the disk is full' };
      expect(rig.subject.failures).toEqual([full]);
      message = 'the disk fails';
      await rig.subject.clock.advance(60_000);
      const failing = { operation: 'foldEntries', message: 'Error: the disk fails' };
      expect(rig.subject.failures).toEqual([full, failing]);
      rig.host.before = () => {};
      await rig.subject.clock.advance(60_000);
      failWith(rig, () => message);
      await beginOf(rig);
      expect(rig.subject.failures).toEqual([full, failing, failing]);
    });

    test('keeps nobody waiting who closes', async () => {
      const rig = new Rig();
      failWith(rig, () => 'the disk is full');
      await beginOf(rig);
      await rig[Symbol.asyncDispose]();
      expect(triesOf(rig)).toBe(1);
      expect(rig.subject.clock.pendingTimers).toBe(0);
    });
  });
});
