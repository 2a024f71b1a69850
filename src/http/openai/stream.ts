/** Renders the parts of an answer as chat completion chunks, ended by `[DONE]`; a break ends with an error event instead. */
import type { CompletionResponse, StreamPart, ToolCall } from '../../contract/response.ts';
import type { HttpFailure } from '../failure.ts';
import { renderEvent } from '../sse.ts';
import type { StreamRenderer, StreamStart } from '../wire.ts';
import { renderFinishReason, renderOpenaiFailure, renderToolCall, renderUsage } from './render.ts';

const DONE = 'data: [DONE]\n\n';

export class OpenaiStreamRenderer implements StreamRenderer {
  readonly #start: StreamStart;
  #hasRole = false;
  #toolCalls = 0;

  constructor(start: StreamStart) {
    this.#start = start;
  }

  render(part: StreamPart): string {
    switch (part.type) {
      case 'text':
        return this.#role('') + this.#delta({ content: part.text });
      case 'reasoning':
        return this.#role(null) + this.#delta({ reasoning_content: part.text });
      case 'toolCall':
        return this.#role(null) + this.#toolCall(part);
      case 'restart':
        return '';
      case 'finish':
        return this.#finish(part.response);
    }
  }

  renderFailure(failure: HttpFailure): string {
    return renderEvent(renderOpenaiFailure(failure));
  }

  /** The chunk that opens the message; sent once, before anything else. */
  #role(content: string | null): string {
    if (this.#hasRole) return '';
    this.#hasRole = true;
    return this.#delta({ role: 'assistant', content, refusal: null });
  }

  #toolCall(call: ToolCall): string {
    const index = this.#toolCalls++;
    return this.#delta({ tool_calls: [Object.assign({ index }, renderToolCall(call))] });
  }

  #finish(response: CompletionResponse): string {
    const { refusal, reasoningDetails } = response.message;
    const frames = [
      this.#role(null),
      refusal === undefined ? '' : this.#delta({ refusal }),
      reasoningDetails === undefined ? '' : this.#delta({ reasoningDetails }),
      this.#chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: renderFinishReason(response.finishReason) }]),
      this.#start.includesUsage ? this.#chunk([], renderUsage(response.usage)) : '',
      DONE,
    ];
    return frames.join('');
  }

  #delta(delta: object): string {
    return this.#chunk([{ index: 0, delta, logprobs: null, finish_reason: null }]);
  }

  #chunk(choices: readonly object[], usage: unknown = null): string {
    const { requestId, model, createdAt, includesUsage } = this.#start;
    return renderEvent({
      id: requestId,
      object: 'chat.completion.chunk',
      created: Math.floor(createdAt / 1_000),
      model,
      choices,
      ...(includesUsage && { usage }),
    });
  }
}
