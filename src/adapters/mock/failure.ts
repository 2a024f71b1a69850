/** The error that the mock throws: it carries the failure as its script says it, so that classifying it is reading it. */
import type { Failure } from '../../contract/adapter.ts';

export class MockFailure extends Error {
  override readonly name = 'MockFailure';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message, failure.cause === undefined ? undefined : { cause: failure.cause });
    this.failure = failure;
  }
}

/** Builds what is thrown when the signal ended an answer before its end. */
export function createAbandonment(signal: AbortSignal): MockFailure {
  return new MockFailure({
    kind: 'abandoned',
    message: 'the call was aborted before the mock had answered',
    cause: signal.reason,
  });
}

/** Names the class of anything that the mock threw. Never throws. */
export function classifyMockError(error: unknown): Failure {
  if (error instanceof MockFailure) return error.failure;
  const message = error instanceof Error ? error.message : 'the mock threw something that is no error';
  if (error instanceof Error && error.name === 'AbortError')
    return { kind: 'abandoned', message: message.slice(0, messageMax), cause: error };
  return { kind: 'adapter-error', message: message.slice(0, messageMax), cause: error };
}

const messageMax = 2_000;
