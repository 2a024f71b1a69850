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
  #thread: Thread | undefined;
  /** One that has not opened the file yet. */
  #starting: Thread | undefined;
  /** A thread that comes after another one goes on under the same epoch: what was claimed stays claimed. */
  #epoch: number | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#epoch = options.epoch;
  }

  readonly afterTurn = (callback: () => void): void => {
    setImmediate(callback);
  };

  async start(): Promise<Thread> {
    const thread = new Thread({ ...this.#options, epoch: this.#epoch });
    this.#starting = thread;
    const opened = await thread.opened.finally(() => {
      this.#starting = undefined;
    });
    if (opened.kind !== 'opened')
      throw new SwitchgearError(
        'store-unavailable',
        opened.kind === 'refused' ? opened.message : 'the store did not open',
      );
    this.#epoch = opened.epoch;
    this.#thread = thread;
    return thread;
  }

  async run(group: readonly Operation[]): Promise<GroupResult> {
    const thread = this.#thread?.hasEnded === false ? this.#thread : await this.start();
    const answer = await thread.ask({ kind: 'run', group });
    if (answer.kind === 'ran') return answer.result;
    throw new SwitchgearError('store-unavailable', `the store ${this.#options.path} did not answer as expected`);
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }

  abandon(): void {
    (this.#starting ?? this.#thread)?.abandon();
  }
}

/** One thread, and what it was asked last. Its file is free again once it has ended. */
class Thread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  /** Rejects with `store-unavailable` when the thread dies. */
  readonly opened: Promise<FromWorker>;
  hasEnded = false;
  /** There is never more than one question at a time. */
  #asked: PromiseWithResolvers<FromWorker>;
  #reason: string | undefined;

  constructor(options: EngineOptions) {
    this.#asked = Promise.withResolvers();
    this.opened = this.#asked.promise;
    this.#worker = new Worker(workerFile(), { workerData: options, name: 'switchgear store' });
    this.#worker.on('message', (message: FromWorker) => {
      this.#worker.unref();
      this.#asked.resolve(message);
    });
    this.#worker.on('error', (error) => {
      this.#reason = String(error);
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.hasEnded = true;
        const message = `the thread of the store ${options.path} ended: ${this.#reason ?? `it exited with code ${code}`}`;
        this.#asked.reject(new SwitchgearError('store-unavailable', message));
        resolve();
      });
    });
  }

  ask(message: ToWorker): Promise<FromWorker> {
    this.#asked = Promise.withResolvers();
    this.#worker.ref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message);
    return this.#asked.promise;
  }

  async close(): Promise<void> {
    if (this.hasEnded) return;
    // One that dies meanwhile has let go of the file as well.
    await this.ask({ kind: 'close' }).catch(() => undefined);
    this.#worker.ref();
    await this.#exited;
  }

  /** A thread that hangs in a call to the system ends when that returns. The event loop does not wait for it. */
  abandon(): void {
    // It never rejects.
    void this.#worker.terminate();
    this.#worker.unref();
  }
}

/** Beside this file, as source or built. */
function workerFile(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
}
