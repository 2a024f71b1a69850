/**
 * Callers who ask and then leave, in every way a program can: a signal, `cancel()`, the end of a loop, an aborted SDK call,
 * a destroyed socket, a DELETE. Each says when the first part of an answer has reached it, so that a test knows where it
 * left, and when it has heard of its own leaving.
 */
import { request } from 'node:http';
import { Readable } from 'node:stream';
import type { CompletionRequest } from '../../src/contract/request.ts';
import type { CompletionStream } from '../../src/contract/response.ts';
import type { SocketService } from './socket-service.ts';

export interface Question {
  readonly content: string;
  readonly model: string;
}

/** One request of a caller who can leave. */
export interface Visit {
  /** Resolves when content has reached the caller; never for one who does not stream. */
  readonly hasPart: Promise<void>;
  readonly leave: () => void;
  /** What the caller got, or the error it ended with; never rejects. */
  readonly ended: Promise<unknown>;
}

export interface Caller {
  readonly name: string;
  readonly isStreamed: boolean;
  /** Sees parts while they come. */
  readonly isLive: boolean;
  /** Can leave only between two parts. */
  readonly needsPart: boolean;
  /** Submits and cancels by id: stays until it leaves, and ends with the request's record. */
  readonly isSubmitted: boolean;
  readonly ask: (target: SocketService, question: Question) => Visit;
}

const MAX_TOKENS = 64;

const completion = ({ model, content }: Question): CompletionRequest => ({
  model,
  messages: [{ role: 'user', content }],
});

/** A body that both APIs take. */
const body = ({ model, content }: Question) => ({
  model,
  max_tokens: MAX_TOKENS,
  messages: [{ role: 'user' as const, content }],
});

interface Leaving {
  readonly signal: AbortSignal;
  /** Content has reached the caller. */
  readonly gotPart: () => void;
}

/** A visit that ends by a signal. */
function visit(run: (leaving: Leaving) => Promise<unknown>): Visit {
  const leaving = new AbortController();
  const part = Promise.withResolvers<void>();
  const ended = run({ signal: leaving.signal, gotPart: part.resolve }).catch((error: unknown) => error);
  return {
    hasPart: part.promise,
    ended,
    leave: () => {
      leaving.abort();
    },
  };
}

const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });

async function readAll(parts: AsyncIterable<unknown>, gotPart: () => void): Promise<void> {
  for await (const _ of parts) gotPart();
}

type Ask = Caller['ask'];

const caller = (name: string, ask: Ask, kind: Partial<Omit<Caller, 'name' | 'ask'>> = {}): Caller => ({
  name,
  ask,
  isStreamed: false,
  isLive: kind.isStreamed === true,
  needsPart: false,
  isSubmitted: false,
  ...kind,
});

const streamed = { isStreamed: true };
const whole = { isStreamed: true, isLive: false };
const submitted = { isSubmitted: true };

/** A stream left by `leave` once the signal aborts. */
function leaveStreamBy(leave: (stream: CompletionStream, signal: AbortSignal) => void): Ask {
  return ({ service }, question) =>
    visit(async ({ signal, gotPart }) => {
      const stream = service.completionStream(completion(question));
      leave(stream, signal);
      await readAll(stream, gotPart);
    });
}

/** Callers in the same process. */
export const LIBRARY_CALLERS: readonly Caller[] = [
  caller('completion, by its signal', ({ service }, question) =>
    visit(({ signal }) => service.completion(completion(question), { signal })),
  ),
  caller(
    'completionStream, by its signal',
    ({ service }, question) =>
      visit(({ signal, gotPart }) => readAll(service.completionStream(completion(question), { signal }), gotPart)),
    streamed,
  ),
  caller(
    'completionStream, by cancel()',
    leaveStreamBy((stream, signal) => {
      signal.addEventListener('abort', () => {
        stream.cancel();
      });
    }),
    streamed,
  ),
  caller(
    'completionStream, by breaking out of for await',
    ({ service }, question) =>
      visit(async ({ signal, gotPart }) => {
        const left = whenAborted(signal);
        for await (const _ of service.completionStream(completion(question))) {
          gotPart();
          await left;
          break;
        }
      }),
    { ...streamed, needsPart: true },
  ),
  caller(
    'completionStream, by destroying the Readable made of it',
    ({ service }, question) =>
      visit(async ({ signal, gotPart }) => {
        const readable = Readable.from(service.completionStream(completion(question)));
        signal.addEventListener('abort', () => {
          readable.destroy();
        });
        await readAll(readable, gotPart);
      }),
    streamed,
  ),
  caller(
    'completionStream in whole delivery, by its signal',
    ({ service }, question) =>
      visit(({ signal, gotPart }) =>
        readAll(service.completionStream(completion(question), { signal, delivery: 'whole' }), gotPart),
      ),
    whole,
  ),
  caller(
    'completionAsync, by cancel(requestId)',
    ({ service }, question) =>
      visit(async ({ signal }) => {
        const requestId = await service.completionAsync(completion(question));
        await whenAborted(signal);
        await service.cancel(requestId);
        return service.getResult(requestId);
      }),
    submitted,
  ),
];

/** A raw HTTP request whose socket is destroyed when the signal aborts. */
function askRaw(
  question: Question,
  { port }: SocketService,
  extra: object,
  { signal, gotPart }: Leaving,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const path = '/v1/chat/completions';
    const sent = request({ port, path, method: 'POST', headers, agent: false }, (response) => {
      response
        .on('data', gotPart)
        .on('error', reject)
        .on('close', () => {
          resolve();
        });
    });
    sent.on('error', reject).end(JSON.stringify({ ...body(question), ...extra }));
    signal.addEventListener('abort', () => {
      sent.destroy();
    });
  });
}

/** Submits natively and cancels with DELETE. */
async function submitAndDelete({ url }: SocketService, question: Question, signal: AbortSignal): Promise<unknown> {
  const accepted = await fetch(`${url}/v1/requests`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body(question)),
  });
  const location = accepted.headers.get('location') ?? '';
  await accepted.body?.cancel();
  await whenAborted(signal);
  const deleted = await fetch(`${url}${location}`, { method: 'DELETE' });
  return deleted.json();
}

/** Callers on the other side of a socket. */
export const DAEMON_CALLERS: readonly Caller[] = [
  caller('the OpenAI client', ({ openai }, question) =>
    visit(({ signal }) => openai.chat.completions.create(body(question), { signal })),
  ),
  caller(
    'the OpenAI client, streaming',
    ({ openai }, question) =>
      visit(async ({ signal, gotPart }) =>
        readAll(await openai.chat.completions.create({ ...body(question), stream: true }, { signal }), gotPart),
      ),
    streamed,
  ),
  caller(
    'the OpenAI client, breaking out of its stream',
    ({ openai }, question) =>
      visit(async ({ signal, gotPart }) => {
        const left = whenAborted(signal);
        for await (const _ of await openai.chat.completions.create({ ...body(question), stream: true })) {
          gotPart();
          await left;
          break;
        }
      }),
    { ...streamed, needsPart: true },
  ),
  caller('the Anthropic client', ({ anthropic }, question) =>
    visit(({ signal }) => anthropic.messages.create(body(question), { signal })),
  ),
  caller(
    'the Anthropic client, streaming',
    ({ anthropic }, question) =>
      visit(({ signal, gotPart }) =>
        anthropic.messages.stream(body(question), { signal }).on('text', gotPart).finalMessage(),
      ),
    streamed,
  ),
  caller('a raw socket', (target, question) => visit((leaving) => askRaw(question, target, {}, leaving))),
  caller(
    'a raw socket, streaming',
    (target, question) => visit((leaving) => askRaw(question, target, { stream: true }, leaving)),
    streamed,
  ),
  caller(
    'the OpenAI client, streaming in whole delivery',
    ({ openai }, question) =>
      visit(async ({ signal, gotPart }) => {
        const headers = { 'x-switchgear-delivery': 'whole' };
        const options = { signal, headers };
        await readAll(await openai.chat.completions.create({ ...body(question), stream: true }, options), gotPart);
      }),
    whole,
  ),
  caller(
    'DELETE of a submitted request',
    (target, question) => visit(({ signal }) => submitAndDelete(target, question, signal)),
    submitted,
  ),
];
