/** The last net under adapters: whatever they say of a failure, the key it was made with is not part of it. */
import type { Failure } from '../contract/adapter.ts';
import type { Credential } from '../contract/config.ts';

const MESSAGE_LENGTH_MAX = 2_000;
/** Shorter keys are words (`none`, `test`) that messages may hold for other reasons. */
const KEY_LENGTH_MIN = 8;

/** The same failure, its message without the key and of bounded length. */
export function scrubFailure(failure: Failure, { apiKey }: Credential): Failure {
  const { message } = failure;
  const clean = apiKey === undefined || apiKey.length < KEY_LENGTH_MIN ? message : message.replaceAll(apiKey, '[key]');
  return { ...failure, message: clean.slice(0, MESSAGE_LENGTH_MAX) };
}
