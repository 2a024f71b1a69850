import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { renderDiagrams } from '../../scripts/machine-diagrams.ts';

test('docs/machines.md shows the machines as they are in the code', async () => {
  const committed = await readFile(new URL('../../docs/machines.md', import.meta.url), 'utf8');
  expect(renderDiagrams(), 'the machines changed: run npm run diagrams').toBe(committed);
});
