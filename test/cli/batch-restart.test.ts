/** A daemon that ends and is started again while a batch of it runs: kept in a file, nothing is lost; in memory, it says so. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import OpenAI from 'openai';
import { describe, test } from 'vitest';
import { runCommandLine } from '../../src/cli/program.ts';
import { startDaemon, writeConfig } from '../daemon/daemon-process.ts';
import { inputOf } from '../support/batch-edge.ts';
import { createTestShell, run } from './test-shell.ts';

const config = (store: string) => `
defaults: { model: m }
store: ${store}
providers:
  local:
    adapter: mock
    models: [m]
    concurrency: 20
    options:
      default: { delayMs: 100, text: done }
`;

const LINES = 400;

async function idsOf(file: string): Promise<readonly unknown[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as { custom_id: unknown }).custom_id);
}

describe.concurrent('a daemon that is started again', () => {
  test('while a batch is watched goes on with it, killed or stopped, and the watcher with both', async ({ expect }) => {
    await using folder = await writeConfig('');
    const file = join(folder.folder, 'requests.jsonl');
    const output = join(folder.folder, 'requests.output.jsonl');
    await writeFile(file, inputOf(LINES));
    await writeFile(folder.file, config(`{ kind: sqlite, path: ${join(folder.folder, 'store.db')} }`));
    await using first = await startDaemon(folder.file);
    const { port } = new URL(first.url);
    const shell = createTestShell();
    const watching = runCommandLine(['batch', 'run', file, '--json', '--url', first.url], shell);
    const hasEnded = async (count: number) => {
      await expect
        .poll(() => Number(/"ended":(\d+)[^\n]*\n$/.exec(shell.out())?.[1] ?? 0), { timeout: 10_000 })
        .toBeGreaterThanOrEqual(count);
    };
    await hasEnded(20);
    first.process.kill('SIGKILL');
    await first.exit;
    await using second = await startDaemon(folder.file, ['--port', port]);
    await hasEnded(150);
    second.process.kill('SIGTERM');
    expect(await second.exit).toMatchObject({ code: 0 });
    await using third = await startDaemon(folder.file, ['--port', port]);
    expect([await watching, shell.err()]).toEqual([0, '']);
    expect(await idsOf(output)).toEqual(Array.from({ length: LINES }, (_, index) => `line-${index}`));
    const openai = new OpenAI({ baseURL: `${third.url}/v1`, apiKey: 'unused' });
    const [batch] = (await openai.batches.list()).data;
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: LINES, completed: LINES, failed: 0 } });
    const content = await (await openai.files.content(batch?.output_file_id ?? '')).text();
    expect(content).toBe(await readFile(output, 'utf8'));
    const input = await (await openai.files.content(batch?.input_file_id ?? '')).text();
    expect(input).toBe(inputOf(LINES));
    const status = await run(['batch', 'run', file, '--url', third.url]);
    expect(status.code).toBe(0);
    expect(status.err).toContain('made from this file before');
  }, 60_000);

  test('and kept batches in memory does not know them: the watcher says so, the same command begins anew', async ({
    expect,
  }) => {
    await using folder = await writeConfig('');
    const file = join(folder.folder, 'requests.jsonl');
    await writeFile(file, inputOf(LINES));
    await writeFile(folder.file, config('{ kind: memory }'));
    await using first = await startDaemon(folder.file);
    const { port } = new URL(first.url);
    const shell = createTestShell();
    const words = ['batch', 'run', file, '--url', first.url];
    const watching = runCommandLine(words, shell);
    await expect.poll(() => shell.err()).toContain('was made of 400 requests');
    first.process.kill('SIGKILL');
    await first.exit;
    await using second = await startDaemon(folder.file, ['--port', port]);
    expect(await watching).toBe(75);
    expect(shell.err()).toContain('keeps batches in memory');
    const again = await run(words);
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining('400 of 400 succeeded') });
    expect(second.stderr()).toBe('');
  }, 60_000);
});
