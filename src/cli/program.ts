/**
 * Runs one command line from its words to its exit code. Commander reads the words; what it complains of, what a command
 * throws and what the user interrupts all end here, as one line that says what to do and a number that says the same.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, SIGNAL_EXIT, type ExitCode } from '../daemon/exit-code.ts';
import { addActors } from './actors.ts';
import { addBatch } from './batch.ts';
import { addComplete } from './complete.ts';
import { addConfig } from './config-check.ts';
import { addCosts } from './costs.ts';
import { addDemo } from './demo-command.ts';
import { addExplain } from './explain.ts';
import { CliFailure } from './failure.ts';
import { printable } from './render.ts';
import { addCancel, addResult } from './result.ts';
import { addServe } from './serve.ts';
import { createSession } from './session.ts';
import type { Shell } from './shell.ts';
import { addSimulate } from './simulate.ts';
import { addStatus } from './status.ts';
import { addSubmit } from './submit.ts';

const WORDS = [
  addServe,
  addComplete,
  addSubmit,
  addResult,
  addCancel,
  addBatch,
  addStatus,
  addCosts,
  addExplain,
  addActors,
  addConfig,
  addSimulate,
  addDemo,
];

const EXIT_CODES = `
Exit codes:
  0   done                                     70  crash: a mistake of ours
  64  usage: unknown command or option         75  try again later: overloaded, timed out, still running
  65  the request itself is at fault           76  a provider failed, or what answered is not Switchgear
  69  daemon unreachable, or its port taken    77  key, budget or permission missing
  74  the output cannot be written             78  config, or Node too old
                                           130 interrupted (143: terminated)`;

/** Runs `words`, the command line without Node and script. Never rejects. */
export async function runCommandLine(words: readonly string[], shell: Shell): Promise<ExitCode> {
  const session = createSession(shell);
  const printed: string[] = [];
  const program = new Command('switchgear')
    .description('A supervised LLM service for long-running Node processes.')
    .version(readVersion())
    .option('--url <address>', 'the daemon; default: SWITCHGEAR_URL, else http://127.0.0.1:4141')
    .option('--json', 'print one JSON document instead of text')
    .addHelpText('after', EXIT_CODES)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => printed.push(text),
      writeErr: (text) => printed.push(text),
      // What it says is in the error that it throws.
      outputError: () => undefined,
    })
    .exitOverride();
  for (const add of WORDS) add(program, session);
  try {
    await program.parseAsync(words, { from: 'user' });
    return session.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && isHelp(error)) return await printHelp(error, printed, shell);
    return await tellFailure(toFailure(error, shell), shell, words.includes('--json'));
  }
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string }; // npm installs no package without one.
  return version;
}

function isHelp(error: CommanderError): boolean {
  return ['commander.help', 'commander.helpDisplayed', 'commander.version'].includes(error.code);
}

/** Help that was asked for is output; help shown because the words said too little is an error. */
async function printHelp(error: CommanderError, printed: readonly string[], shell: Shell): Promise<ExitCode> {
  const isAsked = error.exitCode === 0;
  await (isAsked ? shell.stdout : shell.stderr).write(printed.join(''));
  return isAsked ? EXIT.ok : EXIT.usage;
}

function toFailure(error: unknown, shell: Shell): CliFailure {
  const signal = shell.interruptedBy();
  if (signal !== undefined) return new CliFailure(SIGNAL_EXIT[signal], 'interrupted', { cause: error });
  if (error instanceof CliFailure) return error;
  if (error instanceof CommanderError) {
    const sentence = error.message
      .replace(/^error: /, '')
      .replaceAll(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '');
    return new CliFailure(EXIT.usage, `${sentence}; "switchgear --help" lists what there is`, { cause: error });
  }
  const story = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CliFailure(EXIT.crash, `this is a mistake of ours, please report it: ${story}`, { cause: error });
}

/** With `--json` the one document on standard output is the failure. */
async function tellFailure(failure: CliFailure, shell: Shell, isJson: boolean): Promise<ExitCode> {
  if (isJson) await shell.stdout.write(`${JSON.stringify(failure)}\n`);
  else await shell.stderr.write(`switchgear: ${printable(failure.message)}\n`);
  return failure.exitCode;
}
