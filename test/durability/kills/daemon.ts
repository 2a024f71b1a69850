/** One life of the daemon after the other over one file: started as a user would start it, ended by SIGKILL. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { childEnv, MAIN } from '../../daemon/daemon-process.ts';

/** Patient with its provider, so that a second call means that somebody died. */
export function writeDaemonConfig(
  folder: string,
  upstream: string,
): { readonly config: string; readonly store: string } {
  const config = join(folder, 'switchgear.yaml');
  const store = join(folder, 'store.db');
  const timeouts = { connectMs: 600_000, firstTokenMs: 3_600_000, stallMs: 3_600_000, unstreamedMs: 3_600_000 };
  const up = { adapter: 'openai', baseURL: upstream, apiKey: 'none', models: ['m'], concurrency: 256, timeouts };
  const settings = {
    service: { timeoutMs: 3_600_000 },
    defaults: { model: 'up/m' },
    log: { level: 'info' },
    store: { kind: 'sqlite', path: store },
    providers: { up },
  };
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(settings));
  return { config, store };
}

/** Starts it over that config. */
export function startDaemon(config: string, folder: string, main = MAIN): Life {
  return new Life([main, 'serve', '--config', config, '--port', '0'], folder);
}

/** A process of Node that says where it listens. */
export class Life {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  /** Where it listens; undefined when it ended before. */
  readonly url: Promise<string | undefined>;
  #output = '';

  /** In `folder` Node keeps what it has compiled for the next life, once one has ended well, unless it keeps that elsewhere. */
  constructor(words: readonly string[], folder: string) {
    this.#child = spawn(process.execPath, ['--no-warnings', ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { NODE_COMPILE_CACHE: join(folder, 'compiled'), ...childEnv() },
    });
    this.#exited = new Promise((resolve) => this.#child.on('close', resolve));
    const listening = Promise.withResolvers<string | undefined>();
    const hear = (chunk: Buffer) => {
      this.#output += chunk.toString();
      const [, url] = /"url":"(http:[^"]+)"/.exec(this.#output) ?? [];
      if (url !== undefined) listening.resolve(url);
    };
    this.#child.stdout?.on('data', hear);
    this.#child.stderr?.on('data', hear);
    // It never rejects.
    void this.#exited.then(() => listening.resolve(undefined));
    this.url = listening.promise;
  }

  get output(): string {
    return this.#output;
  }

  /** Resolves with the exit code; null after a kill. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  /** Resolves with the exit code; null after a kill. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#exited;
  }
}
