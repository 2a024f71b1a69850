/** Puts a streamed answer together again, part by part, so that streams and whole answers settle the same way. */
import type { AdapterPart, AdapterReply } from '../contract/adapter.ts';
import type { ReasoningDetails } from '../contract/request.ts';
import type { FinishReason, ToolCall, Usage } from '../contract/response.ts';

export class Collector {
  readonly #text: string[] = [];
  readonly #reasoning: string[] = [];
  readonly #refusal: string[] = [];
  readonly #toolCalls: ToolCall[] = [];
  #usage: Usage = {};
  #finishReason: FinishReason | undefined;
  #reasoningDetails: ReasoningDetails | undefined;
  /** Whether the model has begun to answer. */
  hasContent = false;

  add(part: AdapterPart): void {
    switch (part.type) {
      case 'text':
        this.#text.push(part.text);
        this.hasContent = true;
        return;
      case 'refusal':
        this.#refusal.push(part.text);
        this.hasContent = true;
        return;
      case 'toolCall':
        this.#toolCalls.push({ id: part.id, name: part.name, arguments: part.arguments });
        this.hasContent = true;
        return;
      case 'reasoning':
        this.#reasoning.push(part.text);
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
    return this.#text.join('');
  }

  /** What the model told of its reasoning; no part of the answer. */
  get reasoning(): string {
    return this.#reasoning.join('');
  }

  /** All that the model wrote and will be billed for, whether or not it is part of the answer. */
  get written(): string {
    const calls = this.#toolCalls.map((call) => `${call.name} ${call.arguments}`);
    return [...this.#reasoning, ...this.#text, ...this.#refusal, ...calls].join('');
  }

  get usage(): Usage {
    return this.#usage;
  }

  /** The whole answer; undefined while no finish reason has come. */
  reply(): AdapterReply | undefined {
    if (this.#finishReason === undefined) return undefined;
    return {
      text: this.text,
      ...(this.#refusal.length > 0 && { refusal: this.#refusal.join('') }),
      toolCalls: this.#toolCalls,
      finishReason: this.#finishReason,
      usage: this.#usage,
      ...(this.#reasoningDetails !== undefined && { reasoningDetails: this.#reasoningDetails }),
    };
  }
}
