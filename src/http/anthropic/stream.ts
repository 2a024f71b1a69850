/**
 * Renders the parts of an answer as message events. Blocks follow one another, each opened, filled and closed; signed
 * reasoning is known only at the end and comes as a last `redacted_thinking` block.
 */
import type { CompletionResponse, StreamPart, ToolCall } from '../../contract/response.ts';
import type { JsonObject } from '../check.ts';
import type { HttpFailure } from '../failure.ts';
import { sealReasoning } from '../reasoning.ts';
import { renderEvent } from '../sse.ts';
import type { StreamRenderer, StreamStart } from '../wire.ts';
import { readRefusal, renderAnthropicFailure, renderStopReason, renderUsage } from './render.ts';

type OpenBlock = 'none' | 'text' | 'thinking';

export class AnthropicStreamRenderer implements StreamRenderer {
  readonly #start: StreamStart;
  #hasStarted = false;
  #openBlock: OpenBlock = 'none';
  #index = 0;

  constructor(start: StreamStart) {
    this.#start = start;
  }

  render(part: StreamPart): string {
    switch (part.type) {
      case 'text':
        return this.#open() + this.#text(part.text);
      case 'reasoning':
        return this.#open() + this.#thinking(part.text);
      case 'toolCall':
        return this.#open() + this.#toolUse(part);
      case 'restart':
        return '';
      case 'finish':
        return this.#open() + this.#finish(part.response);
    }
  }

  renderFailure(failure: HttpFailure): string {
    return event(renderAnthropicFailure(failure));
  }

  #open(): string {
    if (this.#hasStarted) return '';
    this.#hasStarted = true;
    const { requestId, model } = this.#start;
    return event({
      type: 'message_start',
      message: {
        id: requestId,
        type: 'message',
        role: 'assistant',
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        // Counts so far; message_delta brings the whole ones.
        usage: { input_tokens: 0, output_tokens: 0 },
      },
    });
  }

  #text(text: string): string {
    return this.#enter('text', { type: 'text', text: '' }) + this.#delta({ type: 'text_delta', text });
  }

  #thinking(thinking: string): string {
    const opening = this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' });
    return opening + this.#delta({ type: 'thinking_delta', thinking });
  }

  #toolUse(call: ToolCall): string {
    const block = { type: 'tool_use', id: call.id, name: call.name, input: {} };
    // A model that calls without arguments may write nothing; clients parse the deltas together.
    const json = call.arguments.trim() === '' ? '{}' : call.arguments;
    return this.#whole(block, this.#leave(), { type: 'input_json_delta', partial_json: json });
  }

  #finish(response: CompletionResponse): string {
    const refusal = readRefusal(response);
    const details = response.message.reasoningDetails;
    const body = [
      refusal === undefined ? '' : this.#text(refusal),
      this.#leave(),
      details === undefined ? '' : this.#whole({ type: 'redacted_thinking', data: sealReasoning(details) }, ''),
      event({
        type: 'message_delta',
        delta: { stop_reason: renderStopReason(response.finishReason), stop_sequence: null },
        usage: renderUsage(response.usage),
      }),
      event({ type: 'message_stop' }),
    ];
    return body.join('');
  }

  /** Makes `kind` the open block. */
  #enter(kind: OpenBlock, block: object): string {
    if (this.#openBlock === kind) return '';
    const closing = this.#leave();
    this.#openBlock = kind;
    return closing + event({ type: 'content_block_start', index: this.#index, content_block: block });
  }

  /** Closes the open block, if any. */
  #leave(): string {
    if (this.#openBlock === 'none') return '';
    this.#openBlock = 'none';
    return event({ type: 'content_block_stop', index: this.#index++ });
  }

  /** A block that comes in one go. */
  #whole(block: object, before: string, delta?: object): string {
    const index = this.#index++;
    return [
      before,
      event({ type: 'content_block_start', index, content_block: block }),
      delta === undefined ? '' : event({ type: 'content_block_delta', index, delta }),
      event({ type: 'content_block_stop', index }),
    ].join('');
  }

  #delta(delta: object): string {
    return event({ type: 'content_block_delta', index: this.#index, delta });
  }
}

/** An event of this wire is named after its payload's type. */
function event(payload: JsonObject & { readonly type: string }): string {
  return renderEvent(payload, payload.type);
}
