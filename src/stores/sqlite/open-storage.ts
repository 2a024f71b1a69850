/** A storage in one file: request records, ledger, provider states and webhooks over one engine, so that they commit together. */
import type { Clock } from '../../contract/clock.ts';
import type {
  ExpiredDelivery,
  SettlementNotice,
  StateStore,
  Storage,
  WebhookDelivery,
  WebhookOutbox,
} from '../../contract/storage.ts';
import type { ReportFailure } from './background-work.ts';
import type { EngineOptions } from './engine.ts';
import { Gateway, type Host } from './gateway.ts';
import { createWorkerHost } from './worker-host.ts';
import { createSqliteBatches, createSqliteFiles } from './sqlite-batches.ts';
import { SqliteLedger } from './sqlite-ledger.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { StoredDelivery } from './webhook-operations.ts';

export interface StorageOptions {
  readonly clock: Clock;
  readonly retainDays: number;
  /** Is told of work that nobody waits for and that fails; it is tried again. Default: nobody is. */
  readonly report?: ReportFailure;
}

export interface SqliteOptions extends EngineOptions, StorageOptions {}

/** Opens the file in a thread of its own. @throws {SwitchgearError} `store-unavailable` that says what to do */
export async function openSqliteStorage({ clock, retainDays, report, ...options }: SqliteOptions): Promise<Storage> {
  const host = await createWorkerHost(options);
  return createSqliteStorage(host, { clock, retainDays, ...(report !== undefined && { report }) });
}

/** A storage over an engine that is open already. */
export function createSqliteStorage(
  host: Host,
  { clock, retainDays, report = () => undefined }: StorageOptions,
): Storage {
  const gateway = new Gateway(host, clock);
  const requests = new SqliteStore(gateway, clock, report);
  const ledger = new SqliteLedger(gateway, { retainDays, clock, report });
  return {
    requests,
    ledger,
    states: createStates(gateway),
    webhooks: createOutbox(gateway),
    batches: createSqliteBatches(gateway),
    files: createSqliteFiles(gateway),
    // Together: whoever waits for an answer gets it, or is let go by the gateway.
    close: async () => {
      await Promise.all([requests.close(), ledger.close(), gateway.close()]);
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

function decodeDelivery({ settlement, ...delivery }: StoredDelivery): WebhookDelivery | ExpiredDelivery {
  if (settlement === null) return { ...delivery, settlement: undefined };
  // It was written from a settlement, and the file is checked when it is opened.
  return { ...delivery, settlement: JSON.parse(settlement) as SettlementNotice };
}
