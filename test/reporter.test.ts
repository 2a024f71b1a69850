import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';

const reporterFile = fileURLToPath(new URL('./support/reporter.ts', import.meta.url));
const vitestFile = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const folders: string[] = [];

/** Runs vitest with our reporter, in a process of its own, over the given files. */
function runVitest(files: Readonly<Record<string, string>>): { exitCode: number | null; lines: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'reporter-'));
  folders.push(folder);
  const config = { test: { globals: true, reporters: ['default', reporterFile], pool: 'threads', maxWorkers: 1 } };
  writeFileSync(join(folder, 'vitest.config.mjs'), `export default ${JSON.stringify(config)};`);
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source);
  const run = spawnSync(process.execPath, [vitestFile, 'run', '--root', folder], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
    timeout: 60_000,
  });
  return { exitCode: run.status, lines: run.stdout.trimEnd().split('\n') };
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe('the closing line', { timeout: 90_000 }, () => {
  test('a run whose tests all pass closes with the number of passed tests and exits 0', () => {
    const run = runVitest({ 'fine.test.mjs': `test('a', () => {}); test('b', () => {});` });
    expect(run.lines.at(-1)).toBe('2 passed, 0 failed');
    expect(run.exitCode).toBe(0);
  });

  test('failing tests, files that do not load and broken hooks all count as failed', () => {
    const run = runVitest({
      'mixed.test.mjs': `test('a', () => {}); test('b', () => { throw new Error('b'); }); test.skip('c', () => {});`,
      'syntax.test.mjs': `test('never', () => {`,
      'import.test.mjs': `import './is-not-there.mjs'; test('never', () => {});`,
      'hook.test.mjs': `describe('d', () => { beforeAll(() => { throw new Error('hook'); }); test('never', () => {}); });`,
    });
    // b, two files, one hook; c and the test behind the broken hook never ran.
    expect(run.lines.at(-1)).toBe('1 passed, 4 failed, 2 skipped');
    expect(run.exitCode).toBe(1);
  });

  test('an error that nobody awaited counts as failed although every test passed', () => {
    const run = runVitest({
      'stray.test.mjs': `test('a', async () => { void Promise.reject(new Error('stray')); await new Promise((r) => setTimeout(r, 50)); });`,
    });
    expect(run.lines.at(-1)).toBe('1 passed, 1 failed');
    expect(run.exitCode).toBe(1);
  });

  test('a run that finds no test counts as failed', () => {
    const run = runVitest({});
    expect(run.lines.at(-1)).toBe('0 passed, 1 failed');
    expect(run.exitCode).toBe(1);
  });
});
