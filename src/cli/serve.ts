/** `serve`: starts the daemon in this process. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { integer } from './arguments.ts';
import type { AddCommand, CommandContext } from './session.ts';
import type { ExitCode } from '../daemon/exit-code.ts';

/** Looked for in the working directory, in this order; then comes the one that Switchgear brings. */
const CONFIG_FILES = ['switchgear.yaml', 'config/switchgear.yaml'];

interface ServeOptions {
  readonly config?: string;
  readonly port?: number;
  readonly host?: string;
  readonly allowUnauthenticated?: boolean;
}

export const addServe: AddCommand = (program, session) => {
  program
    .command('serve')
    .description('start the daemon here; logs are JSON lines on standard output')
    .option('-c, --config <file>', `YAML or JSON; default: ${CONFIG_FILES.join(' or ')}, else one that needs no keys`)
    .option('--port <port>', 'instead of http.port; 0 takes any free one', integer(0, 65_535))
    .option('--host <host>', 'instead of http.host')
    .option('--allow-unauthenticated', 'accept a host that others can reach, although callers need no key')
    .action((options: ServeOptions, command) => session.run(command, (context) => serve(context, options)));
};

/** The config that is meant when none is named. */
export function findConfigFile(): string {
  return (
    CONFIG_FILES.find((file) => existsSync(file)) ??
    fileURLToPath(new URL('../../config/switchgear.yaml', import.meta.url))
  );
}

async function serve({ shell, isJson }: CommandContext, options: ServeOptions): Promise<ExitCode> {
  const { runDaemon } = await import('../daemon/serve.ts');
  return await runDaemon({
    configFile: options.config ?? findConfigFile(),
    ...(options.port !== undefined && { port: options.port }),
    ...(options.host !== undefined && { host: options.host }),
    allowUnauthenticated: options.allowUnauthenticated === true,
    // npm hides the terminal from nobody, but `npm start` into a log file is still a person's first try.
    isInteractive: !isJson && (shell.stdout.isTerminal || shell.env['npm_lifecycle_event'] === 'start'),
    env: shell.env,
    tell: (text) => void shell.stderr.write(text), // Writing to standard error never rejects.
  });
}
