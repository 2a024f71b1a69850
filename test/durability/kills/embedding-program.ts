/**
 * A program that embeds a service behind its HTTP edge, on a store of its own making: one that can take the process down after
 * a commit and before anybody hears of it. Its argument is one JSON text.
 */
import { startService } from '../../../src/compose.ts';
import { resolveConfig } from '../../../src/config/resolve.ts';
import { createHttpServer } from '../../../src/http/server.ts';
import { systemClock } from '../../../src/runtime/system-clock.ts';
import type { Host } from '../../../src/stores/sqlite/gateway.ts';
import { createSqliteStorage } from '../../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../../src/stores/sqlite/worker-host.ts';

export interface EmbeddingOptions {
  readonly path: string;
  /** The provider. */
  readonly upstream: string;
  /** Dies when so many groups with a submission in them were committed; absent: it does not. */
  readonly dieAfterCommits?: number;
}

async function main({ path, upstream, dieAfterCommits }: EmbeddingOptions): Promise<void> {
  const host = await createWorkerHost({ path, resultTtlMs: 86_400_000, hasWebhooks: false });
  const storage = createSqliteStorage(dieAfterCommits === undefined ? host : mortal(host, dieAfterCommits), {
    clock: systemClock,
    retainDays: 30,
  });
  const config = { providers: { up: { adapter: 'openai', baseURL: upstream, apiKey: 'none', models: ['m'] } } };
  const service = await startService(config, { storage });
  const server = createHttpServer({ service, config: resolveConfig(config, { env: {} }).config, clock: systemClock });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

function mortal(host: Host, commits: number): Host {
  let left = commits;
  return {
    afterTurn: (callback) => {
      host.afterTurn(callback);
    },
    close: () => host.close(),
    abandon: () => {
      host.abandon();
    },
    run: async (group) => {
      const result = await host.run(group);
      if (group.some(({ name }) => name === 'insert') && --left === 0) process.kill(process.pid, 'SIGKILL');
      return result;
    },
  };
}

await main(JSON.parse(process.argv[2] ?? '{}') as EmbeddingOptions);
