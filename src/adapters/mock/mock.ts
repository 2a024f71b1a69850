/**
 * The adapter without a model: it answers from a script, and when there is none with an echo that says what it is. It is
 * what a service runs on before any key is set, and what users' own tests run on: every failure the runtime knows can be
 * scripted, every wait is on the injected clock, and an aborted call ends at once.
 */
import type { AdapterCall, AdapterPart, AdapterReply, CreateAdapter } from '../../contract/adapter.ts';
import type { Clock } from '../../contract/clock.ts';
import type { FinishReason, ToolCall, Usage } from '../../contract/response.ts';
import { AttemptError } from '../attempt-error.ts';
import { countInputTokens } from './answer.ts';
import { createAbandonment, createClassify } from './failure.ts';
import { parseMockOptions, type MockOptions } from './options.ts';
import { pause, untilAborted } from './pause.ts';
import { planPerformance, renderFailure, type Ending } from './performance.ts';
import { countPieces } from './pieces.ts';
import { MockScript } from './script.ts';
import { dimensionsMax, embedText } from './vectors.ts';

/** Builds the mock adapter of one provider. @throws {SwitchgearError} `invalid-config` when its options are wrong */
export const createMockAdapter: CreateAdapter = (config, { clock }) => {
  const options = parseMockOptions(config.options, config.name);
  const mock: Mock = { provider: config.name, options, script: new MockScript(options, () => clock.random()), clock };
  return {
    send: (call) => collect(streamAnswer(mock, call)),
    stream: (call) => streamAnswer(mock, call),
    embed: async ({ request, signal }) => {
      await settleOutcome(mock, 'embed', signal);
      const dimensions = request.dimensions ?? options.embeddingDimensions;
      if (dimensions > dimensionsMax) {
        throw new AttemptError({
          kind: 'invalid-request',
          message: `expected dimensions to be at most ${dimensionsMax}, got: ${dimensions}`,
        });
      }
      return {
        vectors: request.input.map((text) => embedText(text, dimensions)),
        usage: { inputTokens: request.input.reduce((sum, text) => sum + countPieces(text), 0) },
      };
    },
    check: ({ signal }) => settleOutcome(mock, 'check', signal),
    classify: createClassify(config, clock),
    supports: (feature) => !feature.startsWith('wire:'),
    countTokens: (request) => countInputTokens(request.messages),
  };
};

interface Mock {
  readonly provider: string;
  readonly options: MockOptions;
  readonly script: MockScript;
  readonly clock: Clock;
}

async function* streamAnswer(
  { provider, options, script, clock }: Mock,
  call: AdapterCall,
): AsyncGenerator<AdapterPart, void> {
  const { signal } = call;
  try {
    signal.throwIfAborted();
    const { waitMs, parts, gapMs, ending } = planPerformance({
      provider,
      options,
      call,
      step: script.takeStep(call.request),
    });
    await pause(clock, waitMs, signal);
    for (const [index, part] of parts.entries()) {
      if (index > 0) await pause(clock, gapMs, signal);
      if (part.type === 'toolCall') yield { type: 'activity' };
      yield part;
    }
    signal.throwIfAborted();
    yield* end(ending, signal);
  } catch (error) {
    // An abort wins over whatever it interrupted.
    throw signal.aborted ? createAbandonment(signal) : error;
  }
}

async function* end(ending: Ending, signal: AbortSignal): AsyncGenerator<AdapterPart, void> {
  switch (ending.kind) {
    case 'hang':
      return await untilAborted(signal);
    case 'failure':
      throw new AttemptError(ending.failure);
    case 'finish':
      if (ending.usage !== undefined) yield { type: 'usage', usage: ending.usage };
      if (ending.finishReason !== undefined) yield { type: 'finish', finishReason: ending.finishReason };
  }
}

async function collect(parts: AsyncIterable<AdapterPart>): Promise<AdapterReply> {
  let text = '';
  let refusal = '';
  let usage: Usage = {};
  let finishReason: FinishReason | undefined;
  const toolCalls: ToolCall[] = [];
  for await (const part of parts) {
    if (part.type === 'text') text += part.text;
    if (part.type === 'refusal') refusal += part.text;
    if (part.type === 'toolCall') toolCalls.push({ id: part.id, name: part.name, arguments: part.arguments });
    if (part.type === 'usage') usage = part.usage;
    if (part.type === 'finish') finishReason = part.finishReason;
  }
  if (finishReason === undefined)
    throw new AttemptError({ kind: 'broken', message: 'the answer ended without a finish reason, as scripted' });
  return { text, toolCalls, finishReason, usage, ...(refusal !== '' && { refusal }) };
}

async function settleOutcome(
  { options, script, clock }: Mock,
  of: 'check' | 'embed',
  signal: AbortSignal,
): Promise<void> {
  try {
    signal.throwIfAborted();
    const failure = script.takeOutcome(of);
    await pause(clock, options.delayMs ?? 0, signal);
    if (failure !== undefined) throw new AttemptError(renderFailure(failure, false));
  } catch (error) {
    throw signal.aborted ? createAbandonment(signal) : error;
  }
}
