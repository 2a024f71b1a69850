/** The program as a process: pipes, signals, and the script in front of it that must run under any Node. */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { MAIN, spawnCli } from '../daemon/daemon-process.ts';
import { always, chunkOf, completionOf, startScriptedDaemon } from './scripted-daemon.ts';

const BIN = fileURLToPath(new URL('../../bin/switchgear.js', import.meta.url));

describe('the process', () => {
  test('reads a prompt that is piped in', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    await using child = spawnCli(['complete', '--url', daemon.url]);
    child.process.stdin?.end('from a pipe');
    expect(await child.exit).toEqual({ code: 0, signal: null });
    expect(child.stdout()).toBe('ok\n');
    expect(daemon.questions[0]?.body).toEqual({ messages: [{ role: 'user', content: 'from a pipe' }] });
  });

  test('ends quietly, and cancels, when its reader has left', async () => {
    await using daemon = await startScriptedDaemon((_question, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const send = (): void => {
        if (!response.destroyed)
          response.write(`data: ${chunkOf('word '.repeat(1_000))}\n\n`, () => setTimeout(send, 1));
      };
      send();
    });
    await using child = spawnCli(['complete', 'Hi', '--stream', '--url', daemon.url]);
    await child.sees(/word/);
    child.process.stdout?.destroy();
    expect(await child.exit).toEqual({ code: 0, signal: null });
    await daemon.abandoned;
    expect(child.stderr()).toBe('');
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s closes the connection and ends with %i', async (signal, code) => {
    const asked = Promise.withResolvers<void>();
    await using daemon = await startScriptedDaemon(() => asked.resolve());
    await using child = spawnCli(['complete', 'Hi', '--url', daemon.url]);
    await asked.promise;
    child.process.kill(signal);
    expect(await child.exit).toEqual({ code, signal: null });
    await daemon.abandoned;
    expect(child.stderr()).toBe('switchgear: interrupted\n');
  });

  test('an output that cannot be written is told, and ends with 74', async () => {
    await using daemon = await startScriptedDaemon(always(200, completionOf('ok')));
    // A file opened for reading refuses to be written, everywhere.
    const file = await open(BIN, 'r');
    const child = spawn(process.execPath, ['--no-warnings', MAIN, 'complete', 'Hi', '--url', daemon.url], {
      stdio: ['ignore', file.fd, 'pipe'],
    });
    let err = '';
    child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const code = await new Promise((resolve) => child.on('close', resolve));
    await file.close();
    expect(code).toBe(74);
    expect(err).toMatch(/^switchgear: cannot write the output: /);
  });

  test('writes an answer larger than a pipe whole before it ends', async () => {
    const text = 'x'.repeat(3_000_000);
    await using daemon = await startScriptedDaemon(always(200, completionOf(text)));
    await using child = spawnCli(['complete', 'Hi', '--url', daemon.url]);
    expect(await child.exit).toEqual({ code: 0, signal: null });
    expect(child.stdout().length).toBe(text.length + 1);
  });
});

describe('bin/switchgear.js', () => {
  interface Ended {
    readonly code: number | null;
    readonly out: string;
    readonly err: string;
  }

  async function runScript(script: string, nodeOptions: readonly string[] = []): Promise<Ended> {
    const child = spawn(process.execPath, [...nodeOptions, script, '--version'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, out, err };
  }

  /** A package with our script and, as its build, `main`. */
  async function withPackage(
    main: string | undefined,
    check: (script: string, folder: string) => Promise<void>,
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
    try {
      await mkdir(join(folder, 'bin'));
      await cp(BIN, join(folder, 'bin/switchgear.js'));
      await writeFile(join(folder, 'package.json'), '{"type":"module"}');
      if (main !== undefined) {
        await mkdir(join(folder, 'dist/cli'), { recursive: true });
        await writeFile(join(folder, 'dist/cli/main.js'), main);
      }
      await check(join(folder, 'bin/switchgear.js'), folder);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test.each([
    ['12.22.12', 78],
    ['20.20.2', 78],
    ['22.18.9', 78],
    ['22.19.0', 0],
    ['24.0.0', 0],
  ])('under Node %s it ends with %i', async (version, code) => {
    await withPackage('console.log("started")', async (script, folder) => {
      const pretend = join(folder, 'pretend.cjs');
      await writeFile(
        pretend,
        `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`,
      );
      const ended = await runScript(script, ['--require', pretend]);
      expect({ code: ended.code, out: ended.out }).toEqual({ code, out: code === 0 ? 'started\n' : '' });
      if (code !== 0)
        expect(ended.err).toMatch(
          new RegExp(
            `^switchgear: expected Node to be version 22\\.19 or newer, got: ${version.replaceAll('.', '\\.')} `,
          ),
        );
      if (code !== 0) expect(ended.err).toContain('https://nodejs.org');
    });
  });

  test('is written in words that an old Node can read', async () => {
    const code = (await readFile(BIN, 'utf8')).replaceAll(/\/\/.*|'(?:[^'\\]|\\.)*'/g, '');
    expect(code).not.toMatch(/=>|`|\b(?:const|let|class|async|await)\b|\?\.|\?\?|\.\.\.|^import /m);
  });

  test('says that the build is missing, and ends with 78', async () => {
    await withPackage(undefined, async (script) => {
      expect(await runScript(script)).toEqual({
        code: 78,
        out: '',
        err: expect.stringMatching(/^switchgear: expected a build .* "npm run build"/),
      });
    });
  });

  test('does not take another missing file for a missing build', async () => {
    await withPackage(`import './gone.js';`, async (script) => {
      const ended = await runScript(script);
      expect(ended.code).not.toBe(0);
      expect(ended.err).toContain('gone.js');
      expect(ended.err).not.toContain('npm run build');
    });
  });
});
