/**
 * The routing decision: enter a lane, wait in several, or fail now. The Service actor makes it for every step of every
 * request by calling `planRoute`; nothing here reads a clock or an actor.
 */
import type { ErrorCode } from '../contract/errors.ts';
import type { Candidate } from './resolve.ts';
import type { RankedCandidate } from './rank.ts';

export type RoutePlan =
  /** Wait in the lane of this candidate, or probe it although its breaker is open. */
  | { readonly kind: 'enter'; readonly candidate: Candidate; readonly isForced: boolean }
  /** Nothing admits now: wait in all these lanes at once, the first to admit takes the request. */
  | { readonly kind: 'park'; readonly candidates: readonly Candidate[] }
  | {
      readonly kind: 'fail';
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryAfterMs?: number;
      readonly param?: string;
    };

export interface RouteQuestion {
  readonly model: string;
  readonly ranked: readonly RankedCandidate[];
  /** An async request waits for recovery; a sync one waits for a gate or a restart only, and only within its deadline. */
  readonly canWaitForRecovery: boolean;
  readonly remainingMs: number;
  /** Fields that only one wire can carry, by the name the caller gave them. */
  readonly wireFieldNames: readonly string[];
}

const RETRY_AFTER_MIN_MS = 1_000;

export function planRoute(question: RouteQuestion): RoutePlan {
  const { ranked } = question;
  const ready = ranked.filter((entry) => entry.state === 'ready');
  const waiting = ranked.filter((entry) => entry.state === 'wait');
  // A provider that ramps up takes what its few slots hold; the rest goes on to the next one instead of queueing up.
  const first = ready.find((entry) => entry.admission.kind === 'ready' && !entry.admission.isRamping) ?? ready[0];
  if (first !== undefined) {
    return { kind: 'enter', candidate: first.candidate, isForced: false };
  }
  if (waiting.length === 0) return failForGood(question);
  const forced = forcedProbe(waiting, ranked);
  if (forced !== undefined) return { kind: 'enter', candidate: forced.candidate, isForced: true };
  if (question.canWaitForRecovery) return { kind: 'park', candidates: waiting.map((entry) => entry.candidate) };
  return parkBriefly(question, waiting);
}

/** When every candidate that could serve is open, the one that re-opens first takes a single forced probe. */
function forcedProbe(
  waiting: readonly RankedCandidate[],
  ranked: readonly RankedCandidate[],
): RankedCandidate | undefined {
  const open = waiting.filter((entry) => entry.admission.kind === 'wait' && entry.admission.reason === 'open');
  if (open.length === 0 || open.length !== waiting.length || ranked.length === 0) return undefined;
  const earliest = open.toSorted((left, right) => retryAfter(left) - retryAfter(right))[0];
  return earliest?.admission.kind === 'wait' && earliest.admission.canForceProbe ? earliest : undefined;
}

function parkBriefly(question: RouteQuestion, waiting: readonly RankedCandidate[]): RoutePlan {
  const worthWaiting = waiting.filter((entry) => isWorthWaiting(entry, question.remainingMs));
  if (worthWaiting.length > 0) return { kind: 'park', candidates: worthWaiting.map((entry) => entry.candidate) };
  const retryAfterMs = Math.max(RETRY_AFTER_MIN_MS, Math.min(...waiting.map(retryAfter)));
  const isThrottled = waiting.every((entry) => entry.admission.kind === 'wait' && entry.admission.reason === 'held');
  const reasons = waiting.map((entry) => `${entry.candidate.provider}: ${entry.reasons.join(', ')}`).join('; ');
  return {
    kind: 'fail',
    code: isThrottled ? 'rate-limited' : 'providers-unavailable',
    message: `no provider can serve ${question.model} now (${reasons}); try again in ${Math.ceil(retryAfterMs / 1000)} s, or submit the request to have it wait`,
    retryAfterMs,
  };
}

function isWorthWaiting(entry: RankedCandidate, remainingMs: number): boolean {
  if (entry.admission.kind !== 'wait') return false;
  // A restart takes a moment, and nobody knows which; the deadline ends the wait.
  if (entry.admission.reason === 'restarting') return true;
  return entry.admission.reason === 'held' && entry.admission.retryAfterMs < remainingMs;
}

function retryAfter(entry: RankedCandidate): number {
  return entry.admission.kind === 'wait' ? entry.admission.retryAfterMs : Number.POSITIVE_INFINITY;
}

function failForGood({ model, ranked, wireFieldNames }: RouteQuestion): RoutePlan {
  if (ranked.every(({ admission }) => admission.kind === 'never' && admission.isLeftOut === true))
    return nobodyActive(model, ranked);
  const isWireMismatch =
    ranked.length > 0 && ranked.every((entry) => entry.missingFeatures.some((feature) => feature.startsWith('wire:')));
  if (isWireMismatch) {
    const names = wireFieldNames.join(', ');
    return {
      kind: 'fail',
      code: 'invalid-request',
      message: `expected fields that every provider understands, got: ${names}, which no provider of ${model} can be sent; leave ${names} out or pick a model of the API you speak`,
      ...(wireFieldNames[0] !== undefined && { param: wireFieldNames[0] }),
    };
  }
  const isFeatureMismatch = ranked.length > 0 && ranked.every((entry) => entry.missingFeatures.length > 0);
  const reasons = ranked.map((entry) => `${entry.candidate.provider}: ${entry.reasons.join(', ')}`).join('; ');
  if (isFeatureMismatch) {
    return {
      kind: 'fail',
      code: 'invalid-request',
      message: `no provider of ${model} can serve this request (${reasons})`,
    };
  }
  const isTooLong =
    ranked.length > 0 && ranked.every((entry) => entry.reasons.some((reason) => reason.includes('context window')));
  if (isTooLong) {
    return {
      kind: 'fail',
      code: 'context-too-long',
      message: `the input is too long for every provider of ${model} (${reasons}); shorten it or add a model with a larger window`,
    };
  }
  return {
    kind: 'fail',
    code: 'providers-unavailable',
    message: `no provider can serve ${model} (${reasons})`,
  };
}

/** Not an outage: what the config leaves out is not offered, and trying again later changes nothing. */
function nobodyActive(model: string, ranked: readonly RankedCandidate[]): RoutePlan {
  const reasons = ranked.map((entry) => `${entry.candidate.provider}: ${entry.reasons.join(', ')}`).join('; ');
  const why = reasons === '' ? '' : ` (${reasons})`;
  return {
    kind: 'fail',
    code: 'unknown-model',
    message: `no provider of ${model} is active${why}: set an API key or enable one and reload, or ask for another model`,
    param: 'model',
  };
}
