/** A provider in the tests' own process, so that it outlives the daemon: counts who was asked for, and how often, in which life. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Dice } from '../../simulation/dice.ts';
import type { Call } from './history.ts';

/** What prompts look like. */
export function renderPrompt(tag: string, isPoison: boolean): string {
  return `<${tag}>${isPoison ? ' poison' : ''}`;
}

export class Upstream implements AsyncDisposable {
  readonly calls: Call[] = [];
  readonly #dice: Dice;
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response); // It never rejects.
  });
  #life = 0;
  #startedAtMs = 0;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    // An address with a port, as it listens on one.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** From now on calls come from another process. */
  beginLife(life: number): void {
    this.#life = life;
    this.#startedAtMs = performance.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const life = this.#life;
    try {
      const body = await text(request);
      if (!request.url?.endsWith('/chat/completions'))
        return void response.writeHead(200, JSON_TYPE).end('{"object":"list","data":[]}');
      const [, tag = '', poison] = /<([^>]+)>( poison)?/.exec(body) ?? [];
      this.calls.push({ tag, life, afterMs: performance.now() - this.#startedAtMs });
      if (poison !== undefined) return;
      await new Promise((resolve) => setTimeout(resolve, this.#dice.logUniform(2, 400)));
      const isStream = /"stream":\s*true/.test(body);
      if (isStream) stream(response, tag);
      else response.writeHead(200, JSON_TYPE).end(JSON.stringify(completionOf(tag)));
    } catch {
      // The daemon died meanwhile.
    }
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

function completionOf(tag: string) {
  const message = { role: 'assistant', content: `answer to ${tag}` };
  return {
    id: `chatcmpl-${tag}`,
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 },
  };
}

function stream(response: ServerResponse, tag: string): void {
  const { choices: _, usage, ...rest } = completionOf(tag);
  const chunk = (delta: object, finish_reason: string | null) => ({
    ...rest,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, finish_reason }],
  });
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const part of [
    chunk({ role: 'assistant', content: `answer to ${tag}` }, null),
    chunk({}, 'stop'),
    { ...chunk({}, null), choices: [], usage },
  ])
    response.write(`data: ${JSON.stringify(part)}\n\n`);
  response.end('data: [DONE]\n\n');
}
