/**
 * Takes records that wait in the store into memory as room comes free: after a restart, and when more was submitted than the
 * queue in memory holds. It takes many at a time, so that the store is asked rarely, and in the order the store gives them.
 */
import type { TimerHandle } from '../contract/clock.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { RequestRecord } from '../contract/records.ts';
import type { Door } from './admit.ts';
import { askStore } from './ask-store.ts';
import { endParked } from './end-parked.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';
import { sleep } from './sleep.ts';

/** Records taken in at once. */
const TAKEN_MAX = 500;
/** When the store is asked again after it failed. */
const PAUSE_MS = 1_000;
/** How much later than its deadline a parked request may be told that it is over. */
const DEADLINES_MS = 10_000;

export class Feeder {
  readonly #runtime: Runtime;
  readonly #door: Door;
  readonly #run: (open: OpenRequest) => void;
  #isFeeding = false;
  #isClosed = false;
  #timer: TimerHandle | undefined;

  constructor(runtime: Runtime, door: Door, run: (open: OpenRequest) => void) {
    this.#runtime = runtime;
    this.#door = door;
    this.#run = run;
  }

  /** What an earlier process left behind is settled or queued. @throws {SwitchgearError} `store-unavailable` */
  async recover(): Promise<void> {
    const { store, announce, clock } = this.#runtime;
    if (!store.isDurable) return;
    const { queued, requeued, interrupted } = await askStore(clock, store.recover());
    // Not before whoever started the service can listen.
    clock.setTimeout(() => {
      if (queued + interrupted.length > 0)
        announce('service.recovered', { queued, requeued: requeued.length, interrupted: interrupted.length });
      this.nudge();
    }, 0);
  }

  /** There may be room, or something to take in. */
  nudge(): void {
    this.#watchDeadlines();
    if (this.#isFeeding || !this.#isWorthwhile) return;
    this.#isFeeding = true;
    void this.#feed().finally(() => {
      this.#isFeeding = false;
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#runtime.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** What is parked has no timer of its own: while there is any, deadlines are looked at now and then. */
  #watchDeadlines(): void {
    const { store, clock } = this.#runtime;
    if (this.#isClosed || this.#timer !== undefined || store.parked === 0) return;
    this.#timer = clock.setTimeout(() => {
      void this.#endOverdue().finally(() => {
        this.#timer = undefined;
        this.#watchDeadlines();
      });
    }, DEADLINES_MS);
  }

  async #endOverdue(): Promise<void> {
    const { store, clock } = this.#runtime;
    try {
      let overdue: readonly RequestRecord[];
      do {
        overdue = await askStore(clock, store.listOverdue(TAKEN_MAX));
        await Promise.all(overdue.map((record) => endParked(this.#runtime, record, overdueError(record))));
      } while (overdue.length > 0 && !this.#isClosed);
    } catch (error) {
      this.#tellFailure('deadlines', error);
    }
  }

  #tellFailure(operation: string, error: unknown): void {
    const message = error instanceof SwitchgearError ? error.message : String(error);
    this.#runtime.announce('store.failed', { operation, message });
  }

  /** A quarter of the queue, so that not every place that comes free asks the store. */
  get #isWorthwhile(): boolean {
    const { store, service } = this.#runtime;
    if (this.#isClosed || service.isDraining) return false;
    return store.parked > 0 && this.#door.room >= this.#door.share;
  }

  async #feed(): Promise<void> {
    const { store, clock, ending } = this.#runtime;
    while (this.#isWorthwhile) {
      try {
        const records = await askStore(clock, store.listParked(Math.min(TAKEN_MAX, this.#door.room)));
        if (records.length === 0 || !this.#isWorthwhile) return;
        for (const open of await this.#door.takeIn(records)) this.#run(open);
      } catch (error) {
        this.#tellFailure('list', error);
        await sleep(clock, PAUSE_MS, ending);
      }
    }
  }
}

function overdueError({ requestId, timeoutMs, attempts }: RequestRecord): SwitchgearError {
  const message = `the request was not answered within ${timeoutMs} ms, in which no room came free for it; allow more with timeoutMs`;
  return new SwitchgearError('timeout', message, { requestId, attempts });
}
