/** `explain`: who would answer a request now, in order, and why. Sends nothing to any provider. */
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { addPromptOptions, readPrompt, renderBody, renderHeaders, type PromptOptions } from './prompt.ts';
import { renderTable } from './render.ts';
import { explainBody, parseBody } from './wire.ts';

export const addExplain: AddCommand = (program, session) => {
  addPromptOptions(program.command('explain'))
    .description('show who would answer, in order, and why; sends nothing')
    .action((prompt: string | undefined, options: PromptOptions, command) =>
      session.run(command, (context) => explain(context, prompt, options)),
    );
};

async function explain(context: CommandContext, argument: string | undefined, options: PromptOptions): Promise<void> {
  const client = context.client();
  const common = { path: '/admin/explain', signal: context.shell.interrupt(), timeoutMs: ADMIN_TIMEOUT_MS } as const;
  const body = await client.ask(
    argument === undefined && options.system === undefined && options.maxTokens === undefined
      ? { ...common, method: 'GET', query: { model: options.model }, headers: renderHeaders(options) }
      : {
          ...common,
          method: 'POST',
          body: renderBody(argument === undefined ? '' : await readPrompt(context.shell, argument), options),
          headers: renderHeaders(options),
        },
  );
  const { candidates } = parseBody(explainBody, body, client.url);
  const rows = candidates.map(({ provider, model, usable, reasons }, index) => [
    `${index + 1}`,
    provider,
    model,
    usable ? 'yes' : 'no',
    reasons.join('; '),
  ]);
  await context.show(body, renderTable(['', 'PROVIDER', 'MODEL', 'USABLE', 'WHY'], rows));
}
