/**
 * A program of a user: the official clients, unchanged but for their base URL, in a process of its own. It prints what it
 * was told, as one JSON document.
 */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const [url = '', model = ''] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused' });
const anthropic = new Anthropic({ baseURL: url, apiKey: 'unused' });
const messages = [{ role: 'user' as const, content: 'What keeps the lights on?' }];

const completion = await openai.chat.completions.create({ model, messages }).withResponse();

const chunks: string[] = [];
let streamUsage: number | undefined;
let finishReason: string | null | undefined;
for await (const chunk of await openai.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
})) {
  chunks.push(chunk.choices[0]?.delta.content ?? '');
  finishReason = chunk.choices[0]?.finish_reason ?? finishReason;
  streamUsage = chunk.usage?.completion_tokens ?? streamUsage;
}

const message = await anthropic.messages.create({ model, max_tokens: 200, messages });
const streamed = await anthropic.messages.stream({ model, max_tokens: 200, messages }).finalMessage();
const embedding = await openai.embeddings.create({ model: 'vectors', input: ['one', 'two'] });
const unknown = await openai.chat.completions
  .create({ model: 'no-such-model', messages })
  .catch((error: unknown) => error);

const textOf = (content: Anthropic.ContentBlock[]) =>
  content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('');

process.stdout.write(
  JSON.stringify({
    provider: completion.response.headers.get('x-switchgear-provider'),
    requestId: completion.response.headers.get('x-switchgear-request-id'),
    openai: {
      text: completion.data.choices[0]?.message.content,
      finish: completion.data.choices[0]?.finish_reason,
      usage: completion.data.usage?.completion_tokens,
    },
    openaiStream: { text: chunks.join(''), finish: finishReason, usage: streamUsage },
    anthropic: { text: textOf(message.content), finish: message.stop_reason, usage: message.usage.output_tokens },
    anthropicStream: {
      text: textOf(streamed.content),
      finish: streamed.stop_reason,
      usage: streamed.usage.output_tokens,
    },
    vectors: embedding.data.map((entry) => entry.embedding.length),
    unknown: unknown instanceof OpenAI.NotFoundError ? unknown.code : String(unknown),
  }),
);
