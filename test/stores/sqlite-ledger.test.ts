import { describe, expect, test } from 'vitest';
import { openSqliteStorage } from '../../src/stores/sqlite/open-storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { describeLedgerContract } from '../contracts/ledger-contract.ts';
import { describeLedgerFoldingContract } from '../contracts/ledger-folding-contract.ts';
import { dayMs, ledgerEntry as entry, manyEntries as many, money, startMs } from '../support/ledger-entries.ts';
import { openSqliteLedger, SqliteLedgerSubject, summaryInMemory } from '../support/ledger-subjects.ts';
import { StoreFile } from '../support/store-file.ts';
import { WatchedHost } from '../support/watched-host.ts';

describeLedgerContract('sqlite', openSqliteLedger);
describeLedgerFoldingContract('sqlite', openSqliteLedger);

const nowMs = startMs + dayMs;
const longAfterMs = startMs + 90 * dayMs;

describe('an append', () => {
  test('of many entries is written in several transactions, between which others have their turn', async () => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    await subject.ledger.append(many.slice(0, 1_000));
    expect(host.groups).toEqual(Array.from({ length: 4 }, () => ['appendEntries']));
  });

  test('that fails in the middle is made good by telling all of it again', async () => {
    const host = new WatchedHost();
    await using subject = new SqliteLedgerSubject({}, host.wrap);
    host.before = () => {
      if (host.groups.length === 3) throw new Error('the disk is full');
    };
    await expect(subject.ledger.append(many)).rejects.toThrow('the disk is full');
    await subject.ledger.append(many);
    await subject.ledger.append(many);
    const expected = await summaryInMemory(many, {}, nowMs);
    expect(await subject.ledger.summary({}, nowMs)).toEqual(expected);
  });
});

describe('in a thread of its own', () => {
  test('the ledger takes, keeps and sums up whatever numbers there are', async () => {
    using file = new StoreFile();
    const options = { ...file.options(), clock: new VirtualClock(), retainDays: 30 };
    const first = await openSqliteStorage(options);
    const huge = entry({ costNanos: Number.MAX_SAFE_INTEGER, usage: { inputTokens: Number.MAX_SAFE_INTEGER } });
    const three = [huge, { ...huge, requestId: 'req_2' }, { ...huge, requestId: 'req_3' }];
    await first.ledger.append(three);
    const expected = await summaryInMemory(three, {}, nowMs);
    expect(await first.ledger.summary({}, nowMs)).toEqual(expected);
    await first.ledger.summary({}, longAfterMs);
    await expect.poll(() => first.ledger.entriesFor('req_3')).toEqual([]);
    await first.close();
    const second = await openSqliteStorage(options);
    expect(await second.ledger.summary({ provider: 'openai' }, nowMs)).toEqual(expected);
    expect((await second.ledger.summary({ until: startMs }, nowMs)).totalCost).toEqual(money(0));
    await expect(second.ledger.summary({ since: 'yesterday' }, nowMs)).rejects.toMatchObject({
      code: 'invalid-request',
    });
    await second.close();
    await expect(second.ledger.append([huge])).rejects.toMatchObject({ code: 'store-unavailable' });
  });
});
