/** A Redis of our own, on a port and in a folder of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Redis extends AsyncDisposable {
  readonly port: number;
}

/** Its version; undefined when it is not installed. */
export function findRedis(): string | undefined {
  const { status, stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /v=(\S+)/.exec(stdout)?.[1] : undefined;
}

/** `fsync`: when what is written to the append-only file is synced. */
export async function startRedis(fsync: 'always' | 'everysec'): Promise<Redis> {
  const folder = await mkdtemp(join(process.env['SWITCHGEAR_BENCH_FOLDER'] ?? tmpdir(), 'switchgear-redis-'));
  const port = await findPort();
  const settings = { port, dir: folder, appendonly: 'yes', appendfsync: fsync, save: '', bind: '127.0.0.1' };
  const words = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', [...words, '--maxmemory-policy', 'noeviction'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.on('close', resolve));
  await untilReady(child);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

function untilReady(child: ChildProcess): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('Ready to accept connections')) resolve();
    });
    child.on('close', (code) => {
      reject(new Error(`expected Redis to start, got: exit ${code}, ${text}`));
    });
  });
}

/** One that is free now. */
async function findPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  // An address with a port, as it listens on one.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
