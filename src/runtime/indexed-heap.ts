/**
 * A heap whose items know where they stand, and one that finds its entries by id: entering, leaving from anywhere and
 * taking the first cost O(log n) however many there are. Each node has four children, because half as many levels touch half
 * as much memory, which is what large heaps wait for. Which of two comes first when neither is before the other is left
 * open: the order has to tell them apart.
 */
const CHILDREN = 4;

export interface Placed {
  /** Where it stands; whoever keeps it writes this. */
  position: number;
}

export class Heap<Item extends Placed> {
  readonly #items: Item[] = [];
  readonly #isBefore: (left: Item, right: Item) => boolean;

  /** `isBefore` is a strict order over all items; what it says of those that are here changes by `update` only. */
  constructor(isBefore: (left: Item, right: Item) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  /** All items, in no order. */
  items(): readonly Item[] {
    return this.#items;
  }

  add(item: Item): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  /** Takes out an item that is here: the last one takes its place and goes to where it belongs. */
  remove(item: Item): void {
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    last.position = item.position;
    this.update(last);
  }

  /** An item that is here comes elsewhere now; all others have stayed as they were. */
  update(item: Item): void {
    this.#rise(item, item.position);
    this.#sink(item, item.position);
  }

  /** Places an item at `from` or above it; those that it passes move down. */
  #rise(item: Item, from: number): void {
    let position = from;
    while (position > 0) {
      const above = Math.floor((position - 1) / CHILDREN);
      const parent = this.#items[above];
      if (parent === undefined || !this.#isBefore(item, parent)) break;
      this.#place(parent, position);
      position = above;
    }
    this.#place(item, position);
  }

  /** Places an item at `from` or below it; those that it passes move up. */
  #sink(item: Item, from: number): void {
    let position = from;
    for (;;) {
      const child = this.#firstChild(position);
      if (child === undefined || !this.#isBefore(child, item)) break;
      const below = child.position;
      this.#place(child, position);
      position = below;
    }
    this.#place(item, position);
  }

  #firstChild(position: number): Item | undefined {
    const from = CHILDREN * position + 1;
    let first = this.#items[from];
    for (let index = from + 1; index < from + CHILDREN; index += 1) {
      const child = this.#items[index];
      if (child === undefined || first === undefined) break;
      if (this.#isBefore(child, first)) first = child;
    }
    return first;
  }

  #place(item: Item, position: number): void {
    this.#items[position] = item;
    item.position = position;
  }
}

interface Node<Entry> extends Placed {
  readonly entry: Entry;
}

export class IndexedHeap<Entry extends { readonly id: string | number }> {
  readonly #heap: Heap<Node<Entry>>;
  readonly #nodes = new Map<Entry['id'], Node<Entry>>();

  /** `isBefore` is a strict order over all entries, and does not change while they are here. */
  constructor(isBefore: (left: Entry, right: Entry) => boolean) {
    this.#heap = new Heap((left, right) => isBefore(left.entry, right.entry));
  }

  get size(): number {
    return this.#heap.size;
  }

  get first(): Entry | undefined {
    return this.#heap.first?.entry;
  }

  has(id: Entry['id']): boolean {
    return this.#nodes.has(id);
  }

  add(entry: Entry): void {
    const node = { entry, position: 0 };
    this.#nodes.set(entry.id, node);
    this.#heap.add(node);
  }

  /** Nothing happens when it is not there. */
  remove(id: Entry['id']): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#nodes.delete(id);
    this.#heap.remove(node);
  }
}
