import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LedgerEntry } from '../../src/contract/records.ts';
import { MemoryLedger, type MemoryLedgerOptions } from '../../src/stores/memory-ledger.ts';
import { describeLedgerContract } from '../contracts/ledger-contract.ts';
import { describeLedgerFoldingContract } from '../contracts/ledger-folding-contract.ts';
import { drawnEntries } from '../support/drawn-entries.ts';
import { dayMs, ledgerEntries, ledgerEntry as entry, money, startMs } from '../support/ledger-entries.ts';
import { openMemoryLedger } from '../support/ledger-subjects.ts';
import { propertyRuns } from '../support/properties.ts';

describeLedgerContract('memory', openMemoryLedger);
describeLedgerFoldingContract('memory', openMemoryLedger);

const nowMs = startMs + dayMs;

const ledgerOf = async (entries: readonly LedgerEntry[], options: MemoryLedgerOptions): Promise<MemoryLedger> => {
  const ledger = new MemoryLedger(options);
  await ledger.append(entries);
  return ledger;
};

describe('a bound on entries', () => {
  test('keeps entries up to their maximum, and the newest', async () => {
    const ledger = await ledgerOf(ledgerEntries(3), { entriesMax: 2 });
    const found = ['req_0', 'req_1', 'req_2'].map(async (id) => (await ledger.entriesFor(id)).length);
    expect(await Promise.all(found)).toEqual([0, 1, 1]);
  });

  test('folds whole requests: told twice, what it folded counts once', async () => {
    const ledger = await ledgerOf(ledgerEntries(3), { entriesMax: 1 });
    await ledger.append([entry({ requestId: 'req_1' })]);
    expect(await ledger.summary({}, nowMs)).toMatchObject({ recordCount: 3, totalCost: money(3000) });
  });

  test('remembers what was folded for as many requests as there may be entries, and for no more', async () => {
    const told = ledgerEntries(5);
    const repeated = async (one: LedgerEntry) => {
      const ledger = await ledgerOf(told, { entriesMax: 2 });
      await ledger.append([one]);
      return (await ledger.summary({}, nowMs)).recordCount;
    };
    // Of five, the last two are open, those before them folded and remembered, the first one folded and forgotten.
    expect(await Promise.all(told.map(repeated))).toEqual([6, 5, 5, 5, 5]);
  });

  test('changes no total when entries arrive one by one', async () => {
    await fc.assert(
      fc.asyncProperty(drawnEntries, fc.nat(10), async (drawn, entriesMax) => {
        const [open, folding] = [new MemoryLedger(), new MemoryLedger({ entriesMax: Math.max(entriesMax, 1) })];
        await open.append(drawn);
        for (const one of drawn) await folding.append([one]);
        const { averageCostPerRequest: _, ...expected } = await open.summary({}, nowMs);
        const { averageCostPerRequest: __, ...actual } = await folding.summary({}, nowMs);
        // Attempts that come again after more requests than are remembered would count again; there are at most 13.
        if (entriesMax >= 10) expect(actual).toEqual(expected);
        else expect(actual.recordCount).toBeGreaterThanOrEqual(expected.recordCount);
      }),
      propertyRuns(200),
    );
  });
});
