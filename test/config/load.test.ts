import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { loadConfigFile, parseConfigText, readConfigTree } from '../../src/config/load.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchgear-config-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const write = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
};
const load = async (name: string, text: string) => loadConfigFile(await write(name, text), { env: {} });

describe('a config file', () => {
  test('may be YAML', async () => {
    const { config } = await load(
      'a.yaml',
      'providers:\n  mock: { adapter: mock }\nhttp:\n  port: 0x1000 # hexadecimal\n',
    );
    expect(config.http.port).toBe(4096);
  });

  test('may be JSON, indented by tabs', async () => {
    const { config } = await load(
      'a.json',
      '{\n\t"providers": {\n\t\t"mock": {\n\t\t\t"adapter": "mock"\n\t\t}\n\t}\n}\n',
    );
    expect(config.providers.map(({ name }) => name)).toEqual(['mock']);
  });

  test('is read as it was written, like an object that is given instead', async () => {
    const path = await write('same.yaml', 'providers: { mock: { adapter: mock, apiKey: "${KEY}" } }');
    const providers = { mock: { adapter: 'mock', apiKey: '${KEY}' } };
    expect(await readConfigTree({ configFile: path })).toEqual({ tree: { providers }, name: path });
    expect(await readConfigTree({ providers })).toEqual({ tree: { providers }, name: undefined });
  });

  test('stands alone: options beside it are refused instead of being ignored', async () => {
    const source = { configFile: 'x.yaml', providers: {} };
    await expect(readConfigTree(source)).rejects.toThrow('expected a path and nothing else, got: providers beside it');
  });

  test('that is missing is told so', async () => {
    const path = join(folder, 'missing.yaml');
    await expect(loadConfigFile(path, { env: {} })).rejects.toMatchObject({
      code: 'invalid-config',
      message: `expected ${path} to be valid, got 1 problem:\n  expected a readable file, got: no such file`,
    });
  });

  test('that is a directory is told so', async () => {
    const path = join(folder, 'directory.yaml');
    await mkdir(path);
    await expect(loadConfigFile(path, { env: {} })).rejects.toThrow('expected a readable file, got: a directory');
  });

  test('that lies below a file is told so', async () => {
    const path = join(await write('file.yaml', 'providers: {}'), 'config.yaml');
    await expect(loadConfigFile(path, { env: {} })).rejects.toThrow('a path through something that is no directory');
  });

  test('is read up to 4 MiB and not a byte further', async () => {
    const text = 'providers: { mock: { adapter: mock } }\n#';
    await expect(load('limit.yaml', text.padEnd(4_194_304, 'x'))).resolves.toBeDefined();
    await expect(load('over.yaml', text.padEnd(4_194_305, 'x'))).rejects.toThrow(
      'expected at most 4194304 bytes, got: 4194305',
    );
  });

  test('that is empty lacks providers', async () => {
    await expect(load('empty.yaml', '# nothing\n')).rejects.toThrow('providers: expected');
  });

  test('names itself in the error about its mistakes', async () => {
    const path = await write('wrong.yaml', 'providers: { mock: { adapter: mock } }\nhttp: { port: x }');
    await expect(loadConfigFile(path, { env: {} })).rejects.toThrow(
      `expected ${path} to be valid, got 1 problem:\n  http.port: `,
    );
  });
});

describe('invalid YAML', () => {
  const problemsOf = (text: string): unknown => {
    try {
      parseConfigText(text, 'c.yaml');
    } catch (error) {
      // Everything that parseConfigText throws is an invalid-config error with its problems as cause.
      return (error as { cause: { problems: unknown } }).cause.problems;
    }
    return [];
  };

  test('is told by line and column', () => {
    expect(problemsOf('a: 1\nb: [1, 2\nc: 3\n')).toMatchObject([{ path: expect.stringMatching(/^c\.yaml:\d+:\d+$/) }]);
    expect(problemsOf('a:\n\tb: 1\n')).toMatchObject([
      { path: 'c.yaml:2:1', message: 'expected valid YAML, got: a tab as indentation (use spaces) (TAB_AS_INDENT)' },
    ]);
  });

  test('is two providers of one name', () => {
    expect(
      problemsOf('providers:\n  openai: { adapter: openai }\n  mock: { adapter: mock }\n  openai: { adapter: mock }\n'),
    ).toEqual([{ path: 'c.yaml:4:3', message: 'expected every name once, got: "openai" again' }]);
    expect(problemsOf('{ "a": 1, "a": 2 }')).toEqual([
      { path: 'c.yaml:1:11', message: 'expected every name once, got: "a" again' },
    ]);
  });

  test('never quotes the file, which may hold a key', () => {
    const secret = 'zx9SECRETzx9';
    const texts = [
      `key: ${secret}: ${secret}`,
      `key: "${secret}`,
      `- ${secret}\n${secret}`,
      `key: *${secret}`,
      `key: !${secret} 1`,
      `%${secret}\n---\na: 1`,
      `{ a: ${secret} ${secret}`,
      `a: {b: 1} ${secret}`,
      `key: '${secret}'${secret}`,
      `[${secret}: ${secret}\n- ${secret}`,
      `a: |${secret}\n  b`,
      `@${secret}`,
      `a: "\\q${secret}"`,
    ];
    for (const text of texts) {
      const problems = problemsOf(text);
      expect(problems, text).not.toEqual([]);
      expect(JSON.stringify(problems), text).not.toContain(secret);
    }
  });

  test('cannot blow up by aliases', () => {
    const bomb = [
      'a: &a [x, x, x, x, x, x, x, x, x]',
      ...'bcdefgh'
        .split('')
        .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[index]}`).join(', ')}]`),
    ];
    expect(problemsOf(bomb.join('\n'))).toMatchObject([{ message: expect.stringContaining('expected few aliases') }]);
  });
});
