/**
 * Everything a command gets from outside and gives back: environment, standard input and output, and the wish of its
 * user to stop. Commands see nothing else of the process, so that tests can run them inside their own.
 */
import type { StopSignal } from '../daemon/exit-code.ts';

export interface Output {
  /** Resolves when the text has been taken, so that a slow reader slows the writer. */
  write(text: string): Promise<void>;
  readonly isTerminal: boolean;
  /** The width of the terminal in characters; undefined where there is none. */
  readonly columns?: number | undefined;
}

export interface Input {
  readonly isTerminal: boolean;
  /** The bytes until its end. */
  read(): AsyncIterable<Uint8Array>;
}

export interface Shell {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /**
   * Aborts when the user presses Ctrl-C. The first call starts listening: until then, and for a second Ctrl-C, the
   * process ends as any other would.
   */
  interrupt(): AbortSignal;
  /** The signal that aborted it, once one has. */
  interruptedBy(): StopSignal | undefined;
}
