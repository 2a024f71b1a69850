/** A storage in one file: request records, ledger, provider states and webhooks over one engine, so that they commit together. */
import type { Clock } from '../../contract/clock.ts';
import type { SettlementNotice, StateStore, Storage, WebhookDelivery, WebhookOutbox } from '../../contract/storage.ts';
import type { EngineOptions } from './engine.ts';
import { Gateway, type Host } from './gateway.ts';
import { createWorkerHost } from './worker-host.ts';
import { createSqliteBatches, createSqliteFiles } from './sqlite-batches.ts';
import { SqliteLedger } from './sqlite-ledger.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { StoredDelivery } from './webhook-operations.ts';

export interface SqliteOptions extends EngineOptions {
  readonly clock: Clock;
  readonly retainDays: number;
}

/** Opens the file in a thread of its own. @throws {SwitchgearError} `store-unavailable` that says what to do */
export async function openSqliteStorage({ clock, retainDays, ...options }: SqliteOptions): Promise<Storage> {
  return createSqliteStorage(await createWorkerHost(options), { clock, retainDays });
}

/** A storage over an engine that is open already. */
export function createSqliteStorage(
  host: Host,
  { clock, retainDays }: { readonly clock: Clock; readonly retainDays: number },
): Storage {
  const gateway = new Gateway(host, clock);
  const requests = new SqliteStore(gateway, clock);
  const ledger = new SqliteLedger(gateway, { retainDays });
  return {
    requests,
    ledger,
    states: createStates(gateway),
    webhooks: createOutbox(gateway),
    batches: createSqliteBatches(gateway),
    files: createSqliteFiles(gateway),
    close: async () => {
      await requests.close();
      await ledger.close();
      await gateway.close();
    },
  };
}

function createStates(gateway: Gateway): StateStore {
  return {
    load: async () => {
      const states = await gateway.ask('loadStates');
      return Object.fromEntries(states.map(([name, state]) => [name, parseState(state)]));
    },
    save: (name, state) => gateway.ask('saveState', name, JSON.stringify(state)),
  };
}

/** One state that is damaged costs itself only: as a text it is no state, which whoever reads it says. */
function parseState(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function createOutbox(gateway: Gateway): WebhookOutbox {
  return {
    due: async (nowMs, max) => (await gateway.ask('dueWebhooks', nowMs, max)).map(decodeDelivery),
    nextDueAt: () => gateway.ask('nextWebhookAt'),
    postpone: (requestId, tries, dueAt) => gateway.ask('postponeWebhook', requestId, tries, dueAt),
    remove: (requestId) => gateway.ask('removeWebhook', requestId),
  };
}

function decodeDelivery({ settlement, ...delivery }: StoredDelivery): WebhookDelivery {
  // It was written from a settlement, and the file is checked when it is opened.
  return { ...delivery, settlement: JSON.parse(settlement) as SettlementNotice };
}
