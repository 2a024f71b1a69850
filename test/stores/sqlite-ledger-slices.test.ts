/** The ledger in a file while it is read and folded: in small steps, between which others write. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { LedgerEntry, LedgerQuery } from '../../src/contract/records.ts';
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
  let unchanged: SqliteLedgerSubject | undefined;
  beforeAll(async () => {
    unchanged = await manyIn();
    return () => unchanged?.[Symbol.asyncDispose]();
  });

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
    expect(await unchanged?.ledger.summary(query, nowMs)).toEqual(expected);
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
    await using subject = await manyIn();
    const { host } = subject;
    await subject.ledger.summary({}, nowMs);
    const slices = host.countOf('scanBlocks');
    host.groups = [];
    await subject.ledger.summary(hour(50), nowMs);
    expect([slices >= 3, host.countOf('scanBlocks')]).toEqual([true, 1]);
    const plan = await subject.gateway.ask('planScan', {
      ...{ sinceMs: startMs + 50 * hourMs, untilMs: startMs + 51 * hourMs },
      ...{ provider: undefined, model: undefined, tenant: undefined, tag: undefined },
    });
    // Sixty entries, in blocks of a few hundred; retries lie in the blocks of their requests.
    expect(plan.entries).toBeLessThan(1_200);
  });

  test.each<[string, LedgerQuery, 'scanNames' | 'scanBlocks']>([
    ['few entries', { tenant: 'tenant-8' }, 'scanNames'],
    ['most entries', { provider: 'openai' }, 'scanBlocks'],
  ])('by a name that %s have is read the quicker way', async (_name, query, operation) => {
    await using subject = await manyIn();
    await subject.ledger.summary(query, nowMs);
    const { host } = subject;
    expect([host.countOf('scanNames') > 0, host.countOf('scanBlocks') > 0]).toEqual([
      operation === 'scanNames',
      operation === 'scanBlocks',
    ]);
  });

  test('by a name that still too many have for one slice takes several', async () => {
    await using subject = await manyIn();
    await subject.ledger.summary({ provider: 'anthropic' }, nowMs);
    expect(subject.host.countOf('scanNames')).toBe(2);
  });

  test('by a name that nobody has reads no entry', async () => {
    await using subject = await manyIn();
    await subject.ledger.summary({ model: 'unheard-of' }, nowMs);
    expect([subject.host.countOf('scanNames'), subject.host.countOf('scanBlocks')]).toEqual([0, 0]);
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
    while (host.countOf('foldEntries') < 20) {
      await gateway.ask('saveState', 'another', '{}');
      turns += 1;
    }
    expect(await folded).toBeGreaterThanOrEqual(20);
    for (const group of host.groups)
      expect(group.filter((name) => name === 'foldEntries').length).toBeLessThanOrEqual(1);
    const requests = new Set(many.map(({ requestId }) => requestId)).size;
    expect(host.countOf('foldEntries')).toBeGreaterThanOrEqual(requests / 500);
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
