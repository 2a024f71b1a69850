import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StreamPart } from '../../src/contract/response.ts';
import { AnswerParts, BEGINNING, type Place } from '../../src/runtime/answer-parts.ts';
import { PartHistory, PartReader } from '../../src/runtime/part-history.ts';
import { heapUsed } from '../support/heap.ts';
import { propertyRuns } from '../support/properties.ts';

const TYPES = ['text', 'reasoning', 'refusal'] as const;

const piece = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constantFrom(...TYPES), text: fc.string({ maxLength: 9 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom(...TYPES), text: fc.string({ minLength: 3_000, maxLength: 6_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('toolCall' as const), id: fc.string() }) },
);
/** What is added one after the other, each with the readers that look after it. */
const story = fc.array(fc.tuple(piece, fc.subarray([0, 1, 2])), { maxLength: 60 });

type Piece = typeof piece extends fc.Arbitrary<infer Value> ? Value : never;

function add(parts: AnswerParts, added: Piece): void {
  if (added.type === 'toolCall') parts.addToolCall({ id: added.id, name: 'look', arguments: '{}' });
  else parts.addText(added.type, added.text);
}

/** The same answer however it was cut: text of one kind in a row is one piece, and what is empty is nothing. */
function joined(parts: readonly StreamPart[]): readonly string[] {
  const pieces: { type: string; text: string }[] = [];
  for (const part of parts) {
    const text = part.type === 'text' || part.type === 'reasoning' ? part.text : JSON.stringify(part);
    const last = pieces.at(-1);
    if (last?.type === part.type && part.type !== 'toolCall') last.text += text;
    else if (text !== '') pieces.push({ type: part.type, text });
  }
  return pieces.map(({ type, text }) => `${type}: ${text}`);
}

function expected(pieces: readonly Piece[]): readonly string[] {
  return joined(
    pieces.map((added): StreamPart =>
      added.type === 'toolCall'
        ? { type: 'toolCall', id: added.id, name: 'look', arguments: '{}' }
        : { type: added.type === 'refusal' ? 'text' : added.type, text: added.text },
    ),
  );
}

function readOn(parts: AnswerParts, from: Place, into: StreamPart[]): Place {
  let place = from;
  for (;;) {
    const read = parts.read(place);
    if (read === undefined) return place;
    into.push(read.part);
    place = read.next;
  }
}

describe('the parts of an answer', () => {
  test('are the same to every reader, whenever and how often it looks', () => {
    fc.assert(
      fc.property(story, (steps) => {
        const parts = new AnswerParts();
        const readers = [0, 1, 2].map(() => ({ place: BEGINNING, seen: Array<StreamPart>() }));
        for (const [added, lookers] of steps) {
          add(parts, added);
          for (const index of lookers) {
            const reader = readers[index];
            if (reader !== undefined) reader.place = readOn(parts, reader.place, reader.seen);
          }
        }
        const late = { place: BEGINNING, seen: Array<StreamPart>() };
        const want = expected(steps.map(([added]) => added));
        for (const reader of [...readers, late]) {
          readOn(parts, reader.place, reader.seen);
          assert.deepEqual(joined(reader.seen), want);
        }
        assert.equal(parts.textOf('text'), steps.map(([added]) => (added.type === 'text' ? added.text : '')).join(''));
      }),
      propertyRuns(2_000),
    );
  });

  test('come one by one to whoever reads along, and in long pieces to whoever comes late', () => {
    const parts = new AnswerParts();
    const along: StreamPart[] = [];
    let place = BEGINNING;
    for (let index = 0; index < 20_000; index++) {
      parts.addText('text', 'word ');
      place = readOn(parts, place, along);
    }
    const late: StreamPart[] = [];
    readOn(parts, BEGINNING, late);
    expect(along).toHaveLength(20_000);
    expect(late).toHaveLength(Math.ceil(100_000 / 4_096));
    expect(joined(late)).toEqual(joined(along));
  });

  test('cost no more memory for any number of readers, and hardly more than their text', () => {
    const count = 200_000;
    const parts = new AnswerParts();
    const readers = Array.from({ length: 1_000 }, () => BEGINNING);
    const before = heapUsed();
    for (let index = 0; index < count; index++) parts.addText('text', `w${index % 10} `);
    for (const [index, place] of readers.entries()) readers[index] = parts.read(place)?.next ?? place;
    const bytesPerChar = (heapUsed() - before) / parts.length;
    expect(parts.length).toBe(3 * count);
    // A piece alone would be 24 bytes for three characters, and its place in a list another eight.
    expect(bytesPerChar).toBeLessThan(4);
  });
});

describe('a reader of a request', () => {
  test('is told to start over when another attempt begins, and only if it was given something', () => {
    const history = new PartHistory();
    const [reader, idle] = [new PartReader(), new PartReader()];
    const [first, second] = [new AnswerParts(), new AnswerParts()];
    history.begin(first);
    first.addText('text', 'lost');
    expect(reader.next(history)).toEqual({ type: 'text', text: 'lost' });
    history.takeBack();
    expect(reader.next(history)).toBeUndefined();
    history.begin(second);
    expect([reader.next(history), reader.next(history)]).toEqual([{ type: 'restart' }, undefined]);
    second.addText('text', 'kept');
    for (const each of [reader, idle]) expect(each.next(history)).toEqual({ type: 'text', text: 'kept' });
  });

  test('who is behind when an attempt fails gets the rest of it, and who comes then nothing', () => {
    const history = new PartHistory();
    const reader = new PartReader();
    const parts = new AnswerParts();
    history.begin(parts);
    parts.addText('reasoning', 'hm');
    parts.addText('text', 'half');
    expect(reader.next(history)).toEqual({ type: 'reasoning', text: 'hm' });
    history.takeBack();
    expect(reader.next(history)).toEqual({ type: 'text', text: 'half' });
    expect(new PartReader().next(history)).toBeUndefined();
  });

  test('leaves nothing behind when it stops waiting, or is woken', async () => {
    const history = new PartHistory();
    const leaving = new AbortController();
    const left = history.changed(leaving.signal);
    leaving.abort();
    await left;
    await history.changed(leaving.signal);
    const { signal } = new AbortController();
    const woken = history.changed(signal);
    history.wake();
    await woken;
    for (const each of [signal, leaving.signal]) expect(getEventListeners(each, 'abort')).toEqual([]);
  });
});
