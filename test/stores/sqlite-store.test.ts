import type { Host } from '../../src/stores/sqlite/gateway.ts';
import type { EngineOptions } from '../../src/stores/sqlite/engine.ts';
import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { describeDurableStoreContract } from '../contracts/durable-store-contract.ts';
import { describeStoreContract } from '../contracts/store-contract.ts';
import type { OpenDurableStore } from '../contracts/store-subject.ts';
import { StoreFile } from '../support/store-file.ts';

const HOSTS: Readonly<Record<string, (options: EngineOptions) => Promise<Host>>> = {
  'sqlite (in this thread)': async (options) => createInlineHost(options),
  'sqlite (in a thread of its own)': createWorkerHost,
};

for (const [name, createHost] of Object.entries(HOSTS)) {
  const open: OpenDurableStore = async ({ clock, resultTtlMs }) => {
    const file = new StoreFile();
    const start = async () =>
      createSqliteStorage(await createHost(file.options({ resultTtlMs })), { clock, retainDays: 30 });
    let storage = await start();
    return {
      get store() {
        return storage.requests;
      },
      restart: async () => {
        await storage.close();
        storage = await start();
        return storage.requests;
      },
      close: async () => {
        await storage.close();
        file[Symbol.dispose]();
      },
    };
  };
  describeStoreContract(name, open);
  describeDurableStoreContract(name, open);
}
