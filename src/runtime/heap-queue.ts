/** The order of one lane as p-queue's `queueClass`: whoever has the smallest queue key is next, however many wait. */
import type { Queue, QueueAddOptions } from 'p-queue';
import { compareKeys, type QueueKey } from '../policy/order.ts';
import { IndexedHeap } from './indexed-heap.ts';

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
  readonly #tasks = new IndexedHeap<LaneTask>((left, right) => compareKeys(left.key, right.key) < 0);

  get size(): number {
    return this.#tasks.size;
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
    return this.#tasks.takeFirst()?.run;
  }

  remove(id: string): void {
    this.#tasks.remove(id);
  }

  setPriority(): void {
    throw new TypeError('expected the key of a lane task to stay as it was enqueued');
  }
}
