/**
 * Our own errors do not multiply the work. The official clients, at their default of two retries, meet every error that the
 * runtime has dealt with already: they send once, and the provider is asked as often as the runtime decided and no more.
 * Where trying again does help they are told when, and their own retry then succeeds.
 */
import { describe, expect, test } from 'vitest';
import type { ProviderInput, SwitchgearConfig } from '../../src/config/input.ts';
import {
  createResponder,
  openUpstream,
  plainAnswer,
  type Respond,
  type UpstreamServer,
} from '../contracts/upstream.ts';
import { openaiWire } from '../contracts/wires.ts';
import { until } from '../simulator/support.ts';
import { type SocketService, startSocketService, upstreamInput } from '../support/socket-service.ts';
import { HELLO } from '../support/test-runtime.ts';

interface World {
  readonly target: SocketService;
  readonly upstream: UpstreamServer;
}

/** What a client asks and what it ended with. */
interface Client {
  readonly name: string;
  readonly ask: (target: SocketService) => PromiseLike<unknown>;
}

const body = { model: 'm', max_tokens: 64, messages: [{ role: 'user' as const, content: 'Hello' }] };

const CLIENTS: readonly Client[] = [
  { name: 'the OpenAI client', ask: ({ openai }) => openai.chat.completions.create(body) },
  {
    name: 'the OpenAI client, streaming',
    ask: async ({ openai }) => readAll(await openai.chat.completions.create({ ...body, stream: true })),
  },
  { name: 'the Anthropic client', ask: ({ anthropic }) => anthropic.messages.create(body) },
  { name: 'the Anthropic client, streaming', ask: ({ anthropic }) => anthropic.messages.stream(body).finalMessage() },
];

async function readAll(parts: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of parts) count += 1;
  return count;
}

interface SdkError {
  readonly status: number;
  readonly headers: Headers;
}

async function errorOf({ ask }: Client, target: SocketService): Promise<SdkError> {
  const ended = await Promise.resolve(ask(target)).then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in ended)) throw new Error(`expected the client to fail, got: ${JSON.stringify(ended.value)}`);
  // Both SDKs raise an APIError, which has the status and the headers of the answer.
  return ended.error as SdkError;
}

const fail =
  (status: number, headers: Readonly<Record<string, string>> = {}): Respond =>
  (_request, response) =>
    void response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end('{"error":{"message":"not now"}}');

const answer = createResponder({ kind: 'answer', answer: plainAnswer }, openaiWire);
const hang = createResponder({ kind: 'silent' }, openaiWire);
const breakOff = createResponder({ kind: 'cut' }, openaiWire);

async function openWorld(
  respond: Respond,
  input: Partial<ProviderInput> = {},
  rest: Partial<SwitchgearConfig> = {},
): Promise<World & AsyncDisposable> {
  const upstream = await openUpstream(respond);
  const quick = { retry: { baseMs: 1, capMs: 1 }, ...input };
  const target = await startSocketService({ providers: { up: upstreamInput('openai', upstream.url, quick) }, ...rest });
  return {
    upstream,
    target,
    [Symbol.asyncDispose]: async () => {
      await target[Symbol.asyncDispose]();
      await upstream.close();
    },
  };
}

const askLibrary = ({ target }: World): Promise<unknown> => target.service.completion(HELLO).catch(() => undefined);

const NO_RETRIES = { retry: { maxRetries: 0 } };

/** Opens its breaker on the first failure; the one forced probe is used up as well. */
const openBreaker = async (world: World): Promise<void> => {
  await askLibrary(world);
  await askLibrary(world);
};

interface Row {
  readonly code: string;
  readonly why: string;
  readonly respond: Respond;
  readonly input?: Partial<ProviderInput>;
  readonly rest?: Partial<SwitchgearConfig>;
  readonly before?: (world: World) => Promise<void>;
  readonly status: number;
  /** Attempts of the runtime for the one request of the client. */
  readonly attempts: number;
  /** Whole seconds the client is told, from and to. */
  readonly retryAfter?: readonly [least: number, most: number];
}

const trip = (openMs: number): Partial<ProviderInput> => ({
  ...NO_RETRIES,
  breaker: { minimumCalls: 1, failureRate: 1, openMs, openMaxMs: openMs },
});

const ROWS: readonly Row[] = [
  { code: 'provider-error', why: 'a provider that is broken', respond: fail(500), status: 502, attempts: 3 },
  { code: 'overloaded', why: 'a provider that is overloaded', respond: fail(529), status: 503, attempts: 3 },
  {
    code: 'provider-error',
    why: 'a provider that is down and says until when',
    respond: fail(503, { 'retry-after': '30' }),
    rest: { service: { timeoutMs: 5_000 } },
    status: 502,
    attempts: 1,
    retryAfter: [30, 30],
  },
  { code: 'provider-error', why: 'a key that the provider refuses', respond: fail(401), status: 502, attempts: 1 },
  {
    code: 'timeout',
    why: 'a provider that says nothing',
    respond: hang,
    rest: { service: { timeoutMs: 300 } },
    status: 504,
    attempts: 1,
  },
  {
    code: 'rate-limited',
    why: 'a 429 with a short Retry-After',
    respond: fail(429, { 'retry-after': '2' }),
    input: NO_RETRIES,
    status: 429,
    attempts: 1,
    retryAfter: [2, 2],
  },
  {
    code: 'rate-limited',
    why: 'a 429 with a Retry-After beyond the deadline',
    respond: fail(429, { 'retry-after': '3600' }),
    rest: { service: { timeoutMs: 5_000 } },
    status: 429,
    attempts: 1,
    retryAfter: [3_600, 3_600],
  },
  {
    code: 'rate-limited',
    why: 'a gate that is held for longer than the deadline',
    respond: fail(429, { 'retry-after': '3600' }),
    rest: { service: { timeoutMs: 5_000 } },
    before: async (world) => void (await askLibrary(world)),
    status: 429,
    attempts: 0,
    retryAfter: [3_590, 3_600],
  },
  {
    code: 'providers-unavailable',
    why: 'a breaker that opens again soon',
    respond: fail(500),
    input: trip(20_000),
    before: openBreaker,
    status: 503,
    attempts: 0,
    // 20 s, give or take a fifth.
    retryAfter: [10, 24],
  },
  {
    code: 'providers-unavailable',
    why: 'a breaker that opens again in ten minutes',
    respond: fail(500),
    input: trip(600_000),
    before: openBreaker,
    status: 503,
    attempts: 0,
    retryAfter: [470, 720],
  },
  {
    code: 'providers-unavailable',
    why: 'keys that were refused for good',
    respond: fail(401),
    before: openBreaker,
    status: 503,
    attempts: 0,
  },
];

describe.each(CLIENTS)('$name', (client) => {
  test.each(ROWS)(
    'sends once for $code: $why',
    async ({ code, respond, input, rest, before, status, attempts, retryAfter }) => {
      await using world = await openWorld(respond, input, rest);
      await before?.(world);
      const askedBefore = world.upstream.received.length;
      const error = await errorOf(client, world.target);
      expect(error.status).toBe(status);
      expect(error.headers.get('x-switchgear-error')).toBe(code);
      expect(error.headers.get('x-should-retry')).toBe('false');
      expect(world.target.arrivals).toHaveLength(1);
      expect(world.upstream.received.length - askedBefore).toBe(attempts);
      const told = error.headers.get('retry-after');
      if (retryAfter === undefined) return expect(told).toBeNull();
      expect(Number(told)).toBeGreaterThanOrEqual(retryAfter[0]);
      expect(Number(told)).toBeLessThanOrEqual(retryAfter[1]);
    },
  );
});

describe.concurrent.each(CLIENTS)('$name', (client) => {
  test('tries again when the queue is full, no sooner than it was told, and is answered', async () => {
    let isFull = true;
    const held: (() => void)[] = [];
    await using world = await openWorld(
      (...call) => {
        if (isFull) held.push(() => answer(...call));
        else answer(...call);
      },
      { concurrency: 1 },
      { service: { queueDepthMax: 1 } },
    );
    const { target, upstream } = world;
    const before = [askLibrary(world)];
    await until(() => upstream.received.length === 1, 'the provider to be busy');
    before.push(askLibrary(world));
    await until(() => upstream.received.length === 1 && target.leftovers().waiting === 1, 'the queue to be full');
    const answered = Promise.resolve(client.ask(target));
    await until(() => target.arrivals[0]?.status === 503, 'the client to be refused');
    isFull = false;
    for (const release of held) release();
    await Promise.all([...before, answered]);
    const [first, second, ...more] = target.arrivals;
    expect(more).toEqual([]);
    expect(second!.atMs - first!.atMs).toBeGreaterThanOrEqual(1_000);
    expect(upstream.received).toHaveLength(3);
  });

  test('asks elsewhere or later while the service drains, and no provider is asked for it', async () => {
    await using world = await openWorld(hang);
    const { target, upstream } = world;
    void askLibrary(world);
    await until(() => upstream.received.length === 1, 'somebody to be served');
    void target.service.stop({ graceMs: 60_000 });
    const error = await errorOf(client, target);
    expect(error.headers.get('x-switchgear-error')).toBe('shutting-down');
    expect(error.headers.get('x-should-retry')).toBeNull();
    // The first and the two retries of a client that does not know of another instance.
    expect(target.arrivals).toHaveLength(3);
    expect(upstream.received).toHaveLength(1);
  });

  test('is not answered twice when its request was cut short by the end of the service', async () => {
    await using world = await openWorld(hang);
    const { target, upstream } = world;
    const failed = errorOf(client, target);
    await until(() => upstream.received.length === 1, 'the request to be sent');
    void target.service.stop({ graceMs: 0 });
    const error = await failed;
    expect(error.headers.get('x-switchgear-error')).toBe('shutting-down');
    expect(upstream.received).toHaveLength(1);
  });
});

describe.each(CLIENTS.filter(({ name }) => name.includes('streaming')))('$name', (client) => {
  test('sends once for a stream that breaks after content', async () => {
    await using world = await openWorld(breakOff);
    await errorOf(client, world.target);
    expect(world.target.arrivals).toHaveLength(1);
    expect(world.upstream.received).toHaveLength(1);
  });
});

test.each([
  ['the OpenAI client', ({ openai }: SocketService, options: object) => openai.post('/requests', options)],
  ['the Anthropic client', ({ anthropic }: SocketService, options: object) => anthropic.post('/v1/requests', options)],
])('%s, which retries a 409 by default, sends once for an idempotency key used twice', async (name, post) => {
  await using world = await openWorld(answer);
  const { target } = world;
  const headers = { 'idempotency-key': 'k-1' };
  await post(target, { body, headers });
  const other = { ...body, messages: [{ role: 'user', content: 'Something else' }] };
  const error = await errorOf({ name, ask: () => post(target, { body: other, headers }) }, target);
  expect(error.status).toBe(409);
  expect(error.headers.get('x-switchgear-error')).toBe('idempotency-conflict');
  expect(error.headers.get('x-should-retry')).toBe('false');
  expect(target.arrivals).toHaveLength(2);
});
