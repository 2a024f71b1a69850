/** Prints a streamed answer as it comes; with `--json` one chunk a line. */
import { EXIT } from '../daemon/exit-code.ts';
import type { Ask } from './client.ts';
import { CliFailure, EXIT_OF_CODE, readErrorCode } from './failure.ts';
import { printable } from './render.ts';
import { readEvents } from './server-sent-events.ts';
import type { CommandContext } from './session.ts';
import { completionChunk, parseBody } from './wire.ts';

/** Asks for a stream of chunks and prints it to its end. @throws {CliFailure} when it breaks, or tells of a failure */
export async function printStream(context: CommandContext, ask: Ask): Promise<void> {
  const { shell, isJson } = context;
  const client = context.client();
  let finishReason: string | undefined;
  let hasText = false;
  try {
    for await (const event of readEvents(client.stream(ask))) {
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

/** Says on standard error that an answer is not all that there was to say. */
export async function warnWhenCut(
  { shell, isJson }: CommandContext,
  finishReason: string | null | undefined,
): Promise<void> {
  if (finishReason !== 'length' || isJson) return;
  await shell.stderr.write('switchgear: the answer was cut at its maximum: pass a larger --max-tokens\n');
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
