/**
 * Names the class of what kept a request from getting any answer. The codes are those of the operating system, of TLS and of
 * undici. What matters beyond the class is whether the request may have reached the provider, for then it may be billed.
 */
import { AddressRefusedError } from './address.ts';
import { AttemptError, findInChain } from './attempt-error.ts';

/** The connection was never made, so nothing can have been sent. */
const BEFORE_SENDING = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EACCES',
  'EMFILE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_TLS_HANDSHAKE_TIMEOUT',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'EPROTO',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
  'UND_ERR_INVALID_ARG',
]);
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

/** Wraps what `fetch` rejected with. The text names the origin, never the path or the query. */
export function classifyConnectionError(error: unknown, origin: string, connectMs: number): AttemptError {
  const refused = findInChain(error, (candidate) => candidate instanceof AddressRefusedError);
  if (refused !== undefined) return new AttemptError({ kind: 'connection', message: refused.message }, error);
  const { code, message } = findRoot(error);
  if (CONNECT_TIMEOUTS.has(code)) {
    return new AttemptError(
      { kind: 'connect-timeout', message: `no connection to ${origin} within ${connectMs} ms` },
      error,
    );
  }
  if (NOT_HTTP.test(code) || findInChain(error, isParserError) !== undefined) {
    return new AttemptError(
      { kind: 'broken', message: `${origin} answered with something that is not HTTP`, isMaybeBilled: true },
      error,
    );
  }
  return new AttemptError(
    {
      kind: 'connection',
      message: `no answer from ${origin}: ${code === '' ? message : describeCode(code)}`,
      ...(!BEFORE_SENDING.has(code) && { isMaybeBilled: true }),
    },
    error,
  );
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
