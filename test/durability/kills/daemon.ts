/** One life of the daemon after the other over one file: started as a user would start it, ended by SIGKILL. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN } from '../../daemon/daemon-process.ts';

export interface DaemonPlan {
  readonly folder: string;
  readonly upstream: string;
  /** What Node runs: the sources, unless there is a build. */
  readonly main?: string;
}

/** Patient with its provider, so that a second call means that somebody died. */
export function writeDaemonConfig({ folder, upstream }: DaemonPlan): { readonly config: string; readonly store: string } {
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

export class Daemon {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  /** Where it listens; undefined when it ended before. */
  readonly url: Promise<string | undefined>;
  #output = '';

  constructor(config: string, main = MAIN) {
    const words = ['--no-warnings', main, 'serve', '--config', config, '--port', '0'];
    this.#child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
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
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#exited;
  }
}
