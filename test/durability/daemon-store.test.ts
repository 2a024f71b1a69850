import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { MAIN, spawnCli, startDaemon } from '../daemon/daemon-process.ts';
import { Dice } from '../simulation/dice.ts';
import { writeDaemonConfig } from './kills/daemon.ts';
import { renderPrompt, Upstream } from './kills/upstream.ts';
import { makeFolder, nameProcess } from './stores.ts';
import { checkSyncedBeforeSaid } from './synced-before-said.ts';
import { startTrace } from './trace.ts';
import { canTrace } from './tracing.ts';

const PATIENCE = { timeout: 60_000 };

async function writeConfig(folder: string): Promise<string> {
  const file = join(folder, 'switchgear.yaml');
  const providers = { local: { adapter: 'mock', models: ['m'], options: { default: { text: 'at once' } } } };
  const store = { kind: 'sqlite', path: join(folder, 'store.db') };
  await writeFile(file, JSON.stringify({ defaults: { model: 'm' }, store, providers }));
  return file;
}

describe.concurrent('a daemon', () => {
  test('ends with 75 when another one has its store, and says which', PATIENCE, async () => {
    await using folder = await makeFolder();
    const config = await writeConfig(folder.path);
    await using first = await startDaemon(config);
    await using second = spawnCli(['serve', '--config', config, '--port', '0']);
    expect(await second.exit).toEqual({ code: 75, signal: null });
    expect(second.stderr()).toBe(
      `switchgear: the store ${join(folder.path, 'store.db')} is in use by ${nameProcess(first.process)}; stop that one, or set store.path to a file of its own\n`,
    );
    expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
  });

  test('ends with 75 when its store is damaged, in one sentence that says what to do', PATIENCE, async () => {
    await using folder = await makeFolder();
    const config = await writeConfig(folder.path);
    const path = join(folder.path, 'store.db');
    await writeFile(path, 'no database at all '.repeat(1_000));
    await using daemon = spawnCli(['serve', '--config', config, '--port', '0']);
    expect(await daemon.exit).toEqual({ code: 75, signal: null });
    expect(daemon.stderr()).toBe(
      `switchgear: the store ${path} is damaged, or no SQLite file (file is not a database); restore it from a backup, or move it and ${path}-wal away to start with an empty one\n`,
    );
  });
});

describe.runIf(canTrace())('the trace of a daemon at work', { concurrent: true }, () => {
  test('shows that no id and no answer leaves it before it is on the disk', PATIENCE, async () => {
    await using folder = await makeFolder();
    await using upstream = new Upstream(new Dice('wire'));
    const { config, store } = writeDaemonConfig(folder.path, await upstream.listen());
    const tracing = startTrace([MAIN, 'serve', '--config', config, '--port', '0'], { folder: folder.path });
    let url: string | undefined;
    while (url === undefined) {
      await sleep(20);
      [, url] = /"url":"(http:[^"]+)"/.exec(tracing.stdout()) ?? [];
    }
    const ids = await Promise.all(Array.from({ length: 40 }, (_, number) => submit(`${url}/v1/requests`, number)));
    const answers = await Promise.all(ids.map(async (id) => (await fetch(`${url}/v1/requests/${id}?wait=20`)).text()));
    for (const answer of answers) expect(answer).toContain('"succeeded"');
    tracing.kill('SIGTERM');
    const { steps, code } = await tracing.finished;
    expect(code).toBe(0);
    const marks = /req_[A-Za-z0-9]{21}|answer to wire-\d{4}/g;
    const { kept, broken } = checkSyncedBeforeSaid({ steps, wal: `${store}-wal`, marks });
    expect(broken).toEqual([]);
    expect(kept.filter((mark) => mark.startsWith('req_'))).toHaveLength(40);
    expect(kept.filter((mark) => mark.startsWith('answer'))).toHaveLength(40);
  });

  async function submit(url: string, number: number): Promise<string> {
    const prompt = renderPrompt(`wire-${String(number).padStart(4, '0')}`, false);
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: prompt }] }),
    });
    // What the route promises.
    const { requestId } = (await response.json()) as { requestId: string };
    return requestId;
  }
});
