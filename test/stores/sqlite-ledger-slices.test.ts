/** The ledger in a file while it is read and folded: in small steps, between which others write. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
import { parseLedgerQuery } from '../../src/stores/ledger-query.ts';
import { dayMs, ledgerEntries, ledgerEntry as entry, manyEntries as many, startMs } from '../support/ledger-entries.ts';
import { SqliteLedgerSubject, summaryInMemory, type LedgerSubjectOptions } from '../support/ledger-subjects.ts';
import { WatchedHost } from '../support/watched-host.ts';

const hourMs = 3_600_000;
/** Later than all entries, and nothing is old yet. */
const nowMs = startMs + 29 * dayMs;
const longAfterMs = startMs + 90 * dayMs;

async function manyIn(
  options: LedgerSubjectOptions = {},
): Promise<SqliteLedgerSubject & { readonly host: WatchedHost }> {
  const host = new WatchedHost();
  const subject = new SqliteLedgerSubject(options, host.wrap);
  await subject.ledger.append(many);
  host.groups = [];
  return Object.assign(subject, { host });
}

const hour = (from: number) => ({ since: startMs + from * hourMs, until: startMs + (from + 1) * hourMs });

describe('a summary that is read in slices', () => {
  /** For tests that only ask. */
  let unchanged: Awaited<ReturnType<typeof manyIn>>;
  beforeAll(async () => {
    unchanged = await manyIn();
    return () => unchanged[Symbol.asyncDispose]();
  });
  /** What a question had the engine do. */
  const askedFor = async (query: LedgerQuery) => {
    unchanged.host.groups = [];
    await unchanged.ledger.summary(query, nowMs);
    return { blocks: unchanged.host.countOf('scanBlocks'), names: unchanged.host.countOf('scanNames') };
  };

  test.each<[LedgerQuery]>([
    [{}],
    [{ provider: 'openai' }],
    [{ provider: 'anthropic' }],
    [{ tenant: 'tenant-8' }],
    [{ tenant: 'tenant-8', provider: 'anthropic' }],
    [{ tenant: 'tenant-8', model: 'model-1' }],
    [{ tenant: 'tenant-8', ...hour(50) }],
    [{ tag: 'team' }],
    [{ tag: 'team=3' }],
    [{ tag: 'team=3', tenant: 'tenant-9' }],
    [hour(0)],
    [hour(50)],
    [hour(99)],
    [hour(100)],
    [{ since: startMs + 10 * hourMs }],
    [{ until: startMs + 70 * hourMs, provider: 'openai' }],
    [{ tenant: 'nobody' }],
  ])('of %j comes to what a ledger in memory says', async (query) => {
    const expected = await summaryInMemory(many, query, nowMs);
    expect(await unchanged.ledger.summary(query, nowMs)).toEqual(expected);
  });

  test('lets others have their turn between any two slices', async () => {
    await using subject = await manyIn();
    const { host, gateway } = subject;
    const asking = { isOver: false };
    const others = async () => {
      while (!asking.isOver) await gateway.ask('saveState', 'another', '{}');
    };
    const over = subject.ledger.summary({}, nowMs).finally(() => (asking.isOver = true));
    await Promise.all([over, others()]);
    expect(host.countOf('scanBlocks')).toBeGreaterThanOrEqual(3);
    const scanning = host.groups.filter((group) => group.includes('scanBlocks'));
    for (const group of scanning) expect(group).toEqual(['scanBlocks', 'saveState']);
  });

  test('of an hour reads the blocks of that hour alone', async () => {
    expect((await askedFor({})).blocks).toBeGreaterThanOrEqual(3);
    expect((await askedFor(hour(50))).blocks).toBe(1);
    const plan = await unchanged.gateway.ask('planScan', parseLedgerQuery(hour(50)));
    // Sixty entries, in blocks of a few hundred; late attempts lie in the blocks of their requests.
    expect(plan.entries).toBeLessThan(1_200);
  });

  test.each<[string, LedgerQuery, { readonly blocks: number; readonly names: number }]>([
    ['few', { tenant: 'tenant-8' }, { blocks: 0, names: 1 }],
    ['a fourth of the', { provider: 'anthropic' }, { blocks: 0, names: 2 }],
    ['most', { provider: 'openai' }, { blocks: 5, names: 0 }],
    ['no', { model: 'unheard-of' }, { blocks: 0, names: 0 }],
  ])('by a name that %s entries have is read the quicker way', async (_name, query, expected) => {
    expect(await askedFor(query)).toEqual(expected);
  });

  test.each<[LedgerQuery]>([[{}], [{ tenant: 'tenant-8' }]])(
    'of %j is what the ledger held at one moment, although entries come and old ones fold before every slice',
    async (query) => {
      await using subject = await manyIn();
      const { host, ledger } = subject;
      const expected = await summaryInMemory(many, query, nowMs);
      const told: Promise<void>[] = [];
      host.after = (group) => {
        if (!group.some(({ name }) => /^(plan|scan|match)/.test(name))) return;
        const late = (requestId: string, at: number) =>
          entry({ requestId, at, attempt: 100_000 + told.length, tenant: 'tenant-8', provider: 'late' });
        // Late attempts of requests in the first and in the last block, new requests, and such as make others old.
        told.push(
          ledger.append([late('req_0', startMs), late('req_8998', startMs), late(`new_${told.length}`, longAfterMs)]),
        );
      };
      expect(await ledger.summary(query, nowMs)).toEqual(expected);
      host.after = () => {};
      await Promise.all(told);
      await ledger.folded();
      expect(told.length).toBeGreaterThanOrEqual(4);
      expect(await ledger.entriesFor('req_1000')).toEqual([]);
      const later = await ledger.summary({}, nowMs);
      expect(later.recordCount).toBe((await summaryInMemory(many, {}, nowMs)).recordCount + 3 * told.length);
    },
  );

  test('by one name that most entries have reads them all', async () => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    await subject.ledger.append(ledgerEntries(1_000, (index) => ({ tenant: index < 310 ? 'many' : `${index % 7}` })));
    await subject.ledger.summary({ tenant: 'many' }, nowMs);
    expect([host.countOf('scanNames'), host.countOf('scanBlocks')]).toEqual([0, 1]);
    await subject.ledger.append(ledgerEntries(100, (index) => ({ requestId: `more_${index}` })));
    await subject.ledger.summary({ tenant: 'many' }, nowMs);
    expect([host.countOf('scanNames'), host.countOf('scanBlocks')]).toEqual([1, 1]);
  });

  test.each([
    [200, [1, 0]],
    [201, [0, 1]],
  ])('by %i names that few entries have asks for each, or reads them all', async (names, expected) => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    const few = ledgerEntries(names, (index) => ({ provider: 'few', tenant: `${index}` }));
    await subject.ledger.append([...few, ...ledgerEntries(900, (index) => ({ requestId: `other_${index}` }))]);
    expect((await subject.ledger.summary({ provider: 'few' }, nowMs)).recordCount).toBe(names);
    expect([host.countOf('scanNames'), host.countOf('scanBlocks')]).toEqual(expected);
  });

  test('finds a name among more of them than one slice holds', async () => {
    await using subject = new SqliteLedgerSubject();
    await subject.ledger.append(ledgerEntries(2_100, (index) => ({ tenant: `tenant-${index}` })));
    expect((await subject.ledger.summary({ tenant: 'tenant-2099' }, nowMs)).recordCount).toBe(1);
  });

  test('of what was folded is read in slices too', async () => {
    await using subject = await manyIn();
    await subject.fold(longAfterMs);
    const { host } = subject;
    host.groups = [];
    const expected = await summaryInMemory(many, {}, nowMs);
    expect(await subject.ledger.summary({}, nowMs)).toEqual(expected);
    expect(host.countOf('scanGroups')).toBeGreaterThan(1);
    for (const group of host.groups) expect(group).toHaveLength(1);
  });

  test('of ten at once is the same for all, and none waits for ever', async () => {
    await using subject = await manyIn();
    const { ledger } = subject;
    const asked = Array.from({ length: 10 }, () => ledger.summary({}, longAfterMs));
    const summaries = await Promise.all([...asked, subject.fold(longAfterMs).then(() => ledger.summary({}, nowMs))]);
    const expected = await summaryInMemory(many, {}, nowMs);
    // Folded among them, an attempt counts for its request: requests fold as a whole.
    for (const summary of summaries) expect(summary).toEqual(expected);
  });
});

describe('folding in the background', () => {
  test('takes a few hundred requests in one transaction, and others have their turn between two', async () => {
    await using subject = await manyIn();
    const { host, gateway, ledger } = subject;
    await ledger.summary({ until: startMs }, longAfterMs);
    let turns = 0;
    const folded = ledger.folded().then(() => turns);
    for (; turns < 20; turns += 1) await gateway.ask('saveState', 'another', '{}');
    expect(host.countOf('foldEntries')).toBeLessThanOrEqual(20);
    // It was under way for all of these turns.
    expect(await folded).toBe(20);
    for (const group of host.groups)
      expect(group.filter((name) => name === 'foldEntries').length).toBeLessThanOrEqual(1);
    const requests = new Set(many.map(({ requestId }) => requestId)).size;
    expect(host.countOf('foldEntries')).toBeGreaterThanOrEqual(requests / 500);
  });

  test.each([
    [200, 1, 1],
    [201, 1, 2],
    [80, 5, 1],
    [81, 5, 2],
  ])('takes %i requests of %i attempts in %i transactions', async (requests, attempts, transactions) => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    const each = ledgerEntries(requests * attempts, (index) => ({
      requestId: `req_${Math.floor(index / attempts)}`,
      attempt: index % attempts,
    }));
    await subject.ledger.append(each);
    await subject.fold(longAfterMs);
    expect(host.countOf('foldEntries')).toBe(transactions);
    expect(await subject.ledger.entriesFor(`req_${requests - 1}`)).toEqual([]);
  });

  test('takes what comes when it is old already, whatever younger was told before', async () => {
    await using subject = new SqliteLedgerSubject();
    await subject.ledger.append([entry({ at: nowMs })]);
    await subject.ledger.append([entry({ requestId: 'req_2' })]);
    await subject.fold(startMs + 31 * dayMs);
    const open = await Promise.all(['req_1', 'req_2'].map((id) => subject.ledger.entriesFor(id)));
    expect(open.map(({ length }) => length)).toEqual([1, 0]);
  });

  test('is under way once, however many ask', async () => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    await subject.ledger.append([entry()]);
    await Promise.all(Array.from({ length: 10 }, () => subject.ledger.summary({}, longAfterMs)));
    await subject.ledger.folded();
    expect(host.countOf('foldEntries')).toBe(1);
  });

  test('is over when the ledger is closed', async () => {
    await using subject = await manyIn();
    const { host, clock } = subject;
    await subject.ledger.summary({ until: startMs }, longAfterMs);
    await subject.ledger.close();
    const { length } = host.groups;
    await clock.settle();
    expect(host.groups).toHaveLength(length);
  });

  test('ends with the step under way when the service stops, and goes on in the next process', async () => {
    await using subject = await manyIn();
    const { host } = subject;
    await subject.ledger.summary({ until: startMs }, longAfterMs);
    await subject.restart();
    expect(host.countOf('foldEntries')).toBeLessThanOrEqual(1);
    expect(await subject.ledger.entriesFor('req_8998')).toHaveLength(1);
    const before = await subject.ledger.summary({}, nowMs);
    await subject.fold(longAfterMs);
    expect(await subject.ledger.entriesFor('req_8998')).toEqual([]);
    expect(await subject.ledger.summary({}, nowMs)).toEqual(before);
  });

  test('leaves nothing behind but totals and what it remembers', async () => {
    await using subject = await manyIn({ rememberedMax: 100 });
    await subject.fold(longAfterMs);
    await subject.ledger.close();
    await subject.gateway.close();
    const count = (table: string) => subject.file.read(`SELECT count(*) AS count FROM ${table}`)[0]?.['count'];
    expect(['ledger_entries', 'ledger_blocks', 'ledger_names', 'ledger_requests'].map(count)).toEqual([0, 0, 0, 100]);
  });

  test('remembers the requests folded last, as many as it is told and no more', async () => {
    const told = ledgerEntries(5);
    const repeated = async (one: LedgerEntry) => {
      await using subject = new SqliteLedgerSubject({ rememberedMax: 3 });
      for (const each of told) await subject.ledger.append([each]);
      await subject.fold(longAfterMs);
      await subject.ledger.append([one]);
      return (await subject.ledger.summary({}, nowMs)).recordCount;
    };
    expect(await Promise.all(told.map(repeated))).toEqual([6, 6, 5, 5, 5]);
  });

  test('does not forget a folded request while a late attempt of it is open', async () => {
    await using subject = new SqliteLedgerSubject({ rememberedMax: 2 });
    const { ledger } = subject;
    const [first, late] = [entry(), entry({ attempt: 2, at: nowMs })];
    await ledger.append([first]);
    await subject.fold(startMs + 31 * dayMs);
    await ledger.append([late]);
    await ledger.append(ledgerEntries(9, (index) => ({ requestId: `other_${index}` })));
    await subject.fold(startMs + 31 * dayMs);
    await ledger.append([first, late]);
    expect(await ledger.entriesFor('req_1')).toEqual([late]);
    expect(await ledger.summary({}, nowMs)).toMatchObject({ recordCount: 11 });
  });

  test('in steady traffic waits until more is old than a request or two', async () => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({ retainDays: 1 }, host.wrap);
    const steady = ledgerEntries(1_000, (index) => ({ at: startMs + index * 4 * 60_000 }));
    for (const each of steady) await subject.ledger.append([each]);
    await subject.ledger.folded();
    // Fifteen an hour for 67 hours, of which the first 43 are old, the last of these not for long.
    const isOpen = await Promise.all(
      steady.map(async ({ requestId }) => (await subject.ledger.entriesFor(requestId)).length),
    );
    const folded = isOpen.filter((length) => length === 0).length;
    expect(folded).toBeGreaterThan(620);
    expect(folded).toBeLessThan(645);
    expect(host.countOf('foldEntries')).toBeLessThan(folded / 6);
  });
});
