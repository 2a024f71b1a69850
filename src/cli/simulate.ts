/** `simulate`: an upstream that misbehaves as told, for rehearsing an outage. Ctrl-C ends it. */
import { once } from 'node:events';
import { isLoopback } from '../config/loopback.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { EXIT, type ExitCode } from '../daemon/exit-code.ts';
import { systemClock } from '../runtime/system-clock.ts';
import type { SimulateFlags, SimulateOptions } from '../simulator/command.ts';
import { CliFailure } from './failure.ts';
import { printable } from './render.ts';
import type { AddCommand, CommandContext } from './session.ts';

const collect = (text: string, earlier: readonly string[] = []): readonly string[] => [...earlier, text];

export const addSimulate: AddCommand = (program, session) => {
  program
    .command('simulate')
    .description('run an upstream that speaks the OpenAI and Anthropic wires and misbehaves as told')
    .option('--port <port>', '0 takes any free one; default: 4142')
    .option('--host <host>', 'default: 127.0.0.1')
    .option('--name <name>', 'what it calls itself in its answers')
    .option('--seed <number>', 'of everything that happens by chance')
    .option('--latency <ms>', '300, a range 200-400, or median and sigma 300~0.5')
    .option('--tokens-per-second <rate>', 'of streams; default: 80')
    .option('--output-tokens <count>', 'length of answers; default: 60')
    .option('--model <id>', 'one it serves; may be repeated', collect)
    .option('--key <key>', 'one it accepts, others get 401; may be repeated', collect)
    .option('--outage <when>', 'from-to:fault, such as 10s-40s:503; may be repeated', collect)
    .option('--failure-rate <share>', 'rate:fault, such as 0.1:500; may be repeated', collect)
    .option('--script <faults>', 'request by request, such as 500,ok,cut-40')
    .option('--fault <fault>', 'one that is on from the start')
    .action((flags: SimulateFlags, command) => session.run(command, (context) => simulate(context, flags)));
};

async function simulate(context: CommandContext, flags: SimulateFlags): Promise<ExitCode> {
  const { parseSimulateOptions } = await import('../simulator/command.ts');
  const options = await orFail(EXIT.usage, () => parseSimulateOptions(flags));
  if (options.host !== undefined && !isLoopback(options.host)) {
    await context.shell.stderr.write(
      `switchgear: everybody who reaches ${printable(options.host)} can use this simulator, read what it was asked and switch its faults\n`,
    );
  }
  await orFail(EXIT.unavailable, () =>
    context.isJson ? runForPrograms(context, options) : runForPeople(context, options),
  );
  return EXIT.ok;
}

async function runForPeople({ shell }: CommandContext, options: SimulateOptions): Promise<void> {
  const { runSimulate } = await import('../simulator/command.ts');
  const write = (text: string): void => void shell.stdout.write(text); // A broken output ends the process by itself.
  await runSimulate(options, { clock: systemClock, write, signal: shell.interrupt() });
}

/** Tells its address alone, which a program that starts it needs. */
async function runForPrograms(context: CommandContext, options: SimulateOptions): Promise<void> {
  const { createSimulator } = await import('../simulator/server.ts');
  const signal = context.shell.interrupt();
  const simulator = await createSimulator({ ...options, clock: systemClock });
  try {
    const { name, url, port } = simulator;
    await context.show({ name, url, port }, '');
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await simulator.close();
  }
}

async function orFail<Value>(exitCode: ExitCode, work: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SwitchgearError)) throw error;
    throw new CliFailure(exitCode, error.message, { code: error.code, cause: error });
  }
}
