/**
 * The Vercel AI SDK: alone, and with each of the two packages that give it a fallback. Its streams tell errors and aborts
 * as parts, which the caller here heeds as its documentation says; reading the text alone would miss them.
 */
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, type LanguageModel, streamText, type TextStreamPart, type ToolSet } from 'ai';
import { createFallback } from 'ai-fallback';
import { experimental_retryableGenerateText as retryableGenerateText } from 'ai-retry/generate-text';
import { error as whenGenerating } from 'ai-retry/generate-text/conditions';
import { experimental_retryableStreamText as retryableStreamText } from 'ai-retry/stream-text';
import { error as whenStreaming } from 'ai-retry/stream-text/conditions';
import { MODELS, PROMPT, type Side } from '../faults/history.ts';
import type { Stage } from '../faults/stage.ts';
import { type Asked, type Heard, perStage, type Session, type Subject } from '../faults/subject.ts';
import { FIRST_PIECE_MS, RETRIES, STALL_MS, UNSTREAMED_MS } from './limits.ts';

const UNSTREAMED = { totalMs: UNSTREAMED_MS };
const STREAMED = { stepMs: UNSTREAMED_MS, firstChunkMs: FIRST_PIECE_MS, chunkMs: STALL_MS };
const TIMEOUTS =
  '`timeout: { stepMs: 60000, firstChunkMs: 12000, chunkMs: 15000 }` for streams, `{ totalMs: 60000 }` otherwise';
/** As in the documentation of ai-fallback. */
const RESET_MS = 60_000;
/** As in the documentation of ai-retry. */
const BACKOFF = { delay: 1_000, backoffFactor: 2, maxAttempts: 1 + RETRIES };

const common = { wire: 'openai', deliveries: ['unstreamed', 'live'] } as const;

/** Alone, with its default retries. */
export const AI_SDK: Subject = {
  ...common,
  name: 'AI SDK',
  settings: `its default retries (\`maxRetries: 2\`), ${TIMEOUTS}; it has no fallback`,
  hasFallback: false,
  start: perStage(async (stage) => openPlain(chatModel(stage, 'primary'))),
};

/** With ai-fallback, one model that goes on to the next. */
export const AI_FALLBACK: Subject = {
  ...common,
  name: 'AI SDK + ai-fallback',
  settings: `\`createFallback\` over both models with \`modelResetInterval: ${RESET_MS}\`, default retries, ${TIMEOUTS}`,
  hasFallback: true,
  start: perStage(async (stage) =>
    openPlain(
      createFallback({
        models: [chatModel(stage, 'primary'), chatModel(stage, 'fallback')],
        modelResetInterval: RESET_MS,
      }),
    ),
  ),
};

/** With ai-retry around the call, which can go on to the next model after a time limit, too. */
export const AI_RETRY: Subject = {
  ...common,
  name: 'AI SDK + ai-retry',
  settings: `\`experimental_retryableGenerateText\` and \`…StreamText\` with \`error.isRetryable(true).retry({ delay: 1000, backoffFactor: 2, maxAttempts: 3 })\`, then the fallback for every other error; ${TIMEOUTS}`,
  hasFallback: true,
  start: perStage(async (stage) => openRetrying(chatModel(stage, 'primary'), chatModel(stage, 'fallback'))),
};

function chatModel(stage: Stage, side: Side) {
  return createOpenAI({ baseURL: `${stage.url(side)}/v1`, apiKey: 'key' }).chat(MODELS[side]);
}

const close = async () => undefined;
/** Errors reach the caller as parts; the SDK would print them as well. */
const onError = () => undefined;

function openPlain(model: LanguageModel): Session {
  const request = (asked: Asked) => ({ model, prompt: PROMPT, abortSignal: asked.signal });
  return {
    ask: async (asked, heard) => {
      if (asked.delivery === 'unstreamed')
        return hearWhole(heard, await generateText({ ...request(asked), timeout: UNSTREAMED }));
      return await hearStream(heard, streamText({ ...request(asked), timeout: STREAMED, onError }).stream);
    },
    close,
  };
}

function openRetrying(primary: ReturnType<typeof chatModel>, fallback: ReturnType<typeof chatModel>): Session {
  const request = (asked: Asked) => ({ model: primary, prompt: PROMPT, abortSignal: asked.signal });
  return {
    ask: async (asked, heard) => {
      if (asked.delivery === 'unstreamed') {
        const retry = [whenGenerating.isRetryable(true).retry(BACKOFF), { model: fallback, timeout: UNSTREAMED }];
        return hearWhole(heard, await retryableGenerateText({ ...request(asked), timeout: UNSTREAMED, retry }));
      }
      const retry = [whenStreaming.isRetryable(true).retry(BACKOFF), { model: fallback, timeout: STREAMED }];
      const result = await retryableStreamText({ ...request(asked), timeout: STREAMED, retry, onError });
      return await hearStream(heard, result.stream);
    },
    close,
  };
}

interface Counts {
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
}

function hearWhole(
  heard: Heard,
  { text, usage, response }: { text: string; usage: Counts; response: { modelId: string } },
): void {
  heard.text = text;
  heard.model = response.modelId;
  hearUsage(heard, usage);
}

async function hearStream(heard: Heard, parts: AsyncIterable<TextStreamPart<ToolSet>>): Promise<void> {
  for await (const part of parts) {
    if (part.type === 'text-delta') heard.text += part.text;
    if (part.type === 'error') throw part.error instanceof Error ? part.error : new Error(JSON.stringify(part.error));
    if (part.type === 'abort') throw new Error(`aborted: ${part.reason ?? 'no reason given'}`);
    if (part.type === 'finish-step') heard.model = part.response.modelId;
    if (part.type === 'finish') hearUsage(heard, part.totalUsage);
  }
}

function hearUsage(heard: Heard, { inputTokens, outputTokens }: Counts): void {
  if (inputTokens === undefined || outputTokens === undefined) return;
  heard.usage = { input: inputTokens, output: outputTokens };
}
