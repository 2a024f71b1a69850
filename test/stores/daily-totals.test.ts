/** What is given up of folded entries when there are more totals than may be kept: seen through the ledgers that fold. */
import { describe, expect, test } from 'vitest';
import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import { dayMs, ledgerEntries } from '../support/ledger-entries.ts';
import { LEDGERS, type LedgerSubject } from '../support/ledger-subjects.ts';

const startMs = Date.UTC(2026, 0, 1);
const laterMs = startMs + 400 * dayMs;
const groupsMax = 8;

/** As many entries as make one total too many, half of which are old: the first five. */
const nine = (make: (index: number) => Partial<LedgerEntry>) => Array.from({ length: 9 }, (_, index) => make(index));
const countOf = async ({ ledger }: LedgerSubject, query: LedgerQuery) =>
  (await ledger.summary(query, laterMs)).recordCount;

describe.each(LEDGERS)('too many daily totals in the %s ledger', (_name, open) => {
  /** A ledger that has folded one request for each of `changes`, oldest first. */
  const foldedLedger = async (changes: readonly Partial<LedgerEntry>[]): Promise<LedgerSubject> => {
    const subject = open({ groupsMax });
    for (const entry of ledgerEntries(changes.length, (index) => ({ at: startMs, ...changes[index] })))
      await subject.ledger.append([entry]);
    await subject.fold(laterMs);
    return subject;
  };

  test('are more than may be kept, not as many', async () => {
    const tagged = nine((index) => ({ tags: { [`tag-${index}`]: '' } }));
    await using full = await foldedLedger(tagged.slice(0, 8));
    await using tooFull = await foldedLedger(tagged);
    const found = (subject: LedgerSubject) =>
      Promise.all(tagged.map((_, index) => countOf(subject, { tag: `tag-${index}` })));
    expect(await found(full)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0]);
    // The older half is made coarser, the younger one stays as it is.
    expect(await found(tooFull)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1]);
    expect(await countOf(tooFull, {})).toBe(9);
  });

  test('lose their tags alone when that leaves a quarter of the room, and else their tenants too', async () => {
    const tenantsOf = async (oldTenants: number) => {
      await using subject = await foldedLedger(
        nine((index) => ({
          tags: { user: `${index}` },
          tenant: index < 5 ? `old-${index % oldTenants}` : 'young',
        })),
      );
      return Object.keys((await subject.ledger.summary({}, startMs)).costByTenant).toSorted();
    };
    // Four young totals and two old ones are six of eight.
    expect(await tenantsOf(2)).toEqual(['old-0', 'old-1', 'young']);
    expect(await tenantsOf(3)).toEqual(['(others)', 'young']);
  });

  test('become months when tags and tenants were not enough: a month counts when its last entry came', async () => {
    await using subject = await foldedLedger(nine((index) => ({ at: startMs + index * dayMs })));
    const since = (day: number) => countOf(subject, { since: startMs + day * dayMs });
    expect(await Promise.all([0, 4, 5, 8, 9].map(since))).toEqual([9, 9, 4, 1, 0]);
    expect((await subject.ledger.summary({}, startMs)).costByModel).toEqual({
      'gpt-4.1': { usd: 9e-6, usdNanos: 9_000 },
    });
    expect((await subject.ledger.summary({}, startMs)).timeRange).toEqual({ start: startMs, end: startMs + 8 * dayMs });
  });

  test('of different months stay apart', async () => {
    await using subject = await foldedLedger(nine((index) => ({ at: Date.UTC(2026, index, 15) })));
    const since = (month: number) => countOf(subject, { since: Date.UTC(2026, month, 1) });
    expect(await Promise.all([0, 1, 4, 8].map(since))).toEqual([9, 8, 5, 1]);
  });

  test('lose their models last, and their providers never', async () => {
    await using subject = await foldedLedger(
      nine((index) => ({ model: `model-${index}`, provider: index % 2 === 0 ? 'openai' : 'anthropic' })),
    );
    const summary = await subject.ledger.summary({}, startMs);
    expect(Object.keys(summary.costByModel).toSorted()).toEqual([
      '(others)',
      'model-5',
      'model-6',
      'model-7',
      'model-8',
    ]);
    expect(summary.costByModel['(others)']?.usdNanos).toBe(5_000);
    expect(summary.costByProvider).toMatchObject({ openai: { usdNanos: 5_000 }, anthropic: { usdNanos: 4_000 } });
    expect(summary.averageCostPerRequest?.usdNanos).toBe(1_000);
  });

  test('are not made by tags in another order, or by requests that were not charged', async () => {
    const charged = nine((index) => ({ tags: index % 2 === 0 ? { a: '1', b: '2' } : { b: '2', a: '1' } }));
    const free = Array.from({ length: 20 }, (_, index) => ({
      outcome: 'failed' as const,
      usage: {},
      costNanos: undefined,
      tenant: `tenant-${index}`,
    }));
    // The nine are one total, the free ones none: with seven more the room is full.
    const others = Array.from({ length: 7 }, (_, index) => ({ tags: { c: `${index}` } }));
    await using subject = await foldedLedger([...charged, ...free, ...others]);
    expect([await countOf(subject, { tag: 'a=1' }), await countOf(subject, { tag: 'c' })]).toEqual([9, 7]);
  });

  test('keep what is priced and what is not apart, however coarse they are', async () => {
    await using subject = await foldedLedger(
      nine((index) => ({ tags: { user: `${index}` }, costNanos: index % 2 === 0 ? 1_000 : undefined })),
    );
    expect(await subject.ledger.summary({}, startMs)).toMatchObject({
      recordCount: 9,
      unpricedCount: 4,
      totalCost: { usdNanos: 5_000 },
      averageCostPerRequest: { usdNanos: 1_000 },
    });
  });
});
