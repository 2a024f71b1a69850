/**
 * The failure table: the only place where a failure's consequences are written down. `FAILURE_POLICY` says what a failed
 * attempt means for breaker, retry and failover; `ERROR_POLICY` says how an error code looks on the wire. Adapters turn
 * whatever went wrong into a `FailureKind`; nobody else compares status numbers.
 */
import type { ErrorCode } from './errors.ts';

/** The class of a failed or refused attempt. */
export type FailureKind =
  /** Connect, DNS or TLS error, or a reset before the first byte. */
  | 'connection'
  | 'connect-timeout'
  /** 500, 502, 503, 504, 408, or an error event of that kind inside a stream. */
  | 'upstream-error'
  /** 529 and `overloaded_error`. */
  | 'overloaded'
  /** No first token within `firstTokenMs`, or an unstreamed attempt over `unstreamedMs`. */
  | 'silent'
  /** Stream cut, stalled, malformed, or ended without a finish reason. */
  | 'broken'
  /** A 2xx that is no answer (error body, HTML, wrong content type, empty choices), or a redirect. */
  | 'false-success'
  /** The request's deadline passed after the attempt had outlived its own limit. */
  | 'deadline-overdue'
  /** The request's deadline passed while the attempt was within its own limit. */
  | 'deadline'
  /** The caller left, the request was cancelled, or the service is shutting down. */
  | 'abandoned'
  | 'rate-limited'
  /** 429 for quota or billing, 402. */
  | 'quota-exhausted'
  /** 401, 403. */
  | 'unauthorized'
  | 'model-not-found'
  | 'context-too-long'
  | 'content-filtered'
  /** Any other 4xx. */
  | 'invalid-request'
  /** The adapter itself threw something it did not classify. */
  | 'adapter-error';

export interface FailureMeaning {
  /** How the outcome is named in attempt reports. */
  readonly outcome: 'failed' | 'refused' | 'abandoned';
  /** What the breaker counts. */
  readonly breaker: 'failure' | 'neutral';
  /** Whether the same target may be asked again: after a backoff, after the gate's wait, or not at all. */
  readonly retryHere: 'backoff' | 'gate' | 'no';
  /** Whether another candidate may be asked. */
  readonly nextCandidate: 'yes' | 'larger-window' | 'no';
  /** What else it does to the provider. */
  readonly effect:
    | 'none'
    | 'hold-gate'
    | 'shrink-limit'
    | 'exhaust-credential'
    | 'count-unauthorized'
    | 'quarantine-model';
  /** The code the caller sees when this was the last attempt. */
  readonly code: ErrorCode;
}

const transient = {
  outcome: 'failed',
  breaker: 'failure',
  retryHere: 'backoff',
  nextCandidate: 'yes',
  effect: 'none',
} as const;
const moveOn = {
  outcome: 'failed',
  breaker: 'failure',
  retryHere: 'no',
  nextCandidate: 'yes',
  effect: 'none',
} as const;
const neutral = {
  outcome: 'refused',
  breaker: 'neutral',
  retryHere: 'no',
  nextCandidate: 'no',
  effect: 'none',
} as const;

export const FAILURE_POLICY: Readonly<Record<FailureKind, FailureMeaning>> = {
  connection: { ...transient, code: 'provider-error' },
  'connect-timeout': { ...transient, code: 'timeout' },
  'upstream-error': { ...transient, code: 'provider-error' },
  overloaded: { ...transient, effect: 'shrink-limit', code: 'overloaded' },
  silent: { ...moveOn, code: 'timeout' },
  broken: { ...moveOn, code: 'provider-error' },
  'false-success': { ...moveOn, code: 'provider-error' },
  'adapter-error': { ...moveOn, code: 'provider-error' },
  'deadline-overdue': { ...moveOn, nextCandidate: 'no', code: 'timeout' },
  deadline: { ...neutral, outcome: 'abandoned', code: 'timeout' },
  abandoned: { ...neutral, outcome: 'abandoned', code: 'cancelled' },
  'rate-limited': { ...neutral, retryHere: 'gate', nextCandidate: 'yes', effect: 'hold-gate', code: 'rate-limited' },
  'quota-exhausted': { ...neutral, nextCandidate: 'yes', effect: 'exhaust-credential', code: 'provider-error' },
  unauthorized: { ...neutral, nextCandidate: 'yes', effect: 'count-unauthorized', code: 'provider-error' },
  'model-not-found': { ...neutral, nextCandidate: 'yes', effect: 'quarantine-model', code: 'unknown-model' },
  'context-too-long': { ...neutral, nextCandidate: 'larger-window', code: 'context-too-long' },
  'content-filtered': { ...neutral, code: 'content-filtered' },
  'invalid-request': { ...neutral, code: 'invalid-request' },
};

export interface ErrorMeaning {
  readonly httpStatus: number;
  /** `error.type` in the OpenAI shape. */
  readonly openaiType: string;
  /** `error.code` in the OpenAI shape: OpenAI's own where it has one, else ours. */
  readonly openaiCode: string;
  /** `error.type` in the Anthropic shape. */
  readonly anthropicType: string;
  /** Whether a retry by the client may help; false where the runtime has already done what it would do. */
  readonly clientRetry: boolean;
}

const refusal = (httpStatus: number, code: string, anthropicType = 'invalid_request_error'): ErrorMeaning => ({
  httpStatus,
  openaiType: 'invalid_request_error',
  openaiCode: code,
  anthropicType,
  clientRetry: false,
});
const unavailable = (
  httpStatus: number,
  code: string,
  clientRetry: boolean,
  anthropicType = 'api_error',
): ErrorMeaning => ({
  httpStatus,
  openaiType: 'server_error',
  openaiCode: code,
  anthropicType,
  clientRetry,
});

export const ERROR_POLICY: Readonly<Record<ErrorCode, ErrorMeaning>> = {
  'invalid-request': refusal(400, 'invalid_request'),
  'context-too-long': refusal(400, 'context_length_exceeded'),
  'content-filtered': refusal(400, 'content_filter'),
  unauthorized: { ...refusal(401, 'invalid_api_key', 'authentication_error') },
  'budget-exhausted': { ...refusal(402, 'insufficient_quota', 'billing_error'), openaiType: 'insufficient_quota' },
  'unknown-model': refusal(404, 'model_not_found', 'not_found_error'),
  'request-not-found': refusal(404, 'request_not_found', 'not_found_error'),
  'idempotency-conflict': refusal(409, 'idempotency_conflict'),
  'request-expired': refusal(410, 'request_expired', 'not_found_error'),
  'rate-limited': {
    httpStatus: 429,
    openaiType: 'rate_limit_error',
    openaiCode: 'rate_limit_exceeded',
    anthropicType: 'rate_limit_error',
    clientRetry: false,
  },
  cancelled: unavailable(499, 'cancelled', false),
  'invalid-config': unavailable(500, 'invalid_config', false),
  'provider-error': unavailable(502, 'provider_error', false),
  interrupted: unavailable(502, 'interrupted', false),
  'queue-full': unavailable(503, 'queue_full', true, 'overloaded_error'),
  overloaded: unavailable(503, 'overloaded', false, 'overloaded_error'),
  'providers-unavailable': unavailable(503, 'providers_unavailable', false, 'overloaded_error'),
  'store-unavailable': unavailable(503, 'store_unavailable', true),
  'shutting-down': unavailable(503, 'shutting_down', true),
  timeout: unavailable(504, 'timeout', false, 'timeout_error'),
};
