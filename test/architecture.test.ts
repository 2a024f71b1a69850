import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CLOCK_EXCEPTIONS, LINES_MAX, LINES_WATCHED, ROWS } from './support/architecture.ts';
import {
  boundaryViolations,
  clockViolations,
  importCycles,
  longFiles,
  packageOf,
  rowOf,
  topLevelAwaits,
} from './support/boundaries.ts';
import { clockUses } from './support/clock-uses.ts';
import { parseSource, readSourceTree } from './support/source-tree.ts';

const files = readSourceTree(fileURLToPath(new URL('../src', import.meta.url)));
const dependencies = Object.keys(
  // True: package.json of this repository has them.
  (
    JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      dependencies: Record<string, string>;
    }
  ).dependencies,
);

/** What the table says when one more file is planted in the tree. */
const withPlanted = (path: string, text: string): readonly string[] =>
  boundaryViolations([...files, parseSource(path, text)], ROWS).filter((complaint) => complaint.startsWith(path));

describe('who may import whom', () => {
  test('every import in src is allowed by the table, and every file belongs to a row', () => {
    expect(files.length).toBeGreaterThan(10);
    expect(boundaryViolations(files, ROWS)).toEqual([]);
  });

  test('a row names only rows above it, so that dependencies point one way', () => {
    const names = ROWS.map((row) => row.name);
    expect(new Set(names).size).toBe(names.length);
    for (const [index, row] of ROWS.entries())
      expect(names.slice(0, index)).toEqual(expect.arrayContaining([...row.rows]));
  });

  test('every row owns files and gives a reason', () => {
    const owners = new Set(files.map((file) => rowOf(file.path, ROWS)?.name));
    expect(ROWS.filter((row) => !owners.has(row.name)).map((row) => row.name)).toEqual([]);
    for (const row of ROWS) expect(row.reason.length).toBeGreaterThan(20);
  });

  test('every permission is used, so that none is left over for something else', () => {
    const unused = ROWS.flatMap((row) => {
      const imports = files.filter((file) => rowOf(file.path, ROWS) === row).flatMap((file) => file.imports);
      const specifiers = new Set(imports.map((source) => source.specifier));
      const packages = new Set(imports.map((source) => packageOf(source.specifier)));
      const builtins = row.builtins === 'any' ? [] : row.builtins.filter((builtin) => !specifiers.has(builtin));
      return [...row.packages.filter((name) => !packages.has(name)), ...builtins].map((name) => `${row.name}: ${name}`);
    });
    expect(unused).toEqual([]);
  });

  test('packages in the table are runtime dependencies, and each of those has a home in it', () => {
    expect([...new Set(ROWS.flatMap((row) => row.packages))].toSorted()).toEqual(dependencies.toSorted());
  });

  test.each([
    ['an SDK outside its adapter', 'runtime/planted.ts', `import OpenAI from 'openai';`],
    ['an SDK in the other adapter', 'adapters/anthropic/planted.ts', `import { toFile } from 'openai/uploads';`],
    ['the web framework outside http', 'runtime/planted.ts', `const load = () => import('fastify');`],
    ['an adapter in the runtime', 'runtime/planted.ts', `import { parse } from '../adapters/mock/pieces.ts';`],
    ['a type of a row below', 'policy/planted.ts', `import type { Lane } from '../runtime/lane.ts';`],
    ['a re-export of a row below', 'contract/planted.ts', `export { rank } from '../policy/rank.ts';`],
    ['an inline type of a row below', 'contract/planted.ts', `type Rank = import('../policy/rank.ts').Rank;`],
    ['Node in pure policy', 'policy/planted.ts', `import { readFileSync } from 'node:fs';`],
    ['Node without its prefix', 'policy/planted.ts', `import { readFileSync } from 'fs';`],
    ['a package nobody declared', 'http/planted.ts', `import express from 'express';`],
    ['a computed import', 'http/planted.ts', 'const load = (name: string) => import(name);'],
    ['a file without extension', 'policy/planted.ts', `import type { Clock } from '../contract/clock';`],
    ['a test from src', 'policy/planted.ts', `import { ROWS } from '../../test/support/architecture.ts';`],
    ['a file that has no row', 'helpers/planted.ts', 'export const nothing = 1;'],
  ])('%s is a violation', (_name, path, text) => {
    expect(withPlanted(path, text)).toHaveLength(1);
  });

  test('what the table allows is no violation', () => {
    const text = `import type { Clock } from '../contract/clock.ts'; import { nanoid } from 'nanoid';`;
    expect(withPlanted('runtime/planted.ts', text)).toEqual([]);
  });

  test('text that only looks like an import is none', () => {
    const text = `// import 'openai';\nexport const text = "import 'openai'"; export const pattern = /from 'openai'/;`;
    expect(withPlanted('runtime/planted.ts', text)).toEqual([]);
  });
});

describe('how a file is made', () => {
  test('no file needs, through others, itself', () => {
    expect(importCycles(files)).toEqual([]);
  });

  test('a ring of imports is found and named once; a type that comes back closes no ring', () => {
    const ring = [
      parseSource('b.ts', `import { c } from './c.ts'; export const b = c;`),
      parseSource('a.ts', `import { b } from './b.ts'; import type { C } from './c.ts'; export const a = b;`),
      parseSource('c.ts', `import { a } from './a.ts'; export type C = number; export const c = () => a;`),
    ];
    expect(importCycles(ring)).toEqual(['a.ts → b.ts → c.ts → a.ts']);
    const typed = [ring[0], ring[1], parseSource('c.ts', `import type { A } from './a.ts'; export const c = 1;`)];
    expect(importCycles(typed.filter((file) => file !== undefined))).toEqual([]);
  });

  test('no module waits while it loads, so that require() works too', () => {
    expect(files.flatMap(topLevelAwaits)).toEqual([]);
  });

  test.each([
    ['await', 'await start();', 1],
    ['await in a block', 'if (ready) { await start(); }', 1],
    ['for await', 'export {}; for await (const part of parts) use(part);', 1],
    ['await using', 'await using service = open();', 1],
    [
      'await in functions',
      'const f = async () => { await g(); }; class A { async m() { for await (const x of y) z(x); } }',
      0,
    ],
  ])('top level: %s', (_name, text, count) => {
    expect(topLevelAwaits(parseSource('planted.ts', text))).toHaveLength(count);
  });

  test(`no file is longer than ${LINES_MAX} lines`, () => {
    const watched = longFiles(files, LINES_WATCHED);
    if (watched.length > 0) console.warn(['worth a look:', ...watched].join('\n  '));
    expect(longFiles(files)).toEqual([]);
    expect(longFiles([parseSource('planted.ts', '1;\n'.repeat(LINES_MAX))])).toHaveLength(0);
    expect(longFiles([parseSource('planted.ts', '1;\n'.repeat(LINES_MAX + 1))])).toHaveLength(1);
  });
});

describe('time, timers and chance', () => {
  test('are taken from the Clock everywhere but in the named files', () => {
    expect(clockViolations(files)).toEqual([]);
  });

  test.each(CLOCK_EXCEPTIONS)('the exception of $path is still needed: it $reason', ({ path }) => {
    expect(files.filter((file) => file.path.startsWith(path)).flatMap(clockUses)).not.toEqual([]);
  });

  test.each([
    'Date.now()',
    'new Date()',
    'Date()',
    'performance.now()',
    'Math.random()',
    `Math['random']()`,
    'setTimeout(work, 10)',
    'globalThis.setInterval(work, 10)',
    'const later = setImmediate;',
    'use({ setTimeout })',
    'AbortSignal.timeout(10)',
    'crypto.randomUUID()',
    'process.hrtime.bigint()',
    `import { setTimeout as pause } from 'node:timers/promises';`,
    `import { randomBytes, createHash } from 'node:crypto';`,
    `import * as crypto from 'node:crypto';`,
    `import { nanoid } from 'nanoid';`,
  ])('%s is a use', (text) => {
    expect(clockUses(parseSource('planted.ts', text))).toHaveLength(1);
  });

  test.each([
    'clock.setTimeout(work, 10)',
    'const clock: Clock = { setTimeout: (work) => start(work), random() { return 0; } };',
    'type Handle = ReturnType<typeof setTimeout>; interface Clock { setTimeout(): void }',
    'new Date(clock.wallMs()).toISOString()',
    'Date.parse(text); Math.floor(1.5);',
    `import { createHash } from 'node:crypto'; import { customRandom } from 'nanoid';`,
    'const performance = stage.play(); performance.now();',
    'const { setTimeout } = clock; const run = (performance: Play, { random: setInterval = 1 }) => setTimeout(performance);',
    '// Date.now()',
    `'Math.random()'`,
  ])('%s is none', (text) => {
    expect(clockUses(parseSource('planted.ts', text))).toEqual([]);
  });
});
