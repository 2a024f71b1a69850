/** `submit`: hands a request over and prints its id, by which `result` fetches the answer later. */
import { ADMIN_TIMEOUT_MS, type AddCommand, type CommandContext } from './session.ts';
import { addPromptOptions, readPrompt, renderBody, renderHeaders, type PromptOptions } from './prompt.ts';
import { parseBody, requestBody } from './wire.ts';

interface SubmitOptions extends PromptOptions {
  readonly idempotencyKey?: string;
}

export const addSubmit: AddCommand = (program, session) => {
  addPromptOptions(program.command('submit'))
    .description('hand a request over and print its id')
    .option('--idempotency-key <key>', 'submitting the same again gives the same id')
    .action((prompt: string | undefined, options: SubmitOptions, command) =>
      session.run(command, (context) => submit(context, prompt, options)),
    );
};

async function submit(context: CommandContext, argument: string | undefined, options: SubmitOptions): Promise<void> {
  const client = context.client();
  const body = await client.ask({
    method: 'POST',
    path: '/v1/requests',
    headers: { ...renderHeaders(options), 'idempotency-key': options.idempotencyKey },
    body: renderBody(await readPrompt(context.shell, argument), options),
    signal: context.shell.interrupt(),
    timeoutMs: ADMIN_TIMEOUT_MS,
  });
  const { requestId } = parseBody(requestBody, body, client.url);
  await context.show(body, `${requestId}\n`);
}
