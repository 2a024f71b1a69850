/** The program itself: gives the command line and the process to `runCommandLine`, and ends with its exit code. */
import { isatty } from 'node:tty';
import type { StopSignal } from '../daemon/exit-code.ts';
import { runCommandLine } from './program.ts';
import type { Output, Shell } from './shell.ts';

function createOutput(stream: NodeJS.WriteStream & { readonly fd: number }): Output {
  return {
    // A stream that broke reports it as an event too, below; the writer need not hear of it twice.
    write: (text) => new Promise((resolve) => stream.write(text, () => resolve())),
    isTerminal: isatty(stream.fd),
  };
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

/** A reader that has left (`| head`) wants no more: that is its right, and no error. */
function leaveWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
}

process.stdout.on('error', leaveWithReader);
process.stderr.on('error', () => undefined); // Nobody is left to tell.

// `runCommandLine` never rejects. Exiting by hand: an idle connection must not keep the process.
void runCommandLine(process.argv.slice(2), createShell()).then((code) => process.exit(code));
