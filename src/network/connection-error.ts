/**
 * What kept a request from getting any answer, in words. The codes are those of the operating system, of TLS and of undici.
 * The words name the origin, never path or query, which may hold a secret.
 */
import { AddressRefusedError } from './address.ts';
import { findInChain } from './error-chain.ts';

export interface ConnectionError {
  /** `not-http`: an answer came and could not be read. */
  readonly kind: 'address-refused' | 'connect-timeout' | 'not-http' | 'no-answer';
  /** Empty when the error has none. */
  readonly code: string;
  readonly message: string;
}

const CONNECT_TIMEOUTS = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
/** What operators meet most, in words. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  UND_ERR_SOCKET: 'connection closed',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve now',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no network',
};
/** An answer came, but it was not HTTP. */
const NOT_HTTP = /^(HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RESPONSE)/;

/** undici's parser gives some of its errors a name only. */
const isParserError = (error: unknown): error is Error => error instanceof Error && error.name === 'HTTPParserError';

/** Reads what `fetch` rejected with. */
export function readConnectionError(error: unknown, origin: string, connectMs: number): ConnectionError {
  const refused = findInChain(error, (candidate) => candidate instanceof AddressRefusedError);
  if (refused !== undefined) return { kind: 'address-refused', code: '', message: refused.message };
  const { code, message } = findRoot(error);
  if (CONNECT_TIMEOUTS.has(code))
    return { kind: 'connect-timeout', code, message: `no connection to ${origin} within ${connectMs} ms` };
  if (NOT_HTTP.test(code) || findInChain(error, isParserError) !== undefined)
    return { kind: 'not-http', code, message: `${origin} answered with something that is not HTTP` };
  const words = code === '' ? message : describeCode(code);
  return { kind: 'no-answer', code, message: `no answer from ${origin}: ${words}` };
}

function describeCode(code: string): string {
  const words = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  return words === undefined ? code : `${words} (${code})`;
}

/** The innermost error that has a code; of several addresses tried, the first one's. */
function findRoot(error: unknown): { code: string; message: string } {
  const coded = findInChain(
    error,
    (candidate): candidate is Error & { code: string } =>
      candidate instanceof Error && 'code' in candidate && typeof candidate.code === 'string',
  );
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return { code: coded?.code ?? '', message: cause instanceof Error ? cause.message : String(cause) };
}
