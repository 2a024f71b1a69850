/**
 * The way to the engine: operations that are asked for in one turn of the event loop travel as one group and are committed
 * together, and while a group is under way the next one gathers, so that a slow disk makes groups larger and not callers
 * slower. An operation is answered after its commit.
 */
import type { Clock } from '../../contract/clock.ts';
import { steadyWall } from '../../contract/clock.ts';
import { SwitchgearError } from '../../contract/errors.ts';
import type { GroupResult, Operation } from './engine.ts';
import type { OperationName, Operations } from './operations.ts';

/** A larger group would keep those who come after it waiting, and lie in memory three times on its way to the file. */
const GROUP_MAX = 1_000;
const GROUP_CHARACTERS_MAX = 16_000_000;
/** Whoever closes waits so long for what was asked before and for the file. A disk that hangs in a sync is left behind then. */
const CLOSE_WAIT_MS = 5_000;

/** Where the engine runs. */
export interface Host {
  /** Rejects with `store-unavailable` when the engine is gone; whether the group has happened is not known then. */
  run(group: readonly Operation[]): Promise<GroupResult>;
  /** Calls back when the operations of this turn have been asked for. */
  afterTurn(callback: () => void): void;
  close(): Promise<void>;
  /** Ends the engine wherever it is, also in a call that never returns; waits for nothing. */
  abandon(): void;
}

interface Asked {
  readonly operation: Operation;
  readonly answer: PromiseWithResolvers<unknown>;
}

export class Gateway {
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #now: () => number;
  #waiting: Asked[] = [];
  #isScheduled = false;
  #underWay: readonly Asked[] | undefined;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;
  /** How many records were parked after the last group. */
  parked = 0;

  constructor(host: Host, clock: Clock) {
    this.#host = host;
    this.#clock = clock;
    this.#now = steadyWall(clock);
  }

  /** Resolves when it is on disk. @throws {SwitchgearError} `store-unavailable` */
  ask<Name extends OperationName>(
    name: Name,
    ...args: Parameters<Operations[Name]>
  ): Promise<Awaited<ReturnType<Operations[Name]>>> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.push({ operation: { name, args, nowMs: this.#now() }, answer });
    this.#schedule();
    // The engine answers with what the operation of this name gives.
    return answer.promise as Promise<Awaited<ReturnType<Operations[Name]>>>;
  }

  /** What was asked for before is still done, if the disk does it within a few seconds. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    const abandoned = Promise.withResolvers<void>();
    const timer = this.#clock.setTimeout(() => {
      this.#abandon();
      abandoned.resolve();
    }, CLOSE_WAIT_MS);
    try {
      await Promise.race([this.#closeWhenIdle(), abandoned.promise]);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#underWay !== undefined || this.#isScheduled)
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    await this.#host.close();
  }

  /** What was answered is on disk; of the rest nobody knows, and nobody is told that it is. */
  #abandon(): void {
    // Nobody closes what was left behind.
    this.#whenIdle = undefined;
    this.#host.abandon();
    const message = `the disk of the store has not answered for ${CLOSE_WAIT_MS} ms while the service ended; look at the system's log`;
    const unanswered = [...(this.#underWay ?? []), ...this.#waiting.splice(0)];
    for (const { answer } of unanswered) answer.reject(new SwitchgearError('store-unavailable', message));
  }

  #schedule(): void {
    if (this.#isScheduled || this.#underWay !== undefined) return;
    this.#isScheduled = true;
    this.#host.afterTurn(() => {
      this.#isScheduled = false;
      void this.#runGroup();
    });
  }

  async #runGroup(): Promise<void> {
    const group = this.#takeGroup();
    this.#underWay = group;
    try {
      const { results, parked } = await this.#host.run(group.map(({ operation }) => operation));
      this.parked = parked;
      for (const [index, { answer }] of group.entries()) {
        const result = results[index];
        if (result?.kind === 'done') answer.resolve(result.value);
        else answer.reject(new SwitchgearError('store-unavailable', result?.message ?? 'the store did not answer'));
      }
    } catch (error) {
      for (const { answer } of group) answer.reject(error);
    }
    this.#underWay = undefined;
    if (this.#waiting.length > 0) this.#schedule();
    else this.#whenIdle?.();
  }

  /** Those who came first, one at least. */
  #takeGroup(): readonly Asked[] {
    let count = 0;
    let characters = 0;
    for (const { operation } of this.#waiting) {
      characters += sizeOf(operation);
      if (count === GROUP_MAX || (count > 0 && characters > GROUP_CHARACTERS_MAX)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

/** Characters of its texts, as far as they count: what is large is an argument, or a field of one. */
function sizeOf({ args }: Operation): number {
  let characters = 0;
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) characters += lengthOf(arg);
    else for (const field of Object.values(arg)) characters += lengthOf(field);
  }
  return characters;
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0;
}

function closedError(): SwitchgearError {
  return new SwitchgearError('store-unavailable', 'the store is closed, because the service has ended');
}
