/** The order of one lane as p-queue's `queueClass`. */
import type { Queue, QueueAddOptions } from 'p-queue';
import type { QueueKey } from '../policy/order.ts';
import { FairQueue } from './fair-queue.ts';

type RunFunction = () => Promise<unknown>;

export interface LaneAddOptions extends QueueAddOptions {
  readonly key: QueueKey;
}

interface LaneTask {
  readonly id: string;
  readonly key: QueueKey;
  readonly run: RunFunction;
}

export class HeapQueue implements Queue<RunFunction, LaneAddOptions> {
  readonly #tasks = new FairQueue<LaneTask>();

  get size(): number {
    return this.#tasks.size;
  }

  /** The id of the task that would be dequeued now. */
  get nextId(): string | undefined {
    return this.#tasks.next?.id;
  }

  /** All ids, in the order in which they would be dequeued if nobody came. */
  idsInOrder(): string[] {
    return this.#tasks.inOrder().map(({ id }) => id);
  }

  /** p-queue lists waiting tasks by priority through this; a lane has no use for it but the count. */
  filter(): RunFunction[] {
    return this.#tasks.entries().map(({ run }) => run);
  }

  enqueue(run: RunFunction, options?: Partial<LaneAddOptions>): void {
    if (options?.id === undefined || options.key === undefined)
      throw new TypeError('expected a lane task to have an id and a key');
    this.#tasks.add({ id: options.id, key: options.key, run });
  }

  dequeue(): RunFunction | undefined {
    return this.#tasks.takeNext()?.run;
  }

  /** The task that was dequeued last did not need its slot, so that its tenant's turn is not over. */
  giveBack(id: string): void {
    this.#tasks.giveBack(id);
  }

  remove(id: string): void {
    this.#tasks.remove(id);
  }

  setPriority(): void {
    throw new TypeError('expected the key of a lane task to stay as it was enqueued');
  }
}
