/** Opens a store, says so, and holds it until its standard input ends; or says why it cannot. Its argument is the path. */
import { once } from 'node:events';
import { SwitchgearError } from '../../src/contract/errors.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { openSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';

const OPTIONS = { resultTtlMs: 86_400_000, hasWebhooks: false, clock: systemClock, retainDays: 30, busyTimeoutMs: 100 };

async function main(path: string): Promise<void> {
  try {
    const storage = await openSqliteStorage({ ...OPTIONS, path });
    process.stdout.write('opened\n');
    process.stdin.resume();
    await once(process.stdin, 'end');
    await storage.close();
  } catch (error) {
    if (!(error instanceof SwitchgearError)) throw error;
    process.stdout.write(`${error.code}: ${error.message}\n`);
  }
}

await main(process.argv[2] ?? '');
