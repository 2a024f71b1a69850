import { describe, expect, test } from 'vitest';
import { SwitchgearError } from '../../src/contract/errors.ts';
import type { StreamPart } from '../../src/contract/response.ts';
import { PartSink } from '../../src/runtime/part-sink.ts';

const text = (value: string): StreamPart => ({ type: 'text', text: value });
const settle = () =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

describe('the pipe between an attempt and a reader', () => {
  test('makes the writer wait when 64 parts are unread, and lets it go on when one is read', async () => {
    const sink = new PartSink();
    const stop = new AbortController();
    let written = 0;
    const writing = (async () => {
      for (; !stop.signal.aborted && written < 1_000; written++) await sink.push(text(String(written)), stop.signal);
    })();
    await settle();
    expect({ written, isFull: sink.isFull }).toEqual({ written: 63, isFull: true });
    expect(await sink.next()).toEqual(text('0'));
    await settle();
    expect(written).toBe(64);
    stop.abort();
    await writing;
  });

  test.each(['end', 'discard', 'abort'])('frees a waiting writer on %s', async (how) => {
    const sink = new PartSink();
    const stop = new AbortController();
    for (let index = 0; index < 63; index++) sink.add(text('x'));
    const pushed = sink.push(text('last'), stop.signal);
    if (how === 'end') sink.end({ kind: 'done' });
    else if (how === 'discard') sink.discard();
    else stop.abort();
    expect(await pushed).toBeUndefined();
  });

  test('gives the parts that came before an error, then the error, again and again', async () => {
    const sink = new PartSink();
    sink.add(text('a'));
    sink.end({ kind: 'error', error: new SwitchgearError('provider-error', 'broke') });
    sink.end({ kind: 'done' });
    sink.add(text('late'));
    expect(await sink.next()).toEqual(text('a'));
    await expect(sink.next()).rejects.toThrow('broke');
    await expect(sink.next()).rejects.toThrow('broke');
  });

  test('wakes a reader that waits, also for the end', async () => {
    const sink = new PartSink();
    const reading = sink.next();
    await sink.push(text('a'), new AbortController().signal);
    expect(await reading).toEqual(text('a'));
    const ending = sink.next();
    sink.end({ kind: 'done' });
    expect(await ending).toBeUndefined();
  });

  test('drains only what nobody reads', async () => {
    const sink = new PartSink();
    sink.allowDrain();
    sink.add(text('a'));
    expect(await sink.next()).toEqual(text('a'));
    for (let index = 0; index < 80; index++) sink.add(text(String(index)));
    expect(await sink.next()).toEqual(text('0'));
  });

  test('knows whether content was delivered, and that a restart part is none', () => {
    const sink = new PartSink();
    sink.add({ type: 'restart' });
    expect(sink.hasDelivered).toBe(false);
    sink.add({ type: 'reasoning', text: 'hm' });
    expect(sink.hasDelivered).toBe(true);
  });
});
