/** What an attempt says of itself when it failed by a judgement of ours, and not by an error that its adapter threw. */
import type { Failure } from '../contract/adapter.ts';
import type { ProviderConfig } from '../contract/config.ts';
import { LIMIT_FAILURE } from './limits.ts';
import type { OpenRequest } from './open-request.ts';

/** An adapter gave something that is no reply. */
export function malformed(config: ProviderConfig, what: 'reply' | 'embedding'): Failure {
  return {
    kind: 'adapter-error',
    message: `expected adapter ${config.adapter} to give a whole ${what}, got: one with fields missing`,
  };
}

/** The provider stopped without a word and without a token. */
export function nothingSaid({ name }: ProviderConfig): Failure {
  return { kind: 'false-success', message: `${name} answered with nothing at all`, isMaybeBilled: true };
}

/** A stream was over before its answer was. */
export function unfinished({ name }: ProviderConfig): Failure {
  return { kind: 'broken', message: `${name} ended the stream without a finish reason`, isMaybeBilled: true };
}

/** A stream said more than anybody can hold. */
export function endless({ name }: ProviderConfig, charsMax: number): Failure {
  const message = `expected the answer of ${name} to be at most ${charsMax} characters, got: more`;
  return { kind: 'broken', message, isMaybeBilled: true };
}

/** A limit that bound has passed. */
export function limitPassed({ name }: ProviderConfig, limit: 'first' | 'stall', limitMs: number): Failure {
  const what = limit === 'stall' ? 'sent nothing more' : 'sent no answer';
  return { kind: LIMIT_FAILURE[limit], message: `${name} ${what} for ${limitMs} ms`, isMaybeBilled: true };
}

/** The work was stopped from outside. `isOverdue`: the attempt had outlived its own limit without any content. */
export function stopped(
  open: OpenRequest,
  { name }: ProviderConfig,
  { isAsked, isOverdue }: { readonly isAsked: boolean; readonly isOverdue: boolean },
): Failure {
  if (open.stopReason !== 'deadline')
    return { kind: 'abandoned', message: `stopped: ${open.stopReason ?? 'unknown'}`, isMaybeBilled: isAsked };
  return {
    kind: isOverdue ? 'deadline-overdue' : 'deadline',
    message: `the deadline of ${open.init.timeoutMs} ms passed while ${name} was answering`,
    isMaybeBilled: isAsked,
  };
}
