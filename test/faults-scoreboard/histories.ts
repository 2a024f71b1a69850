/** Histories for tests of the judge: each fault lived through well, and the pieces to spoil it with. */
import { CATALOGUE } from '../../bench/faults/catalogue.ts';
import type { Fault } from '../../bench/faults/fault.ts';
import {
  type Bill,
  type CallerRequest,
  type History,
  MODELS,
  type ProviderAttempt,
  type Side,
  USAGE,
  wholeText,
} from '../../bench/faults/history.ts';

export function findFault(id: string): Fault {
  const fault = CATALOGUE.find((candidate) => candidate.id === id);
  if (fault === undefined) throw new Error(`expected a fault of the catalogue, got: ${id}`);
  return fault;
}

/** An answer of one side, whole and in time. */
export function answered(side: Side, overrides: Partial<CallerRequest> = {}): CallerRequest {
  return {
    askedAtMs: 0,
    endedAtMs: 1_000,
    end: 'answered',
    text: wholeText(side),
    model: MODELS[side],
    usage: USAGE,
    ...overrides,
  };
}

/** A clean error. */
export function failed(message: string, overrides: Partial<CallerRequest> = {}): CallerRequest {
  return { askedAtMs: 0, endedAtMs: 1_000, end: 'failed', text: '', message, ...overrides };
}

/** The first `count` words of an answer. */
export function part(side: Side, count: number): string {
  return wholeText(side).split(' ').slice(0, count).join(' ');
}

/** Attempts that came to nothing. */
export function refused(...times: readonly number[]): readonly ProviderAttempt[] {
  return times.map((atMs) => ({ atMs, isAnswered: false }));
}

/** One attempt that was answered whole. */
export function served(atMs: number): ProviderAttempt {
  return { atMs, isAnswered: true };
}

const NOTHING: Bill = { usdNanos: 0, outputTokens: 0 };
const ANSWER: Bill = { usdNanos: 1, outputTokens: USAGE.output };

const byFallback = (primary: readonly ProviderAttempt[], tookMs = 1_000): History => ({
  requests: [answered('fallback', { endedAtMs: tookMs })],
  primary,
  fallback: [served(tookMs - 500)],
  bills: { primary: NOTHING, fallback: ANSWER },
});
const byPrimary = (...primary: readonly ProviderAttempt[]): History => ({
  requests: [answered('primary')],
  primary,
  fallback: [],
});
const withNext = (history: History): History => ({
  ...history,
  requests: [...history.requests, answered('primary', { askedAtMs: 20_000, endedAtMs: 21_000 })],
  primary: [...history.primary, served(20_000)],
});

/** An outage as it goes well: three requests find it, then the primary is left alone and probed now and then. */
function flap(): History {
  const askedAt = Array.from({ length: 23 }, (_request, index) => index * 4_000);
  const isBack = (atMs: number) => atMs >= 72_000;
  return {
    requests: askedAt.map((askedAtMs) =>
      answered(isBack(askedAtMs) ? 'primary' : 'fallback', { askedAtMs, endedAtMs: askedAtMs + 1_000 }),
    ),
    primary: [...refused(0, 300, 700, 4_000, 4_300, 20_000, 36_000, 52_000), ...askedAt.filter(isBack).map(served)],
    fallback: askedAt.filter((atMs) => !isBack(atMs)).map(served),
  };
}

/** Every fault, lived through as well as can be. */
const GOOD: Readonly<Record<string, History>> = {
  S01: byPrimary(...refused(0), served(2_000)),
  S02: byFallback(refused(0, 900)),
  S03: byPrimary(...refused(0), served(300)),
  S04: byFallback(refused(0, 300, 1_100)),
  S05: byPrimary(...refused(0), served(300)),
  S06: byFallback(refused(0), 13_000),
  S07: byFallback(refused(0), 13_000),
  S08: byFallback(refused(0)),
  S09: withNext(byFallback(refused(0), 17_000)),
  S10: withNext(byFallback(refused(0))),
  S11: byPrimary(served(0)),
  S12: byFallback(refused(0)),
  S13: {
    requests: [failed('400 Your request was rejected as a result of our safety system.')],
    primary: refused(0),
    fallback: [],
  },
  S14: byFallback(refused(0)),
  S15: flap(),
  S16: byFallback(refused(0, 300, 1_100)),
};

/** A good history of one fault. */
export function goodOf(id: string): History {
  const history = GOOD[id];
  if (history === undefined) throw new Error(`expected a good history of ${id}, got: none`);
  return history;
}

/** A history with its first request changed. */
export function withFirst(history: History, overrides: Partial<CallerRequest>): History {
  const [first, ...rest] = history.requests;
  if (first === undefined) throw new Error('expected a request, got: none');
  return { ...history, requests: [{ ...first, ...overrides }, ...rest] };
}
