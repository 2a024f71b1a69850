/**
 * The engine in a thread of its own, so that a disk that is slow to sync holds up no event loop. A thread that dies takes the
 * group under way with it; the next group starts another one.
 */
import { Worker } from 'node:worker_threads';
import { SwitchgearError } from '../../contract/errors.ts';
import type { EngineOptions, GroupResult, Operation } from './engine.ts';
import type { Host } from './gateway.ts';
import type { FromWorker, ToWorker } from './worker.ts';

/** Starts the thread and waits until the file is open. @throws {SwitchgearError} `store-unavailable` that says what to do */
export async function createWorkerHost(options: EngineOptions): Promise<Host> {
  const host = new WorkerHost(options);
  await host.start();
  return host;
}

class WorkerHost implements Host {
  readonly #options: EngineOptions;
  #worker: Worker | undefined;
  /** A thread that comes after another one goes on under the same epoch: what was claimed stays claimed. */
  #epoch: number | undefined;
  /** What the thread was asked and has not answered: there is never more than one. */
  #asked: PromiseWithResolvers<FromWorker> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  readonly afterTurn = (callback: () => void): void => {
    setImmediate(callback);
  };

  async start(): Promise<void> {
    const worker = new Worker(workerFile(), {
      workerData: { ...this.#options, epoch: this.#epoch },
      name: 'switchgear store',
    });
    this.#worker = worker;
    worker.on('message', (message: FromWorker) => {
      worker.unref();
      this.#asked?.resolve(message);
    });
    worker.on('error', (error) => {
      this.#lose(worker, String(error));
    });
    worker.on('exit', (code) => {
      this.#lose(worker, `it exited with code ${code}`);
    });
    const opened = await this.#answer();
    if (opened.kind === 'opened') {
      this.#epoch = opened.epoch;
      return;
    }
    this.#worker = undefined;
    throw new SwitchgearError('store-unavailable', opened.kind === 'refused' ? opened.message : 'the store did not open');
  }

  async run(group: readonly Operation[]): Promise<GroupResult> {
    if (this.#worker === undefined) await this.start();
    const answer = await this.#ask({ kind: 'run', group });
    if (answer.kind === 'ran') return answer.result;
    throw new SwitchgearError('store-unavailable', `the store ${this.#options.path} did not answer as expected`);
  }

  async close(): Promise<void> {
    if (this.#worker === undefined) return;
    const worker = this.#worker;
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    await this.#ask({ kind: 'close' }).catch(() => undefined);
    worker.ref();
    await exited;
  }

  #ask(message: ToWorker): Promise<FromWorker> {
    const answer = this.#answer();
    this.#worker?.ref();
    this.#worker?.postMessage(message);
    return answer;
  }

  #answer(): Promise<FromWorker> {
    this.#asked = Promise.withResolvers();
    return this.#asked.promise;
  }

  #lose(worker: Worker, reason: string): void {
    if (this.#worker === worker) this.#worker = undefined;
    this.#asked?.reject(
      new SwitchgearError('store-unavailable', `the thread of the store ${this.#options.path} ended: ${reason}`),
    );
  }
}

/** Beside this file, as source or built. */
function workerFile(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
}
