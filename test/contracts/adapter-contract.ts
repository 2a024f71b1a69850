/**
 * What every adapter promises, whatever wire it speaks. A subject brings its adapter and an upstream that plays scripts in
 * that adapter's wire; the suite asks for one script per test. To add an adapter, write `open` and name in `plays` the
 * scripts its upstream can play; an adapter without an upstream (an embedded one) leaves out those about connections.
 */
import { describe, expect, test } from 'vitest';
import type { Adapter, AdapterPart } from '../../src/contract/adapter.ts';
import type { Credential } from '../../src/contract/config.ts';
import { FAILURE_POLICY } from '../../src/contract/failures.ts';
import type { ToolCall } from '../../src/contract/response.ts';
import {
  CANARY_KEY,
  collectStream,
  createCall,
  createEmbedCall,
  helloRequest,
  rejectionOf,
  tryStream,
} from '../support/adapter-calls.ts';
import { plainAnswer, type ScriptedAnswer, type ScriptedFailure, type UpstreamScript } from './upstream.ts';

/** The adapter under test, opened for one test with an upstream that plays one script. */
export interface OpenSubject extends AsyncDisposable {
  readonly adapter: Adapter;
  readonly credential: Credential;
  /** How many requests the upstream has received; undefined when there is no upstream to ask. */
  requests(): number | undefined;
  /** How many connections the upstream has open; undefined when there are none to count. */
  connections(): number | undefined;
}

export interface AdapterSubject {
  readonly name: string;
  /** The scripts its upstream can play. Tests of the others are not run. */
  readonly plays: readonly UpstreamScript['kind'][];
  /** The refusals its wire can express. */
  readonly failures: readonly ScriptedFailure[];
  /** Opens the adapter under the name `upstream`, with `CANARY_KEY` as its key. */
  open(script: UpstreamScript): Promise<OpenSubject>;
}

export const allScripts: AdapterSubject['plays'] = [
  'answer',
  'failure',
  'failure-inside',
  'cut',
  'unfinished',
  'malformed',
  'stalled',
  'silent',
  'page',
  'unreachable',
];
export const allFailures: AdapterSubject['failures'] = [
  'rate-limited',
  'quota-exhausted',
  'unauthorized',
  'model-not-found',
  'context-too-long',
  'content-filtered',
  'invalid-request',
  'upstream-error',
  'overloaded',
];

const twoCalls: readonly ToolCall[] = [
  { id: 'call_a', name: 'weather', arguments: '{"city":"Köln","days":3}' },
  { id: 'call_b', name: 'clock', arguments: '{}' },
];
const toolAnswer: ScriptedAnswer = {
  ...plainAnswer,
  text: 'Let me look.',
  toolCalls: twoCalls,
  finishReason: 'tool-calls',
};
const toolRequest = {
  ...helloRequest,
  tools: [
    { name: 'weather', description: 'Tells the weather', parameters: { type: 'object', properties: {} } },
    { name: 'clock' },
  ],
};

/** How long a socket may outlive its abort. */
const SOCKET_CLOSE_MS_MAX = 100;

/** Runs the contract over one adapter. */
export function describeAdapterContract(subject: AdapterSubject): void {
  describe(`the adapter contract, ${subject.name}`, () => {
    test.each(promises.filter(({ needs }) => subject.plays.includes(needs)))('$title', ({ assertHolds }) =>
      assertHolds(subject),
    );

    test.each(subject.failures)('%s is classed as such, whole and streamed, and asked once only', async (failure) => {
      await using opened = await subject.open({ kind: 'failure', failure });
      const call = createCall({ credential: opened.credential });
      const whole = opened.adapter.classify(await rejectionOf(opened.adapter.send(call)));
      expect(whole.kind).toBe(failure);
      const streamed = opened.adapter.classify((await tryStream(opened.adapter, call)).error);
      expect(streamed.kind).toBe(failure);
      expect(opened.requests() ?? 2).toBe(2);
      expect(FAILURE_POLICY[whole.kind]).toBeDefined();
      expect(whole.message).toMatch(/^upstream: ./);
    });
  });
}

interface AdapterPromise {
  /** The script the upstream must be able to play. */
  readonly needs: UpstreamScript['kind'];
  readonly title: string;
  readonly assertHolds: (subject: AdapterSubject) => Promise<void>;
}

const promises: readonly AdapterPromise[] = [
  {
    needs: 'answer',
    title: 'an answer is the same whole and streamed',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: plainAnswer });
      const call = createCall({ credential: opened.credential });
      const reply = await opened.adapter.send(call);
      expect(reply).toMatchObject({
        text: plainAnswer.text,
        toolCalls: [],
        finishReason: 'stop',
        usage: plainAnswer.usage,
      });
      const streamed = await collectStream(opened.adapter, call);
      expect(streamed).toMatchObject({
        text: plainAnswer.text,
        toolCalls: [],
        finishReason: 'stop',
        usage: plainAnswer.usage,
      });
    },
  },
  {
    needs: 'answer',
    title: 'tool calls come whole, in order and in parallel, streamed as unstreamed',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: toolAnswer });
      const call = createCall({ credential: opened.credential, request: toolRequest });
      const reply = await opened.adapter.send(call);
      expect({ text: reply.text, toolCalls: reply.toolCalls, finishReason: reply.finishReason }).toEqual({
        text: toolAnswer.text,
        toolCalls: twoCalls,
        finishReason: 'tool-calls',
      });
      const streamed = await collectStream(opened.adapter, call);
      expect({ text: streamed.text, toolCalls: streamed.toolCalls, finishReason: streamed.finishReason }).toEqual({
        text: toolAnswer.text,
        toolCalls: twoCalls,
        finishReason: 'tool-calls',
      });
    },
  },
  {
    needs: 'answer',
    title: 'a stream says once that it is finished, after all content',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: toolAnswer });
      const { parts } = await collectStream(
        opened.adapter,
        createCall({ credential: opened.credential, request: toolRequest }),
      );
      expectStreamGrammar(parts);
    },
  },
  {
    needs: 'answer',
    title: 'a finish reason we do not know is `other`, and running out of tokens is `length`',
    assertHolds: async (subject) => {
      for (const finishReason of ['other', 'length'] as const) {
        await using opened = await subject.open({ kind: 'answer', answer: { ...plainAnswer, finishReason } });
        expect((await opened.adapter.send(createCall({ credential: opened.credential }))).finishReason).toBe(
          finishReason,
        );
        expect((await collectStream(opened.adapter, createCall({ credential: opened.credential }))).finishReason).toBe(
          finishReason,
        );
      }
    },
  },
  {
    needs: 'answer',
    title: 'fifty calls at once each get their answer',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: plainAnswer });
      const replies = await Promise.all(
        Array.from({ length: 50 }, () => opened.adapter.send(createCall({ credential: opened.credential }))),
      );
      expect(replies.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, () => plainAnswer.text));
    },
  },
  {
    needs: 'answer',
    title: 'a check passes, and an embedding gives one vector per input where the adapter has them',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: plainAnswer });
      await opened.adapter.check({ credential: opened.credential, signal: new AbortController().signal });
      expect(opened.adapter.embed !== undefined).toBe(opened.adapter.supports('embedding', 'model-1'));
      const embedded = await opened.adapter.embed?.(
        createEmbedCall(['a', 'bcd', ''], { credential: opened.credential }),
      );
      if (embedded !== undefined) expect(embedded.vectors).toHaveLength(3);
    },
  },
  {
    needs: 'failure',
    title: 'a Retry-After reaches the runtime, and its absence is not zero',
    assertHolds: async (subject) => {
      await using held = await subject.open({ kind: 'failure', failure: 'rate-limited', retryAfterSeconds: 7 });
      expect(
        held.adapter.classify(await rejectionOf(held.adapter.send(createCall({ credential: held.credential }))))
          .retryAfterMs,
      ).toBe(7_000);
      await using bare = await subject.open({ kind: 'failure', failure: 'rate-limited' });
      expect(
        bare.adapter.classify(await rejectionOf(bare.adapter.send(createCall({ credential: bare.credential }))))
          .retryAfterMs,
      ).toBeUndefined();
    },
  },
  {
    needs: 'failure',
    title: 'a key that the provider echoes is shown nowhere',
    assertHolds: async (subject) => {
      await using opened = await subject.open({
        kind: 'failure',
        failure: 'unauthorized',
        echo: `you sent ${CANARY_KEY} and Bearer ${CANARY_KEY}`,
      });
      const failure = opened.adapter.classify(
        await rejectionOf(opened.adapter.send(createCall({ credential: opened.credential }))),
      );
      expect(failure.message).toContain('you sent');
      expect(
        JSON.stringify([failure, String(failure.cause), (failure.cause as Error | undefined)?.stack]),
      ).not.toContain(CANARY_KEY);
    },
  },
  {
    needs: 'failure-inside',
    title: 'an error inside a stream is classed as its own kind, after what came before it',
    assertHolds: async (subject) => {
      for (const failure of ['upstream-error', 'overloaded'] as const) {
        await using opened = await subject.open({ kind: 'failure-inside', failure });
        const { collected, error } = await tryStream(opened.adapter, createCall({ credential: opened.credential }));
        expect(collected.text).not.toBe('');
        expect(collected.finishReason).toBeUndefined();
        expect(opened.adapter.classify(error)).toMatchObject({ kind: failure, isMaybeBilled: true });
      }
    },
  },
  {
    needs: 'cut',
    title: 'an answer that is cut is never finished',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'cut' });
      const call = createCall({ credential: opened.credential });
      expect(opened.adapter.classify(await rejectionOf(opened.adapter.send(call))).kind).toBe('broken');
      const { collected, error } = await tryStream(opened.adapter, call);
      expect(collected.text).not.toBe('');
      expect(collected.finishReason).toBeUndefined();
      expect(opened.adapter.classify(error).kind).toBe('broken');
    },
  },
  {
    needs: 'unfinished',
    title: 'a stream that ends without saying why yields no finish',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'unfinished' });
      const { collected, error } = await tryStream(opened.adapter, createCall({ credential: opened.credential }));
      expect(collected.text).not.toBe('');
      expect(collected.finishReason).toBeUndefined();
      expect(error).toBeUndefined();
    },
  },
  {
    needs: 'malformed',
    title: 'what cannot be parsed is `broken`',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'malformed' });
      const call = createCall({ credential: opened.credential });
      expect(opened.adapter.classify(await rejectionOf(opened.adapter.send(call))).kind).toBe('broken');
      const { collected, error } = await tryStream(opened.adapter, call);
      expect(opened.adapter.classify(error).kind).toBe('broken');
      expect(collected.finishReason).toBeUndefined();
    },
  },
  {
    needs: 'page',
    title: 'a page for people is a false success, whole and streamed',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'page' });
      const call = createCall({ credential: opened.credential });
      expect(opened.adapter.classify(await rejectionOf(opened.adapter.send(call))).kind).toBe('false-success');
      expect(opened.adapter.classify((await tryStream(opened.adapter, call)).error).kind).toBe('false-success');
    },
  },
  {
    needs: 'unreachable',
    title: 'an upstream nobody listens at is a connection failure that cost nothing',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'unreachable' });
      const call = createCall({ credential: opened.credential });
      for (const error of [
        await rejectionOf(opened.adapter.send(call)),
        (await tryStream(opened.adapter, call)).error,
      ]) {
        const failure = opened.adapter.classify(error);
        expect(failure.kind).toBe('connection');
        expect(failure.isMaybeBilled ?? false).toBe(false);
      }
    },
  },
  {
    needs: 'silent',
    title: 'aborting a call nobody answers abandons it and closes its connection',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'silent' });
      for (const start of [
        (signal: AbortSignal) =>
          rejectionOf(opened.adapter.send(createCall({ credential: opened.credential, signal }))),
        async (signal: AbortSignal) =>
          (await tryStream(opened.adapter, createCall({ credential: opened.credential, signal }))).error,
      ]) {
        const controller = new AbortController();
        const before = opened.requests() ?? 0;
        const ended = start(controller.signal);
        await expect.poll(() => (opened.requests() ?? before + 1) > before).toBe(true);
        controller.abort(new Error('the caller left'));
        expect(opened.adapter.classify(await ended).kind).toBe('abandoned');
        await expect.poll(() => opened.connections() ?? 0, { timeout: SOCKET_CLOSE_MS_MAX, interval: 5 }).toBe(0);
      }
    },
  },
  {
    needs: 'silent',
    title: 'a call whose signal is already aborted sends nothing',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'silent' });
      const call = createCall({ credential: opened.credential, signal: AbortSignal.abort() });
      expect(opened.adapter.classify(await rejectionOf(opened.adapter.send(call))).kind).toBe('abandoned');
      expect(opened.adapter.classify((await tryStream(opened.adapter, call)).error).kind).toBe('abandoned');
      expect(opened.requests() ?? 0).toBe(0);
    },
  },
  {
    needs: 'stalled',
    title: 'a stream aborted in the middle is abandoned and its connection closed',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'stalled' });
      const controller = new AbortController();
      const ended = (async () => {
        for await (const part of opened.adapter.stream(
          createCall({ credential: opened.credential, signal: controller.signal }),
        )) {
          if (part.type === 'text') controller.abort();
        }
      })();
      expect(opened.adapter.classify(await rejectionOf(ended)).kind).toBe('abandoned');
      await expect.poll(() => opened.connections() ?? 0, { timeout: SOCKET_CLOSE_MS_MAX, interval: 5 }).toBe(0);
    },
  },
  {
    needs: 'stalled',
    title: 'leaving a stream closes its connection',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'stalled' });
      for await (const part of opened.adapter.stream(createCall({ credential: opened.credential })))
        if (part.type === 'text') break;
      await expect.poll(() => opened.connections() ?? 0, { timeout: SOCKET_CLOSE_MS_MAX, interval: 5 }).toBe(0);
    },
  },
  {
    needs: 'answer',
    title: 'anything at all can be classified',
    assertHolds: async (subject) => {
      await using opened = await subject.open({ kind: 'answer', answer: plainAnswer });
      const hostile = new Proxy(new Error('x'), {
        get: () => {
          throw new Error('no');
        },
      });
      for (const thrown of [
        undefined,
        null,
        'text',
        42,
        {},
        [],
        Symbol('s'),
        () => 1,
        new Error('plain'),
        hostile,
        { status: 429 },
      ]) {
        const failure = opened.adapter.classify(thrown);
        expect(FAILURE_POLICY[failure.kind]).toBeDefined();
        expect(failure.message).not.toBe('');
      }
      expect(opened.adapter.classify(new DOMException('gone', 'AbortError')).kind).toBe('abandoned');
    },
  },
];

/** Content, then at most usage after the one finish; arguments are JSON. */
export function expectStreamGrammar(parts: readonly AdapterPart[]): void {
  const finishAt = parts.findIndex(({ type }) => type === 'finish');
  expect(parts.filter(({ type }) => type === 'finish')).toHaveLength(1);
  expect(parts.slice(finishAt + 1).every(({ type }) => type === 'usage')).toBe(true);
  for (const part of parts) {
    if (part.type === 'toolCall') expect(() => JSON.parse(part.arguments)).not.toThrow();
    if (part.type === 'text' || part.type === 'reasoning') expect(part.text).not.toBe('');
  }
}
