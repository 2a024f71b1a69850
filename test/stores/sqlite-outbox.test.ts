import { createInlineHost } from '../../src/stores/sqlite/inline-host.ts';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { describeOutboxContract } from '../contracts/outbox-contract.ts';

describeOutboxContract('sqlite', async (clock) => {
  const host = createInlineHost({ path: ':memory:', resultTtlMs: 86_400_000, hasWebhooks: true });
  const { requests, webhooks, close } = createSqliteStorage(host, { clock, retainDays: 30 });
  return { requests, outbox: webhooks, close };
});
