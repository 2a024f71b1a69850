/**
 * A caller who leaves stops the work for it at once, wherever it is: the upstream closes the socket of the request within
 * 100 ms, what the request held is free, and nobody is blamed. The time is measured by the upstream, and beside a plain
 * fetch that is aborted in the same run, so that a busy machine is not taken for a slow service.
 */
import { describe, expect, test } from 'vitest';
import type { ProviderInput } from '../../src/config/input.ts';
import type { CompletionRequest } from '../../src/contract/request.ts';
import { until } from '../simulator/support.ts';
import { type Caller, DAEMON_CALLERS, LIBRARY_CALLERS, type Visit } from '../support/leaving-callers.ts';
import { type SocketService, startSocketService, upstreamInput } from '../support/socket-service.ts';
import {
  directive,
  openSilentUpstream,
  openStagedUpstream,
  type SilentUpstream,
  type Stage,
  type StagedUpstream,
  type WireName,
  WIRES,
} from '../support/staged-upstream.ts';

/** How long the upstream socket, or the place of a request, may outlive its caller's leaving. */
const LEAVE_MAX_MS = 100;
const ROUNDS = 3;

const median = (values: readonly number[]): number => values.toSorted((one, other) => one - other)[values.length >> 1]!;

const asking = (content: string, maxTokens = 16): CompletionRequest => ({
  model: 'm',
  maxTokens,
  messages: [{ role: 'user', content }],
});

interface World {
  readonly upstream: StagedUpstream;
  readonly silent: SilentUpstream;
  readonly target: SocketService;
}

interface Place {
  readonly name: string;
  /** What the upstream does with the request that is left. */
  readonly stage: Stage;
  readonly input?: Partial<ProviderInput>;
  readonly isConnecting?: true;
  /** Only these callers can be there. */
  readonly isFor?: (caller: Caller) => boolean;
  /** Takes what the request would need. */
  readonly occupy?: (world: World) => Promise<void>;
  /** Whether the request has got to this place. */
  readonly isReached: (world: World, mark: string) => boolean;
  /** When what belongs to the request was let go. */
  readonly freedAtMs: (world: World, mark: string) => number | undefined;
}

const isTaken = ({ upstream }: World, mark: string): boolean => upstream.find(mark)?.isReached === true;
const cutAtMs = ({ upstream }: World, mark: string): number | undefined => upstream.find(mark)?.cutAtMs;

/** The moment at which no trace of a request that had no socket was left. */
function whenNothingWaits({ target }: World): number | undefined {
  const { waiting } = target.leftovers();
  const isWaiting = waiting !== 0 || target.service.openRequests().some(({ status }) => status === 'queued');
  return isWaiting ? undefined : performance.now();
}

const lane = ({ target }: World) => target.service.queueStatus().lanes[0];

const PLACES: readonly Place[] = [
  {
    name: 'queued behind a full provider',
    stage: 'answered',
    input: { concurrency: 1 },
    occupy: async (world) => {
      void world.target.service.completion(asking(directive('taken', 'occupant'))).catch(() => undefined);
      await until(() => isTaken(world, 'occupant'), 'the provider to be full');
    },
    isReached: (world) => lane(world)?.waiting === 1,
    freedAtMs: whenNothingWaits,
  },
  {
    name: 'queued behind a rate limit',
    stage: 'answered',
    // A burst of one, and the next in a minute.
    input: { rateLimit: { requestsPerMinute: 1 } },
    occupy: async ({ target }) => {
      await target.service.completion(asking(directive('answered', 'first')));
    },
    isReached: (world) => lane(world)?.waiting === 1 && lane(world)?.paused === true,
    freedAtMs: whenNothingWaits,
  },
  {
    name: 'waiting in backoff',
    stage: 'failing',
    input: { retry: { baseMs: 30_000, capMs: 30_000 } },
    isReached: ({ target }) =>
      target.service.openRequests().some(({ attempts, status }) => attempts === 1 && status === 'queued'),
    freedAtMs: whenNothingWaits,
  },
  {
    name: 'connecting',
    stage: 'answered',
    isConnecting: true,
    isReached: ({ silent }) => (silent.accepted.at(-1)?.bytes ?? 0) > 0 && silent.connections() === 1,
    freedAtMs: ({ silent }) => silent.accepted.at(-1)?.closedAtMs,
  },
  { name: 'waiting for headers', stage: 'taken', isReached: isTaken, freedAtMs: cutAtMs },
  { name: 'waiting for the first content', stage: 'opened', isReached: isTaken, freedAtMs: cutAtMs },
  { name: 'in the middle of the answer', stage: 'begun', isReached: isTaken, freedAtMs: cutAtMs },
];

async function openWorld(wire: WireName, place: Place): Promise<World & AsyncDisposable> {
  const resources = new AsyncDisposableStack();
  const upstream = resources.use(await openStagedUpstream(wire));
  const silent = resources.use(await openSilentUpstream());
  const url = place.isConnecting === true ? `https://127.0.0.1:${silent.port}` : upstream.url;
  const target = resources.use(await startSocketService({ providers: { up: upstreamInput(wire, url, place.input) } }));
  return { upstream, silent, target, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** How long a plain fetch to the same upstream takes to be noticed as gone. */
async function measureControl(world: World, wire: WireName, mark: string): Promise<number> {
  const leaving = new AbortController();
  const path = wire === 'openai' ? '/chat/completions' : '/v1/messages';
  const left = fetch(`${world.upstream.url}${path}`, {
    method: 'POST',
    body: JSON.stringify({ messages: [{ content: directive('taken', mark) }] }),
    signal: leaving.signal,
  }).catch(() => undefined);
  await until(() => isTaken(world, mark), 'the control to be taken');
  const leftAtMs = performance.now();
  leaving.abort();
  await left;
  await until(() => cutAtMs(world, mark) !== undefined, 'the control to be noticed');
  return cutAtMs(world, mark)! - leftAtMs;
}

async function measureLeaving(
  world: World,
  place: Place,
  { visit, mark }: { visit: Visit; mark: string },
): Promise<number> {
  let freedAtMs: number | undefined;
  const leftAtMs = performance.now();
  visit.leave();
  await until(() => (freedAtMs ??= place.freedAtMs(world, mark)) !== undefined, 'what was held to be free');
  return freedAtMs! - leftAtMs;
}

/** What a caller who left at a place must not have changed. */
async function standing({ target, upstream }: World) {
  const { recordCount } = await target.service.costSummary();
  return { blame: await target.blame(), recordCount, asked: upstream.requests.length };
}

/**
 * How many ledger entries a leaver makes: one when content had come to the service, which nobody outside sees of `whole` and
 * of what was submitted. Both are streams upstream.
 */
function chargesOf(caller: Caller, place: Place): readonly [least: number, most: number] {
  if (!(caller.isStreamed || caller.isSubmitted) || place.stage !== 'begun') return [0, 0];
  return caller.isLive ? [1, 1] : [0, 1];
}

/** Every caller meets the first wire; who is on the far side of a socket sees no difference at the second. */
const callersOf = (wire: WireName, place: Place): readonly Caller[] =>
  [...LIBRARY_CALLERS, ...(wire === 'openai' ? DAEMON_CALLERS : [])].filter(
    ({ needsPart }) => !needsPart || place.stage === 'begun',
  );

describe.each(Object.keys(WIRES) as readonly WireName[])('with the %s adapter', (wire) => {
  describe.each(PLACES)('$name', (place) => {
    test.each(callersOf(wire, place))('$name: all is let go at once', async (caller) => {
      await using world = await openWorld(wire, place);
      const { target } = world;
      await place.occupy?.(world);
      const atRest = target.leftovers();
      const ours: number[] = [];
      const control: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        control.push(await measureControl(world, wire, `control-${round}`));
        const mark = `left-${round}`;
        const settledBefore = target.settled.length;
        const visit = caller.ask(target, { model: 'm', content: directive(place.stage, mark) });
        await until(() => place.isReached(world, mark), `the request to be ${place.name}`);
        if (caller.isLive && place.stage === 'begun') await visit.hasPart;
        const before = await standing(world);
        ours.push(await measureLeaving(world, place, { visit, mark }));
        const ended = await visit.ended;
        if (caller.isSubmitted) expect(ended).toMatchObject({ status: 'cancelled' });
        await until(() => target.settled.length > settledBefore, 'the request to be settled');
        expect(target.settled.slice(settledBefore)).toMatchObject([{ outcome: 'cancelled', code: 'cancelled' }]);
        expect(target.leftovers()).toEqual(atRest);
        const { recordCount, ...after } = await standing(world);
        expect({ ...after, recordCount: before.recordCount }).toEqual(before);
        const [least, most] = chargesOf(caller, place);
        expect(recordCount - before.recordCount).toBeGreaterThanOrEqual(least);
        expect(recordCount - before.recordCount).toBeLessThanOrEqual(most);
      }
      expect(median(ours) - median(control)).toBeLessThan(LEAVE_MAX_MS);
    });
  });
});

describe('what a caller who left had held', () => {
  test('its slot goes to whoever waits behind it, at once', async () => {
    await using upstream = await openStagedUpstream('openai');
    await using target = await startSocketService({
      providers: { up: upstreamInput('openai', upstream.url, { concurrency: 1 }) },
    });
    const waits: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const [first, next] = [`first-${round}`, `next-${round}`];
      const leaving = new AbortController();
      const left = target.service
        .completion(asking(directive('taken', first)), { signal: leaving.signal })
        .catch((error: unknown) => error);
      await until(() => upstream.find(first)?.isReached === true, 'the slot to be taken');
      const answered = target.service.completion(asking(directive('answered', next)));
      await until(() => target.leftovers().waiting === 1, 'the next one to wait');
      const leftAtMs = performance.now();
      leaving.abort();
      await answered;
      waits.push(upstream.find(next)!.receivedAtMs - leftAtMs);
      expect(await left).toMatchObject({ code: 'cancelled' });
    }
    expect(median(waits)).toBeLessThan(LEAVE_MAX_MS);
  });

  test('its pacing tokens are there for others: a long answer that nobody wants does not hold up the next', async () => {
    await using upstream = await openStagedUpstream('openai');
    // A burst of 5,400 tokens, 900 more each second.
    const input = { rateLimit: { tokensPerMinute: 60_000 } };
    await using target = await startSocketService({ providers: { up: upstreamInput('openai', upstream.url, input) } });
    for (const stage of ['taken', 'opened', 'begun'] as const) {
      const leaving = new AbortController();
      const stream = target.service.completionStream(asking(directive(stage, stage), 5_000), {
        signal: leaving.signal,
      });
      await until(() => upstream.find(stage)?.isReached === true, 'the request to be sent');
      leaving.abort();
      await expect(stream.response).rejects.toMatchObject({ code: 'cancelled' });
    }
    const response = await target.service.completion(asking(directive('answered', 'next'), 5_000));
    // Kept back, the tokens of each leaver would have taken 5 s to come again.
    expect(response.latency.queuedMs).toBeLessThan(2_000);
  });
});
