/** `restart`, `suspend`, `resume`: what an operator does to one actor of the tree. */
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure } from './failure.ts';
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';

const VERBS = [
  { verb: 'restart', done: 'restarted', description: 'start an actor afresh, also one that gave up' },
  { verb: 'suspend', done: 'suspended', description: 'let an actor wait; what it is told meanwhile is kept' },
  { verb: 'resume', done: 'resumed', description: 'let a suspended actor go on' },
] as const;

export const addActors: AddCommand = (program, session) => {
  for (const verb of VERBS) {
    program
      .command(verb.verb)
      .description(verb.description)
      .argument('<id>', 'an actor as status names it')
      .action((id: string, _options: unknown, command) => session.run(command, (context) => tell(context, id, verb)));
  }
};

async function tell(context: CommandContext, id: string, { verb, done }: (typeof VERBS)[number]): Promise<void> {
  if (id === '' || id === '.' || id === '..')
    throw new CliFailure(EXIT.usage, `expected ID to be an actor as "status" names it, got: ${id}`);
  const body = await context.client().ask({
    method: 'POST',
    path: `/admin/actors/${encodeURIComponent(id)}/${verb}`,
    signal: context.shell.interrupt(),
    timeoutMs: ADMIN_TIMEOUT_MS,
  });
  await context.show(body, `${id} is ${done}\n`);
}
