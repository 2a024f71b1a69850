/**
 * Parses the chunks of a streamed answer. Text flows as it comes; a tool call is held until it is whole, with an `activity`
 * for each piece so that nobody takes a long argument for a stall. The stream is over when the SDK says so: after `[DONE]`
 * or when the upstream closes. Without a finish reason no `finish` is yielded, and the runtime calls the stream broken.
 */
import type { AdapterPart } from '../../contract/adapter.ts';
import { asCount, asList, asObject, asText, broken, type WireObject } from '../wire.ts';
import { parseFinishReason } from './finish-reason.ts';
import { parseReasoning, readArguments, readContent, readReasoningText } from './messages.ts';
import { ReasoningDetailsJoiner } from './reasoning-details.ts';
import { parseUsage } from './usage.ts';

export async function* parseStream(chunks: AsyncIterable<unknown>, provider: string): AsyncGenerator<AdapterPart> {
  const answer = new StreamedAnswer(provider);
  for await (const chunk of chunks) yield* answer.read(chunk);
}

interface PartialToolCall {
  id: string | undefined;
  name: string;
  arguments: string;
}

/** What has arrived of one answer. */
class StreamedAnswer {
  readonly #provider: string;
  readonly #toolCalls = new Map<number, PartialToolCall>();
  readonly #details = new ReasoningDetailsJoiner();
  #reasoning = '';
  #isFinished = false;

  constructor(provider: string) {
    this.#provider = provider;
  }

  *read(chunk: unknown): Generator<AdapterPart> {
    const fields = asObject(chunk);
    if (fields === undefined) throw broken('the stream carried an event that is no object');
    const choice = asList(fields['choices'])
      .map(asObject)
      .find((candidate) => (asCount(candidate?.['index']) ?? 0) === 0);
    const delta = asObject(choice?.['delta']);
    if (delta !== undefined && !this.#isFinished) yield* this.#readDelta(delta);
    const usage = parseUsage(fields['usage'] ?? asObject(fields['x_groq'])?.['usage'] ?? choice?.['usage']);
    if (Object.keys(usage).length > 0) yield { type: 'usage', usage };
    const finishReason = parseFinishReason(choice?.['finish_reason']);
    // OpenRouter repeats the finish reason with the usage.
    if (finishReason === undefined || this.#isFinished) return;
    this.#isFinished = true;
    yield* this.#readEnd();
    yield { type: 'finish', finishReason };
  }

  *#readDelta(delta: WireObject): Generator<AdapterPart> {
    const content = readContent(delta['content']);
    const reasoning = readReasoningText(delta) + content.reasoning;
    const refusal = asText(delta['refusal']) ?? '';
    if (reasoning !== '') yield { type: 'reasoning', text: reasoning };
    if (content.text !== '') yield { type: 'text', text: content.text };
    if (refusal !== '') yield { type: 'refusal', text: refusal };
    this.#reasoning += reasoning;
    this.#details.add(asList(delta['reasoning_details']));
    const toolCalls = asList(delta['tool_calls']).map(asObject);
    for (const [position, call] of toolCalls.entries()) this.#addToolCall(call, position);
    if (toolCalls.length > 0) yield { type: 'activity' };
  }

  /** Servers that send a call whole often number none; then a new id is a new call. */
  #addToolCall(call: WireObject | undefined, position: number): void {
    if (call === undefined) return;
    const id = asText(call['id']) || undefined;
    const index = asCount(call['index']) ?? this.#findIndex(id, position);
    const definition = asObject(call['function']);
    const partial = this.#toolCalls.get(index) ?? { id: undefined, name: '', arguments: '' };
    partial.id ??= id;
    // A name comes once; some servers repeat it with every piece.
    if (partial.name === '') partial.name = asText(definition?.['name']) ?? '';
    partial.arguments += readArguments(definition?.['arguments']);
    this.#toolCalls.set(index, partial);
  }

  #findIndex(id: string | undefined, position: number): number {
    if (id === undefined) return Math.max(this.#toolCalls.size - 1, position, 0);
    for (const [index, call] of this.#toolCalls) if (call.id === id) return index;
    return this.#toolCalls.size;
  }

  *#readEnd(): Generator<AdapterPart> {
    const calls = [...this.#toolCalls].toSorted(([one], [other]) => one - other);
    for (const [index, call] of calls) {
      if (call.name === '') continue;
      yield { type: 'toolCall', id: call.id ?? `call_${index}`, name: call.name, arguments: call.arguments || '{}' };
    }
    const details = parseReasoning(this.#provider, {
      details: this.#details.joined(),
      content: this.#reasoning,
      hasToolCalls: calls.length > 0,
    });
    if (details !== undefined) yield { type: 'reasoningDetails', details };
  }
}
