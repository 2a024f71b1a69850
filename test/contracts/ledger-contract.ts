/**
 * What every ledger keeps to, whatever it is made of. What only one of them has (a bound on its entries, a file, slices) is
 * tested in its own file.
 */
import { describe, expect, test } from 'vitest';
import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import { dayMs, ledgerEntries, ledgerEntry as entry, money, startMs } from '../support/ledger-entries.ts';
import type { LedgerSubject, LedgerSubjectOptions, OpenLedger } from '../support/ledger-subjects.ts';

const nowMs = startMs + dayMs;

/** Runs the contract against the ledgers that `open` opens. */
export function describeLedgerContract(name: string, open: OpenLedger): void {
  /** What is left is the one after a restart, where a ledger outlives its process. */
  const subjectOf = async (
    entries: readonly LedgerEntry[],
    options: LedgerSubjectOptions = {},
  ): Promise<LedgerSubject> => {
    const subject = open(options);
    await subject.ledger.append(entries);
    await subject.restart();
    return subject;
  };

  const summaryOf = async (
    entries: readonly LedgerEntry[],
    query: LedgerQuery = {},
    options?: LedgerSubjectOptions,
  ) => {
    await using subject = await subjectOf(entries, options);
    return await subject.ledger.summary(query, nowMs);
  };

  describe(`the ${name} ledger: a summary`, () => {
    test('of nothing has no average and no time range', async () => {
      expect(await summaryOf([])).toEqual({
        totalCost: money(0),
        costByProvider: {},
        costByModel: {},
        costByTenant: {},
        averageCostPerRequest: undefined,
        recordCount: 0,
        unpricedCount: 0,
        tokenUsage: {
          inputTokens: 0,
          outputTokens: 0,
          totalTokens: 0,
          cachedInputTokens: 0,
          cacheWriteTokens: 0,
          reasoningTokens: 0,
        },
        timeRange: { start: undefined, end: undefined },
      });
    });

    test('adds up costs, tokens and records by provider, model and tenant', async () => {
      const summary = await summaryOf([
        entry(),
        entry({
          requestId: 'req_2',
          at: startMs + 5,
          provider: 'anthropic',
          model: 'claude-sonnet-5',
          costNanos: 500,
          usage: { inputTokens: 7, outputTokens: 3, cachedInputTokens: 5, cacheWriteTokens: 1, reasoningTokens: 2 },
        }),
        entry({ requestId: 'req_3', at: startMs + 9, tenant: 'acme', costNanos: undefined }),
      ]);
      expect(summary).toEqual({
        totalCost: money(1500),
        costByProvider: { openai: money(1000), anthropic: money(500) },
        costByModel: { 'gpt-4.1': money(1000), 'claude-sonnet-5': money(500) },
        // What is unpriced is unknown, not free: tenant acme has no cost to show.
        costByTenant: { default: money(1500) },
        averageCostPerRequest: money(750),
        recordCount: 3,
        unpricedCount: 1,
        tokenUsage: {
          inputTokens: 207,
          outputTokens: 23,
          totalTokens: 230,
          cachedInputTokens: 5,
          cacheWriteTokens: 1,
          reasoningTokens: 2,
        },
        timeRange: { start: startMs, end: startMs + 9 },
      });
    });

    test('averages over distinct priced requests, attempts of one together, half up', async () => {
      const summary = await summaryOf([
        entry({ costNanos: 2 }),
        entry({ attempt: 2, provider: 'anthropic', costNanos: 2 }),
        entry({ requestId: 'req_2', costNanos: 1 }),
        entry({ requestId: 'req_3', costNanos: undefined }),
      ]);
      // 5 nano-dollars over 2 requests.
      expect(summary.averageCostPerRequest).toEqual(money(3));
      expect(summary.recordCount).toBe(4);
    });

    test('leaves out attempts for which nothing was billed, and keeps those for which something was or may have been', async () => {
      const summary = await summaryOf([
        entry({ requestId: 'a', outcome: 'failed', usage: {}, costNanos: undefined }),
        entry({ requestId: 'b', outcome: 'refused', usage: {}, costNanos: undefined }),
        entry({ requestId: 'c', outcome: 'failed', usage: { inputTokens: 0, outputTokens: 0 }, costNanos: 0 }),
        entry({
          requestId: 'd',
          outcome: 'abandoned',
          usage: { inputTokens: 5 },
          costNanos: undefined,
          isEstimate: true,
        }),
        entry({ requestId: 'e', outcome: 'failed', usage: { inputTokens: 5, outputTokens: 1 }, costNanos: 7 }),
        entry({ requestId: 'f', outcome: 'answered', usage: {}, costNanos: undefined }),
        entry({ requestId: 'g', outcome: 'answered', costNanos: 0 }),
      ]);
      expect(summary).toMatchObject({
        recordCount: 4,
        unpricedCount: 2,
        totalCost: money(7),
        averageCostPerRequest: money(4),
      });
    });

    test('is exact far beyond what a number can count', async () => {
      const huge = Number.MAX_SAFE_INTEGER;
      const entries = Array.from({ length: 5 }, (_, index) =>
        entry({ requestId: `req_${index}`, costNanos: huge, usage: { inputTokens: huge, outputTokens: 1 } }),
      );
      const summary = await summaryOf(entries);
      expect(summary.totalCost.usdNanos).toBe(Number(BigInt(huge) * 5n));
      expect(summary.averageCostPerRequest).toEqual(money(huge));
      expect(summary.tokenUsage.totalTokens).toBe(Number(BigInt(huge) * 5n + 5n));
    });

    test('is not spoiled by counts that are none', async () => {
      const usage = { inputTokens: Number.NaN, outputTokens: -5, cachedInputTokens: 0.5, reasoningTokens: 3 };
      expect((await summaryOf([entry({ usage })])).tokenUsage).toEqual({
        inputTokens: 0,
        outputTokens: 0,
        totalTokens: 0,
        cachedInputTokens: 0,
        cacheWriteTokens: 0,
        reasoningTokens: 3,
      });
    });

    test('keeps names apart that an object has of its own', async () => {
      const names = ['constructor', '__proto__', 'toString'];
      const summary = await summaryOf(names.map((tenant) => entry({ requestId: tenant, tenant, model: tenant })));
      expect(Object.keys(summary.costByTenant)).toEqual(names);
      expect(Object.entries(summary.costByModel)).toEqual(names.map((each) => [each, money(1000)]));
      expect((await summaryOf([entry()], { tag: 'constructor' })).recordCount).toBe(0);
    });
  });

  describe(`the ${name} ledger: a query`, () => {
    const entries = [
      entry({ requestId: 'a', at: 1000, tags: { team: 'red', env: 'prod' } }),
      entry({ requestId: 'b', at: 2000, provider: 'anthropic', model: 'claude-sonnet-5', tags: { team: 'blue' } }),
      entry({ requestId: 'c', at: 3000, tenant: 'acme', tags: { team: '' } }),
    ];

    test.each<[string, LedgerQuery, number]>([
      ['nothing', {}, 3],
      ['since, inclusive', { since: 2000 }, 2],
      ['since, a ms later', { since: 2001 }, 1],
      ['until, exclusive', { until: 2000 }, 1],
      ['until, a ms later', { until: 2001 }, 2],
      ['an empty range', { since: 2000, until: 2000 }, 0],
      ['Dates', { since: new Date(2000), until: new Date(3000) }, 1],
      ['ISO times', { since: '1970-01-01T00:00:02Z', until: '1970-01-01T00:00:03.000Z' }, 1],
      ['an ISO time with an offset', { since: '1970-01-01T01:00:02+01:00' }, 2],
      ['an ISO time without a zone, which is UTC wherever the process runs', { since: '1970-01-01T00:00:02' }, 2],
      ['an ISO time without seconds', { since: '1970-01-01T00:00', until: '1970-01-01T00:01Z' }, 3],
      ['the first and the last moment there is', { since: -8.64e15, until: 8.64e15 }, 3],
      ['an ISO day', { since: '1970-01-01' }, 3],
      ['a provider', { provider: 'anthropic' }, 1],
      ['a model', { model: 'gpt-4.1' }, 2],
      ['a tenant', { tenant: 'acme' }, 1],
      ['a tag', { tag: 'env' }, 1],
      ['a tag with its value', { tag: 'team=red' }, 1],
      ['a tag without value', { tag: 'team=' }, 1],
      ['several', { provider: 'openai', tag: 'team', until: 2500 }, 1],
      ['what nobody has', { provider: 'nobody' }, 0],
    ])('by %s matches what it says', async (_name, query, recordCount) => {
      expect((await summaryOf(entries, query, { retainDays: 100_000 })).recordCount).toBe(recordCount);
    });

    test.each<[LedgerQuery, string]>([
      [{ since: 'yesterday' }, 'since'],
      [{ since: '' }, 'since'],
      [{ since: '2026' }, 'since'],
      [{ since: '1' }, 'since'],
      [{ since: '2026-02-30' }, 'since'],
      [{ since: '2026-13-01' }, 'since'],
      [{ since: '2026-01-00' }, 'since'],
      [{ since: '2026-01-01T25:00Z' }, 'since'],
      [{ since: 'on 2026-01-01' }, 'since'],
      [{ since: '2026-01-01T00:00Z or so' }, 'since'],
      [{ until: 8.64e15 + 1 }, 'until'],
      [{ until: -8.64e15 - 1 }, 'until'],
      [{ until: Number.NaN }, 'until'],
      [{ until: Number.POSITIVE_INFINITY }, 'until'],
      [{ until: new Date('nothing') }, 'until'],
      [{ since: 2001, until: 2000 }, 'since'],
      [{ tag: '' }, 'tag'],
      [{ tag: '=red' }, 'tag'],
    ])('with %j is refused as an invalid request', async (query, param) => {
      await expect(summaryOf([], query)).rejects.toMatchObject({
        code: 'invalid-request',
        param,
        message: expect.stringMatching(/^expected /),
      });
    });

    test.each<[unknown, string]>([
      ['yesterday', 'yesterday'],
      ['x'.repeat(100), 'x'.repeat(60)],
      [Number.NaN, 'NaN'],
      [new Date('nothing'), 'an invalid Date'],
      [{}, 'an object'],
      [[], 'an object'],
      [null, 'an object'],
      [true, 'true'],
    ])('since %j, also of a type that is forbidden, is refused in words', async (since, found) => {
      // True: what the types forbid is tried on purpose.
      await expect(summaryOf([], { since } as LedgerQuery)).rejects.toMatchObject({
        code: 'invalid-request',
        message: `expected since to be epoch ms, a Date or an ISO 8601 string, got: ${found}`,
      });
    });

    test('that ends before it begins is refused with both moments', async () => {
      await expect(summaryOf([], { since: 1, until: 0 })).rejects.toMatchObject({
        message: 'expected since to be before until, got: 1970-01-01T00:00:00.001Z and 1970-01-01T00:00:00.000Z',
      });
    });
  });

  describe(`the ${name} ledger: entries`, () => {
    test('of one request come back by attempt', async () => {
      await using subject = await subjectOf([
        entry({ attempt: 2 }),
        entry({ requestId: 'req_2' }),
        entry({ attempt: 1 }),
        entry({ attempt: 10 }),
      ]);
      expect((await subject.ledger.entriesFor('req_1')).map(({ attempt }) => attempt)).toEqual([1, 2, 10]);
      expect(await subject.ledger.entriesFor('unknown')).toEqual([]);
    });

    const texts = [
      '',
      'a',
      'a=b',
      '"',
      "'; DROP TABLE ledger_entries; --",
      '\u0000',
      'Ünïcödé 🔌',
      '\ud800',
      '__proto__',
    ];
    const usageMax = Number.MAX_SAFE_INTEGER;

    test.each<[string, Partial<LedgerEntry>]>([
      [
        'that tells all there is',
        {
          outcome: 'abandoned',
          isEstimate: true,
          tags: { team: 'red', env: 'prod' },
          usage: {
            inputTokens: 1,
            outputTokens: 2,
            cachedInputTokens: 3,
            cacheWriteTokens: 4,
            cacheWrite1hTokens: 5,
            reasoningTokens: 6,
          },
        },
      ],
      ['that tells next to nothing', { outcome: 'failed', usage: {}, costNanos: undefined }],
      [
        'of nothing at all, which is not the same as unknown',
        { usage: { inputTokens: 0, outputTokens: 0 }, costNanos: 0 },
      ],
      [
        'as large as numbers go',
        { at: 8.64e15, attempt: usageMax, usage: { inputTokens: usageMax }, costNanos: usageMax },
      ],
      ['of a moment between two ms, before 1970', { at: -1.5 }],
      ...texts.map((text): [string, Partial<LedgerEntry>] => [
        `with ${JSON.stringify(text)} for every name`,
        { provider: text, model: text, tenant: text, tags: Object.fromEntries([[text, text]]) },
      ]),
    ])('one %s is kept whole', async (_name, changes) => {
      await using subject = await subjectOf([entry(changes)]);
      const [found] = await subject.ledger.entriesFor('req_1');
      expect(found).toStrictEqual(entry(changes));
      const { tags, tenant } = entry(changes);
      for (const [tag, value] of Object.entries(tags)) {
        const query = { tenant, ...(tag !== '' && !tag.includes('=') && { tag: `${tag}=${value}` }) };
        expect((await subject.ledger.summary(query, nowMs)).recordCount).toBe(1);
        expect((await subject.ledger.summary({ ...query, tenant: `${tenant}x` }, nowMs)).recordCount).toBe(0);
      }
    });

    test('lose counts that are none, and a cost that is none is unknown', async () => {
      const usage = { inputTokens: Number.NaN, outputTokens: -5, cachedInputTokens: 0.5, reasoningTokens: 2 ** 53 };
      await using subject = await subjectOf([entry({ usage, costNanos: Number.NaN })]);
      expect(await subject.ledger.entriesFor('req_1')).toStrictEqual([entry({ usage: {}, costNanos: undefined })]);
    });

    test('told twice count once, within one append and across', async () => {
      await using subject = await subjectOf([entry(), entry()]);
      await subject.ledger.append([entry({ costNanos: 999_999, tenant: 'another' })]);
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({
        recordCount: 1,
        totalCost: money(1000),
        costByTenant: { default: money(1000) },
      });
    });

    test('told at once by many count once', async () => {
      await using subject = open();
      await Promise.all(
        ledgerEntries(20, (index) => ({ requestId: `req_${index % 4}` })).map((one) => subject.ledger.append([one])),
      );
      expect(await subject.ledger.summary({}, nowMs)).toMatchObject({
        recordCount: 4,
        averageCostPerRequest: money(1000),
      });
    });

    test('are found by their own time, whatever was told before them', async () => {
      const hours = [5, 1, 9, 0, 20];
      await using subject = open();
      for (const hour of hours)
        await subject.ledger.append([entry({ requestId: `req_${hour}`, at: startMs + hour * 3_600_000 })]);
      const countOf = async (since: number, until: number) =>
        (
          await subject.ledger.summary(
            { since: startMs + since * 3_600_000, until: startMs + until * 3_600_000 },
            nowMs,
          )
        ).recordCount;
      expect(await Promise.all([countOf(0, 1), countOf(1, 6), countOf(6, 20), countOf(20, 24)])).toEqual([1, 2, 1, 1]);
    });

    test('that are none change nothing', async () => {
      await using subject = await subjectOf([]);
      await subject.fold(nowMs);
      expect((await subject.ledger.summary({}, nowMs)).recordCount).toBe(0);
    });

    test('are asked for while they are told: a summary knows all that was told before, however many', async () => {
      await using subject = open();
      const told = subject.ledger.append(ledgerEntries(600));
      await told;
      const [asked] = await Promise.all([
        subject.ledger.summary({}, nowMs),
        subject.ledger.append([entry({ requestId: 'late' })]),
      ]);
      expect([600, 601]).toContain(asked.recordCount);
      expect((await subject.ledger.summary({}, nowMs)).recordCount).toBe(601);
    });
  });
}
