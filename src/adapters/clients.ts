/**
 * What both SDK adapters need around their SDK: one client per credential, made when it is first used; a log that says
 * nothing; a time limit that never fires, since every limit is the runtime's own signal; and one answer to an abort.
 */
import { validateHeaderValue } from 'node:http';
import type { Credential, ProviderConfig } from '../contract/config.ts';
import { SwitchgearError } from '../contract/errors.ts';
import type { FeatureHeaders } from '../contract/request.ts';
import { AttemptError } from './attempt-error.ts';

/** The longest delay a timer can have. */
export const SDK_TIMEOUT_MS = 2_147_483_647;

/** What both SDKs are told with each call: our signal, no retries of theirs (R7), no limit of theirs. */
export const requestOptions = (call: {
  readonly signal: AbortSignal;
}): { signal: AbortSignal; maxRetries: 0; timeout: number } => ({
  signal: call.signal,
  maxRetries: 0,
  timeout: SDK_TIMEOUT_MS,
});

const CLIENTS_MAX = 1_000;
/** Keys that were replaced are kept out of messages for a while too. */
const SECRETS_MAX = 10_000;

/** The SDK clients of one provider by credential, and by what a call sends beside it. */
export class CredentialClients<Client> {
  readonly #create: (credential: Credential, headers: FeatureHeaders) => Client;
  readonly #clients = new Map<string, { readonly apiKey: string | undefined; readonly client: Client }>();
  /** Whatever must never be shown: keys past and present, and what the operator sends in headers, query and proxy URL. */
  readonly #secrets: Set<string>;

  /** @throws {SwitchgearError} `invalid-config` when a key cannot be sent in a header */
  constructor(config: ProviderConfig, create: (credential: Credential, headers: FeatureHeaders) => Client) {
    this.#create = create;
    this.#secrets = readSecrets(config);
    for (const credential of config.credentials) {
      if (!isSendable(credential)) throw unsendableKey(credential);
    }
  }

  of(credential: Credential, headers: FeatureHeaders = {}): Client {
    const key = [credential.id, ...Object.entries(headers).flat()].join('\n');
    const known = this.#clients.get(key);
    if (known !== undefined && known.apiKey === credential.apiKey) return known.client;
    if (credential.apiKey !== undefined) this.#secrets.add(credential.apiKey);
    if (!isSendable(credential))
      throw new AttemptError({ kind: 'unauthorized', message: unsendableKey(credential).message });
    if (this.#clients.size >= CLIENTS_MAX) this.#clients.clear();
    if (this.#secrets.size > SECRETS_MAX) this.#forgetOldestSecret();
    const client = this.#create(credential, headers);
    this.#clients.set(key, { apiKey: credential.apiKey, client });
    return client;
  }

  #forgetOldestSecret(): void {
    const [oldest] = this.#secrets;
    if (oldest !== undefined) this.#secrets.delete(oldest);
  }

  secrets(): Iterable<string> {
    return this.#secrets;
  }
}

function readSecrets(config: ProviderConfig): Set<string> {
  const secrets = new Set<string>();
  for (const { apiKey } of config.credentials) if (apiKey !== undefined) secrets.add(apiKey);
  const ofBaseURL =
    config.baseURL !== undefined && URL.canParse(config.baseURL) ? [...new URL(config.baseURL).searchParams] : [];
  for (const [name, value] of [...Object.entries({ ...config.headers, ...config.query }), ...ofBaseURL]) {
    if (/key|auth|token|secret|cookie|sign|password/i.test(name)) secrets.add(value);
  }
  const password = config.proxy !== undefined && URL.canParse(config.proxy) ? new URL(config.proxy).password : '';
  if (password !== '') secrets.add(decodeURIComponent(password));
  return secrets;
}

function isSendable(credential: Credential): boolean {
  if (credential.apiKey === undefined) return true;
  try {
    validateHeaderValue('authorization', credential.apiKey);
    return true;
  } catch {
    return false;
  }
}

const unsendableKey = (credential: Credential): SwitchgearError =>
  new SwitchgearError(
    'invalid-config',
    `expected the key of ${credential.id} to be printable ASCII on one line, got: something else`,
  );

/** Silences an SDK: what there is to say is in the error. */
export function createSilentLogger(): Record<'error' | 'warn' | 'info' | 'debug', () => void> {
  const silence = (): void => undefined;
  return { error: silence, warn: silence, info: silence, debug: silence };
}

const createAbandoned = (): AttemptError =>
  new AttemptError({ kind: 'abandoned', message: 'the attempt was abandoned' });

/** Runs one call; whatever it ends with after its signal was aborted is "abandoned". */
export async function untilAborted<Result>(signal: AbortSignal, run: () => PromiseLike<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw signal.aborted ? createAbandoned() : error;
  }
}

/** The same for a stream, which both SDKs end silently when it is aborted. */
export async function* streamUntilAborted<Part>(signal: AbortSignal, parts: AsyncIterable<Part>): AsyncGenerator<Part> {
  try {
    yield* parts;
  } catch (error) {
    throw signal.aborted ? createAbandoned() : error;
  }
  if (signal.aborted) throw createAbandoned();
}
