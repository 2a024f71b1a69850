import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import { MemoryLedger, type MemoryLedgerOptions } from '../../src/stores/memory-ledger.ts';
import { propertyRuns } from '../support/properties.ts';

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 10, 21);
const nowMs = startMs + dayMs;

const entry = (changes: Partial<LedgerEntry> = {}): LedgerEntry => ({
  at: startMs,
  requestId: 'req_1',
  attempt: 1,
  provider: 'openai',
  model: 'gpt-4.1',
  tenant: 'default',
  tags: {},
  outcome: 'answered',
  usage: { inputTokens: 100, outputTokens: 10 },
  costNanos: 1000,
  isEstimate: false,
  ...changes,
});

const ledgerOf = async (entries: readonly LedgerEntry[], options: MemoryLedgerOptions = {}): Promise<MemoryLedger> => {
  const ledger = new MemoryLedger(options);
  await ledger.append(entries);
  return ledger;
};

const summaryOf = async (entries: readonly LedgerEntry[], query: LedgerQuery = {}, options: MemoryLedgerOptions = {}) =>
  (await ledgerOf(entries, options)).summary(query, nowMs);

const money = (usdNanos: number) => ({ usd: usdNanos / 1e9, usdNanos });

describe('a summary', () => {
  test('of nothing has no average and no time range', async () => {
    expect(await new MemoryLedger().summary({}, nowMs)).toEqual({
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
    expect(Object.entries(summary.costByModel)).toEqual(names.map((name) => [name, money(1000)]));
    expect((await summaryOf([entry()], { tag: 'constructor' })).recordCount).toBe(0);
  });
});

describe('a query', () => {
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
    expect((await (await ledgerOf(entries, { retainDays: 100_000 })).summary(query, nowMs)).recordCount).toBe(
      recordCount,
    );
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
    await expect(new MemoryLedger().summary(query, nowMs)).rejects.toMatchObject({
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
    await expect(new MemoryLedger().summary({ since } as LedgerQuery, nowMs)).rejects.toMatchObject({
      code: 'invalid-request',
      message: `expected since to be epoch ms, a Date or an ISO 8601 string, got: ${found}`,
    });
  });

  test('that ends before it begins is refused with both moments', async () => {
    await expect(new MemoryLedger().summary({ since: 1, until: 0 }, nowMs)).rejects.toMatchObject({
      message: 'expected since to be before until, got: 1970-01-01T00:00:00.001Z and 1970-01-01T00:00:00.000Z',
    });
  });
});

describe('entries', () => {
  test('of one request come back by attempt', async () => {
    const ledger = await ledgerOf([entry({ attempt: 2 }), entry({ requestId: 'req_2' }), entry({ attempt: 1 })]);
    expect((await ledger.entriesFor('req_1')).map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(await ledger.entriesFor('unknown')).toEqual([]);
  });

  test('told twice count once, within one append and across', async () => {
    const ledger = await ledgerOf([entry(), entry()]);
    await ledger.append([entry({ costNanos: 999_999 })]);
    expect(await ledger.summary({}, nowMs)).toMatchObject({ recordCount: 1, totalCost: money(1000) });
  });

  test('told twice count once even after they were folded', async () => {
    const ledger = await ledgerOf([entry(), entry({ requestId: 'req_2' }), entry({ requestId: 'req_3' })], {
      entriesMax: 1,
    });
    await ledger.append([entry({ requestId: 'req_2' })]);
    expect(await ledger.summary({}, nowMs)).toMatchObject({ recordCount: 3, totalCost: money(3000) });
  });
});

describe('folding', () => {
  test('keeps entries up to their maximum, and the newest', async () => {
    const ids = ['a', 'b', 'c'];
    const ledger = await ledgerOf(
      ids.map((requestId) => entry({ requestId })),
      { entriesMax: 2 },
    );
    expect(await Promise.all(ids.map(async (id) => (await ledger.entriesFor(id)).length))).toEqual([0, 1, 1]);
  });

  test('folds entries older than retainDays, not a ms younger', async () => {
    const ledger = await ledgerOf([entry()], { retainDays: 30 });
    await ledger.summary({}, startMs + 30 * dayMs);
    expect(await ledger.entriesFor('req_1')).toHaveLength(1);
    const summary = await ledger.summary({}, startMs + 30 * dayMs + 1);
    expect(await ledger.entriesFor('req_1')).toHaveLength(0);
    expect(summary).toMatchObject({
      recordCount: 1,
      totalCost: money(1000),
      averageCostPerRequest: money(1000),
      timeRange: { start: startMs, end: startMs },
    });
  });

  test('leaves a request whole as long as one of its attempts is young', async () => {
    const ledger = await ledgerOf([entry(), entry({ attempt: 2, at: startMs + dayMs })], { retainDays: 1 });
    await ledger.summary({}, startMs + 2 * dayMs);
    expect(await ledger.entriesFor('req_1')).toHaveLength(2);
    await ledger.summary({}, startMs + 2 * dayMs + 1);
    expect(await ledger.entriesFor('req_1')).toHaveLength(0);
  });

  test('remembers what was folded for as many requests as there may be entries, and for no more', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const repeated = async (requestId: string) => {
      const ledger = await ledgerOf(
        ids.map((id) => entry({ requestId: id })),
        { entriesMax: 2 },
      );
      await ledger.append([entry({ requestId })]);
      return (await ledger.summary({}, nowMs)).recordCount;
    };
    // Of five, d and e are open, b and c folded and remembered, a folded and forgotten.
    expect(await Promise.all(ids.map(repeated))).toEqual([6, 5, 5, 5, 5]);
  });

  test('also happens while entries arrive, without anybody asking for a summary', async () => {
    const ledger = await ledgerOf([entry()], { retainDays: 1 });
    await ledger.append([entry({ requestId: 'req_2', at: startMs + dayMs + 1 })]);
    expect(await ledger.entriesFor('req_1')).toHaveLength(0);
  });

  test('attributes a day to the range in which it ended, so that neighbouring ranges never count it twice', async () => {
    const at = [1, 5, 9].map((hour) => startMs + hour * 3_600_000);
    const ledger = await ledgerOf(
      at.map((ms, index) => entry({ requestId: `req_${index}`, at: ms })),
      { entriesMax: 0 },
    );
    const noon = startMs + 6 * 3_600_000;
    expect((await ledger.summary({ until: noon }, nowMs)).recordCount).toBe(0);
    expect((await ledger.summary({ since: noon }, nowMs)).recordCount).toBe(3);
  });

  const names = fc.constantFrom('a', 'b', 'c');
  const entries = fc
    .array(
      fc.record({
        request: fc.nat(12),
        attempt: fc.integer({ min: 1, max: 3 }),
        day: fc.nat(4),
        provider: names,
        model: names,
        tenant: names,
        tags: fc.option(fc.dictionary(names, names, { maxKeys: 2 }), { nil: {} }),
        outcome: fc.constantFrom('answered' as const, 'failed' as const),
        inputTokens: fc.option(fc.nat(1000), { nil: undefined }),
        costNanos: fc.option(fc.oneof(fc.nat(1_000_000), fc.constant(Number.MAX_SAFE_INTEGER)), { nil: undefined }),
      }),
      { maxLength: 40 },
    )
    .map((drawn) =>
      drawn.map(({ request, attempt, day, inputTokens, ...rest }, index) =>
        entry({
          ...rest,
          requestId: `req_${request}`,
          attempt,
          at: startMs + day * dayMs + index,
          usage: inputTokens === undefined ? {} : { inputTokens, outputTokens: index },
        }),
      ),
    );
  const queries = fc.record(
    { provider: names, model: names, tenant: names, tag: fc.constantFrom('a', 'b', 'a=b', 'c=c') },
    { requiredKeys: [] },
  );

  test('changes no summary of everything, under any filter, by a nano-dollar', async () => {
    await fc.assert(
      fc.asyncProperty(entries, queries, async (drawn, query) => {
        const later = startMs + 10 * dayMs;
        const [open, folded] = [new MemoryLedger(), new MemoryLedger({ entriesMax: 0 })];
        // At once, so that both see the attempts of a request together: a request folds as a whole.
        await Promise.all([open.append(drawn), folded.append(drawn)]);
        expect(await folded.summary(query, later)).toEqual(await open.summary(query, later));
      }),
      propertyRuns(300),
    );
  });

  test('changes no total when entries arrive one by one', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(10), async (drawn, entriesMax) => {
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

  test('stays bounded when callers make up tags and tenants, and total and average stay exact', async () => {
    const count = 2000;
    const made = Array.from({ length: count }, (_, index) =>
      entry({ requestId: `req_${index}`, tenant: `tenant_${index}`, tags: { user: `${index}` } }),
    );
    const ledger = await ledgerOf(made, { entriesMax: 10, groupsMax: 100 });
    const summary = await ledger.summary({}, nowMs);
    expect(summary).toMatchObject({
      recordCount: count,
      totalCost: money(count * 1000),
      averageCostPerRequest: money(1000),
    });
    expect(Object.keys(summary.costByTenant).length).toBeLessThanOrEqual(112);
    expect(summary.costByTenant['(others)']?.usdNanos).toBeGreaterThan(1_000_000);
    expect(summary.costByModel).toEqual({ 'gpt-4.1': money(count * 1000) });
  });
});
