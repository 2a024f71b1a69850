/**
 * What a long queue costs: one operation among a thousand waiting requests and among a million, in turn within one run, so that
 * a slow machine slows both alike. First the queue class of a lane by itself, then a whole p-queue that uses it as a lane does.
 *
 *   npm run bench:queue      prints medians over rounds and the ratio of the long queue to the short one; takes minutes
 */
import PQueue from 'p-queue';
import type { Priority } from '../src/contract/request.ts';
import { queueKey } from '../src/policy/order.ts';
import { HeapQueue, type LaneAddOptions } from '../src/runtime/heap-queue.ts';

const ROUNDS = 3;
const WAITING = [1_000, 1_000_000] as const;
const OPERATIONS = 50_000;
const PRIORITIES: readonly Priority[] = ['high', 'normal', 'low'];

/** A queue that is kept at the same length: whatever leaves is followed by another one. */
interface Subject {
  /** Enters, and is served; microseconds per operation. */
  pass(): Promise<number>;
  /** Enters, and leaves from anywhere. */
  leave(): Promise<number>;
}

/** The numbers of those who wait, as far as they are known by name. */
class Known {
  readonly #numbers: number[];
  #next: number;

  constructor(waiting: number) {
    this.#numbers = Array.from({ length: waiting }, (_, number) => number);
    this.#next = waiting;
  }

  all(): readonly number[] {
    return this.#numbers;
  }

  next(): number {
    return this.#next++;
  }

  /** Who leaves, and who comes instead. */
  replace(index: number): readonly [number, number] {
    const left = this.#numbers[index] ?? 0;
    const entered = this.next();
    this.#numbers[index] = entered;
    return [left, entered];
  }
}

/** Microseconds per operation. */
interface Measured {
  readonly pass: number;
  readonly leave: number;
}

const ways: Readonly<Record<string, (waiting: number) => Subject>> = {
  'a Map, for comparison': fillMap,
  'queue class, one tenant': (waiting) => fillQueueClass(waiting, 1),
  'queue class, 1,000 tenants': (waiting) => fillQueueClass(waiting, 1_000),
  'p-queue, one tenant': (waiting) => fillLane(waiting, 1),
  'p-queue, 1,000 tenants': (waiting) => fillLane(waiting, 1_000),
};

process.stdout.write(
  `median of ${ROUNDS} rounds of ${OPERATIONS} operations, Node ${process.version}; microseconds, ` +
    `${WAITING.map((waiting) => waiting.toLocaleString('en')).join(' and ')} waiting\n\n` +
    `${''.padEnd(28)}${'enter and be served'.padStart(30)}${'enter and leave'.padStart(30)}\n`,
);
for (const [name, fill] of Object.entries(ways)) {
  // For warming up the short queue is enough.
  await measure(fill, WAITING[0]);
  const rounds = WAITING.map((): Measured[] => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, waiting] of WAITING.entries()) rounds[index]?.push(await measure(fill, waiting));
  const passes = rounds.map((measured) => median(measured.map(({ pass }) => pass)));
  const leaves = rounds.map((measured) => median(measured.map(({ leave }) => leave)));
  process.stdout.write(`${name.padEnd(28)}${cells(passes)}${cells(leaves)}\n`);
}

async function measure(fill: (waiting: number) => Subject, waiting: number): Promise<Measured> {
  const subject = fill(waiting);
  // Whoever leaves by itself comes first, while everybody who is known by name is still there.
  const leave = await subject.leave();
  return { leave, pass: await subject.pass() };
}

function cells([short = 0, long = 0]: readonly number[]): string {
  return `${short.toFixed(2).padStart(12)}${long.toFixed(2).padStart(9)}${`× ${(long / short).toFixed(1)}`.padStart(9)}`;
}

/** What remembering so many by name costs anybody. */
function fillMap(waiting: number): Subject {
  const map = new Map<string, object>();
  const known = new Known(waiting);
  for (const number of known.all()) map.set(`${number}`, {});
  const replace = async (pick: (index: number) => number) =>
    perOperation((index) => {
      const [left, entered] = known.replace(pick(index));
      map.delete(`${left}`);
      map.set(`${entered}`, {});
    });
  return { pass: () => replace((index) => index % waiting), leave: () => replace((index) => spread(index, waiting)) };
}

function fillQueueClass(waiting: number, tenants: number): Subject {
  const queue = new HeapQueue();
  const run = async () => undefined;
  const known = new Known(waiting);
  const enter = (number: number) => {
    queue.enqueue(run, optionsOf(number, tenants));
  };
  for (const number of known.all()) enter(number);
  return {
    leave: async () =>
      perOperation((index) => {
        const [left, entered] = known.replace(spread(index, waiting));
        enter(entered);
        queue.remove(`${left}`);
      }),
    pass: async () =>
      perOperation(() => {
        enter(known.next());
        queue.dequeue();
      }),
  };
}

/** One slot, and a signal for each request, as in a lane. */
function fillLane(waiting: number, tenants: number): Subject {
  const queue = new PQueue<HeapQueue, LaneAddOptions>({ queueClass: HeapQueue, concurrency: 1, autoStart: false });
  const leaving = new Map<number, AbortController>();
  const known = new Known(waiting);
  let onServed = () => {};
  const enter = (number: number) => {
    const controller = new AbortController();
    leaving.set(number, controller);
    const serve = async () => {
      leaving.delete(number);
      onServed();
    };
    // Those who leave reject, and nobody wants to know.
    void queue.add(serve, { ...optionsOf(number, tenants), signal: controller.signal }).catch(() => undefined);
  };
  for (const number of known.all()) enter(number);
  return {
    leave: async () =>
      perOperation((index) => {
        const [left, entered] = known.replace(spread(index, waiting));
        enter(entered);
        leaving.get(left)?.abort();
        leaving.delete(left);
      }),
    pass: () =>
      new Promise((resolve) => {
        const startedAt = performance.now();
        let left = OPERATIONS;
        onServed = () => {
          left -= 1;
          enter(known.next());
          if (left > 0) return;
          queue.pause();
          resolve(perOperationSince(startedAt));
        };
        queue.start();
      }),
  };
}

function optionsOf(sequence: number, tenants: number): { readonly id: string; readonly key: LaneAddOptions['key'] } {
  const priority = PRIORITIES[sequence % PRIORITIES.length] ?? 'normal';
  const tenant = `tenant ${sequence % tenants}`;
  return { id: `${sequence}`, key: queueKey({ priority, tenant, enqueuedAtMs: sequence, sequence }) };
}

/** Somewhere among so many, and elsewhere at each index. */
function spread(index: number, among: number): number {
  return (index * 7_919) % among;
}

function perOperation(operate: (index: number) => void): number {
  const startedAt = performance.now();
  for (let index = 0; index < OPERATIONS; index += 1) operate(index);
  return perOperationSince(startedAt);
}

function perOperationSince(startedAtMs: number): number {
  return ((performance.now() - startedAtMs) / OPERATIONS) * 1_000;
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}
