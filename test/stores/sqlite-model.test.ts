/** The store in a file against a list: whatever is done with it, whoever has it open, it says what the list would say. */
import fc from 'fast-check';
import { test } from 'vitest';
import { createSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { createWorkerHost } from '../../src/stores/sqlite/worker-host.ts';
import { propertyRuns } from '../support/properties.ts';
import { Comparison, type Open, type Step, stepsOf, TTL_MS } from '../support/store-comparison.ts';
import { StoreFile } from '../support/store-file.ts';

async function live(open: Open, steps: readonly Step[]): Promise<void> {
  using file = new StoreFile();
  await new Comparison(file, open).live(steps);
}

test('agrees with a list after any sequence of operations, processes and takeovers; whoever is fenced writes nothing', async () => {
  const open: Open = async (file, clock, epoch) => file.open(clock, { resultTtlMs: TTL_MS, epoch });
  await fc.assert(
    fc.asyncProperty(stepsOf(70), (sequence) => live(open, sequence)),
    propertyRuns(40),
  );
});

test('agrees with a list in a thread of its own, too', async () => {
  const open: Open = async (file, clock, epoch) => {
    const host = await createWorkerHost(file.options({ resultTtlMs: TTL_MS, epoch }));
    return createSqliteStorage(host, { clock, retainDays: 30 });
  };
  await fc.assert(
    fc.asyncProperty(stepsOf(25), (sequence) => live(open, sequence)),
    propertyRuns(3),
  );
});
