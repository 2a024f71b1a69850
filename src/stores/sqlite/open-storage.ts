/** A storage in one file: request records, ledger, provider states and webhooks over one engine, so that they commit together. */
import type { Clock } from '../../contract/clock.ts';
import type { StateStore, Storage, WebhookDelivery, WebhookOutbox } from '../../contract/storage.ts';
import type { EngineOptions } from './engine.ts';
import { Gateway, type Host } from './gateway.ts';
import { createWorkerHost } from './worker-host.ts';
import { SqliteLedger } from './sqlite-ledger.ts';
import { SqliteStore } from './sqlite-store.ts';
import { decodeSettlement } from './stored-record.ts';
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
  return {
    requests,
    ledger: new SqliteLedger(gateway, { clock, retainDays }),
    states: createStates(gateway),
    webhooks: createOutbox(gateway),
    close: async () => {
      await requests.close();
      await gateway.close();
    },
  };
}

function createStates(gateway: Gateway): StateStore {
  return {
    load: async () => {
      const states = await gateway.ask('loadStates');
      return Object.fromEntries(states.map(([name, state]) => [name, JSON.parse(state) as unknown]));
    },
    save: (name, state) => gateway.ask('saveState', name, JSON.stringify(state)),
  };
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
  return { ...delivery, settlement: decodeSettlement(settlement) };
}
