/**
 * How long to wait before asking again, and whether asking again is affordable. Transient failures back off with full
 * jitter; throttling waits at least what the provider said, else with equal jitter, because full jitter against a
 * per-minute window spends every retry in its first seconds (aws-sdk-net #4341). The bucket is a retry budget in the sense
 * of Finagle: a share of first attempts plus a floor.
 */
import type { Failure } from '../contract/adapter.ts';
import type { RetryConfig } from '../contract/config.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';

const THROTTLE_BASE_MS = 1_000;
const THROTTLE_CAP_MS = 60_000;
const BUCKET_CAP = 20;
const CREDIT_PER_FIRST_ATTEMPT = 0.2;
const FLOOR_REFILL_MS = 10_000;
/** Five fifths that were added up one by one may be a little less than one. */
const ROUNDING = 1e-6;

/** Full jitter: uniform in [0, min(cap, base·factor^retry)). `retry` counts from 0. */
export function backoffMs(retry: number, config: RetryConfig, random: number): number {
  return random * Math.min(config.capMs, config.baseMs * config.factor ** retry);
}

/** Equal jitter over min(60 s, 1 s·2^retry), never less than the provider's Retry-After. */
export function throttleMs(retry: number, retryAfterMs: number | undefined, random: number): number {
  const ceilingMs = Math.min(THROTTLE_CAP_MS, THROTTLE_BASE_MS * 2 ** Math.min(retry, 16));
  return Math.max(retryAfterMs ?? 0, ceilingMs / 2 + (random * ceilingMs) / 2);
}

/**
 * How long the gate of a credential has to hold after a failure; undefined: it stays as it is. A provider that is down and
 * says for how long is asked by nobody before.
 */
export function gateHoldMs(
  { kind, retryAfterMs }: Pick<Failure, 'kind' | 'retryAfterMs'>,
  retry: number,
  random: number,
): number | undefined {
  const { effect, retryHere } = FAILURE_POLICY[kind];
  if (effect === 'hold-gate') return throttleMs(retry, retryAfterMs, random);
  return retryHere === 'backoff' ? retryAfterMs : undefined;
}

export interface RetryBucket {
  readonly tokens: number;
  readonly refilledAtMs: number;
}

export function createRetryBucket(nowMs: number): RetryBucket {
  return { tokens: BUCKET_CAP, refilledAtMs: nowMs };
}

/** Credits a first attempt: +0.2, at most 20. */
export function creditFirstAttempt(bucket: RetryBucket, nowMs: number): RetryBucket {
  const refilled = refill(bucket, nowMs);
  return { ...refilled, tokens: Math.min(BUCKET_CAP, refilled.tokens + CREDIT_PER_FIRST_ATTEMPT) };
}

/** Pays for one retry, or says that it is not affordable now. */
export function payForRetry(
  bucket: RetryBucket,
  nowMs: number,
): { readonly bucket: RetryBucket; readonly isPaid: boolean } {
  const refilled = refill(bucket, nowMs);
  if (refilled.tokens < 1 - ROUNDING) return { bucket: refilled, isPaid: false };
  return { bucket: spend(refilled), isPaid: true };
}

/** Gives back the price of a retry that was answered. */
export function returnRetry(bucket: RetryBucket, nowMs: number): RetryBucket {
  const refilled = refill(bucket, nowMs);
  return { ...refilled, tokens: Math.min(BUCKET_CAP, refilled.tokens + 1) };
}

/** Charges a failover that must not be refused; the bucket may run dry but not below zero. */
export function chargeFailover(bucket: RetryBucket, nowMs: number): RetryBucket {
  return spend(refill(bucket, nowMs));
}

function spend(bucket: RetryBucket): RetryBucket {
  return { ...bucket, tokens: Math.max(0, bucket.tokens - 1) };
}

function refill(bucket: RetryBucket, nowMs: number): RetryBucket {
  // A caller may have read the clock a moment before the last one did.
  const refilledAtMs = Math.max(bucket.refilledAtMs, nowMs);
  const gained = (refilledAtMs - bucket.refilledAtMs) / FLOOR_REFILL_MS;
  return { tokens: Math.min(BUCKET_CAP, bucket.tokens + gained), refilledAtMs };
}
