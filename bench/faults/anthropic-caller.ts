/** A program that uses the official Anthropic client as its documentation shows: a message, or a stream read to its end. */
import type Anthropic from '@anthropic-ai/sdk';
import { PROMPT } from './history.ts';
import type { Asked, Heard } from './subject.ts';

/** More than an answer has. */
const tokensMax = 1_000;
const messages = [{ role: 'user' as const, content: PROMPT }];

/** What to ask for, and what to send along. */
export interface AnthropicQuestion extends Asked {
  readonly model: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks once; rejects with whatever the client throws. */
export async function askAnthropic(client: Anthropic, question: AnthropicQuestion, heard: Heard): Promise<void> {
  const { model, headers = {}, signal } = question;
  const body = { model, max_tokens: tokensMax, messages };
  if (question.delivery === 'unstreamed') {
    const message = await client.messages.create(body, { headers, signal });
    heard.text = message.content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('');
    heard.model = message.model;
    heard.usage = { input: message.usage.input_tokens, output: message.usage.output_tokens };
    return;
  }
  for await (const event of await client.messages.create({ ...body, stream: true }, { headers, signal }))
    hear(heard, event);
}

function hear(heard: Heard, event: Anthropic.RawMessageStreamEvent): void {
  switch (event.type) {
    case 'message_start':
      heard.model = event.message.model;
      heard.usage = { input: event.message.usage.input_tokens, output: event.message.usage.output_tokens };
      return;
    case 'content_block_delta':
      if (event.delta.type === 'text_delta') heard.text += event.delta.text;
      return;
    case 'message_delta':
      heard.usage = {
        input: event.usage.input_tokens ?? heard.usage?.input ?? 0,
        output: event.usage.output_tokens,
      };
      return;
    default:
  }
}
