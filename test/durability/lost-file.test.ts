import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { startService } from '../../src/compose.ts';
import type { Storage } from '../../src/contract/storage.ts';
import { VirtualClock } from '../../src/testing/virtual-clock.ts';
import { ScriptedProvider } from '../support/scripted-provider.ts';
import { createRecord, createSettlement, makeFolder, openStore } from './stores.ts';

/** What is answered to a submission: the kind, or why not. */
async function submit({ requests }: Storage, requestId: string): Promise<string> {
  try {
    return (await requests.insert(createRecord(requestId), 'memory')).kind;
  } catch (error) {
    return String(error);
  }
}

const lost = (path: string, name: string) =>
  `SwitchgearError: the store ${path} cannot be used: ${name} was removed or replaced while process ${process.pid} had it open; move it back, or start the process again with what is there now`;

describe('a store whose file is taken away while it is open', () => {
  test.each([
    ['file', ''],
    ['log', '-wal'],
  ])('acknowledges nothing until the %s is back, and then has everything', async (_, suffix) => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    const away = join(folder.path, 'away');
    {
      await using storage = await openStore(path);
      expect(await submit(storage, 'req_before')).toBe('inserted');
      await rename(`${path}${suffix}`, away);
      expect(await submit(storage, 'req_meanwhile')).toBe(lost(path, `${path}${suffix}`));
      await expect(storage.requests.load('req_before')).rejects.toThrow('was removed or replaced');
      const settled = storage.requests.settle({ requestId: 'req_before', fence: 1 }, createSettlement('no'), 1);
      await expect(settled).rejects.toMatchObject({ code: 'store-unavailable' });
      await rename(away, `${path}${suffix}`);
      expect(await submit(storage, 'req_after')).toBe('inserted');
    }
    await using storage = await openStore(path);
    const kinds = ['req_before', 'req_after'].map(async (id) => (await storage.requests.load(id)).kind);
    expect(await Promise.all(kinds)).toEqual(['found', 'found']);
    expect(await storage.requests.load('req_before')).not.toHaveProperty('record.settlement');
  });

  test('is told of in the log of its service, also when nobody asks for anything', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    const away = join(folder.path, 'away');
    const logged = Promise.withResolvers<unknown>();
    const write = (line: string) => {
      if (line.includes('"operation":"sweep"')) logged.resolve(JSON.parse(line));
    };
    const clock = new VirtualClock();
    const provider = new ScriptedProvider('a', clock);
    const service = await startService(
      { store: { kind: 'sqlite', path }, providers: { a: { adapter: 'scripted', apiKey: 'none', models: ['m'] } } },
      { clock, adapters: { scripted: provider.createAdapter }, logger: pino({}, { write }) },
    );
    await rename(path, away);
    await clock.advance(1_000);
    expect(await logged.promise).toMatchObject({ level: 50, message: lost(path, path) });
    await rename(away, path);
    await clock.waitFor(service.stop());
  });

  test('does not make a new one in its place', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    await using storage = await openStore(path);
    await rm(path);
    for (const id of ['req_1', 'req_2']) expect(await submit(storage, id)).toBe(lost(path, path));
    expect(await readdir(folder.path)).not.toContain('store.db');
  });

  test('leaves one alone that was put in its place, and its log too', async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, 'store.db');
    const backup = join(folder.path, 'backup');
    await mkdir(backup);
    await (async () => {
      await using other = await openStore(join(backup, 'store.db'));
      await submit(other, 'req_of_the_backup');
      // With its log, as a copy of a store at work would have it.
      for (const suffix of ['', '-wal'])
        await copyFile(join(backup, `store.db${suffix}`), join(backup, `copy${suffix}`));
    })();
    {
      await using storage = await openStore(path);
      expect(await submit(storage, 'req_before')).toBe('inserted');
      for (const suffix of ['', '-wal']) await rename(join(backup, `copy${suffix}`), `${path}${suffix}`);
      expect(await submit(storage, 'req_meanwhile')).toBe(lost(path, path));
    }
    await using storage = await openStore(path);
    expect((await storage.requests.load('req_of_the_backup')).kind).toBe('found');
    expect((await storage.requests.load('req_meanwhile')).kind).toBe('unknown');
  });
});
