/** Puts the desk together with the path of requests: how a line becomes a request in memory, and how one is cancelled. */
import type { Storage } from '../contract/storage.ts';
import type { Door } from '../runtime/admit.ts';
import { createIdSource } from '../runtime/ids.ts';
import { runRequest } from '../runtime/path.ts';
import { cancelRequest } from '../runtime/results.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { LiveDesk } from './desk.ts';
import type { LineRequest } from './parts.ts';

export interface DeskParts {
  readonly runtime: Runtime;
  readonly door: Door;
  readonly storage: Pick<Storage, 'requests' | 'batches' | 'files'>;
  readonly nextRequestId: () => string;
  /** Whether batches are kept beside the request records. */
  readonly isKept: boolean;
}

export function createDesk({ runtime, door, storage, nextRequestId, isKept }: DeskParts): LiveDesk {
  const { clock, steadyWallMs, config, announce, ending, feed, service } = runtime;
  return new LiveDesk({
    clock,
    steadyWallMs,
    config,
    batches: storage.batches,
    files: storage.files,
    isKept,
    isDurable: storage.requests.isDurable,
    nextRequestId,
    nextId: createIdSource(clock, ''),
    announce,
    isDraining: () => service.isDraining,
    ending,
    checkModel: (model, fallbacks) => {
      door.resolve(model, fallbacks);
    },
    admit: (line) => admitLine(runtime, door, line),
    feed,
    cancelRequest: (requestId) => cancelRequest(runtime, requestId),
  });
}

/** A line has somebody who waits for it: it is not given up for being late in a full queue. */
async function admitLine(runtime: Runtime, door: Door, { request, options, line }: LineRequest) {
  const admitted = await door.admit({ mode: 'async', request, options, batch: line });
  if (admitted.kind !== 'new') throw new TypeError(`expected line ${line.index} of ${line.batchId} to be new`);
  const { open } = admitted;
  const unwatch = runtime.open.watch(open);
  // It never rejects.
  void runRequest(runtime, open);
  void open.settled.then(unwatch);
}
