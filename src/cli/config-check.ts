/** `config check`: reads a config as `serve` would and tells every mistake, without starting anything. */
import { invalidConfig } from '../config/problems.ts';
import type { ConfigResolution } from '../config/resolve.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { findHostProblem } from '../daemon/address.ts';
import { EXIT } from '../daemon/exit-code.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { CliFailure } from './failure.ts';
import { findConfigFile } from './serve.ts';
import type { AddCommand, CommandContext } from './session.ts';

interface CheckOptions {
  readonly allowUnauthenticated?: boolean;
}

export const addConfig: AddCommand = (program, session) => {
  program
    .command('config')
    .description('look at configs')
    .command('check')
    .description('tell every mistake in a config; exit code 78 when there is one')
    .argument('[file]', 'default: the one that serve would take')
    .option('--allow-unauthenticated', 'accept a host that others can reach, as serve does with this option')
    .action((file: string | undefined, options: CheckOptions, command) =>
      session.run(command, (context) => check(context, file ?? findConfigFile(), options)),
    );
};

async function check(context: CommandContext, file: string, options: CheckOptions): Promise<void> {
  try {
    const { config, notices, warnings } = await load(context, file, options);
    const active = config.providers.map((provider) => provider.name);
    const lines = [
      `${file} is valid. Providers: ${active.length === 0 ? 'none' : active.join(', ')}.`,
      ...notices,
      ...warnings.map((warning) => `Warning: ${warning}`),
    ];
    await context.show({ ok: true, file, providers: active, notices, warnings }, `${lines.join('\n')}\n`);
  } catch (error) {
    if (!(error instanceof SwitchgearError)) throw error;
    throw new CliFailure(EXIT.config, error.message, {
      code: error.code,
      document: { ok: false, file, problems: problemsOf(error) },
      cause: error,
    });
  }
}

/** Reads the config and judges what `serve` judges beyond it: the options of adapters, and who may reach the host. */
async function load(context: CommandContext, file: string, options: CheckOptions): Promise<ConfigResolution> {
  const { loadConfigFile } = await import('../config/load.ts');
  const { findOptionProblems } = await import('../build-adapters.ts');
  const resolution = await loadConfigFile(file, { env: context.shell.env });
  const { providers, http } = resolution.config;
  const hostProblem = findHostProblem('http.host', http.host, options.allowUnauthenticated === true);
  const problems = [
    ...findOptionProblems(providers, { adapters: {}, fetch: undefined, clock: systemClock }),
    ...(hostProblem === undefined ? [] : [hostProblem]),
  ];
  if (problems.length > 0) throw invalidConfig(file, problems);
  return resolution;
}

/** The list that a config error carries, one entry a mistake. */
function problemsOf({ cause, message }: SwitchgearError): unknown {
  return typeof cause === 'object' && cause !== null && 'problems' in cause ? cause.problems : [{ path: '', message }];
}
