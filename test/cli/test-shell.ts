/** A shell that a test owns: what was written is kept, what is read is given, Ctrl-C is a call. */
import { runCommandLine } from '../../src/cli/program.ts';
import type { Shell } from '../../src/cli/shell.ts';

export interface ShellOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is piped in; undefined: standard input is a terminal. */
  readonly input?: string | Uint8Array;
  readonly isTerminal?: boolean;
  /** Called with all that standard output has got so far. */
  readonly onOutput?: (text: string) => void;
}

export interface TestShell extends Shell {
  readonly out: () => string;
  readonly err: () => string;
  readonly pressControlC: () => void;
}

export function createTestShell(options: ShellOptions = {}): TestShell {
  const controller = new AbortController();
  let out = '';
  let err = '';
  return {
    env: options.env ?? {},
    stdin: {
      isTerminal: options.input === undefined,
      read: async function* () {
        yield typeof options.input === 'string' ? Buffer.from(options.input) : (options.input ?? new Uint8Array());
      },
    },
    stdout: {
      write: async (text) => {
        out += text;
        options.onOutput?.(out);
      },
      isTerminal: options.isTerminal ?? false,
    },
    stderr: {
      write: async (text) => {
        err += text;
      },
      isTerminal: options.isTerminal ?? false,
    },
    interrupt: () => controller.signal,
    interruptedBy: () => (controller.signal.aborted ? 'SIGINT' : undefined),
    out: () => out,
    err: () => err,
    pressControlC: () => controller.abort(),
  };
}

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in a shell of its own. */
export async function run(words: readonly string[], options: ShellOptions = {}): Promise<Run> {
  const shell = createTestShell(options);
  const code = await runCommandLine(words, shell);
  return { code, out: shell.out(), err: shell.err() };
}
