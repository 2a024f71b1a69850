/** Who is measured: our store, a service over it, and BullMQ. All are given the same prompt. */
import { startService } from '../../src/compose.ts';
import type { RequestRecord } from '../../src/contract/records.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import type { Adapter } from '../../src/contract/adapter.ts';
import type { Submitter, Task } from './measurement.ts';

/** 500 characters: a short prompt. */
const PROMPT = 'What keeps the lights on? '.repeat(20).slice(0, 500);
/** What is submitted fits in memory; what is parked waits in the store alone. */
const DEPTH_DEFAULT = 10_000;
const messages = [{ role: 'user' as const, content: PROMPT }];

export async function openSubmitter({ subject, port }: Task, path: string): Promise<Submitter> {
  switch (subject) {
    case 'store':
      return createStoreSubmitter(await openStorage(path, true));
    case 'store without thread':
      return createStoreSubmitter(await openStorage(path, false));
    case 'service':
      return startSubmitter(await openStorage(path, true), DEPTH_DEFAULT);
    case 'service without thread':
      return startSubmitter(await openStorage(path, false), DEPTH_DEFAULT);
    case 'service, parked':
      return startSubmitter(await openStorage(path, true), 10);
    case 'BullMQ, always':
    case 'BullMQ, everysec': {
      // In a package of its own, which is installed for this benchmark only and not known to the compiler.
      const file = new URL('../bullmq/queue.ts', import.meta.url).href;
      const { openQueue } = (await import(file)) as {
        openQueue: (port: number, payload: object) => Promise<Submitter>;
      };
      return openQueue(port ?? 0, { model: 'm', messages });
    }
  }
}

async function openStorage(path: string, hasThread: boolean): Promise<Storage> {
  const options = { path, resultTtlMs: 86_400_000, hasWebhooks: false };
  const host = hasThread
    ? await createWorkerHost(options)
    : createInlineHost(options, { afterTurn: (callback) => void setImmediate(callback) });
  return createSqliteStorage(host, { clock: systemClock, retainDays: 30 });
}

function createStoreSubmitter(storage: Storage): Submitter {
  return {
    submit: (number) => storage.requests.insert(createRecord(number), 'memory'),
    [Symbol.asyncDispose]: () => storage.close(),
  };
}

export function createRecord(number: number): RequestRecord {
  return {
    requestId: `req_${String(number).padStart(21, '0')}`,
    tenant: 'default',
    idempotencyKey: undefined,
    requestHash: String(number).padStart(64, '0'),
    request: { kind: 'completion', model: 'm', messages },
    fallbacks: undefined,
    priority: 'normal',
    tags: {},
    createdAt: Date.now(),
    enqueuedAt: Date.now(),
    timeoutMs: 86_400_000,
    recovery: 'atLeastOnce',
    recoveries: 0,
    status: 'queued',
    attempts: [],
  };
}

/** A service whose provider answers nobody, so that submitting is all that happens. */
async function startSubmitter(storage: Storage, queueDepthMax: number): Promise<Submitter> {
  const provider = {
    adapter: 'held',
    apiKey: 'none',
    models: ['m'],
    concurrency: 1,
    health: { intervalMs: 86_400_000 },
  };
  const service = await startService(
    { service: { queueDepthMax }, defaults: { model: 'held/m' }, providers: { held: provider } },
    { storage, adapters: { held: () => HELD } },
  );
  return {
    submit: () => service.completionAsync({ messages }),
    [Symbol.asyncDispose]: () => service.stop({ graceMs: 0 }),
  };
}

const HELD: Adapter = {
  send: ({ signal }) => held(signal),
  stream: async function* stream({ signal }) {
    yield await held(signal);
  },
  check: async () => undefined,
  classify: (error) => ({ kind: 'abandoned', message: String(error) }),
  supports: () => true,
};

function held(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason);
    });
  });
}
