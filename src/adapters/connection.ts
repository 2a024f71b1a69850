/**
 * Names the class of what kept a request from getting any answer. What matters beyond the class is whether the request may
 * have reached the provider, for then it may be billed.
 */
import type { Failure } from '../contract/adapter.ts';
import { type ConnectionError, readConnectionError } from '../network/connection-error.ts';
import { AttemptError } from './attempt-error.ts';

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

/** Wraps what `fetch` rejected with. The text names the origin, never the path or the query. */
export function classifyConnectionError(error: unknown, origin: string, connectMs: number): AttemptError {
  return new AttemptError(failureOf(readConnectionError(error, origin, connectMs)), error);
}

function failureOf({ kind, code, message }: ConnectionError): Omit<Failure, 'cause'> {
  switch (kind) {
    case 'address-refused':
      return { kind: 'connection', message };
    case 'connect-timeout':
      return { kind: 'connect-timeout', message };
    case 'not-http':
      return { kind: 'broken', message, isMaybeBilled: true };
    case 'no-answer':
      return { kind: 'connection', message, ...(!BEFORE_SENDING.has(code) && { isMaybeBilled: true }) };
  }
}
