/** Simulators for tests: started with the machine's clock unless told otherwise, and closed when the test is over. */
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import { createSimulator, type Simulator } from '../../src/simulator/server.ts';

export async function startSimulator(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const simulator = await createSimulator({ clock: systemClock, ...options });
  onTestFinished(() => simulator.close());
  return simulator;
}

export interface Ask {
  readonly model?: string;
  readonly stream?: boolean;
  readonly prompt?: string;
  readonly signal?: AbortSignal;
  readonly extra?: object;
}

/** Asks on the OpenAI wire with plain fetch; redirects are not followed. */
export function askOpenai(
  { url }: Simulator,
  { model = 'm', stream = false, prompt = 'one two three', signal, extra = {} }: Ask = {},
): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-test-key' },
    body: JSON.stringify({
      model,
      stream,
      messages: [{ role: 'user', content: prompt }],
      ...(stream && { stream_options: { include_usage: true } }),
      ...extra,
    }),
    ...(signal !== undefined && { signal }),
  });
}

/** Asks on the Anthropic wire with plain fetch; redirects are not followed. */
export function askAnthropic(
  { url }: Simulator,
  { model = 'm', stream = false, prompt = 'one two three', signal, extra = {} }: Ask = {},
): Promise<Response> {
  return fetch(`${url}/v1/messages`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/json', 'x-api-key': 'sk-test-key', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({ model, stream, max_tokens: 1000, messages: [{ role: 'user', content: prompt }], ...extra }),
    ...(signal !== undefined && { signal }),
  });
}

export type WireName = 'openai' | 'anthropic';

/** Asks on either wire. */
export function ask(wire: WireName, simulator: Simulator, question: Ask): Promise<Response> {
  return wire === 'openai' ? askOpenai(simulator, question) : askAnthropic(simulator, question);
}

export interface Received {
  readonly text: string;
  /** What ended the body, when it did not end by itself. */
  readonly error: unknown;
}

/** Reads a body to its end, however that comes. */
export async function receive(response: Response): Promise<Received> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

/** Reads a body until it holds `count` tokens, and leaves it open. */
export async function receiveTokens(wire: WireName, response: Response, count: number): Promise<string> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (countTokens(wire, text) < count) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`expected ${count} tokens, got: ${countTokens(wire, text)} and the end`);
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return text;
}

/** The JSON of each event of a stream; what is no JSON stays text. */
export function readEvents(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => {
      try {
        return JSON.parse(line.slice('data: '.length)) as unknown;
      } catch {
        return line.slice('data: '.length);
      }
    });
}

/** Text tokens in a stream so far. */
export function countTokens(wire: WireName, text: string): number {
  const pattern = wire === 'openai' ? /"delta":\{"content":"[^"]/gu : /"type":"text_delta"/gu;
  return [...text.matchAll(pattern)].length;
}

/** Waits for something the other side of a socket does, turn by turn of the event loop. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < 5_000; turn += 1) {
    if (isTrue()) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
  throw new Error(`expected ${what}`);
}
