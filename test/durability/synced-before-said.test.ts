import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkSyncedBeforeSaid } from './synced-before-said.ts';
import { type Step, trace } from './trace.ts';
import { MARKS, type ProgramOptions } from './traced-program.ts';
import { canTrace } from './tracing.ts';

const PROGRAM = fileURLToPath(new URL('traced-program.ts', import.meta.url));

describe.runIf(canTrace())('the trace of a store at work', () => {
  let folder = '';
  let wal = '';
  let alone: readonly Step[] = [];
  let together: readonly Step[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
    wal = join(folder, 'disk', 'store.db-wal');
    await mkdir(join(folder, 'disk'));
    const live = async (seed: string, callers: number, requests: number) => {
      const options: ProgramOptions = { path: wal.slice(0, -4), seed, callers, requests, end: 'close' };
      const { steps, code, stderr } = await trace([PROGRAM, JSON.stringify(options)], { folder });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return steps;
    };
    alone = await live('alone', 1, 60);
    together = await live('together', 16, 20);
  });

  afterAll(() => rm(folder, { recursive: true }));

  test('shows that one caller is answered after the sync of its commit', () => {
    const { kept, broken } = checkSyncedBeforeSaid({ steps: alone, wal, marks: MARKS });
    expect(broken).toEqual([]);
    expect(kept.length).toBeGreaterThan(60);
  });

  test('shows that callers who share a commit are answered after its one sync', () => {
    const { kept, broken } = checkSyncedBeforeSaid({ steps: together, wal, marks: MARKS });
    expect(broken).toEqual([]);
    expect(kept.length).toBeGreaterThan(320);
    const syncs = together.filter((step) => step.kind === 'sync' && step.path === wal).length;
    expect(syncs).toBeLessThan(kept.length / 2);
  });

  test.each([
    ['there is no sync', (step: Step) => (step.kind === 'sync' ? [] : [step])],
    ['the sync is one of another file', (step: Step) => (step.kind === 'sync' ? [{ ...step, path: 'other' }] : [step])],
    [
      'the sync was begun before the commit was written',
      (step: Step) => (step.kind === 'sync' ? [{ ...step, begun: 0 }] : [step]),
    ],
    ['the commit was never written', (step: Step) => (step.kind === 'write' && step.bytes.length === 24 ? [] : [step])],
  ])('would show it if %s', (_, tamper) => {
    const { kept, broken } = checkSyncedBeforeSaid({ steps: together.flatMap(tamper), wal, marks: MARKS });
    expect(kept).toEqual([]);
    expect(broken.length).toBeGreaterThan(320);
  });
});
