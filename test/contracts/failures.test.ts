/**
 * The failure table read by columns, as the callers, the operators and the wires that depend on it read it. Every list is
 * whole: a class that moves from one to the other breaks a promise.
 */
import { describe, expect, test } from 'vitest';

import type { ErrorCode } from '../../src/contract/errors.ts';
import { ERROR_POLICY, FAILURE_POLICY, type FailureKind, type FailureMeaning } from '../../src/contract/failures.ts';

// Their keys are exactly the kinds and the codes.
const kinds = Object.keys(FAILURE_POLICY) as FailureKind[];
const codes = Object.keys(ERROR_POLICY) as ErrorCode[];

const kindsWith = (column: keyof FailureMeaning, value: string): readonly FailureKind[] =>
  kinds.filter((kind) => FAILURE_POLICY[kind][column] === value);
const codesWith = (isMeant: (meaning: (typeof ERROR_POLICY)[ErrorCode]) => boolean): readonly ErrorCode[] =>
  codes.filter((code) => isMeant(ERROR_POLICY[code]));

/** Whatever happens between us and a provider that is well: it must never open its breaker. */
const NEUTRAL: readonly FailureKind[] = [
  'deadline',
  'abandoned',
  'rate-limited',
  'quota-exhausted',
  'unauthorized',
  'model-not-found',
  'context-too-long',
  'content-filtered',
  'invalid-request',
];
/** Gone before any answer began, or said by the provider to be temporary. */
const TRANSIENT: readonly FailureKind[] = ['connection', 'connect-timeout', 'upstream-error', 'overloaded'];

describe('a failed attempt', () => {
  test('counts against the breaker unless it says nothing of the provider’s health', () => {
    expect(kindsWith('breaker', 'neutral')).toEqual(NEUTRAL);
    expect(kindsWith('breaker', 'failure')).toEqual(kinds.filter((kind) => !NEUTRAL.includes(kind)));
  });

  test('is repeated at the same target only when it was transient, or once the gate of a 429 has opened', () => {
    expect(kindsWith('retryHere', 'backoff')).toEqual(TRANSIENT);
    expect(kindsWith('retryHere', 'gate')).toEqual(['rate-limited']);
    expect(kindsWith('retryHere', 'no')).toEqual(
      kinds.filter((kind) => kind !== 'rate-limited' && !TRANSIENT.includes(kind)),
    );
  });

  test('ends the request when nobody waits any more or the request itself is at fault', () => {
    expect(kindsWith('nextCandidate', 'no')).toEqual([
      'deadline-overdue',
      'deadline',
      'abandoned',
      'content-filtered',
      'invalid-request',
    ]);
  });

  test('of a request that is too long goes only to where more fits, and any other goes to any candidate', () => {
    expect(kindsWith('nextCandidate', 'larger-window')).toEqual(['context-too-long']);
    expect([...kindsWith('nextCandidate', 'yes'), ...kindsWith('nextCandidate', 'no')]).toHaveLength(kinds.length - 1);
  });

  test('that is transient or of a 429 has somewhere else to go when repeating it does not help', () => {
    for (const kind of kinds.filter((each) => FAILURE_POLICY[each].retryHere !== 'no'))
      expect([kind, FAILURE_POLICY[kind].nextCandidate]).toEqual([kind, 'yes']);
  });

  test.each<[FailureMeaning['effect'], readonly FailureKind[]]>([
    ['hold-gate', ['rate-limited']],
    ['shrink-limit', ['overloaded']],
    ['exhaust-credential', ['quota-exhausted']],
    ['count-unauthorized', ['unauthorized']],
    ['quarantine-model', ['model-not-found']],
  ])('has the effect %s only as %j', (effect, expected) => {
    expect(kindsWith('effect', effect)).toEqual(expected);
  });

  test('has no other effect in any other class', () => {
    expect(kindsWith('effect', 'none')).toHaveLength(kinds.length - 5);
  });

  test('is named for who ended it: the provider by breaking, the provider by saying no, or our side', () => {
    expect(kindsWith('outcome', 'abandoned')).toEqual(['deadline', 'abandoned']);
    expect(kindsWith('outcome', 'refused')).toEqual(
      NEUTRAL.filter((kind) => kind !== 'deadline' && kind !== 'abandoned'),
    );
    expect(kindsWith('outcome', 'failed')).toEqual(kinds.filter((kind) => !NEUTRAL.includes(kind)));
  });

  test.each<[ErrorCode, readonly FailureKind[]]>([
    ['timeout', ['connect-timeout', 'silent', 'deadline-overdue', 'deadline']],
    ['cancelled', ['abandoned']],
    ['overloaded', ['overloaded']],
    ['rate-limited', ['rate-limited']],
    ['unknown-model', ['model-not-found']],
    ['context-too-long', ['context-too-long']],
    ['content-filtered', ['content-filtered']],
    ['invalid-request', ['invalid-request']],
    // A provider's 401 or 402 is ours to mend, not the caller's.
    [
      'provider-error',
      ['connection', 'upstream-error', 'broken', 'false-success', 'adapter-error', 'quota-exhausted', 'unauthorized'],
    ],
  ])('is %s to the caller when it was the last one, if it was %j', (code, expected) => {
    expect(kindsWith('code', code)).toEqual(expected);
  });
});

/** By HTTP status, as the daemon's contract lists them. */
const BY_STATUS: readonly (readonly [number, readonly ErrorCode[]])[] = [
  [400, ['invalid-request', 'context-too-long', 'content-filtered']],
  [401, ['unauthorized']],
  [402, ['budget-exhausted']],
  [404, ['unknown-model', 'request-not-found']],
  [409, ['idempotency-conflict']],
  [410, ['request-expired']],
  [429, ['rate-limited']],
  [499, ['cancelled']],
  [500, ['invalid-config']],
  [502, ['provider-error', 'interrupted']],
  [503, ['queue-full', 'overloaded', 'providers-unavailable', 'store-unavailable', 'shutting-down']],
  [504, ['timeout']],
];

describe('an error code', () => {
  test.each(BY_STATUS)('%d on the wire is exactly %j', (status, expected) => {
    expect(codesWith(({ httpStatus }) => httpStatus === status)).toEqual(expected);
  });

  test('has one status, and every code has one', () => {
    expect(BY_STATUS.flatMap(([, listed]) => listed).toSorted()).toEqual(codes.toSorted());
  });

  test('invites a client to try again only where this service has not tried already and may soon be able to', () => {
    expect(codesWith(({ clientRetry }) => clientRetry)).toEqual(['queue-full', 'store-unavailable', 'shutting-down']);
  });

  test('is OpenAI’s own where OpenAI has one, so that clients’ checks work, and else ours with underscores', () => {
    const own: Partial<Record<ErrorCode, string>> = {
      'context-too-long': 'context_length_exceeded',
      'content-filtered': 'content_filter',
      unauthorized: 'invalid_api_key',
      'budget-exhausted': 'insufficient_quota',
      'unknown-model': 'model_not_found',
      'rate-limited': 'rate_limit_exceeded',
    };
    for (const code of codes) expect(ERROR_POLICY[code].openaiCode).toBe(own[code] ?? code.replaceAll('-', '_'));
  });

  test.each<[string, readonly number[]]>([
    ['invalid_request_error', [400, 401, 404, 409, 410]],
    ['insufficient_quota', [402]],
    ['rate_limit_error', [429]],
    ['server_error', [499, 500, 502, 503, 504]],
  ])('has the type %s in the OpenAI shape exactly with the statuses %j', (type, statuses) => {
    const found = codes.filter((code) => ERROR_POLICY[code].openaiType === type);
    expect(found).toEqual(codes.filter((code) => statuses.includes(ERROR_POLICY[code].httpStatus)));
  });

  test('has in the Anthropic shape the type that Anthropic documents for its status', () => {
    const types: Readonly<Record<number, string>> = {
      400: 'invalid_request_error',
      401: 'authentication_error',
      402: 'billing_error',
      404: 'not_found_error',
      409: 'invalid_request_error',
      410: 'not_found_error',
      429: 'rate_limit_error',
      504: 'timeout_error',
    };
    const overloads: readonly ErrorCode[] = ['queue-full', 'overloaded', 'providers-unavailable'];
    for (const code of codes) {
      const { anthropicType, httpStatus } = ERROR_POLICY[code];
      const otherwise = overloads.includes(code) ? 'overloaded_error' : 'api_error';
      expect([code, anthropicType]).toEqual([code, types[httpStatus] ?? otherwise]);
    }
  });
});
