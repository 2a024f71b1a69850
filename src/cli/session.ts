/**
 * One run of the program: finds out which daemon is meant and how to print, runs the command, and leaves its exit code.
 * Each file that names a word of the shell adds its command to commander and gives its work to `run`.
 */
import type { Command } from 'commander';
import { EXIT, type ExitCode } from '../daemon/exit-code.ts';
import { createClient, type DaemonClient } from './client.ts';
import { CliFailure } from './failure.ts';
import type { Shell } from './shell.ts';

const URL_DEFAULT = 'http://127.0.0.1:4141';

/** How long the daemon may take for what it knows without asking anybody. */
export const ADMIN_TIMEOUT_MS = 10_000;

export interface CommandContext {
  readonly shell: Shell;
  readonly isJson: boolean;
  /** @throws {CliFailure} when the address cannot be one. */
  client(): DaemonClient;
  /** Prints `document` with `--json`, else `text`. */
  show(document: unknown, text: string): Promise<void>;
}

export interface Session {
  /** Runs the work of `command`; what it resolves with becomes the exit code, 0 by default. */
  run(command: Command, work: (context: CommandContext) => Promise<ExitCode | void>): Promise<void>;
  readonly exitCode: ExitCode;
}

/** Adds one word of the shell. */
export type AddCommand = (program: Command, session: Session) => void;

/** Builds the session of one run. */
export function createSession(shell: Shell): Session {
  let exitCode: ExitCode = EXIT.ok;
  return {
    run: async (command, work) => {
      exitCode = (await work(createContext(shell, command.optsWithGlobals()))) ?? EXIT.ok;
    },
    get exitCode() {
      return exitCode;
    },
  };
}

function createContext(shell: Shell, options: { readonly url?: string; readonly json?: boolean }): CommandContext {
  const isJson = options.json === true;
  return {
    shell,
    isJson,
    client: () => {
      const fromEnv = shell.env['SWITCHGEAR_URL'];
      if (options.url !== undefined) return createClient(parseUrl('--url', options.url));
      if (fromEnv !== undefined && fromEnv !== '') return createClient(parseUrl('SWITCHGEAR_URL', fromEnv));
      return createClient(URL_DEFAULT);
    },
    show: (document, text) => shell.stdout.write(isJson ? `${JSON.stringify(document)}\n` : text),
  };
}

/** Returns the address without a trailing slash; a path before the routes is kept. */
function parseUrl(name: string, text: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CliFailure(
      EXIT.usage,
      `expected ${name} to be an http or https URL such as ${URL_DEFAULT}, got: ${text}`,
    );
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new CliFailure(
      EXIT.usage,
      `expected ${name} to be an address without user, query and fragment, got one for ${url.host}`,
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}
