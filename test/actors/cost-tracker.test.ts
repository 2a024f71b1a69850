import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';

import type { Actor } from '../../src/supervision/actor.ts';
import { CostControl, type CostMachine } from '../../src/actors/cost-tracker.ts';
import { Registry } from '../../src/supervision/registry.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Ledger, LedgerEntry } from '../../src/contract/records.ts';
import { MemoryLedger } from '../../src/stores/memory-ledger.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { propertyRuns } from '../support/properties.ts';

const entry = (attempt: number): LedgerEntry => ({
  at: Date.UTC(2026, 0, 1),
  requestId: 'req_1',
  attempt,
  provider: 'openai',
  model: 'model-1',
  tenant: 'default',
  tags: {},
  outcome: 'answered',
  usage: { inputTokens: 10, outputTokens: 1 },
  costNanos: 1_000,
  isEstimate: false,
});

/** A ledger whose writes fail, hang or are written twice as told. */
class ScriptedLedger extends MemoryLedger {
  readonly groups: number[] = [];
  /** Called before each write; may throw or wait. */
  before: () => void | Promise<void> = () => {};
  /** Called after each write, before the tracker hears of it. */
  after: () => void | Promise<void> = () => {};

  override async append(entries: readonly LedgerEntry[]): Promise<void> {
    this.groups.push(entries.length);
    await this.before();
    await super.append(entries);
    await this.after();
  }
}

class Rig {
  readonly clock = new VirtualClock();
  readonly registry = new Registry();
  readonly ledger = new ScriptedLedger();
  readonly control: CostControl;
  isInjected = false;
  readonly announced: unknown[] = [];
  #incarnation = 0;

  constructor(ledger?: Ledger) {
    this.control = new CostControl({
      ledger: ledger ?? this.ledger,
      clock: this.clock,
      registry: this.registry,
      announce: (name, payload) => {
        this.announced.push([name, payload]);
      },
      beforeEvent: (_id, { type }) => {
        if (!this.isInjected || type === 'xstate.init') return;
        this.isInjected = false;
        throw new Error('injected');
      },
    });
    this.start();
  }

  get actor(): Actor<CostMachine> {
    // Only `start` registers processes here.
    return this.registry.find('cost-tracker') as Actor<CostMachine>;
  }

  start(): void {
    const actor = this.control.startActor(++this.#incarnation);
    actor.onExit(() => {
      this.registry.unregister(actor);
    });
    this.registry.register(actor);
    this.control.actorStarted();
  }

  /** Starts an incarnation where the last one has ended. */
  revive(): void {
    while (this.registry.find('cost-tracker') === undefined) this.start();
  }

  restart(): void {
    this.actor.crash(new Error('crashed by the test'));
    this.start();
  }

  record(...attempts: readonly number[]): void {
    for (const attempt of attempts) this.control.record(entry(attempt));
  }

  async recordCount(): Promise<number> {
    return (await this.clock.waitFor(this.control.summary({}))).recordCount;
  }
}

beforeEach(() => {
  // XState's development build remarks on each write that ends after its actor; that those are dropped is the point here.
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  return () => {
    vi.restoreAllMocks();
  };
});

describe('the cost tracker', () => {
  test('a summary counts everything that was recorded before it was asked', async () => {
    const rig = new Rig();
    rig.record(1, 2, 3);
    expect(await rig.recordCount()).toBe(3);
    rig.record(4);
    expect(await rig.recordCount()).toBe(4);
  });

  test('a summary of nothing answers at once', async () => {
    expect(await new Rig().recordCount()).toBe(0);
  });

  test('what comes while a group is written goes out together with the next, at most a thousand at once', async () => {
    const rig = new Rig();
    rig.record(...Array.from({ length: 2_500 }, (_, index) => index));
    expect(await rig.recordCount()).toBe(2_500);
    expect(rig.ledger.groups).toEqual([1, 1_000, 1_000, 499]);
  });

  test('a summary is answered although recording never pauses', async () => {
    const rig = new Rig();
    let attempt = 1;
    // Each write is followed by another entry before the tracker hears of it.
    rig.ledger.before = () => {
      if (attempt < 100) rig.record(++attempt);
    };
    rig.record(1);
    const counted = rig.recordCount();
    expect(await counted).toBeLessThan(100);
    expect(rig.clock.nowMs()).toBe(0);
  });

  test('a ledger that fails is tried again every second until it has everything', async () => {
    const rig = new Rig();
    let failures = 3;
    rig.ledger.before = () => {
      if (failures-- > 0) throw new SwitchgearError('store-unavailable', 'the disk is full');
    };
    rig.record(1, 2);
    const counted = rig.control.summary({});
    await rig.clock.advance(2_999);
    expect((await rig.ledger.summary({}, rig.clock.wallMs())).recordCount).toBe(0);
    expect((await rig.clock.waitFor(counted)).recordCount).toBe(2);
    expect(rig.clock.nowMs()).toBe(3_000);
  });

  test('a summary waits for a slow ledger instead of leaving out what it was asked after', async () => {
    const rig = new Rig();
    rig.ledger.before = () =>
      new Promise<void>((resolve) => {
        rig.clock.setTimeout(resolve, 4_000);
      });
    rig.record(1);
    expect(await rig.recordCount()).toBe(1);
    expect(rig.clock.nowMs()).toBe(4_000);
  });

  test.each<[string, (rig: Rig) => void]>([
    [
      'a ledger that never comes back',
      (rig) => {
        rig.ledger.before = () => {
          throw new Error('gone');
        };
      },
    ],
    [
      'a ledger that hangs',
      (rig) => {
        rig.ledger.before = () => new Promise(() => {});
      },
    ],
    [
      'an actor that does not come back',
      (rig) => {
        rig.actor.crash(new Error('gone'));
      },
    ],
    [
      'an actor that an operator suspended',
      (rig) => {
        rig.actor.suspend();
      },
    ],
  ])('%s makes a summary fail after ten seconds, not hang', async (_name, spoil) => {
    const rig = new Rig();
    spoil(rig);
    rig.record(1);
    const asked = rig.control.summary({}).catch((error: unknown) => error);
    expect(await rig.clock.waitFor(asked, 20_000)).toMatchObject({
      code: 'store-unavailable',
      message: 'costs recorded lately could not be written within 10000 ms; they are kept, ask again later',
    });
    expect(rig.clock.nowMs()).toBe(10_000);
  });

  test('a summary that was answered leaves nothing behind: no timer, and nobody to answer again', async () => {
    const rig = new Rig();
    expect(rig.actor.read().context.waiting).toEqual([]);
    for (const attempt of [1, 2, 3]) {
      rig.record(attempt);
      await rig.recordCount();
    }
    expect(rig.clock.pendingTimers).toBe(0);
    expect(rig.actor.read().context).toMatchObject({ waiting: [], pending: [], written: 3 });
  });

  test('an entry is charged once, though its tracker crashed between writing and hearing of it', async () => {
    const rig = new Rig();
    const written = Promise.withResolvers<void>();
    rig.ledger.after = () => written.promise;
    rig.record(1);
    await rig.clock.settle();
    rig.ledger.after = () => {};
    rig.restart();
    written.resolve();
    expect(await rig.recordCount()).toBe(1);
    expect(rig.ledger.groups).toEqual([1, 1]);
  });

  test('actors 35: the end of a write that a dead incarnation began forgets nothing of the next one', async () => {
    const rig = new Rig();
    const slow = Promise.withResolvers<void>();
    rig.ledger.before = () => slow.promise;
    rig.record(1);
    await rig.clock.settle();
    const failing = Promise.withResolvers<void>();
    rig.ledger.before = () => failing.promise;
    rig.restart();
    rig.record(2);
    slow.resolve();
    await rig.clock.settle();
    failing.reject(new Error('not this time'));
    rig.ledger.before = () => {};
    expect(await rig.recordCount()).toBe(2);
  });

  test('what was recorded while no tracker lived, or waited in a suspended one that was restarted, is not lost', async () => {
    const rig = new Rig();
    rig.actor.suspend();
    rig.record(1, 2);
    rig.restart();
    rig.actor.crash(new Error('again'));
    rig.record(3, 4);
    rig.start();
    expect(await rig.recordCount()).toBe(4);
  });

  test('a summary that was asked for before a crash is answered after it', async () => {
    const rig = new Rig();
    const slow = Promise.withResolvers<void>();
    rig.ledger.before = () => slow.promise;
    rig.record(1);
    const asked = rig.control.summary({});
    await rig.clock.settle();
    rig.ledger.before = () => {};
    rig.restart();
    expect((await rig.clock.waitFor(asked)).recordCount).toBe(1);
  });

  test('nothing recorded is lost and nothing is charged twice, whatever crashes, fails and hangs', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant('record') },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          'crash',
          'inject',
          'fail',
          'fail.after',
          'suspend',
          'resume',
          'wait',
          'settle',
          'summary',
        ),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const rig = new Rig();
        let recorded = 0;
        const asked: Promise<unknown>[] = [];
        const failOnce = (when: 'before' | 'after') => {
          rig.ledger[when] = () => {
            rig.ledger[when] = () => {};
            throw new Error('failed once');
          };
        };
        const act: Readonly<Record<string, () => void | Promise<void>>> = {
          record: () => {
            rig.record(++recorded);
          },
          crash: () => {
            rig.restart();
          },
          inject: () => {
            rig.isInjected = true;
          },
          fail: () => {
            failOnce('before');
          },
          'fail.after': () => {
            failOnce('after');
          },
          suspend: () => {
            rig.actor.suspend();
          },
          resume: () => {
            rig.actor.resume();
          },
          wait: () => rig.clock.advance(1_000),
          settle: () => rig.clock.settle(),
          summary: () => {
            const before = recorded;
            // One that comes while the tracker is suspended for long may fail; it never counts too few.
            asked.push(
              rig.control.summary({}).then(
                ({ recordCount }) => {
                  expect(recordCount).toBeGreaterThanOrEqual(before);
                },
                (error: unknown) => {
                  expect(error).toMatchObject({ code: 'store-unavailable' });
                },
              ),
            );
          },
        };
        for (const name of steps) {
          await act[name]?.();
          rig.revive();
        }
        rig.isInjected = false;
        rig.actor.resume();
        rig.revive();
        expect(await rig.recordCount()).toBe(recorded);
        await rig.clock.waitFor(Promise.all(asked));
      }),
      propertyRuns(100),
    );
  });

  test('a ledger that fails for long is waited for with a bounded number of entries, and the loss of more is told', async () => {
    const rig = new Rig();
    rig.ledger.before = () => {
      throw new SwitchgearError('store-unavailable', 'the disk is full');
    };
    // One request each: a hundred thousand attempts of one request is not what a ledger is made for.
    const record = (index: number) => {
      rig.control.record({ ...entry(1), requestId: `req_${index}` });
    };
    for (let index = 0; index < 100_000; index++) record(index);
    expect(rig.announced).toEqual([]);
    record(100_000);
    expect(rig.announced).toEqual([
      [
        'store.failed',
        {
          requestId: 'req_100000',
          operation: 'book',
          message: '100000 ledger entries could not be written yet; this one is lost',
        },
      ],
    ]);
    rig.ledger.before = () => {};
    expect(await rig.recordCount()).toBe(100_000);
  });
});
