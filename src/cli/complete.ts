/** `complete`: asks and prints the answer, whole or as it comes. Ctrl-C cancels it up to the provider. */
import { printStream, warnWhenCut } from './print-stream.ts';
import { addPromptOptions, readPrompt, renderBody, renderHeaders, type PromptOptions } from './prompt.ts';
import { printable } from './render.ts';
import type { AddCommand, CommandContext } from './session.ts';
import { completionBody, parseBody, type CompletionBody } from './wire.ts';

interface CompleteOptions extends PromptOptions {
  readonly stream?: boolean;
}

const PATH = '/v1/chat/completions';

export const addComplete: AddCommand = (program, session) => {
  addPromptOptions(program.command('complete'))
    .description('ask and print the answer')
    .option('--stream', 'print the answer as it comes; with --json one chunk a line')
    .action((prompt: string | undefined, options: CompleteOptions, command) =>
      session.run(command, (context) => (options.stream === true ? stream : complete)(context, prompt, options)),
    );
};

async function complete(
  context: CommandContext,
  argument: string | undefined,
  options: CompleteOptions,
): Promise<void> {
  const client = context.client();
  const body = await client.ask({
    method: 'POST',
    path: PATH,
    headers: renderHeaders(options),
    body: renderBody(await readPrompt(context.shell, argument), options),
    signal: context.shell.interrupt(),
  });
  const completion = parseBody(completionBody, body, client.url);
  await context.show(body, renderAnswer(context, completion));
  await warnWhenCut(context, completion.choices[0]?.finish_reason);
}

async function stream(context: CommandContext, argument: string | undefined, options: CompleteOptions): Promise<void> {
  const { shell } = context;
  await printStream(context, {
    method: 'POST',
    path: PATH,
    headers: renderHeaders(options),
    body: { ...renderBody(await readPrompt(shell, argument), options), stream: true },
    signal: shell.interrupt(),
  });
}

/** Renders an answer for reading: its text, else its refusal, and the calls of tools it asks for, one a line. */
export function renderAnswer({ shell }: CommandContext, { choices }: CompletionBody): string {
  const message = choices[0]?.message;
  const text = message?.content ?? message?.refusal ?? '';
  const calls = (message?.tool_calls ?? []).map(({ function: tool }) => `${tool.name}(${tool.arguments})`);
  const lines = [...(text === '' && calls.length > 0 ? [] : [text]), ...calls].join('\n');
  return `${shell.stdout.isTerminal ? printable(lines) : lines}\n`;
}
