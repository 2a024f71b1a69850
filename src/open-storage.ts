/** Opens what the config says everything is kept in. What is known of no store is known here: which kinds there are. */
import { resolve } from 'node:path';

import type { Clock } from './contract/clock.ts';
import type { ResolvedConfig } from './contract/config.ts';
import type { Storage } from './contract/storage.ts';
import { MemoryBatches } from './stores/memory-batches.ts';
import { MemoryFiles } from './stores/memory-files.ts';
import { MemoryLedger } from './stores/memory-ledger.ts';
import { MemoryOutbox } from './stores/memory-outbox.ts';
import { MemoryStore } from './stores/memory.ts';
import type { ReportFailure } from './stores/sqlite/background-work.ts';
import { openSqliteStorage } from './stores/sqlite/open-storage.ts';

/** @throws {SwitchgearError} `store-unavailable` that says which file, what is wrong with it, and what to do */
export async function openStorage(config: ResolvedConfig, clock: Clock, report: ReportFailure): Promise<Storage> {
  const { store, ledger, webhooks } = config;
  if (store.kind === 'memory') return createMemoryStorage(config, clock);
  const { resultTtlMs } = store;
  // Whole, so that whoever reads a message knows which file is meant.
  const path = resolve(store.path);
  const hasWebhooks = webhooks !== undefined;
  return openSqliteStorage({ path, resultTtlMs, hasWebhooks, clock, retainDays: ledger.retainDays, report });
}

/** Everything in memory: gone with the process. */
function createMemoryStorage({ store, ledger, webhooks }: ResolvedConfig, clock: Clock): Storage {
  const { resultTtlMs } = store;
  const outbox = new MemoryOutbox({ clock, resultTtlMs });
  const requests = new MemoryStore({ clock, resultTtlMs, ...(webhooks !== undefined && { outbox }) });
  return {
    requests,
    ledger: new MemoryLedger({ retainDays: ledger.retainDays }),
    // There is nobody to come after this process.
    states: { load: async () => ({}), save: async () => undefined },
    webhooks: outbox,
    batches: new MemoryBatches({ clock, resultTtlMs, records: requests }),
    files: new MemoryFiles({ clock }),
    close: () => requests.close(),
  };
}
