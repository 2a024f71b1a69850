/** How the mock fails: with the failure that its script says, and read back as every adapter's failures are. */
import type { Failure } from '../../contract/adapter.ts';
import type { Clock } from '../../contract/clock.ts';
import type { ProviderConfig } from '../../contract/config.ts';
import { AttemptError } from '../attempt-error.ts';
import { classifyError, type SdkErrors } from '../classify.ts';
import { createScrub } from '../scrub.ts';

/** There is no SDK whose errors would have to be read. */
const noSdk: SdkErrors = {
  isAbort: () => false,
  isConnectTimeout: () => false,
  isConnection: () => false,
  readUpstream: () => undefined,
};

/** Builds what is thrown when the signal ended an answer before its end. */
export function createAbandonment(signal: AbortSignal): AttemptError {
  return new AttemptError(
    { kind: 'abandoned', message: 'the call was aborted before the mock had answered' },
    signal.reason,
  );
}

/** Builds the mock's `classify`. A scripted message is scrubbed too: a script may play a provider that echoes a key. */
export function createClassify({ name, credentials }: ProviderConfig, clock: Clock): (error: unknown) => Failure {
  const secrets = credentials.flatMap(({ apiKey }) => (apiKey === undefined ? [] : [apiKey]));
  const classifier = { provider: name, sdk: noSdk, clock, scrub: createScrub(() => secrets) };
  return (error) => classifyError(classifier, error);
}
