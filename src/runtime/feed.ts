/**
 * Takes records that wait in the store into memory as room comes free: after a restart, and when more was submitted than the
 * queue in memory holds. It takes many at a time, so that the store is asked rarely, and in the order the store gives them.
 */
import { SwitchgearError } from '../contract/errors.ts';
import type { Door } from './admit.ts';
import { askStore } from './ask-store.ts';
import type { OpenRequest } from './open-request.ts';
import type { Runtime } from './runtime.ts';
import { sleep } from './sleep.ts';

/** Records taken in at once. */
const TAKEN_MAX = 500;
/** When the store is asked again after it failed. */
const PAUSE_MS = 1_000;

export class Feeder {
  readonly #runtime: Runtime;
  readonly #door: Door;
  readonly #run: (open: OpenRequest) => void;
  #isFeeding = false;

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
    if (queued + interrupted.length > 0)
      announce('service.recovered', { queued, requeued: requeued.length, interrupted: interrupted.length });
    this.nudge();
  }

  /** There may be room, or something to take in. */
  nudge(): void {
    if (this.#isFeeding || !this.#isWorthwhile) return;
    this.#isFeeding = true;
    void this.#feed().finally(() => {
      this.#isFeeding = false;
    });
  }

  /** A quarter of the queue, so that not every place that comes free asks the store. */
  get #isWorthwhile(): boolean {
    const { store, service, config } = this.#runtime;
    const share = Math.min(TAKEN_MAX, Math.ceil(config().service.queueDepthMax / 4));
    return store.parked > 0 && !service.isDraining && this.#door.room >= share;
  }

  async #feed(): Promise<void> {
    const { store, clock, announce, ending } = this.#runtime;
    while (this.#isWorthwhile) {
      try {
        const records = await askStore(clock, store.listParked(Math.min(TAKEN_MAX, this.#door.room)));
        if (records.length === 0) return;
        for (const open of await this.#door.takeIn(records)) this.#run(open);
      } catch (error) {
        const message = error instanceof SwitchgearError ? error.message : String(error);
        announce('store.failed', { requestId: '', operation: 'list', message });
        await sleep(clock, PAUSE_MS, ending);
      }
    }
  }
}
