/** `config check`: reads a config as `serve` would and tells every mistake, without starting anything. */
import { EXIT } from '../daemon/exit-code.ts';
import { SwitchgearError } from '../contract/errors.ts';
import { CliFailure } from './failure.ts';
import { findConfigFile } from './serve.ts';
import type { AddCommand, CommandContext } from './session.ts';

export const addConfig: AddCommand = (program, session) => {
  program
    .command('config')
    .description('look at configs')
    .command('check')
    .description('tell every mistake in a config; exit code 78 when there is one')
    .argument('[file]', 'default: the one that serve would take')
    .action((file: string | undefined, _options: unknown, command) =>
      session.run(command, (context) => check(context, file ?? findConfigFile())),
    );
};

async function check(context: CommandContext, file: string): Promise<void> {
  const { loadConfigFile } = await import('../config/load.ts');
  try {
    const { config, notices, warnings } = await loadConfigFile(file, { env: context.shell.env });
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

/** The list that a config error carries, one entry a mistake. */
function problemsOf({ cause, message }: SwitchgearError): unknown {
  return typeof cause === 'object' && cause !== null && 'problems' in cause ? cause.problems : [{ path: '', message }];
}
