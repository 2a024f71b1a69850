/**
 * A service over a file, of which some operations of the store go wrong: they fail, or the process dies at them, before or after
 * their effect. Whoever calls it finds a service again: the next process is started on the same file.
 */
import { startService } from '../../src/compose.ts';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { Service } from '../../src/contract/service.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { MortalProcess } from './mortal-process.ts';
import { ScriptedProvider } from './scripted-provider.ts';
import { StoreFile } from './store-file.ts';
import { type RunOperation, type StoreOperation, wrapStore } from './wrapped-store.ts';

/** What goes wrong, and at which operation, counted from 1 over all processes: of all of them, or of those of one kind. */
export interface Fault {
  readonly kind: 'fails' | 'dies';
  readonly when: 'before' | 'after';
  readonly at: number;
  readonly operation?: StoreOperation;
}

const STARTS_MAX = 5;
const START_LIMIT_MS = 60_000;

export class FragileWorld implements Disposable {
  readonly clock = new VirtualClock();
  readonly file = new StoreFile();
  readonly provider = new ScriptedProvider('a', this.clock);
  readonly operations: StoreOperation[] = [];
  /** Every `request.settled` that a living process told. */
  readonly told: { readonly requestId: string; readonly outcome: string }[] = [];
  crashes = 0;
  readonly #faults: readonly Fault[];
  #process: MortalProcess | undefined;
  #service: Service | undefined;

  constructor(...faults: readonly Fault[]) {
    this.#faults = faults;
  }

  /** A service that runs, started when there is none. */
  async up(): Promise<Service> {
    for (let starts = 0; starts < STARTS_MAX; starts += 1) {
      if (this.#service !== undefined && this.#process?.isDead === false) return this.#service;
      await this.#start();
    }
    throw new Error(`expected the service to start, got: ${STARTS_MAX} that did not`);
  }

  /** Ends the service as an operator would, if it lives so long. */
  async down(graceMs: number): Promise<void> {
    const service = await this.up();
    const process = this.#process;
    const stopped = service.stop({ graceMs }).then(() => process?.die());
    await this.#waitFor(stopped);
    await process?.die();
    this.#service = undefined;
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }

  async #start(): Promise<void> {
    const process = new MortalProcess(this.clock);
    this.#process = process;
    const host = process.openHost(this.file.options());
    const storage = createSqliteStorage(host, { clock: process, retainDays: 30 });
    const requests = wrapStore(storage.requests, this.#runIn(process));
    const started = startService(CONFIG, {
      clock: process,
      env: {},
      storage: { ...storage, requests },
      adapters: { scripted: (...parts) => process.wrapAdapter(this.provider.createAdapter(...parts)) },
    });
    const service = await this.#waitFor(started.catch(() => undefined));
    if (service === undefined) await process.die();
    service?.on('request.settled', ({ requestId, outcome }) => {
      if (!process.isDead) this.told.push({ requestId, outcome });
    });
    this.#service = service;
  }

  /** Moves time until the promise has settled; undefined when the process dies first. */
  async #waitFor<Value>(promise: Promise<Value>): Promise<Value | undefined> {
    const process = this.#process;
    const outcomes: Value[] = [];
    const settled = promise.then((value) => outcomes.push(value));
    const limitMs = this.clock.nowMs() + START_LIMIT_MS;
    await this.clock.settle();
    const isOver = () => outcomes.length > 0 || process?.isDead === true;
    while (!isOver()) {
      if (!(await this.clock.step(limitMs))) throw new Error('expected something to happen, got: nothing left to fire');
    }
    if (outcomes.length > 0) await settled;
    return outcomes[0];
  }

  #runIn(process: MortalProcess): RunOperation {
    return async (operation, act) => {
      await this.#live(process);
      this.operations.push(operation);
      const fault = this.#faultAt(operation);
      if (fault?.when === 'before') await this.#goWrong(process, fault, operation);
      const value = await process.outlive(act());
      if (fault?.when === 'after') await this.#goWrong(process, fault, operation);
      return value;
    };
  }

  #faultAt(operation: StoreOperation): Fault | undefined {
    const count = this.operations.length;
    const countOfKind = this.operations.filter((each) => each === operation).length;
    return this.#faults.find(({ at, operation: only }) =>
      only === undefined ? at === count : only === operation && at === countOfKind,
    );
  }

  async #goWrong(process: MortalProcess, { kind }: Fault, operation: StoreOperation): Promise<never> {
    if (kind === 'fails') throw new SwitchgearError('store-unavailable', `scripted: ${operation} failed`);
    this.crashes += 1;
    await process.die();
    return new Promise<never>(() => undefined);
  }

  /** The dead ask for nothing. */
  async #live(process: MortalProcess): Promise<void> {
    if (process.isDead) await new Promise<never>(() => undefined);
  }
}

/** Few places in memory and few slots, so that most of what is submitted waits in the file. */
const CONFIG = {
  service: { queueDepthMax: 5 },
  providers: {
    a: {
      adapter: 'scripted',
      apiKey: 'none',
      models: ['m'],
      concurrency: 2,
      health: { intervalMs: 86_400_000 },
      retry: { maxRetries: 2, baseMs: 100, capMs: 1_000 },
    },
  },
};
