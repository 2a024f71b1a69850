/**
 * A store in a file and a list that live through the same steps: operations, processes that come and go, and one that was taken
 * for dead and wakes up.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Claim, RequestStore } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { CLASSES } from '../../src/policy/order.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { attemptReport, createRecord, failedSettlement, succeededSettlement, TARGET } from './request-records.ts';
import type { StoreFile } from './store-file.ts';
import { StoreModel } from './store-model.ts';

export const TTL_MS = 20_000;
const RECORDS = 9;

export type Step =
  | {
      readonly kind: 'insert';
      readonly place: 'memory' | 'store';
      readonly tenant: number;
      readonly key: number | undefined;
      readonly hash: number;
      readonly priority: number;
      readonly isCareful: boolean;
      readonly isLine: boolean;
      readonly timeoutMs: number;
    }
  | {
      readonly kind: 'markRunning' | 'markQueued' | 'addAttempt' | 'repeatAttempt' | 'park' | 'settle';
      readonly record: number;
      /** How many claims of the record have been given after the one that is used. */
      readonly age: number;
    }
  | { readonly kind: 'claim'; readonly records: readonly number[] }
  | { readonly kind: 'settleParked'; readonly record: number }
  | { readonly kind: 'wait'; readonly ms: number }
  /** The process ends, and the next one recovers. */
  | { readonly kind: 'restart' }
  /** The thread of the store ends, and the same process goes on with another one. */
  | { readonly kind: 'reopen' }
  /** A process that was taken for dead wakes up, and writes with all it has. */
  | { readonly kind: 'zombie'; readonly age: number };

const WRITES = ['markRunning', 'markRunning', 'markQueued', 'addAttempt', 'repeatAttempt', 'park', 'settle'] as const;
const someRecord = fc.nat(RECORDS - 1);
const someStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('insert' as const),
      place: fc.constantFrom('memory' as const, 'store' as const),
      tenant: fc.nat(2),
      key: fc.option(fc.nat(1), { nil: undefined }),
      hash: fc.nat(1),
      priority: fc.nat(2),
      isCareful: fc.boolean(),
      isLine: fc.boolean(),
      timeoutMs: fc.constantFrom(1_000, 15_000, 600_000),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom(...WRITES),
      record: someRecord,
      age: fc.constantFrom(0, 0, 0, 1, 2, -1),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('claim' as const), records: fc.array(someRecord, { maxLength: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settleParked' as const), record: someRecord }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 7_000, 9_999, 20_000, 45_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('zombie' as const), age: fc.nat(2) }) },
);

/** Long sequences of steps. */
export const stepsOf = (maxLength: number) => fc.array(someStep, { maxLength, size: 'max' });

/** Opens the file as the next process, or as the process that has this epoch. */
export type Open = (file: StoreFile, clock: VirtualClock, epoch: number | undefined) => Promise<Storage>;

/** One store and one model that live through the same steps. */
export class Comparison {
  readonly #file: StoreFile;
  readonly #open: Open;
  readonly #clock = new VirtualClock();
  readonly #model = new StoreModel(TTL_MS);
  /** All claims that were ever given, with the epoch they were given in. */
  readonly #claims: (Claim & { readonly epoch: number })[] = [];
  #storage: Storage | undefined;
  #epoch = 1;
  #inserted = 0;

  constructor(file: StoreFile, open: Open) {
    this.#file = file;
    this.#open = open;
  }

  /** Lives through all of them. */
  async live(steps: readonly Step[]): Promise<void> {
    try {
      await this.#begin();
      for (const step of steps) {
        await this.#take(step);
        await this.#check();
      }
    } finally {
      await this.#storage?.close();
    }
  }

  async #begin(): Promise<void> {
    this.#storage = await this.#open(this.#file, this.#clock, undefined);
    expectSame(await this.#store.recover(), this.#model.recover(this.#nowMs));
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'insert':
        return this.#insert(step);
      case 'claim':
        return this.#claim(step.records.map((index) => `req_${index}`));
      case 'settleParked': {
        const [id, nowMs] = [`req_${step.record}`, this.#nowMs];
        const isSettled = await this.#store.settleParked(id, failedSettlement, 5);
        expectSame(isSettled, this.#model.settleParked(id, failedSettlement, 5, nowMs));
        return;
      }
      case 'wait':
        return this.#clock.advance(step.ms);
      case 'restart':
        return this.#restart();
      case 'reopen':
        await this.#storage?.close();
        this.#storage = await this.#open(this.#file, this.#clock, this.#epoch);
        return;
      case 'zombie':
        return this.#wakeZombie(this.#epoch - 1 - step.age);
      default:
        return this.#write(step.kind, this.#pickClaim(step.record, step.age));
    }
  }

  /** Both say the same of every record. */
  async #check(): Promise<void> {
    const ids = Array.from({ length: RECORDS }, (_, index) => `req_${index}`);
    const loaded = await Promise.all(ids.map((id) => this.#store.load(id)));
    expectSame(
      loaded,
      ids.map((id) => this.#model.load(id, this.#nowMs)),
    );
    expectSame(this.#store.parked, this.#model.parked);
    const listed = (await this.#store.listParked(100)).map(({ requestId }) => requestId);
    const parked = loaded.flatMap((each) => (each.kind === 'found' && each.isParked ? [each.record.requestId] : []));
    expectSame(listed.toSorted(), parked.toSorted());
    const overdue = (await this.#store.listOverdue(100)).map(({ requestId }) => requestId);
    expectSame(overdue.toSorted(), this.#model.overdue(this.#nowMs));
  }

  get #store(): RequestStore {
    return this.#storage!.requests;
  }

  get #nowMs(): number {
    return this.#clock.wallMs();
  }

  async #insert(step: Extract<Step, { kind: 'insert' }>): Promise<void> {
    if (this.#inserted === RECORDS) return;
    const requestId = `req_${this.#inserted}`;
    const inserted = createRecord(requestId, {
      tenant: `tenant ${step.tenant}`,
      idempotencyKey: step.key === undefined ? undefined : `key ${step.key}`,
      requestHash: `hash ${step.hash}`,
      priority: CLASSES[step.priority] ?? 'normal',
      timeoutMs: step.timeoutMs,
      recovery: step.isCareful ? 'atMostOnce' : 'atLeastOnce',
      ...(step.isLine && { batch: { batchId: 'batch_1', index: this.#inserted, customId: undefined } }),
    });
    const result = this.#model.insert(inserted, step.place, this.#nowMs);
    expectSame(await this.#store.insert(inserted, step.place), result);
    if (result.kind !== 'inserted') return;
    this.#inserted += 1;
    if (step.place === 'memory') this.#claims.push({ requestId, fence: 1, epoch: this.#epoch });
  }

  async #claim(ids: readonly string[]): Promise<void> {
    const claims = await this.#store.claim(ids);
    expectSame(
      claims.map(({ requestId }) => requestId),
      this.#model.claimable(ids),
    );
    for (const claim of claims) this.#model.claimed(claim);
    this.#claims.push(...claims.map((claim) => ({ ...claim, epoch: this.#epoch })));
  }

  /** A negative age is a fence that nobody was given yet. */
  #pickClaim(index: number, age: number): Claim {
    const requestId = `req_${index}`;
    const known = this.#claims.filter((claim) => claim.requestId === requestId);
    if (age < 0) return { requestId, fence: (known.at(-1)?.fence ?? 0) + 1 };
    return { requestId, fence: known.at(-1 - age)?.fence ?? 1 };
  }

  async #write(kind: Extract<Step, { age: number; record: number }>['kind'], claim: Claim): Promise<void> {
    const answer = succeededSettlement(claim.requestId, `by fence ${claim.fence}`);
    const report = attemptReport('failed', { durationMs: claim.fence });
    const loaded = this.#model.load(claim.requestId, this.#nowMs);
    const count = loaded.kind === 'found' ? loaded.record.attempts.length : 0;
    const addAttempt = (number: number) =>
      [this.#store.addAttempt(claim, number, report), this.#model.addAttempt(claim, number, report)] as const;
    const [said, expected] = {
      markRunning: () => [this.#store.markRunning(claim, TARGET), this.#model.markRunning(claim, TARGET)] as const,
      markQueued: () => [this.#store.markQueued(claim), this.#model.markQueued(claim)] as const,
      addAttempt: () => addAttempt(count + 1),
      repeatAttempt: () => addAttempt(Math.max(1, count)),
      park: () => [this.#store.park(claim), this.#model.park(claim)] as const,
      settle: () => [this.#store.settle(claim, answer, 5), this.#model.settle(claim, answer, 5, this.#nowMs)] as const,
    }[kind]();
    expectSame(await said, expected);
  }

  async #restart(): Promise<void> {
    await this.#storage?.close();
    this.#storage = await this.#open(this.#file, this.#clock, undefined);
    this.#epoch += 1;
    this.#model.restart();
    const said = await this.#store.recover();
    const expected = this.#model.recover(this.#nowMs);
    expectSame(
      { ...said, requeued: said.requeued.toSorted(), interrupted: said.interrupted.toSorted() },
      {
        ...expected,
        requeued: expected.requeued.toSorted(),
        interrupted: expected.interrupted.toSorted(),
      },
    );
  }

  /** It has the file open under its old epoch, as where locks do not hold. Nothing of what it wants is done (promise 13). */
  async #wakeZombie(epoch: number): Promise<void> {
    if (epoch < 1) return;
    await this.#storage?.close();
    const before = this.#file.dump();
    const zombie = await this.#open(this.#file, this.#clock, epoch);
    const { requests, states, webhooks } = zombie;
    const refused = await Promise.allSettled([
      ...this.#claims.flatMap((claim) => [
        requests.markRunning(claim, TARGET),
        requests.addAttempt(claim, 1, attemptReport('answered')),
        requests.markQueued(claim),
        requests.park(claim),
        requests.settle(claim, failedSettlement, 6),
        requests.settleParked(claim.requestId, failedSettlement, 6),
        requests.claim([claim.requestId]),
      ]),
      requests.insert(createRecord('req_zombie'), 'store'),
      requests.recover(),
      states.save('openai', {}),
      webhooks.remove('req_0'),
    ]);
    for (const result of refused) expectRefused(result);
    await zombie.close();
    expectSame(this.#file.dump(), before);
    this.#storage = await this.#open(this.#file, this.#clock, this.#epoch);
  }
}

function expectSame(said: unknown, expected: unknown): void {
  expect(said).toEqual(expected);
}

function expectRefused(result: PromiseSettledResult<unknown>): void {
  expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store-unavailable' } });
  expect(String(result.status === 'rejected' && result.reason)).toContain('taken over by another process');
}
