/**
 * Parses the events of a streamed message. A block is opened, grows by deltas and is closed; text flows as it comes, a tool
 * call is yielded when its block closes, and the signed thinking is collected for the next turn. The stop reason comes in
 * `message_delta`, together with the final counts.
 */
import type { AdapterPart } from '../../contract/adapter.ts';
import { asCount, asObject, asText, broken, type WireObject } from '../wire.ts';
import { parseReasoning, parseStopReason, readRefusal } from './parse.ts';
import { mergeUsage, parseUsage } from './usage.ts';

export async function* parseStream(events: AsyncIterable<unknown>, provider: string): AsyncGenerator<AdapterPart> {
  const message = new StreamedMessage(provider);
  for await (const event of events) yield* message.read(event);
}

interface OpenBlock {
  readonly start: WireObject;
  text: string;
  signature: string;
  json: string;
}

class StreamedMessage {
  readonly #provider: string;
  readonly #open = new Map<number, OpenBlock>();
  readonly #thinking: WireObject[] = [];
  #usage: WireObject = {};

  constructor(provider: string) {
    this.#provider = provider;
  }

  *read(event: unknown): Generator<AdapterPart> {
    const fields = asObject(event);
    if (fields === undefined) throw broken('the stream carried an event that is no object');
    const index = asCount(fields['index']) ?? 0;
    switch (fields['type']) {
      case 'message_start':
        yield* this.#readUsage(asObject(asObject(fields['message'])?.['usage']));
        return;
      case 'content_block_start':
        this.#openBlock(index, asObject(fields['content_block']) ?? {});
        yield* this.#readStart(index);
        return;
      case 'content_block_delta':
        yield* this.#readDelta(this.#open.get(index), asObject(fields['delta']) ?? {});
        return;
      case 'content_block_stop':
        yield* this.#closeBlock(index);
        return;
      case 'message_delta':
        yield* this.#readUsage(asObject(fields['usage']));
        yield* this.#readEnd(asObject(fields['delta']) ?? {});
        return;
    }
  }

  *#readUsage(usage: WireObject | undefined): Generator<AdapterPart> {
    if (usage === undefined) return;
    this.#usage = mergeUsage(this.#usage, usage);
    yield { type: 'usage', usage: parseUsage(this.#usage) };
  }

  #openBlock(index: number, start: WireObject): void {
    this.#open.set(index, { start, text: '', signature: '', json: '' });
  }

  /** A block may begin with content. */
  *#readStart(index: number): Generator<AdapterPart> {
    const block = this.#open.get(index);
    if (block?.start['type'] === 'text')
      yield* this.#readDelta(block, { type: 'text_delta', text: block.start['text'] });
    else if (block?.start['type'] === 'thinking') {
      yield* this.#readDelta(block, { type: 'thinking_delta', thinking: block.start['thinking'] });
      block.signature += asText(block.start['signature']) ?? '';
    } else yield { type: 'activity' };
  }

  *#readDelta(block: OpenBlock | undefined, delta: WireObject): Generator<AdapterPart> {
    if (block === undefined) throw broken('the stream carried a delta of a content block that was not opened');
    switch (delta['type']) {
      case 'text_delta': {
        const text = asText(delta['text']) ?? '';
        if (text !== '') yield { type: 'text', text };
        return;
      }
      case 'thinking_delta': {
        const text = asText(delta['thinking']) ?? '';
        block.text += text;
        if (text !== '') yield { type: 'reasoning', text };
        return;
      }
      case 'signature_delta':
        block.signature += asText(delta['signature']) ?? '';
        yield { type: 'activity' };
        return;
      case 'input_json_delta':
        block.json += asText(delta['partial_json']) ?? '';
        yield { type: 'activity' };
        return;
    }
  }

  *#closeBlock(index: number): Generator<AdapterPart> {
    const block = this.#open.get(index);
    this.#open.delete(index);
    if (block === undefined) return;
    const { start } = block;
    if (start['type'] === 'thinking')
      this.#thinking.push({ ...start, thinking: block.text, signature: block.signature });
    if (start['type'] === 'redacted_thinking') this.#thinking.push(start);
    const [id, name] = [asText(start['id']), asText(start['name'])];
    if (start['type'] !== 'tool_use' || id === undefined || name === undefined) return;
    yield {
      type: 'toolCall',
      id,
      name,
      arguments: block.json === '' ? JSON.stringify(start['input'] ?? {}) : block.json,
    };
  }

  *#readEnd(delta: WireObject): Generator<AdapterPart> {
    const finishReason = parseStopReason(delta['stop_reason']);
    if (finishReason === undefined) return;
    const refusal = readRefusal(delta);
    if (refusal !== undefined) yield { type: 'refusal', text: refusal };
    const details = parseReasoning(this.#thinking, this.#provider);
    if (details !== undefined) yield { type: 'reasoningDetails', details };
    yield { type: 'finish', finishReason };
  }
}
