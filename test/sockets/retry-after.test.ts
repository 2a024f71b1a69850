/**
 * A provider's Retry-After is a floor, in whatever form it comes: nothing reaches that credential before it, neither the
 * request that was told nor any other. When it does not fit, the caller has the error, or the fallback is asked, at once.
 */
import { describe, expect, test } from 'vitest';
import type { ProviderInput } from '../../src/config/input.ts';
import { openUpstream, plainAnswer, type UpstreamServer } from '../contracts/upstream.ts';
import { openaiWire } from '../contracts/wires.ts';
import { until } from '../simulator/support.ts';
import { type SocketService, startSocketService, upstreamInput } from '../support/socket-service.ts';
import { HELLO, rejection } from '../support/test-runtime.ts';

type Headers = Readonly<Record<string, string>>;

/** An upstream that refuses as it was told, then answers; moments are on the monotonic clock. */
interface RefusingUpstream extends AsyncDisposable {
  readonly server: UpstreamServer;
  readonly url: string;
  readonly receivedAtMs: number[];
  /** The keys it was asked with. */
  readonly keys: (string | undefined)[];
  /** When it began to write the last refusal. */
  refusedAtMs: number;
}

async function openRefusing(isRefused: (index: number) => boolean, status: number, headers: Headers) {
  const receivedAtMs: number[] = [];
  const keys: (string | undefined)[] = [];
  const server = await openUpstream((request, response) => {
    const index = receivedAtMs.push(performance.now()) - 1;
    keys.push(request.headers.authorization);
    const isNo = isRefused(index);
    if (isNo) upstream.refusedAtMs = performance.now();
    response.writeHead(isNo ? status : 200, { 'content-type': 'application/json', ...(isNo && headers) });
    response.end(isNo ? '{"error":{"message":"not now"}}' : openaiWire.renderAnswer(plainAnswer));
  });
  const upstream: RefusingUpstream = {
    server,
    url: server.url,
    receivedAtMs,
    keys,
    refusedAtMs: 0,
    [Symbol.asyncDispose]: () => server.close(),
  };
  return upstream;
}

/** Backs off for no time worth the name, and never opens its breaker. */
const QUICK: Partial<ProviderInput> = {
  retry: { baseMs: 1, capMs: 1 },
  breaker: { minimumCalls: 10_000, consecutiveFailures: 10_000 },
};

const STATUSES = [429, 503] as const;

/** `floorMs` from the refusal on. A date has whole seconds, so this one is between one and two seconds away. */
const FORMS: readonly (readonly [name: string, headers: () => Headers, floorMs: (headers: Headers) => number])[] = [
  ['retry-after: 0', () => ({ 'retry-after': '0' }), () => 0],
  ['retry-after: 1', () => ({ 'retry-after': '1' }), () => 1_000],
  ['retry-after-ms: 700', () => ({ 'retry-after-ms': '700', 'retry-after': '3600' }), () => 700],
  [
    'an HTTP date',
    () => ({ 'retry-after': new Date(Date.now() + 2_000).toUTCString() }),
    (headers) => Date.parse(headers['retry-after'] ?? '') - Date.now(),
  ],
  ['an HTTP date that has passed', () => ({ 'retry-after': new Date(0).toUTCString() }), () => 0],
  ['garbage', () => ({ 'retry-after': 'soon' }), () => 0],
  ['a negative number', () => ({ 'retry-after': '-3600' }), () => 0],
  ['nothing', () => ({}), () => 0],
];

/** Others who come while the gate is held. */
const OTHERS = 5;
/** What a 429 without a usable Retry-After is waited for at least. */
const THROTTLE_LEAST_MS = 500;

describe.concurrent.each(STATUSES)('a %i with', (status) => {
  test.each(FORMS)('%s is asked again no sooner, by nobody', async (_name, createHeaders, floorOf) => {
    const headers = createHeaders();
    await using upstream = await openRefusing((index) => index === 0, status, headers);
    await using target = await startSocketService({ providers: { up: upstreamInput('openai', upstream.url, QUICK) } });
    const told = target.service.completion(HELLO);
    const isRead = () => upstream.refusedAtMs > 0 && target.service.openRequests()[0]?.attempts !== 0;
    await until(isRead, 'the refusal to be read');
    const floorMs = Math.max(floorOf(headers), status === 429 ? THROTTLE_LEAST_MS : 0);
    const others = Array.from({ length: OTHERS }, () => target.service.completion(HELLO));
    const responses = await Promise.all([told, ...others]);
    expect(responses.map(({ provider }) => provider)).toEqual(Array.from({ length: 1 + OTHERS }, () => 'up'));
    const [, ...later] = upstream.receivedAtMs;
    expect(later).toHaveLength(1 + OTHERS);
    expect(Math.min(...later) - upstream.refusedAtMs).toBeGreaterThanOrEqual(floorMs);
  });
});

const LONG_SECONDS = [61, 3_600] as const;
const ROUNDS = 5;
/** How much longer than a plain fetch an answer of the upstream may take to its caller. */
const OVERHEAD_MAX_MS = 50;
const DEADLINE = { timeoutMs: 5_000 };

/** The quickest round: what always waits shows in it, and what else the machine was doing does not. */
const quickest = (values: readonly number[]): number => Math.min(...values);

/** From the upstream's refusal to a plain fetch that reads it. */
async function measureControl(upstream: RefusingUpstream): Promise<number> {
  const response = await fetch(`${upstream.url}/chat/completions`, { method: 'POST', body: '{}' });
  await response.text();
  return performance.now() - upstream.refusedAtMs;
}

const gateOf = (target: SocketService) => target.service.providerStates()['up']?.credentials;

describe.each(STATUSES)('a %i with a Retry-After that does not fit the deadline', (status) => {
  test.each(LONG_SECONDS)('of %i s is told at once, and holds the gate for all of it', async (seconds) => {
    const ours: number[] = [];
    const control: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await using upstream = await openRefusing(() => true, status, { 'retry-after': String(seconds) });
      await using target = await startSocketService({
        providers: { up: upstreamInput('openai', upstream.url, QUICK) },
      });
      control.push(await measureControl(upstream));
      const error = await rejection(target.service.completion(HELLO, DEADLINE));
      ours.push(performance.now() - upstream.refusedAtMs);
      expect(error).toMatchObject({ retryAfterMs: seconds * 1_000 });
      expect(gateOf(target)).toMatchObject([{ state: 'held' }]);
      const heldForMs = gateOf(target)?.[0]?.heldForMs ?? 0;
      const passedMs = performance.now() - upstream.refusedAtMs;
      expect(heldForMs).toBeGreaterThanOrEqual(Math.floor(seconds * 1_000 - passedMs));
      expect(heldForMs).toBeLessThanOrEqual(seconds * 1_000);
      const asked = upstream.receivedAtMs.length;
      for (let other = 0; other < OTHERS; other += 1) {
        const { code, retryAfterMs = 0 } = await rejection(target.service.completion(HELLO, DEADLINE));
        expect(code).toBe('rate-limited');
        expect(retryAfterMs).toBeGreaterThan(seconds * 1_000 - 5_000);
      }
      expect(upstream.receivedAtMs).toHaveLength(asked);
    }
    expect(quickest(ours) - quickest(control)).toBeLessThan(OVERHEAD_MAX_MS);
  });

  test.each(LONG_SECONDS)(
    'of %i s sends the request to its fallback at once, and the next ones there first',
    async (seconds) => {
      const ours: number[] = [];
      const control: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        await using upstream = await openRefusing(() => true, status, { 'retry-after': String(seconds) });
        await using spare = await openRefusing(() => false, status, {});
        await using target = await startSocketService({
          providers: {
            up: upstreamInput('openai', upstream.url, QUICK),
            spare: upstreamInput('openai', spare.url, QUICK),
          },
          models: { both: ['up/m', 'spare/m'] },
        });
        control.push(await measureControl(upstream));
        const asked = upstream.receivedAtMs.length;
        for (let other = 0; other <= OTHERS; other += 1) {
          const { provider } = await target.service.completion({ ...HELLO, model: 'both' });
          expect(provider).toBe('spare');
        }
        ours.push(spare.receivedAtMs[0]! - upstream.refusedAtMs);
        expect(upstream.receivedAtMs).toHaveLength(asked + 1);
      }
      expect(quickest(ours) - quickest(control)).toBeLessThan(OVERHEAD_MAX_MS);
    },
  );
});

test('a 429 with an hour of Retry-After holds one key only: the other is used at once', async () => {
  await using upstream = await openRefusing((index) => index === 0, 429, { 'retry-after': '3600' });
  const input = { ...QUICK, apiKey: undefined, apiKeys: ['sk-one-0123456789abcdef', 'sk-two-0123456789abcdef'] };
  await using target = await startSocketService({ providers: { up: upstreamInput('openai', upstream.url, input) } });
  for (let other = 0; other <= OTHERS; other += 1) await target.service.completion(HELLO, DEADLINE);
  expect(upstream.keys.map((key) => key?.slice(10, 13))).toEqual([
    'one',
    ...Array.from({ length: OTHERS + 1 }, () => 'two'),
  ]);
  expect(gateOf(target)).toMatchObject([{ state: 'held' }, { state: 'usable' }]);
});
