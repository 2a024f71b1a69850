/** How every ledger folds old entries into daily totals: sums, averages and what was told already stay as they were. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LedgerEntry } from '../../src/contract/records.ts';
import { drawnEntries, drawnQueries } from '../support/drawn-entries.ts';
import { dayMs, ledgerEntries, ledgerEntry as entry, money, startMs } from '../support/ledger-entries.ts';
import type { LedgerSubject, LedgerSubjectOptions, OpenLedger } from '../support/ledger-subjects.ts';
import { propertyRuns } from '../support/properties.ts';

const nowMs = startMs + dayMs;

/** Runs the contract against the ledgers that `open` opens. */
export function describeLedgerFoldingContract(name: string, open: OpenLedger): void {
  const subjectOf = async (
    entries: readonly LedgerEntry[],
    options: LedgerSubjectOptions = {},
  ): Promise<LedgerSubject> => {
    const subject = open(options);
    await subject.ledger.append(entries);
    return subject;
  };

  describe(`the ${name} ledger: folding`, () => {
    const isOpen = async ({ ledger }: LedgerSubject, requestId: string) =>
      (await ledger.entriesFor(requestId)).length > 0;

    test('folds entries older than retainDays, not a ms younger', async () => {
      await using subject = await subjectOf([entry()], { retainDays: 30 });
      await subject.fold(startMs + 30 * dayMs);
      expect(await isOpen(subject, 'req_1')).toBe(true);
      await subject.fold(startMs + 30 * dayMs + 1);
      expect(await isOpen(subject, 'req_1')).toBe(false);
      await subject.restart();
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({
        recordCount: 1,
        totalCost: money(1000),
        averageCostPerRequest: money(1000),
        timeRange: { start: startMs, end: startMs },
      });
    });

    test('leaves a request whole as long as one of its attempts is young', async () => {
      await using subject = await subjectOf([entry(), entry({ attempt: 2, at: startMs + dayMs })], { retainDays: 1 });
      await subject.fold(startMs + 2 * dayMs);
      expect(await subject.ledger.entriesFor('req_1')).toHaveLength(2);
      await subject.fold(startMs + 2 * dayMs + 1);
      expect(await subject.ledger.entriesFor('req_1')).toHaveLength(0);
    });

    test('leaves young requests whole among old ones', async () => {
      const told = ledgerEntries(20, (index) => ({ at: startMs + (index < 12 ? 0 : dayMs), costNanos: index }));
      await using subject = await subjectOf(told, { retainDays: 1 });
      await subject.fold(startMs + dayMs + 1);
      const found = await Promise.all(told.map(({ requestId }) => subject.ledger.entriesFor(requestId)));
      expect(found).toEqual(told.map((one) => (one.at === startMs ? [] : [one])));
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({ recordCount: 20, totalCost: money(190) });
    });

    test('happens while entries arrive, without anybody asking for a summary', async () => {
      await using subject = await subjectOf([entry()], { retainDays: 1 });
      await subject.ledger.append([entry({ requestId: 'req_2', at: startMs + 2 * dayMs })]);
      await expect.poll(() => isOpen(subject, 'req_1')).toBe(false);
      expect(await isOpen(subject, 'req_2')).toBe(true);
    });

    test('is not brought forward by an entry that comes late', async () => {
      await using subject = await subjectOf([entry({ at: startMs + dayMs })], { retainDays: 1 });
      await subject.ledger.append([entry({ requestId: 'req_2', at: startMs - dayMs })]);
      await subject.fold(startMs + dayMs);
      expect([await isOpen(subject, 'req_1'), (await subject.ledger.summary({}, nowMs)).recordCount]).toEqual([
        true,
        2,
      ]);
    });

    test('goes by the time it is told, also after one that was ahead', async () => {
      await using subject = await subjectOf([entry()], { retainDays: 30 });
      await subject.fold(startMs + 90 * dayMs);
      await subject.ledger.append([entry({ requestId: 'req_2', at: startMs + 50 * dayMs })]);
      await subject.fold(startMs + 60 * dayMs);
      expect([await isOpen(subject, 'req_1'), await isOpen(subject, 'req_2')]).toEqual([false, true]);
    });

    test('forgets nothing: told again after it was folded, an entry counts once', async () => {
      const told = ledgerEntries(30, (index) => ({ attempt: 1 + (index % 2), requestId: `req_${index >> 1}` }));
      await using subject = await subjectOf(told, { retainDays: 1 });
      await subject.fold(startMs + 9 * dayMs);
      await subject.restart();
      await subject.ledger.append(told);
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({
        recordCount: 30,
        averageCostPerRequest: money(2000),
      });
    });

    test('folds an attempt that comes after the others were folded on its own, and both are known then', async () => {
      const [first, second] = [entry(), entry({ attempt: 2, costNanos: 10, at: startMs + dayMs })];
      await using subject = await subjectOf([first], { retainDays: 1 });
      await subject.fold(startMs + 9 * dayMs);
      await subject.ledger.append([second]);
      expect(await subject.ledger.entriesFor('req_1')).toEqual([second]);
      await subject.fold(startMs + 9 * dayMs);
      await subject.ledger.append([first, second]);
      expect(await isOpen(subject, 'req_1')).toBe(false);
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({ recordCount: 2, totalCost: money(1010) });
    });

    test('attributes a day to the range in which it ended, so that neighbouring ranges never count it twice', async () => {
      const hours = [1, 5, 9];
      await using subject = await subjectOf(
        ledgerEntries(3, (index) => ({ at: startMs + (hours[index] ?? 0) * 3_600_000 })),
      );
      await subject.fold(startMs + 31 * dayMs);
      const noon = startMs + 6 * 3_600_000;
      expect((await subject.ledger.summary({ until: noon }, nowMs)).recordCount).toBe(0);
      expect((await subject.ledger.summary({ since: noon }, nowMs)).recordCount).toBe(3);
    });

    test('keeps sums exact far beyond what a number can count', async () => {
      const huge = Number.MAX_SAFE_INTEGER;
      const usage = { inputTokens: huge, outputTokens: 1 };
      await using subject = await subjectOf(ledgerEntries(1_500, () => ({ costNanos: huge, usage })));
      const before = await subject.ledger.summary({}, nowMs);
      await subject.fold(startMs + 31 * dayMs);
      expect(await isOpen(subject, 'req_1499')).toBe(false);
      await subject.restart();
      const after = await subject.ledger.summary({}, nowMs);
      expect(after).toEqual(before);
      expect(after.totalCost.usdNanos).toBe(Number(BigInt(huge) * 1_500n));
      expect(after.averageCostPerRequest).toEqual(money(huge));
      expect(after.tokenUsage.totalTokens).toBe(Number(BigInt(huge) * 1_500n + 1_500n));
    });

    test('loses no digit of a total that is added to others', async () => {
      const costs = [Number.MAX_SAFE_INTEGER, 2];
      const told = ledgerEntries(6, (index) => ({ tenant: `tenant_${index >> 1}`, costNanos: costs[index % 2] ?? 0 }));
      await using subject = await subjectOf(told);
      await subject.fold(startMs + 31 * dayMs);
      await subject.restart();
      // Three times 2^53 + 1: each one a digit more than a number holds.
      const { totalCost } = await subject.ledger.summary({}, nowMs);
      expect(totalCost.usdNanos).toBe(Number(3n * (2n ** 53n + 1n)));
      expect(totalCost.usdNanos).not.toBe(3 * 2 ** 53);
    });

    test('stays bounded when callers make up tags and tenants, and total and average stay exact', async () => {
      const count = 2000;
      const made = ledgerEntries(count, (index) => ({ tenant: `tenant_${index}`, tags: { user: `${index}` } }));
      await using subject = await subjectOf(made, { groupsMax: 100 });
      await subject.fold(startMs + 31 * dayMs);
      const summary = await subject.ledger.summary({}, nowMs);
      expect(summary).toMatchObject({
        recordCount: count,
        totalCost: money(count * 1000),
        averageCostPerRequest: money(1000),
      });
      expect(Object.keys(summary.costByTenant).length).toBeLessThanOrEqual(101);
      expect(summary.costByTenant['(others)']?.usdNanos).toBeGreaterThan(1_000_000);
      expect(summary.costByModel).toEqual({ 'gpt-4.1': money(count * 1000) });
    });

    test('changes no summary of everything, under any filter, by a nano-dollar', async () => {
      await fc.assert(
        fc.asyncProperty(drawnEntries, drawnQueries, async (drawn, query) => {
          // At once, so that the attempts of a request fold together.
          await using subject = await subjectOf(drawn);
          const before = await subject.ledger.summary(query, nowMs);
          await subject.fold(startMs + 90 * dayMs);
          for (const { requestId } of drawn) expect(await isOpen(subject, requestId)).toBe(false);
          await subject.restart();
          expect(await subject.ledger.summary(query, nowMs)).toEqual(before);
        }),
        propertyRuns(60),
      );
    });
  });
}
