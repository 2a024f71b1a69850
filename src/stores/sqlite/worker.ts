/** The thread that the engine runs in: opens the file, then runs one group after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { Engine, type EngineOptions, type GroupResult, type Operation } from './engine.ts';

export type ToWorker = { readonly kind: 'run'; readonly group: readonly Operation[] } | { readonly kind: 'close' };

export type FromWorker =
  | { readonly kind: 'opened'; readonly epoch: number }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'ran'; readonly result: GroupResult }
  | { readonly kind: 'closed' };

const port = parentPort;
// Only `worker-host.ts` starts this file, with these options.
if (port !== null) serve(port, workerData as EngineOptions);

function serve(to: NonNullable<typeof parentPort>, options: EngineOptions): void {
  const say = (message: FromWorker) => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    to.postMessage(message);
  };
  let engine: Engine;
  try {
    engine = new Engine(options, () => performance.now());
  } catch (error) {
    say({ kind: 'refused', message: error instanceof Error ? error.message : String(error) });
    to.close();
    return;
  }
  to.on('message', (message: ToWorker) => {
    if (message.kind === 'run') {
      say({ kind: 'ran', result: engine.run(message.group) });
      return;
    }
    engine.close();
    say({ kind: 'closed' });
    to.close();
  });
  say({ kind: 'opened', epoch: engine.epoch });
}
