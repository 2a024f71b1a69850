import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { expect, test } from 'vitest';

const COUNT = 69;
/** They would be used by nothing here; the table says what is done instead. */
const LEFT_OUT = [59, 60, 61, 63];

/** By number of the statement: the test files in which a title names it. */
async function citations(): Promise<ReadonlyMap<number, readonly string[]>> {
  const files = new Map<number, string[]>();
  for await (const file of glob('test/**/*.test.ts'))
    for (const [, numbers = ''] of readFileSync(file, 'utf8').matchAll(/actors (\d+(?:, \d+)*)/gu))
      for (const number of numbers.split(', ').map(Number)) {
        const name = file
          .replaceAll('\\', '/')
          .replace(/^test\//u, '')
          .replace(/\.test\.ts$/u, '');
        files.set(number, [...new Set([...(files.get(number) ?? []), name])].toSorted());
      }
  return files;
}

test('every statement about supervision is shown where docs/supervision.md says, but for those it leaves out', async () => {
  const rows = [...readFileSync('docs/supervision.md', 'utf8').matchAll(/^\| (\d+) \| (.+) \| (.*) \|$/gmu)];
  const cited = await citations();
  expect(rows.map(([, number]) => Number(number))).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
  for (const [, number, text = '', files = ''] of rows) {
    const named = [...files.matchAll(/`([^`]+)`/gu)].map(([, name]) => name);
    expect(named, `statement ${number}`).toEqual(cited.get(Number(number)) ?? []);
    expect(named.length === 0, `statement ${number}`).toBe(LEFT_OUT.includes(Number(number)));
    expect(text.includes('Left out:'), `statement ${number}`).toBe(LEFT_OUT.includes(Number(number)));
  }
});
