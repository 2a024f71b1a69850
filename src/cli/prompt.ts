/** What `complete` and `submit` share: the prompt, from the command line or standard input, and the options of a request. */
import { Option, type Command } from 'commander';
import { EXIT } from '../daemon/exit-code.ts';
import { integer } from './arguments.ts';
import { CliFailure } from './failure.ts';
import type { Shell } from './shell.ts';

const PROMPT_MAX_BYTES = 16 * 1024 * 1024;

export interface PromptOptions {
  readonly model?: string;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly priority?: string;
  readonly timeoutMs?: number;
  readonly tenant?: string;
}

/** Adds the options of `PromptOptions` to a command. */
export function addPromptOptions(command: Command): Command {
  return command
    .argument('[prompt]', 'what to ask; "-" or nothing reads standard input')
    .option('-m, --model <model>', 'a model, provider/model, or an alias; default: defaults.model of the config')
    .option('-s, --system <text>', 'instructions for the model')
    .option('--max-tokens <count>', 'upper bound for the answer', integer(1, 10_000_000))
    .addOption(new Option('-p, --priority <class>', 'class of service').choices(['high', 'normal', 'low']))
    .option('--timeout-ms <ms>', 'one deadline over queueing, retries and fallback', integer(1, 86_400_000))
    .option('--tenant <name>', 'the account it is booked to');
}

/** Renders the options as the body of a chat completion. */
export function renderBody(prompt: string, options: PromptOptions): Record<string, unknown> {
  return {
    ...(options.model !== undefined && { model: options.model }),
    messages: [
      ...(options.system === undefined ? [] : [{ role: 'system', content: options.system }]),
      { role: 'user', content: prompt },
    ],
    ...(options.maxTokens !== undefined && { max_tokens: options.maxTokens }),
  };
}

/** Renders the options that travel as headers. */
export function renderHeaders(options: PromptOptions): Record<string, string | undefined> {
  return {
    'x-switchgear-priority': options.priority,
    'x-switchgear-timeout-ms': options.timeoutMs?.toString(),
    'x-switchgear-tenant': options.tenant,
  };
}

/** Gives the prompt typed, else all of standard input. @throws {CliFailure} when there is none. */
export async function readPrompt(shell: Shell, argument: string | undefined): Promise<string> {
  const isTyped = argument !== undefined && argument !== '-';
  if (!isTyped && argument === undefined && shell.stdin.isTerminal) {
    throw new CliFailure(EXIT.usage, 'expected a prompt, got none: give it in quotes, or pipe it in');
  }
  const prompt = isTyped ? argument : await readInput(shell);
  if (prompt.trim() === '') throw new CliFailure(EXIT.usage, 'expected the prompt to be some text, got nothing');
  return prompt;
}

async function readInput(shell: Shell): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of shell.stdin.read()) {
    size += chunk.length;
    if (size > PROMPT_MAX_BYTES) {
      throw new CliFailure(EXIT.request, `expected standard input to be up to ${PROMPT_MAX_BYTES} bytes, got more`);
    }
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new CliFailure(EXIT.request, 'expected standard input to be text in UTF-8, got other bytes', {
      cause: error,
    });
  }
}
