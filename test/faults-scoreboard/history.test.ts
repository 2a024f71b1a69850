import { expect, test } from 'vitest';
import { readAttempts, readText, wholeText } from '../../bench/faults/history.ts';
import type { SimulatorRequest } from '../../src/simulator/request-log.ts';
import { part } from './histories.ts';

const entry = (fields: Partial<SimulatorRequest>): SimulatorRequest => ({
  number: 1,
  method: 'POST',
  path: '/v1/chat/completions',
  atMs: 0,
  headerNames: [],
  bytesReceived: 0,
  bytesSent: 0,
  tokensSent: 0,
  ...fields,
});

test('an answer is recognised as whole, as a part, or as nobody’s', () => {
  expect(readText(wholeText('fallback'))).toEqual({ kind: 'whole', side: 'fallback' });
  expect(readText(wholeText('primary'))).toEqual({ kind: 'whole', side: 'primary' });
  expect(readText(part('primary', 40))).toEqual({ kind: 'part', words: 40 });
  expect(readText('')).toEqual({ kind: 'none' });
  expect(readText(wholeText('primary') + wholeText('fallback'))).toEqual({ kind: 'garbled' });
  expect(readText(`${part('primary', 9)}${wholeText('primary').slice(part('primary', 10).length)}`)).toEqual({
    kind: 'garbled',
  });
});

test('attempts are completions, in the time of the fault; looks at the models are none', () => {
  const log = [
    entry({ method: 'GET', path: '/v1/models', atMs: 900 }),
    entry({ atMs: 1_000, tokensSent: 59 }),
    entry({ atMs: 3_000, tokensSent: 60 }),
  ];
  expect(readAttempts(log, 1_000)).toEqual([
    { atMs: 0, isAnswered: false },
    { atMs: 2_000, isAnswered: true },
  ]);
});
