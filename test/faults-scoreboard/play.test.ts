/** The scoreboard itself, on real sockets: it sees what a careless caller does, and what ours does. */
import { describe, expect, test } from 'vitest';
import { askOpenai } from '../../bench/faults/openai-caller.ts';
import { askAnthropic } from '../../bench/faults/anthropic-caller.ts';
import { runBoard } from '../../bench/faults/board.ts';
import type { Fault, FaultDelivery } from '../../bench/faults/fault.ts';
import { MODELS, PROMPT, USAGE, wholeText } from '../../bench/faults/history.ts';
import { judge } from '../../bench/faults/judge.ts';
import { createDaemon, createLibrary } from '../../bench/faults/ours.ts';
import { play } from '../../bench/faults/play.ts';
import { Stage } from '../../bench/faults/stage.ts';
import { type Heard, perStage, type Session, type Subject } from '../../bench/faults/subject.ts';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { findFault, part } from './histories.ts';

const openStage = () => Stage.open('stage');

const sessionOf = (ask: Session['ask']): Session => ({ ask, close: async () => undefined });

/** Takes the text out of a stream and never asks whether it was whole. */
function createCareless(stage: Stage): Session {
  return sessionOf(async ({ signal }, heard) => {
    const response = await fetch(`${stage.url('primary')}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODELS.primary, stream: true, messages: [{ role: 'user', content: PROMPT }] }),
      signal,
    });
    try {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream()))
        heard.text += [...chunk.matchAll(/"delta":\{"content":"([^"]*)"/gu)].map((match) => match[1]).join('');
    } catch {
      // The connection died: the careless caller takes what it has.
    }
  });
}

// Each has a stage of its own and waits for what is said slowly on it: several at once.
test.concurrent('a careless caller of an answer that is cut is seen to take it for a whole one', async () => {
  await using stage = await openStage();
  const fault = findFault('S08');
  const history = await play({ fault, stage, session: createCareless(stage), delivery: 'live' });
  expect(history.requests).toMatchObject([{ end: 'answered', text: part('primary', 40) }]);
  expect(history.primary).toMatchObject([{ isAnswered: false }]);
  expect(judge(fault, history, { delivery: 'live', hasFallback: false })).toEqual({
    verdict: 'fail',
    reason: 'a truncated answer passed for a whole one (40 of 60 words)',
  });
});

test.concurrent('a request that does not end in its time has hung, and is let go', async () => {
  await using stage = await openStage();
  const fault: Fault = { ...findFault('S06'), hangMs: 200 };
  let hasLeft = false;
  const session = sessionOf(
    ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          hasLeft = true;
          reject(new Error('left'));
        });
      }),
  );
  const history = await play({ fault, stage, session, delivery: 'live' });
  expect(history.requests).toMatchObject([{ end: 'hung' }]);
  expect(hasLeft).toBe(true);
});

test.concurrent('an error is told with the words of what caused it', async () => {
  await using stage = await openStage();
  const session = sessionOf(async () => {
    throw new Error('fetch failed', { cause: new Error('connection reset') });
  });
  const history = await play({ fault: findFault('S05'), stage, session, delivery: 'live' });
  expect(history.requests).toMatchObject([{ end: 'failed', message: 'fetch failed (connection reset)' }]);
});

test.concurrent('requests are sent when it is their time, and after recovery the primary is healthy', async () => {
  await using stage = await openStage();
  const fault: Fault = {
    ...findFault('S04'),
    requests: [{}, { notBeforeMs: 150 }, { notBeforeMs: 300, isAfterRecovery: true }],
  };
  const client = new OpenAI({ baseURL: `${stage.url('primary')}/v1`, apiKey: 'key', maxRetries: 0 });
  const session = sessionOf((asked, heard) => askOpenai(client, { ...asked, model: MODELS.primary }, heard));
  const history = await play({ fault, stage, session, delivery: 'live' });
  expect(history.requests.map(({ end }) => end)).toEqual(['failed', 'failed', 'answered']);
  const times = history.primary.map(({ atMs }) => atMs);
  expect(times[1]).toBeGreaterThanOrEqual(149);
  expect(times[2]).toBeGreaterThanOrEqual(299);
  expect(times[0]).toBeLessThan(times[1]!);
});

describe.concurrent.each<FaultDelivery>(['unstreamed', 'live'])(
  'an official client hears the whole answer (%s)',
  (delivery) => {
    const hear = async (ask: (heard: Heard) => Promise<void>): Promise<Heard> => {
      const heard: Heard = { text: '', model: undefined, usage: undefined };
      await ask(heard);
      return heard;
    };
    const asked = { delivery, signal: new AbortController().signal, model: MODELS.fallback };
    const whole = { text: wholeText('fallback'), model: MODELS.fallback, usage: USAGE };

    test('of OpenAI', async () => {
      await using stage = await openStage();
      const client = new OpenAI({ baseURL: `${stage.url('fallback')}/v1`, apiKey: 'key', maxRetries: 0 });
      expect(await hear((heard) => askOpenai(client, asked, heard))).toEqual(whole);
    });

    test('of Anthropic', async () => {
      await using stage = await openStage();
      const client = new Anthropic({ baseURL: stage.url('fallback'), apiKey: 'key', maxRetries: 0 });
      expect(await hear((heard) => askAnthropic(client, asked, heard))).toEqual(whole);
    });
  },
);

/** Faults that are over in a few seconds. */
const QUICK = ['S03', 'S08', 'S10', 'S11', 'S12', 'S13', 'S16'].map(findFault);

test.concurrent('ours passes the quick faults in every delivery: the library and the daemon, both wires', async () => {
  const cells: string[] = [];
  const board = await runBoard({
    subjects: [createLibrary('openai'), createLibrary('anthropic'), createDaemon('anthropic', 'openai')],
    faults: QUICK,
    packages: [{ name: 'openai', root: new URL('../../', import.meta.url) }],
    onCell: ({ fault }) => cells.push(fault),
  });
  expect(board.cells.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
  expect(board.cells).toHaveLength(3 * (6 * 3 + 2));
  expect(cells).toHaveLength(board.cells.length);
  expect(board.versions['openai']).toMatch(/^\d+\.\d+\.\d+$/u);
});

test.concurrent('a board tells apart what passes and what does not', async () => {
  const careless: Subject = {
    name: 'careless',
    settings: 'none',
    wire: 'openai',
    hasFallback: false,
    deliveries: ['live'],
    start: perStage(async (stage) => createCareless(stage)),
  };
  const faults = [findFault('S08'), findFault('S11')];
  const board = await runBoard({ subjects: [careless], faults, packages: [], onCell: () => undefined });
  expect(board.cells).toMatchObject([
    { subject: 'careless', wire: 'openai', fault: 'S08', delivery: 'live', verdict: 'fail', primary: 1, fallback: 0 },
    { fault: 'S11', verdict: 'partial', reason: 'no usage was told', primary: 1, fallback: 0 },
  ]);
  expect(board.settings).toEqual({ careless: 'none' });
  for (const { seconds } of board.cells) expect(seconds).toBeGreaterThan(0.4);
});
