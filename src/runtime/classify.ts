/** What an adapter says of an error, checked: a user's `classify` may throw or give anything. */
import type { Adapter, Failure } from '../contract/adapter.ts';
import type { ProviderConfig } from '../contract/config.ts';
import { FAILURE_POLICY } from '../contract/failures.ts';

/** Never throws; what the adapter cannot name is an `adapter-error`. */
export function classifySafely(adapter: Adapter, config: ProviderConfig, error: unknown): Failure {
  try {
    const failure: unknown = adapter.classify(error);
    if (isFailure(failure)) return failure;
  } catch (cause) {
    return { kind: 'adapter-error', message: `adapter ${config.adapter} failed: ${describeThrown(cause)}`, cause };
  }
  const message = `expected adapter ${config.adapter} to classify a failure, got: nothing that is one; it threw: ${describeThrown(error)}`;
  return { kind: 'adapter-error', message, cause: error };
}

function isFailure(value: unknown): value is Failure {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('message' in value)) return false;
  return (
    typeof value.kind === 'string' && Object.hasOwn(FAILURE_POLICY, value.kind) && typeof value.message === 'string'
  );
}

/** Anything can be thrown, also what has no text. */
function describeThrown(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'something that cannot be shown';
  }
}
