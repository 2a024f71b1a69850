/**
 * An answer that is cut off at any byte, headers included, is never taken for a whole one: the caller gets all of it or a
 * typed failure. Every third offset of a small answer is tried, and each one near its end, in both wires, streamed and not, plain
 * and compressed; all of them, by FIN and by RST, when `SWITCHGEAR_PROPERTY_RUNS` is 2 or more.
 */
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createResponder, type ScriptedAnswer } from '../contracts/upstream.ts';
import {
  answerOnce,
  type Mode,
  type ProxiedService,
  type Received,
  startProxiedService,
} from '../support/proxied-service.ts';
import { propertyRuns } from '../support/properties.ts';
import { type WireName, WIRES } from '../support/staged-upstream.ts';
import { watchStrayErrors } from '../support/stray-errors.ts';
import { leftoversOf, NOTHING_LEFT } from '../support/test-runtime.ts';

const answer: ScriptedAnswer = {
  text: 'Ruh 🌲ü',
  finishReason: 'stop',
  usage: { inputTokens: 3, outputTokens: 4 },
};

const WIRE_NAMES = Object.keys(WIRES) as readonly WireName[];
const MODES: readonly Mode[] = ['streamed', 'unstreamed'];
/** A machine that does much else needs many times the usual few seconds. */
const TIME_MAX_MS = 120_000;
/** What ends too early is the same to us at most bytes: every few of them are tried. */
const STRIDE = 3;
/** Before the byte from which on an answer is whole each one is tried. */
const NEAR_BYTES = 60;
/** A second run cuts by RST where the first cut by FIN. */
const RUNS = Array.from({ length: Math.min(2, propertyRuns(1).numRuns) }, (_, run) => run);

/** Says what is wrong with what came back; undefined: it is the whole answer, or a clear failure. */
function judge({ text, response, error }: Received): string | undefined {
  if (response !== undefined && error !== undefined) return 'both an answer and a failure';
  if (!answer.text.startsWith(text)) return `other text than was sent: ${text}`;
  if (response !== undefined) {
    const isWhole = text === answer.text && response.text === answer.text && response.finishReason === 'stop';
    return isWhole ? undefined : `a success that is not whole: ${response.text} (${response.finishReason})`;
  }
  if (error === undefined) return 'an end without answer or failure';
  if (error.code !== 'provider-error') return `another code: ${error.code}: ${error.message}`;
  if (!answer.text.startsWith(error.partial?.text ?? '')) return `a partial text that was not sent`;
  return error.provider === 'up' && error.attempts.length === 1 ? undefined : 'no attempt that says who failed';
}

interface Seen {
  readonly offset: number;
  readonly isWhole: boolean;
  readonly complaint: string | undefined;
}

const complaintsOf = (seen: readonly Seen[]): readonly Seen[] =>
  seen.filter(({ complaint }) => complaint !== undefined);

async function ask(world: ProxiedService, mode: Mode, offset: number): Promise<Seen> {
  const received = await world.ask(mode);
  return { offset, isWhole: received.response !== undefined, complaint: judge(received) };
}

interface Cuts {
  /** From which byte on each is tried. */
  readonly least: number;
  readonly total: number;
  readonly run: number;
}

/** Asks once per offset of the answer's bytes, each time over a connection that ends there, by FIN and by RST in turn. */
async function cutEverywhere(world: ProxiedService, mode: Mode, { least, total, run }: Cuts) {
  const seen: Seen[] = [];
  const stride = RUNS.length > 1 ? 1 : STRIDE;
  for (let offset = 0; offset <= total; offset += offset < least - NEAR_BYTES ? stride : 1) {
    const by = (offset + run) % 2 === 0 ? 'end' : 'reset';
    world.proxy.faults = [{ kind: 'cut', afterBytes: offset, by }];
    seen.push(await ask(world, mode, offset));
  }
  return seen;
}

/** The bytes of a whole response, status line and framing included. */
async function recordBytes(world: ProxiedService, mode: Mode): Promise<Buffer> {
  const seen = await ask(world, mode, 0);
  expect(seen).toMatchObject({ isWhole: true, complaint: undefined });
  return world.proxy.passed;
}

const FINISH = /"(?:finish|stop)_reason":"(?:stop|end_turn)".*?\n\n/su;

/** Where the event that says why the answer ended is complete. */
function endOfFinish(bytes: Buffer): number {
  const match = FINISH.exec(bytes.toString('latin1'));
  return match === null ? bytes.length : match.index + match[0].length;
}

describe.each(WIRE_NAMES)('an answer of the %s wire', (wire) => {
  const respond = answerOnce(createResponder({ kind: 'answer', answer }, WIRES[wire]));

  describe.each(MODES)('%s', (mode) => {
    test.each(RUNS)(
      'cut off at any byte is whole or a clear failure (run %i)',
      { timeout: TIME_MAX_MS },
      async (run) => {
        const stray = watchStrayErrors();
        await using world = await startProxiedService(wire, respond);
        const bytes = await recordBytes(world, mode);
        // A stream is whole once it has said why it ended: what breaks off then was only to follow it.
        const least = mode === 'streamed' ? endOfFinish(bytes) : bytes.length;
        const seen = await cutEverywhere(world, mode, { least, total: bytes.length, run });
        expect(complaintsOf(seen)).toEqual([]);
        expect(seen.filter(({ offset, isWhole }) => isWhole && offset < least)).toEqual([]);
        const late = seen.filter(({ offset }) => offset >= least);
        // A reset may overtake what was sent just before it.
        expect(late.filter(({ isWhole }) => isWhole).length).toBeGreaterThanOrEqual(Math.ceil(late.length / 2));
        expect(late.at(-1)?.isWhole).toBe(true);
        expect(leftoversOf(world.service)).toEqual(NOTHING_LEFT);
        world.proxy.faults = [];
        expect(await ask(world, mode, 0)).toMatchObject({ isWhole: true, complaint: undefined });
        await stray.finish();
      },
    );

    test.each(['plain', 'gzip'] as const)(
      'that ends too early in intact framing, %s, is whole or a clear failure',
      { timeout: TIME_MAX_MS },
      async (encoding) => {
        const stray = watchStrayErrors();
        const text = mode === 'streamed' ? WIRES[wire].renderStream(answer).join('') : WIRES[wire].renderAnswer(answer);
        const bytes = encoding === 'gzip' ? gzipSync(text) : Buffer.from(text);
        let length = bytes.length;
        const headers = {
          'content-type': mode === 'streamed' ? WIRES[wire].streamType : 'application/json',
          ...(encoding === 'gzip' && { 'content-encoding': 'gzip' }),
        };
        await using world = await startProxiedService(wire, (_request, response) => {
          response.writeHead(200, { ...headers, 'content-length': length }).end(bytes.subarray(0, length));
        });
        const seen: Seen[] = [];
        for (; length >= 0; length -= encoding === 'gzip' ? 1 : STRIDE) seen.push(await ask(world, mode, length));
        expect(complaintsOf(seen)).toEqual([]);
        expect(seen[0]?.isWhole).toBe(true);
        expect(seen.filter(({ isWhole }) => isWhole).length).toBeLessThan(bytes.length / 2);
        await stray.finish();
      },
    );
  });
});
