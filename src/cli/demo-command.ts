/** `demo`: shows on one screen what happens when a provider fails. */
import type { AddCommand } from './session.ts';

export const addDemo: AddCommand = (program, session) => {
  program
    .command('demo')
    .description('watch a provider fail and the service carry on; needs no keys')
    .action((_options: unknown, command) =>
      session.run(command, async (context) => {
        const { runDemo } = await import('./demo.ts');
        return await runDemo(context);
      }),
    );
};
