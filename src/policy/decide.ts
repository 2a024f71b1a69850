/**
 * What follows a failed attempt: the whole retry and failover policy as one pure function over the failure table. Retries
 * here and failovers share one loop (R7) and one bound.
 */
import type { Failure } from '../contract/adapter.ts';
import type { RetryConfig } from '../contract/config.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';
import type { Delivery } from '../contract/request.ts';
import { backoffMs, throttleMs } from './retry.ts';

/** Attempts of one request in one round, over all candidates. */
export const ATTEMPTS_MAX = 8;
/** A Retry-After up to this long is waited for at the same target; for a longer one another candidate is asked first. */
const SHORT_WAIT_MS = 5_000;

export interface FailedAttempt {
  readonly failure: Failure;
  /** Attempts at this target in this round, this one included. */
  readonly attemptsHere: number;
  /** Attempts in this round, this one included. */
  readonly attemptsTotal: number;
  readonly retry: RetryConfig;
  /** Whether another credential of this provider can be used at once. */
  readonly hasOtherCredential: boolean;
  /** Whether a candidate other than this one is ready now. */
  readonly hasOtherCandidate: boolean;
  /** Whether the request may begin another round: then it waits in the lanes for whoever recovers first, not here. */
  readonly canRest?: boolean;
  /** Whether content of this attempt reached the caller, and what was promised for that case. */
  readonly hasDelivered: boolean;
  readonly delivery: Delivery;
  readonly remainingMs: number;
  readonly random: number;
}

export type Decision =
  /** Ask the same target again after `waitMs`. A retry costs a token of the retry bucket unless the credential changed. */
  | { readonly kind: 'retry'; readonly waitMs: number; readonly isFree: boolean }
  /** This candidate is spent; ask another. */
  | { readonly kind: 'next'; readonly isTooLong: boolean }
  /** Nothing more to try in this round. */
  | { readonly kind: 'give-up'; readonly retryAfterMs?: number };

export function decide(attempt: FailedAttempt): Decision {
  const meaning = FAILURE_POLICY[attempt.failure.kind];
  if (attempt.hasDelivered && attempt.delivery !== 'restart') return { kind: 'give-up' };
  if (attempt.attemptsTotal >= ATTEMPTS_MAX) return giveUp(attempt);
  switch (meaning.retryHere) {
    case 'backoff':
      return attempt.hasDelivered ? { kind: 'next', isTooLong: false } : retryTransient(attempt);
    case 'gate':
      return waitForGate(attempt);
    case 'no':
      return moveOn(attempt);
  }
}

function retryTransient(attempt: FailedAttempt): Decision {
  if (attempt.attemptsHere > attempt.retry.maxRetries) return { kind: 'next', isTooLong: false };
  const pushback = attempt.failure.retryAfterMs ?? 0;
  const waitMs = Math.max(pushback, backoffMs(attempt.attemptsHere - 1, attempt.retry, attempt.random));
  if (pushback > SHORT_WAIT_MS && hasBetterPlace(attempt)) return { kind: 'next', isTooLong: false };
  if (waitMs >= attempt.remainingMs)
    return attempt.hasOtherCandidate ? { kind: 'next', isTooLong: false } : giveUp(attempt);
  return { kind: 'retry', waitMs, isFree: false };
}

function waitForGate(attempt: FailedAttempt): Decision {
  if (attempt.hasOtherCredential) return { kind: 'retry', waitMs: 0, isFree: true };
  const retryAfterMs = attempt.failure.retryAfterMs;
  const isShort = retryAfterMs === undefined ? attempt.attemptsHere === 1 : retryAfterMs <= SHORT_WAIT_MS;
  const waitMs = throttleMs(attempt.attemptsHere - 1, retryAfterMs, attempt.random);
  const canWait = waitMs < attempt.remainingMs && attempt.attemptsHere <= attempt.retry.maxRetries;
  if (hasBetterPlace(attempt))
    return isShort && canWait ? { kind: 'retry', waitMs, isFree: false } : { kind: 'next', isTooLong: false };
  return canWait ? { kind: 'retry', waitMs, isFree: false } : giveUp(attempt);
}

/** Somewhere to be during a wait that is not short. */
function hasBetterPlace({ hasOtherCandidate, canRest = false }: FailedAttempt): boolean {
  return hasOtherCandidate || canRest;
}

function moveOn(attempt: FailedAttempt): Decision {
  const meaning = FAILURE_POLICY[attempt.failure.kind];
  // The failure table says whose fault it is; a provider's other key may still be good.
  const isCredentialAtFault = meaning.effect === 'exhaust-credential' || meaning.effect === 'count-unauthorized';
  if (isCredentialAtFault && attempt.hasOtherCredential) return { kind: 'retry', waitMs: 0, isFree: true };
  switch (meaning.nextCandidate) {
    case 'yes':
      return { kind: 'next', isTooLong: false };
    case 'larger-window':
      return { kind: 'next', isTooLong: true };
    case 'no':
      return giveUp(attempt);
  }
}

function giveUp(attempt: FailedAttempt): Decision {
  const { retryAfterMs } = attempt.failure;
  return retryAfterMs === undefined ? { kind: 'give-up' } : { kind: 'give-up', retryAfterMs };
}
