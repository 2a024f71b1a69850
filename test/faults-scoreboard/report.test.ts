import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { BEYOND, CATALOGUE } from '../../bench/faults/catalogue.ts';
import { loadDocument, renderDocument } from '../../bench/faults/document.ts';
import { OURS } from '../../bench/faults/ours.ts';
import { listPaths, listShortfalls, renderBoard, renderSummary } from '../../bench/faults/report.ts';
import { type Board, type Cell, loadBoard, renderJson } from '../../bench/faults/results.ts';

const cell = (overrides: Partial<Cell> = {}): Cell => ({
  subject: 'library',
  wire: 'openai',
  fault: 'S01',
  delivery: 'whole',
  verdict: 'pass',
  reason: 'answered by the primary',
  primary: 2,
  fallback: 0,
  seconds: 3.14,
  ...overrides,
});

const boardOf = (...cells: readonly Cell[]): Board => ({
  date: '2026-11-21T12:00:00.000Z',
  node: 'v24.0.0',
  cores: 2,
  versions: { openai: '1.2.3' },
  settings: { library: 'its defaults' },
  pauseMsMax: 12,
  cells,
});

const MIXED = boardOf(
  cell(),
  cell({ fault: 'S02', verdict: 'partial', reason: 'a | b' }),
  cell({ fault: 'S03', delivery: 'live', verdict: 'fail', reason: 'truncated' }),
  cell({ fault: 'S04', delivery: 'live', verdict: 'partial', reason: 'rude' }),
  cell({ fault: 'S11+', verdict: 'fail', reason: 'open' }),
);

test('a summary counts the faults of the catalogue and no others', () => {
  const [path] = listPaths(MIXED.cells);
  expect(renderSummary(path!)).toEqual([
    'library, openai providers, live: 0 of 2 (1 partial, 1 fail)',
    'library, openai providers, whole: 1 of 2 (1 partial)',
  ]);
});

test('what falls short is everything but a pass, and in live delivery what fails', () => {
  expect(listShortfalls(MIXED.cells).map(({ fault }) => fault)).toEqual(['S02', 'S03', 'S11+']);
  expect(listShortfalls([cell(), cell({ delivery: 'live', verdict: 'partial' })])).toEqual([]);
});

test('a terminal is shown every cell, and the reason of whatever did not pass', () => {
  const text = renderBoard(MIXED);
  expect(text).toMatch(/^S01 {3}– {2,}pass {6}2\+0 {4}3\.1 s$/mu);
  expect(text).toMatch(/^fail {4}S03 {2}library, openai providers, live: truncated$/mu);
  expect(text).not.toContain('answered by the primary');
  expect(text).toContain('held up for at most 12 ms');
});

test('a kept board is read back as it was', () => {
  expect(JSON.parse(renderJson(MIXED))).toEqual(MIXED);
  expect(
    renderJson(MIXED)
      .split('\n')
      .filter((line) => line.includes('"fault"')),
  ).toHaveLength(5);
});

test('the page shows a table per system, what did not pass with its reason, and no broken row', () => {
  const failing = cell({ subject: 'peer', verdict: 'fail', reason: 'hung' });
  const page = renderDocument(MIXED, boardOf(failing, { ...failing, delivery: 'live' }));
  expect(page).toContain('| S03 | 500 once, then healthy | retried at the same provider | – ○ – |');
  expect(page).toContain('| ○ S01 | peer, openai providers | whole, live | hung |');
  expect(page).toContain('| ◐ S02 | library, openai providers | whole | a \\| b |');
  const widths = page.split('\n\n').map((block) => block.split('\n').filter((line) => line.startsWith('| ')));
  for (const rows of widths) expect(new Set(rows.map((row) => row.split(/(?<!\\)\|/u).length)).size).toBeLessThan(2);
});

const HERE = new URL('../../', import.meta.url);

test('docs/faults.md says what the kept boards say', async () => {
  const page = await readFile(new URL('docs/faults.md', HERE), 'utf8');
  expect(await loadDocument(), 'a kept board or its words changed: run npm run faults:docs').toBe(page);
});

test('the kept board of ours is whole and of today’s catalogue', async () => {
  const { cells } = await loadBoard(new URL('bench/faults/results.json', HERE));
  const faults = [...CATALOGUE, ...BEYOND];
  const expected = OURS.flatMap(({ name, wire }) =>
    faults.flatMap(({ id, deliveries }) => deliveries.map((delivery) => `${name} ${wire} ${id} ${delivery}`)),
  );
  expect(cells.map(({ subject, wire, fault, delivery }) => `${subject} ${wire} ${fault} ${delivery}`)).toEqual(
    expected,
  );
});

test('the peers are named with exact versions, and their lock file names no place to load them from', async () => {
  const manifest = await readFile(new URL('bench/peers/package.json', HERE), 'utf8');
  const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
  for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/u);
  expect(await readFile(new URL('bench/peers/package-lock.json', HERE), 'utf8')).not.toContain('"resolved"');
});
