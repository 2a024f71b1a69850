/** The program itself: gives the command line and the process to `runCommandLine`, and ends with its exit code. */
import { isatty } from 'node:tty';
import { EXIT, type StopSignal } from '../daemon/exit-code.ts';
import { runCommandLine } from './program.ts';
import type { Output, Shell } from './shell.ts';

function createOutput(stream: NodeJS.WriteStream & { readonly fd: number }): Output {
  // What happened to a write is told to its writer, below; without a listener it would be an exception as well.
  stream.on('error', () => undefined);
  return {
    write: (text) =>
      new Promise((resolve) => {
        stream.write(text, (error) => {
          if (error !== null && error !== undefined) leave(error);
          resolve();
        });
      }),
    isTerminal: isatty(stream.fd),
    get columns() {
      return 'columns' in stream && typeof stream.columns === 'number' ? stream.columns : undefined;
    },
  };
}

/** Ends a program whose output nobody takes. A reader that has left (`| head`) wants no more, which is no error. */
function leave(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  process.stderr.write(`switchgear: cannot write the output: ${error.message}\n`);
  process.exit(EXIT.output);
}

function createShell(): Shell {
  const controller = new AbortController();
  let isListening = false;
  let interruptedBy: StopSignal | undefined;
  const onSignal = (signal: StopSignal): void => {
    interruptedBy ??= signal;
    controller.abort();
  };
  return {
    env: process.env,
    stdin: { isTerminal: isatty(0), read: () => process.stdin },
    stdout: createOutput(process.stdout),
    stderr: createOutput(process.stderr),
    interrupt: () => {
      if (!isListening) {
        isListening = true;
        process.once('SIGINT', onSignal);
        process.once('SIGTERM', onSignal);
      }
      return controller.signal;
    },
    interruptedBy: () => interruptedBy,
  };
}

// `runCommandLine` never rejects. Exiting by hand: an idle connection must not keep the process.
void runCommandLine(process.argv.slice(2), createShell()).then((code) => process.exit(code));
