/** `complete`: asks and prints the answer, whole or as it comes. Ctrl-C cancels it up to the provider. */
import { EXIT } from '../daemon/exit-code.ts';
import { CliFailure, EXIT_OF_CODE, readErrorCode } from './failure.ts';
import { addPromptOptions, readPrompt, renderBody, renderHeaders, type PromptOptions } from './prompt.ts';
import { printable } from './render.ts';
import { readEvents } from './server-sent-events.ts';
import type { AddCommand, CommandContext } from './session.ts';
import { completionBody, completionChunk, parseBody, type CompletionBody } from './wire.ts';

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
  const { shell, isJson } = context;
  const client = context.client();
  const bytes = client.stream({
    method: 'POST',
    path: PATH,
    headers: renderHeaders(options),
    body: { ...renderBody(await readPrompt(shell, argument), options), stream: true },
    signal: shell.interrupt(),
  });
  let finishReason: string | undefined;
  let hasText = false;
  try {
    for await (const event of readEvents(bytes)) {
      if (event === '[DONE]') break;
      const chunk = parseChunk(event, client.url);
      if (isJson) await shell.stdout.write(`${event}\n`);
      const text = chunk.choices?.map(({ delta }) => delta?.content ?? delta?.refusal ?? '').join('') ?? '';
      if (!isJson && text !== '') await shell.stdout.write(shell.stdout.isTerminal ? printable(text) : text);
      hasText ||= text !== '';
      finishReason = chunk.choices?.[0]?.finish_reason ?? finishReason;
    }
  } finally {
    if (hasText && !isJson) await shell.stdout.write('\n');
  }
  if (finishReason === undefined)
    throw new CliFailure(EXIT.temporary, 'the stream ended before the answer was whole: ask again');
  await warnWhenCut(context, finishReason);
}

/** Reads one chunk. @throws {CliFailure} when it tells of a failure inside the stream. */
function parseChunk(event: string, url: string): ReturnType<typeof completionChunk.parse> {
  const chunk = parseBody(completionChunk, parseEvent(event), url);
  const { error } = chunk;
  if (error === null || error === undefined) return chunk;
  const code = readErrorCode(error.code);
  throw new CliFailure(
    code === undefined ? EXIT.protocol : EXIT_OF_CODE[code],
    error.message ?? 'the answer broke off',
    {
      ...(code !== undefined && { code }),
    },
  );
}

function parseEvent(event: string): unknown {
  try {
    return JSON.parse(event);
  } catch {
    return undefined; // Not a chunk: `parseBody` says so.
  }
}

/** Renders an answer for reading: its text, else its refusal, and the calls of tools it asks for, one a line. */
export function renderAnswer({ shell }: CommandContext, { choices }: CompletionBody): string {
  const message = choices[0]?.message;
  const text = message?.content ?? message?.refusal ?? '';
  const calls = (message?.tool_calls ?? []).map(({ function: tool }) => `${tool.name}(${tool.arguments})`);
  const lines = [...(text === '' && calls.length > 0 ? [] : [text]), ...calls].join('\n');
  return `${shell.stdout.isTerminal ? printable(lines) : lines}\n`;
}

async function warnWhenCut({ shell, isJson }: CommandContext, finishReason: string | null | undefined): Promise<void> {
  if (finishReason !== 'length' || isJson) return;
  await shell.stderr.write('switchgear: the answer was cut at its maximum: pass a larger --max-tokens\n');
}
