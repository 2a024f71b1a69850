import { describe, expect, test } from 'vitest';
import { Dice } from '../simulation/dice.ts';
import { DiskModel } from './disk-model.ts';
import { cutPower } from './power-cut.ts';
import type { Step } from './trace.ts';
import { canTrace } from './tracing.ts';

const FOLDER = '/disk';

describe.runIf(canTrace())('a store whose power goes', () => {
  test('has everything that it had acknowledged, whatever the disk made of the rest', async () => {
    const report = await cutPower({
      seed: 'suite',
      points: 40,
      lives: [
        { callers: 4, requests: 15, end: 'kill' },
        { callers: 8, requests: 30, end: 'close' },
        { callers: 1, requests: 15, end: 'kill' },
      ],
    });
    expect(report.broken).toEqual([]);
    expect(report).toMatchObject({ points: 40 });
    expect(report.checkpoints).toBeGreaterThanOrEqual(3);
    expect(report.promises).toBeGreaterThan(1_000);
  });

  test('has it at every single step of coming into being, closing and opening again', async () => {
    const lives = [
      { callers: 1, requests: 1, end: 'close' },
      { callers: 1, requests: 1, end: 'kill' },
    ] as const;
    const report = await cutPower({ seed: 'steps', points: 10_000, lives });
    expect(report.broken).toEqual([]);
    expect(report.points).toBe(report.steps);
  });

  test.each([
    ['now and then', '7+7'],
    ['twice in a row, so that the file cannot be closed well', '20..21'],
    ['when it is opened again', '22..26'],
  ])('has it on a disk whose syncs fail %s', async (_, failing) => {
    const lives = [
      { callers: 1, requests: 30, end: 'kill' },
      { callers: 4, requests: 15, end: 'close' },
    ] as const;
    const report = await cutPower({ seed: 'failing', points: 25, lives, failing });
    expect(report.broken).toEqual([]);
    expect(report.failedSyncs).toBeGreaterThanOrEqual(4);
    expect(report.promises).toBeGreaterThan(500);
  });

  test('would be seen to lose what a disk lies about', async () => {
    const lives = [{ callers: 2, requests: 10, end: 'kill' }] as const;
    const { broken, promises } = await cutPower({ seed: 'lies', points: 10, lives, isLying: true });
    expect(promises).toBeGreaterThan(20);
    expect(broken.length).toBeGreaterThan(promises / 4);
  });
});

describe('a disk that may lose its power', () => {
  const write = (name: string, offset: number, text: string): Step => ({
    kind: 'write',
    path: `${FOLDER}/${name}`,
    offset,
    bytes: Buffer.from(text),
  });
  const create = (name: string): Step => ({ kind: 'create', path: `${FOLDER}/${name}` });
  const sync = (name: string, begun: number): Step => ({
    kind: 'sync',
    path: name === '' ? FOLDER : `${FOLDER}/${name}`,
    begun,
  });

  /** Everything that may be found after these steps, over many cuts. */
  function findings(steps: readonly Step[]): ReadonlySet<string> {
    const cuts = Array.from({ length: 400 }, (_, number) => {
      const disk = new DiskModel(FOLDER, new Dice(`cut ${number}`));
      for (const step of steps) disk.apply(step, 0);
      return [...disk.cut()];
    });
    return new Set(cuts.map((files) => files.map(([name, bytes]) => `${name}:${bytes.toString('latin1')}`).join(' ')));
  }

  test('has what was synced, in a folder that was synced', () => {
    expect(findings([create('a'), write('a', 0, 'text'), sync('a', 2), sync('', 3)])).toEqual(new Set(['a:text']));
  });

  test('may have lost a name whose folder was not synced, and may have kept one that was removed', () => {
    expect(findings([create('a'), write('a', 0, 'text'), sync('a', 2)])).toEqual(new Set(['', 'a:text']));
    const removed: Step = { kind: 'unlink', path: `${FOLDER}/a` };
    expect(findings([create('a'), sync('', 1), removed])).toEqual(new Set(['', 'a:']));
  });

  test('may have what was not synced, or nothing of it, or zeros', () => {
    const synced = [create('a'), write('a', 0, 'old'), sync('a', 2), sync('', 3)];
    expect(findings([...synced, write('a', 0, 'new')])).toEqual(new Set(['a:old', 'a:new', 'a:\0\0\0']));
  });

  test('may have a later write without an earlier one', () => {
    const synced = [create('a'), sync('a', 1), sync('', 2)];
    const found = findings([...synced, write('a', 0, 'one'), write('a', 3, 'two')]);
    expect(found).toContain('a:one');
    expect(found).toContain('a:\0\0\0two');
  });

  test('tears a write between sectors and harms nothing beside it', () => {
    const long = 'x'.repeat(1024);
    const synced = [create('a'), write('a', 0, `ab${long}yz`), sync('a', 2), sync('', 3)];
    const found = findings([...synced, write('a', 2, '-'.repeat(1024))]);
    expect(found).toContain(`a:ab${'-'.repeat(510)}${'x'.repeat(514)}yz`);
    for (const text of found) expect(text).toMatch(/^a:ab.*yz$/s);
  });

  test('does not take a sync for one of what was written after it was begun', () => {
    const found = findings([create('a'), write('a', 0, 'one'), write('a', 3, 'two'), sync('a', 2), sync('', 4)]);
    expect(found).toContain('a:one');
    expect(found).toContain('a:onetwo');
    expect([...found].every((text) => text.startsWith('a:one'))).toBe(true);
  });

  test('does not write what a failed sync left behind with a later one', () => {
    const created = [create('a'), sync('', 1), write('a', 0, 'one')];
    const failed: Step = { kind: 'failed-sync', path: `${FOLDER}/a`, begun: 3 };
    const found = findings([...created, failed, write('a', 3, 'two'), sync('a', 5)]);
    expect(found).toEqual(new Set(['a:onetwo', 'a:\0\0\0two']));
  });

  test('may or may not have cut a file short', () => {
    const synced = [create('a'), write('a', 0, 'text'), sync('a', 2), sync('', 3)];
    expect(findings([...synced, { kind: 'truncate', path: `${FOLDER}/a`, size: 2 }])).toEqual(
      new Set(['a:text', 'a:te']),
    );
  });
});
