/**
 * The order of one lane as p-queue's `queueClass`: a binary heap by queue key with an index by id, so that entering, leaving
 * and being cancelled cost O(log n) however many wait.
 */
import type { Queue, QueueAddOptions } from 'p-queue';
import { compareKeys, type QueueKey } from '../policy/order.ts';

type RunFunction = () => Promise<unknown>;

export interface LaneAddOptions extends QueueAddOptions {
  readonly key: QueueKey;
}

interface Node {
  readonly id: string;
  readonly key: QueueKey;
  readonly run: RunFunction;
}

export class HeapQueue implements Queue<RunFunction, LaneAddOptions> {
  readonly #heap: Node[] = [];
  readonly #positions = new Map<string, number>();

  get size(): number {
    return this.#heap.length;
  }

  /** p-queue lists waiting tasks by priority through this; a lane has no use for it but the count. */
  filter(): RunFunction[] {
    return this.#heap.map((node) => node.run);
  }

  enqueue(run: RunFunction, options?: Partial<LaneAddOptions>): void {
    if (options?.id === undefined || options.key === undefined)
      throw new TypeError('expected a lane task to have an id and a key');
    const node = { id: options.id, key: options.key, run };
    this.#heap.push(node);
    this.#positions.set(node.id, this.#heap.length - 1);
    this.#rise(this.#heap.length - 1);
  }

  dequeue(): RunFunction | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    this.#removeAt(0);
    return first.run;
  }

  remove(id: string): void {
    const position = this.#positions.get(id);
    if (position !== undefined) this.#removeAt(position);
  }

  setPriority(): void {
    throw new TypeError('expected the key of a lane task to stay as it was enqueued');
  }

  #removeAt(position: number): void {
    const removed = this.#heap[position];
    const last = this.#heap.pop();
    if (removed === undefined || last === undefined) return;
    this.#positions.delete(removed.id);
    if (removed === last) return;
    this.#place(last, position);
    this.#rise(position);
    this.#sink(this.#positions.get(last.id) ?? position);
  }

  #rise(from: number): void {
    let position = from;
    for (;;) {
      const parent = (position - 1) >> 1;
      if (position === 0 || !this.#isBefore(position, parent)) return;
      this.#swap(position, parent);
      position = parent;
    }
  }

  #sink(from: number): void {
    let position = from;
    for (;;) {
      let first = position;
      for (const child of [2 * position + 1, 2 * position + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, first)) first = child;
      }
      if (first === position) return;
      this.#swap(position, first);
      position = first;
    }
  }

  #isBefore(left: number, right: number): boolean {
    const leftNode = this.#heap[left];
    const rightNode = this.#heap[right];
    return leftNode !== undefined && rightNode !== undefined && compareKeys(leftNode.key, rightNode.key) < 0;
  }

  #swap(left: number, right: number): void {
    const leftNode = this.#heap[left];
    const rightNode = this.#heap[right];
    if (leftNode === undefined || rightNode === undefined) return;
    this.#place(leftNode, right);
    this.#place(rightNode, left);
  }

  #place(node: Node, position: number): void {
    this.#heap[position] = node;
    this.#positions.set(node.id, position);
  }
}
