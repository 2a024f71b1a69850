/** Traffic of every kind against a test runtime, each request with a prompt of its own, so that answers cannot be mixed up. */
import type { Priority } from '../../src/contract/request.ts';
import type { CompletionResponse, StreamPart } from '../../src/contract/response.ts';
import { ask, type TestRuntime } from './test-runtime.ts';

const PRIORITIES: readonly Priority[] = ['high', 'normal', 'low'];
const MODES = ['sync', 'async', 'stream'] as const;

/** How one request of the traffic ended. */
export interface Ended {
  readonly mode: (typeof MODES)[number];
  readonly prompt: string;
  readonly response: CompletionResponse;
  /** What the caller of a stream, or of a result stream, read. */
  readonly read: string;
}

/** Starts `count` requests `gapMs` apart, alternating between the models, and waits for all of them. Rejects when one fails. */
export function sendTraffic(
  runtime: TestRuntime,
  count: number,
  gapMs: number,
  models: readonly string[],
): Promise<readonly Ended[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await new Promise<void>((resolve) => {
        runtime.clock.setTimeout(resolve, index * gapMs);
      });
      return sendOne(runtime, index, models[index % models.length] ?? 'm');
    }),
  );
}

async function sendOne({ service }: TestRuntime, index: number, model: string): Promise<Ended> {
  const mode = MODES[index % 3] ?? 'sync';
  const priority = PRIORITIES[Math.floor(index / 3) % 3] ?? 'normal';
  const prompt = `request ${index}`;
  const request = ask(prompt, model);
  switch (mode) {
    case 'sync': {
      const response = await service.completion(request, { priority });
      return { mode, prompt, response, read: response.text };
    }
    case 'async': {
      const requestId = await service.completionAsync(request, { priority });
      const reading = readOn(service.resultStream(requestId));
      const result = await service.getResult(requestId, { waitMs: 3_600_000 });
      if (result.status !== 'succeeded') throw new Error(`${prompt} ended as ${result.status}`, { cause: result });
      return { mode, prompt, response: result.response, read: await reading };
    }
    case 'stream': {
      const stream = service.completionStream(request, { priority });
      return { mode, prompt, read: await readOn(stream), response: await stream.response };
    }
  }
}

/** What a careful reader has in the end. */
async function readOn(stream: AsyncIterable<StreamPart>): Promise<string> {
  let read = '';
  for await (const part of stream) {
    if (part.type === 'restart') read = '';
    if (part.type === 'text') read += part.text;
  }
  return read;
}
