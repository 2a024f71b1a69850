/** Puts a streamed answer together again, part by part, so that streams and whole answers settle the same way. */
import type { AdapterPart, AdapterReply } from '../contract/adapter.ts';
import type { ReasoningDetails } from '../contract/request.ts';
import type { FinishReason, Usage } from '../contract/response.ts';
import { AnswerParts } from './answer-parts.ts';

export class Collector {
  /** What has arrived, for readers too. */
  readonly parts = new AnswerParts();
  #usage: Usage = {};
  #finishReason: FinishReason | undefined;
  #reasoningDetails: ReasoningDetails | undefined;
  /** Whether the model has begun to answer. */
  hasContent = false;

  add(part: AdapterPart): void {
    switch (part.type) {
      case 'text':
      case 'reasoning':
      case 'refusal':
        this.parts.addText(part.type, part.text);
        this.hasContent = true;
        return;
      case 'toolCall':
        this.parts.addToolCall(part);
        this.hasContent = true;
        return;
      case 'activity':
        this.hasContent = true;
        return;
      case 'usage':
        this.#usage = { ...this.#usage, ...part.usage };
        return;
      case 'reasoningDetails':
        this.#reasoningDetails = part.details;
        return;
      case 'finish':
        this.#finishReason = part.finishReason;
    }
  }

  get isFinished(): boolean {
    return this.#finishReason !== undefined;
  }

  get text(): string {
    return this.parts.textOf('text');
  }

  /** What the model told of its reasoning; no part of the answer. */
  get reasoning(): string {
    return this.parts.textOf('reasoning');
  }

  /** All that the model wrote and will be billed for, whether or not it is part of the answer. */
  get written(): string {
    const calls = this.parts.toolCalls.map((call) => `${call.name} ${call.arguments}`);
    return [this.reasoning, this.text, this.parts.textOf('refusal'), ...calls].join('');
  }

  get usage(): Usage {
    return this.#usage;
  }

  /** The whole answer; undefined while no finish reason has come. */
  reply(): AdapterReply | undefined {
    if (this.#finishReason === undefined) return undefined;
    const refusal = this.parts.textOf('refusal');
    return {
      text: this.text,
      ...(refusal !== '' && { refusal }),
      toolCalls: this.parts.toolCalls,
      finishReason: this.#finishReason,
      usage: this.#usage,
      ...(this.#reasoningDetails !== undefined && { reasoningDetails: this.#reasoningDetails }),
    };
  }
}
