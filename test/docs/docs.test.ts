import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { renderDiagrams, renderFailures } from '../../docs/generate.ts';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string) => readFile(new URL(path, ROOT), 'utf8');

test('docs/machines.md shows the machines as they are in the code', async () => {
  expect(renderDiagrams(), 'the machines changed: run npm run docs').toBe(await read('docs/machines.md'));
});

test('docs/failures.md shows the failure table as it is in the code', async () => {
  expect(renderFailures(), 'the failure table changed: run npm run docs').toBe(await read('docs/failures.md'));
});

test('docs/events.md names every event and nothing else', async () => {
  const declared = [...(await read('src/contract/events.ts')).matchAll(/^ {2}'([a-z]+\.[a-zA-Z]+)':/gm)].map(
    (match) => match[1],
  );
  const documented = [...(await read('docs/events.md')).matchAll(/^\| `([a-z]+\.[a-zA-Z]+)`/gm)].map(
    (match) => match[1],
  );
  expect(new Set(documented)).toEqual(new Set(declared));
  expect(declared.length).toBeGreaterThan(15);
});

test('every link between the pages leads somewhere', async () => {
  const pages = [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    ...(await pagesIn('docs/')),
    ...(await pagesIn('docs/decisions/')),
  ];
  const broken: string[] = [];
  for (const page of pages) {
    for (const [, target = ''] of (await read(page)).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      const url = new URL(target, new URL(page, ROOT));
      await readdir(url).catch(() => readFile(url).catch(() => broken.push(`${page}: ${target}`)));
    }
  }
  expect(broken).toEqual([]);
});

async function pagesIn(folder: string): Promise<string[]> {
  return (await readdir(new URL(folder, ROOT))).filter((name) => name.endsWith('.md')).map((name) => folder + name);
}
