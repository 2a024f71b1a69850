/**
 * However an answer is cut into packets on its way, inside characters, inside events, inside the framing itself, and in
 * whatever dress an event stream may come, what the caller gets is what was sent, byte for byte.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ScriptedAnswer } from '../contracts/upstream.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { propertyRuns } from '../support/properties.ts';
import { type Mode, type ProxiedService, startProxiedService } from '../support/proxied-service.ts';
import { type WireName, WIRES } from '../support/staged-upstream.ts';

const WIRE_NAMES = Object.keys(WIRES) as readonly WireName[];
const MODES: readonly Mode[] = ['streamed', 'unstreamed'];
const TIME_MAX_MS = 120_000;

/** What changes in an event stream without changing what it says. */
const DRESSES: Readonly<Record<string, (events: readonly string[]) => string>> = {
  'as it is': (events) => events.join(''),
  'with CRLF': (events) => events.join('').replaceAll('\n', '\r\n'),
  'with comments': (events) => events.map((event) => `: ping\n\n${event}: 🌲\n`).join(''),
  'with very long comments': (events) => events.map((event) => `:${' ü'.repeat(20_000)}\n\n${event}`).join(''),
  'with blank lines': (events) => events.map((event) => `\n\n${event}\n`).join(''),
  'with fields nobody knows': (events) => events.map((event) => `id: 1\nretry: 10\nx-more: y\n${event}`).join(''),
  'without spaces': (events) => events.join('').replaceAll(/^(data|event): /gm, '$1:'),
};

interface World {
  readonly proxied: ProxiedService;
  /** What the upstream sends next, as the body. */
  readonly say: (body: string, mode: Mode) => void;
}

async function openWorld(wire: WireName): Promise<World & AsyncDisposable> {
  let said = { body: '', type: '' };
  const proxied = await startProxiedService(wire, (_request, response) => {
    // One connection per answer, because faults belong to connections.
    response.writeHead(200, { 'content-type': said.type, connection: 'close' }).end(said.body);
  });
  return {
    proxied,
    say: (body, mode) => {
      said = { body, type: mode === 'streamed' ? WIRES[wire].streamType : 'application/json' };
    },
    [Symbol.asyncDispose]: () => proxied[Symbol.asyncDispose](),
  };
}

/** Sends an answer through the faults and says what the caller got of it. */
async function pass(
  { proxied, say }: World,
  { wire, mode, answer, dress, faults }: Parcel,
): Promise<Pick<ScriptedAnswer, 'text' | 'toolCalls' | 'usage' | 'finishReason'>> {
  const events = WIRES[wire].renderStream(answer);
  say(mode === 'streamed' ? DRESSES[dress]!(events) : WIRES[wire].renderAnswer(answer), mode);
  proxied.proxy.faults = faults;
  const { text, response, error } = await proxied.ask(mode);
  if (response === undefined) throw error ?? new Error('expected an answer, got: neither answer nor failure');
  expect(text).toBe(response.text);
  const { toolCalls, usage, finishReason } = response;
  return { text, toolCalls, usage, finishReason };
}

interface Parcel {
  readonly wire: WireName;
  readonly mode: Mode;
  readonly answer: ScriptedAnswer;
  readonly dress: string;
  readonly faults: readonly Fault[];
}

/** Characters of any length, and often such as a parser may stumble over. */
const unit = fc.oneof(
  fc.constantFrom(' ', '\n', '\r', '\u2028', '"', '\\', '🌲'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
);
const text = fc.string({ unit, minLength: 1, maxLength: 60 });
const toolCalls = fc.array(
  fc.record({
    id: fc.stringMatching(/^call_[a-z0-9]{4}$/),
    name: fc.constantFrom('weather', 'lookup'),
    arguments: fc.record({ city: text }).map((value) => JSON.stringify(value)),
  }),
  { maxLength: 2 },
);
const answers: fc.Arbitrary<ScriptedAnswer> = fc.record({
  text,
  toolCalls,
  finishReason: fc.constantFrom('stop', 'length', 'tool-calls'),
  usage: fc.record({ inputTokens: fc.nat(10_000), outputTokens: fc.nat(10_000) }),
});
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

describe.each(WIRE_NAMES)('the %s wire', (wire) => {
  test.each(MODES)(
    '%s: an answer in slices of any sizes is the same answer',
    { timeout: TIME_MAX_MS },
    async (mode) => {
      await using world = await openWorld(wire);
      const dresses = fc.constantFrom(...Object.keys(DRESSES).filter((dress) => !dress.includes('long')));
      await fc.assert(
        fc.asyncProperty(answers, dresses, sizes, async (answer, dress, sliceSizes) => {
          const faults: readonly Fault[] = [{ kind: 'slice', sizes: sliceSizes }];
          const passed = await pass(world, { wire, mode, answer, dress, faults });
          expect(passed).toEqual({ ...answer, toolCalls: answer.toolCalls ?? [] });
        }),
        propertyRuns(25),
      );
    },
  );

  const answer: ScriptedAnswer = {
    text: 'Über allen Gipfeln ist Ruh 🌲👩‍👩‍👧',
    toolCalls: [{ id: 'call_1', name: 'weather', arguments: '{"city":"Żółw 🐢"}' }],
    finishReason: 'tool-calls',
    usage: { inputTokens: 12, outputTokens: 9 },
  };

  test.each(Object.keys(DRESSES))('an event stream %s is the same answer, also in slices', async (dress) => {
    await using world = await openWorld(wire);
    for (const faults of [[], [{ kind: 'slice', sizes: [1_021] }], [{ kind: 'latency', ms: 5 }]] as const)
      expect(await pass(world, { wire, mode: 'streamed', answer, dress, faults })).toEqual(answer);
  });

  test.each(MODES)('%s: an answer that drips byte by byte is the same answer', async (mode) => {
    await using world = await openWorld(wire);
    const faults: readonly Fault[] = [{ kind: 'slice', sizes: [1] }];
    expect(await pass(world, { wire, mode, answer, dress: 'with CRLF', faults })).toEqual(answer);
    const slow: readonly Fault[] = [{ kind: 'drip', bytes: 64, everyMs: 2 }];
    expect(await pass(world, { wire, mode, answer, dress: 'as it is', faults: slow })).toEqual(answer);
  });

  test('one event with a line of a megabyte is read whole, in packets that split its characters', async () => {
    const long = 'Żółw 🐢'.repeat(80_000);
    await using world = await openWorld(wire);
    const events = WIRES[wire].renderStream({ ...answer, text: 'PLACE', toolCalls: [] });
    world.say(events.join('').replace('"PLAC"', JSON.stringify(long)).replace('"E"', '"!"'), 'streamed');
    world.proxied.proxy.faults = [{ kind: 'slice', sizes: [1_021, 16_381] }];
    const { text: received, error } = await world.proxied.ask('streamed');
    expect(error).toBeUndefined();
    expect(received).toBe(`${long}!`);
  });
});
