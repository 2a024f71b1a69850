/**
 * A binary heap with an index by id: entering, leaving from anywhere and taking the first cost O(log n) however many there
 * are. Which of two entries comes first when neither is before the other is left open: the order has to tell them apart.
 */

interface Node<Entry> {
  readonly entry: Entry;
  /** Where it stands in the heap. */
  position: number;
}

export class IndexedHeap<Entry extends { readonly id: string | number }> {
  readonly #heap: Node<Entry>[] = [];
  readonly #nodes = new Map<Entry['id'], Node<Entry>>();
  readonly #isBefore: (left: Entry, right: Entry) => boolean;

  /** `isBefore` is a strict order over all entries. */
  constructor(isBefore: (left: Entry, right: Entry) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#heap.length;
  }

  get first(): Entry | undefined {
    return this.#heap[0]?.entry;
  }

  /** All entries, in no order. */
  entries(): Entry[] {
    return this.#heap.map(({ entry }) => entry);
  }

  has(id: Entry['id']): boolean {
    return this.#nodes.has(id);
  }

  add(entry: Entry): void {
    const node = { entry, position: this.#heap.length };
    this.#heap.push(node);
    this.#nodes.set(entry.id, node);
    this.#rise(node);
  }

  takeFirst(): Entry | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.#take(first);
    return first?.entry;
  }

  /** Nothing happens when it is not there. */
  remove(id: Entry['id']): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) this.#take(node);
  }

  /** The last one takes the place of the one that leaves, and goes to where it belongs. */
  #take(node: Node<Entry>): void {
    this.#nodes.delete(node.entry.id);
    const last = this.#heap.pop() ?? node;
    if (last === node) return;
    this.#place(last, node.position);
    this.#rise(last);
    this.#sink(last);
  }

  #rise(node: Node<Entry>): void {
    for (;;) {
      const parent = this.#heap[(node.position - 1) >> 1];
      if (parent === undefined || this.#isBefore(parent.entry, node.entry)) return;
      this.#swap(node, parent);
    }
  }

  #sink(node: Node<Entry>): void {
    for (;;) {
      let first = node;
      const children = 2 * node.position + 1;
      for (const child of this.#heap.slice(children, children + 2))
        if (this.#isBefore(child.entry, first.entry)) first = child;
      if (first === node) return;
      this.#swap(node, first);
    }
  }

  #swap(left: Node<Entry>, right: Node<Entry>): void {
    const { position } = left;
    this.#place(left, right.position);
    this.#place(right, position);
  }

  #place(node: Node<Entry>, position: number): void {
    this.#heap[position] = node;
    node.position = position;
  }
}
