/**
 * What a process did to its files, as strace saw it from outside: the steps in their order, with the bytes. Nothing of the
 * process takes part in it, so nothing in it can make a promise look kept.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export type Step =
  /** Makes the file when there is none. */
  | { readonly kind: 'create'; readonly path: string }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'write'; readonly path: string; readonly offset: number; readonly bytes: Buffer }
  /** Has returned. `begun` is how many steps had been begun when it was called: it vouches for those and no others. */
  | { readonly kind: 'sync'; readonly path: string; readonly begun: number }
  /** Has failed: nobody knows what is on the disk of what was written before. */
  | { readonly kind: 'failed-sync'; readonly path: string; readonly begun: number }
  | { readonly kind: 'unlink'; readonly path: string }
  /** What was said to somebody outside: a socket or a pipe. */
  | { readonly kind: 'said'; readonly text: string };

export interface TraceOptions {
  /** Where the trace is kept meanwhile. */
  readonly folder: string;
  /** Which syncs of each thread fail, as strace counts them: `7+7` is every seventh, `20..22` are three in a row. */
  readonly failing?: string;
}

/** How a process ended that was traced. */
export interface Traced {
  readonly steps: readonly Step[];
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const SYSCALLS =
  'openat,write,writev,pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,sync_file_range,unlink,unlinkat,rename,renameat,renameat2';
/** Whatever is not in here could change a file in a way that is not understood: the trace is refused then. */
const FOREIGN = new Set(['pwritev', 'fallocate', 'sync_file_range', 'unlinkat', 'rename', 'renameat', 'renameat2']);
const HEX = String.raw`(?:\\x[0-9a-f]{2})*`;
const LINE = /^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$/s;
const FILE = new RegExp(`^\\d+<(${HEX})>`);
const WRITE = new RegExp(`^\\d+<(${HEX})>, "(${HEX})"(\\.\\.\\.)?, \\d+(?:, (\\d+))?`);
const PART = new RegExp(`iov_base="(${HEX})"(\\.\\.\\.)?`, 'g');
const OPEN = new RegExp(`"(${HEX})", ([A-Z_|]+)`);
const QUOTED = new RegExp(`^"(${HEX})"`);
const RESULT = /\) += (-?\d+)/;

/** Why nothing can be traced here; undefined when it can. */
export function findTraceProblem(): string | undefined {
  const { status, error, stderr } = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'], { encoding: 'utf8' });
  if (error !== undefined) return 'strace is not installed (apt-get install -y strace)';
  return status === 0 ? undefined : `strace may not trace here: ${stderr.trim()}`;
}

/** Runs a TypeScript program under strace until it ends. */
export function trace(words: readonly string[], options: TraceOptions): Promise<Traced> {
  return startTrace(words, options).finished;
}

export interface Tracing {
  /** What the program has written to standard output so far. */
  readonly stdout: () => string;
  readonly finished: Promise<Traced>;
  /** Sends a signal to the program. */
  readonly kill: (signal: NodeJS.Signals) => void;
}

export function startTrace(words: readonly string[], { folder, failing }: TraceOptions): Tracing {
  const file = join(folder, 'strace.out');
  const options = ['-f', '-y', '-xx', '-s', '1000000', '--seccomp-bpf', '-e', `trace=${SYSCALLS}`, '-o', file];
  if (failing !== undefined) options.push('-e', `inject=fsync,fdatasync:error=EIO:when=${failing}`);
  // What Node would write of what it has compiled is none of the steps.
  const env = { ...process.env, NODE_COMPILE_CACHE: undefined };
  const child = spawn('strace', [...options, process.execPath, '--no-warnings', ...words], { env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  const finish = async (): Promise<Traced> => {
    const code = await closed;
    const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
    return { steps: await parseTrace(lines), code, stdout, stderr };
  };
  return {
    stdout: () => stdout,
    finished: finish(),
    kill: (signal) => {
      // strace has one child, which is the program.
      process.kill(Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')), signal);
    },
  };
}

/** @throws {Error} for a call that changes a file in a way that is not understood */
async function parseTrace(lines: AsyncIterable<string>): Promise<readonly Step[]> {
  const steps: Step[] = [];
  const unfinished = new Map<string, { readonly text: string; readonly begun: number }>();
  for await (const line of lines) {
    const [, process = '', resumed, called, rest = ''] = LINE.exec(line) ?? [];
    if (resumed !== undefined) {
      const first = unfinished.get(process);
      unfinished.delete(process);
      if (first !== undefined) steps.push(...stepsAtReturn(resumed, `${first.text}${rest}`, first.begun));
    } else if (called !== undefined) {
      const begun = steps.length;
      steps.push(...stepsAtCall(called, rest));
      if (rest.endsWith('<unfinished ...>')) unfinished.set(process, { text: rest.slice(0, -16), begun });
      else steps.push(...stepsAtReturn(called, rest, begun));
    }
  }
  return steps;
}

/** What may have its effect from the moment of the call. */
function stepsAtCall(name: string, text: string): readonly Step[] {
  if (name === 'write' || name === 'pwrite64') {
    const [, file = '', hex = '', isCut, offset] = WRITE.exec(text) ?? [];
    if (isCut !== undefined)
      throw new Error(`expected whole writes in the trace, got: one that was cut, to ${decode(file).toString()}`);
    if (offset !== undefined)
      return [{ kind: 'write', path: decode(file).toString(), offset: Number(offset), bytes: decode(hex) }];
    return say(decode(file).toString(), decode(hex));
  }
  if (name !== 'writev') return [];
  const file = decode(FILE.exec(text)?.[1] ?? '').toString();
  return say(file, Buffer.concat([...text.matchAll(PART)].map(([, hex = '']) => decode(hex))));
}

/** What had its effect only if the call has succeeded. */
function stepsAtReturn(name: string, text: string, begun: number): readonly Step[] {
  const result = Number(RESULT.exec(text)?.[1] ?? -1);
  const path = decode(FILE.exec(text)?.[1] ?? '').toString();
  if (result < 0) return /^f(?:data)?sync$/.test(name) ? [{ kind: 'failed-sync', path, begun }] : [];
  switch (name) {
    case 'openat': {
      const [, opened = '', flags = ''] = OPEN.exec(text) ?? [];
      if (!flags.includes('O_CREAT')) return [];
      const created: Step = { kind: 'create', path: decode(opened).toString() };
      return flags.includes('O_TRUNC') ? [created, { kind: 'truncate', path: created.path, size: 0 }] : [created];
    }
    case 'ftruncate':
      return [{ kind: 'truncate', path, size: Number(/, (\d+)\)/.exec(text)?.[1]) }];
    case 'fsync':
    case 'fdatasync':
      return [{ kind: 'sync', path, begun }];
    case 'unlink':
      return [{ kind: 'unlink', path: decode(QUOTED.exec(text)?.[1] ?? '').toString() }];
    default:
      if (FOREIGN.has(name)) throw new Error(`expected no ${name} in the trace, got: one on ${path}`);
      return [];
  }
}

/** Files that are written from front to back hold no requests; what goes to anything else is said to somebody. */
function say(to: string, bytes: Buffer): readonly Step[] {
  return to.startsWith('/') || to.startsWith('anon_inode') ? [] : [{ kind: 'said', text: bytes.toString('latin1') }];
}

function decode(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(String.raw`\x`, ''), 'hex');
}
