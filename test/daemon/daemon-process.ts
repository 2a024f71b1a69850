/** Starts the real daemon, or any command, as a child process, and follows what it says. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The command line's own sources, which Node runs as they are. */
export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface LogLine {
  readonly msg?: string;
  readonly level?: number;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exit: Promise<Exit>;
  /** Resolves when standard output has matched. @throws {Error} when the process ended without. */
  readonly sees: (pattern: RegExp) => Promise<RegExpExecArray>;
}

/** All that a program gets of the test's environment: where other programs are, and where Node keeps what it has compiled. */
export function childEnv(): Readonly<Record<string, string>> {
  const { PATH = '', NODE_COMPILE_CACHE: compiled } = process.env;
  return { PATH, ...(compiled !== undefined && { NODE_COMPILE_CACHE: compiled }) };
}

/** Runs the command line `words` from the sources. Nothing of the test's environment but `childEnv` is passed on. */
export function spawnCli(words: readonly string[], env: Readonly<Record<string, string>> = {}, cwd?: string): Child {
  const child = spawn(process.execPath, ['--no-warnings', MAIN, ...words], {
    env: { ...childEnv(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  let stdout = '';
  let stderr = '';
  const exit = new Promise<Exit>((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const sees = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(stdout);
      if (match !== null) return match;
      const more = new Promise<'more'>((resolve) => child.stdout.once('data', () => resolve('more')));
      const next = await Promise.race([more, exit]);
      if (next !== 'more' && !pattern.test(stdout)) {
        throw new Error(`the process ended (${next.code}) before it said ${String(pattern)}:\n${stdout}${stderr}`);
      }
    }
  };
  return {
    process: child,
    stdout: () => stdout,
    stderr: () => stderr,
    exit,
    sees,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exit;
    },
  };
}

export interface Daemon extends Child {
  readonly url: string;
  readonly logLines: () => readonly LogLine[];
}

/** Starts `serve` with a config on a free port and waits until it listens. */
export async function startDaemon(
  configFile: string,
  words: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Daemon> {
  const child = spawnCli(['serve', '--config', configFile, '--port', '0', ...words], env);
  const [, url = ''] = await child.sees(/"url":"(http:[^"]+)"[^\n]*"msg":"listening"/);
  return {
    ...child,
    url,
    logLines: () =>
      child
        .stdout()
        .split('\n')
        .filter((line) => line !== '')
        .map((line): LogLine => JSON.parse(line)),
  };
}

/** A folder with one config in it, removed afterwards. */
export async function writeConfig(
  text: string,
): Promise<AsyncDisposable & { readonly file: string; readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'switchgear-'));
  const file = join(folder, 'switchgear.yaml');
  await writeFile(file, text);
  return { file, folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
