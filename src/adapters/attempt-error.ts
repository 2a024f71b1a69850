/**
 * The one error our own adapters throw when they have judged an answer themselves: the transport for what never became an
 * HTTP answer, the parsers for an answer that is none. It carries its class with it, so `classify` need not guess.
 *
 * It has no `cause`: the SDKs wrap what their fetch throws, and Anthropic's drops the wrapped error when the text of it, or
 * of its cause, looks like a timeout. What went wrong underneath is kept as `origin`.
 */
import type { Failure } from '../contract/adapter.ts';

/** A failed attempt whose class is known where it happened. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly failure: Omit<Failure, 'cause'>;
  readonly origin: unknown;

  constructor(failure: Omit<Failure, 'cause'>, origin?: unknown) {
    super(failure.message);
    this.failure = failure;
    this.origin = origin;
  }
}

export const isAttemptError = (error: unknown): error is AttemptError => error instanceof AttemptError;
