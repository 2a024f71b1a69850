/** A program that uses the official OpenAI client as its documentation shows: a completion, or a stream read to its end. */
import type OpenAI from 'openai';
import { PROMPT, type Tokens } from './history.ts';
import type { Asked, Heard } from './subject.ts';

const messages = [{ role: 'user' as const, content: PROMPT }];

/** What to ask for, and what to send along. */
export interface OpenaiQuestion extends Asked {
  readonly model: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks once; rejects with whatever the client throws. */
export async function askOpenai(client: OpenAI, question: OpenaiQuestion, heard: Heard): Promise<void> {
  const { model, headers = {}, signal } = question;
  if (question.delivery === 'unstreamed') {
    const completion = await client.chat.completions.create({ model, messages }, { headers, signal });
    hear(heard, completion.choices[0]?.message.content, completion);
    return;
  }
  const stream = await client.chat.completions.create(
    { model, messages, stream: true, stream_options: { include_usage: true } },
    { headers, signal },
  );
  for await (const chunk of stream) hear(heard, chunk.choices[0]?.delta.content, chunk);
}

function hear(
  heard: Heard,
  text: string | null | undefined,
  { model, usage }: { readonly model: string; readonly usage?: OpenAI.CompletionUsage | null | undefined },
): void {
  heard.text += text ?? '';
  heard.model = model;
  heard.usage = readUsage(usage) ?? heard.usage;
}

function readUsage(usage: OpenAI.CompletionUsage | null | undefined): Tokens | undefined {
  return usage === null || usage === undefined
    ? undefined
    : { input: usage.prompt_tokens, output: usage.completion_tokens };
}
