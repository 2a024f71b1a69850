/**
 * Turns whatever was thrown into what a client is told. A `SwitchgearError` brings its meaning with it (ERROR_POLICY); what
 * HTTP itself refuses (an unknown path, a body too large, a foreign origin) is an `HttpRefusal`; everything else is a defect
 * of ours, about which the client learns nothing but that it happened.
 */
import { SwitchgearError } from '../contract/errors.ts';
import { ERROR_POLICY } from '../contract/failures.ts';
import type { ResolvedConfig } from '../contract/config.ts';

/** A failure with all that the wires need to show it. */
export interface HttpFailure {
  readonly status: number;
  /** The value of `x-switchgear-error`. */
  readonly code: string;
  readonly message: string;
  readonly param: string | undefined;
  readonly requestId: string | undefined;
  /** The provider that failed last, and how many attempts were made; undefined before any. */
  readonly provider?: string | undefined;
  readonly attempts?: number | undefined;
  readonly openaiType: string;
  readonly openaiCode: string;
  readonly anthropicType: string;
  readonly retryAfterMs: number | undefined;
  /** False: the client must not try again, the runtime already has or nothing would change. */
  readonly isRetryable: boolean;
  /** A defect of ours, to be logged with its stack. */
  readonly isDefect: boolean;
}

/** Makes texts safe to show. */
export type Scrub = (message: string) => string;

type RefusalStatus = 400 | 403 | 404 | 408 | 413 | 415 | 431;

/** Every refusal is an `invalid-request` of ours, and the status says which; the wires have names for them. */
const REFUSALS: Readonly<Record<RefusalStatus, { openaiCode: string; anthropicType: string }>> = {
  400: { openaiCode: 'invalid_request', anthropicType: 'invalid_request_error' },
  403: { openaiCode: 'forbidden', anthropicType: 'permission_error' },
  404: { openaiCode: 'unknown_url', anthropicType: 'not_found_error' },
  408: { openaiCode: 'request_timeout', anthropicType: 'invalid_request_error' },
  413: { openaiCode: 'request_too_large', anthropicType: 'request_too_large' },
  415: { openaiCode: 'unsupported_media_type', anthropicType: 'invalid_request_error' },
  431: { openaiCode: 'headers_too_large', anthropicType: 'invalid_request_error' },
};
/** The one refusal that the same request may escape: its bytes came too slowly, and nothing was done with it. */
const SLOW_STATUS: RefusalStatus = 408;

const MESSAGE_LENGTH_MAX = 2_048;
const CLIENT_RETRY_AFTER_MAX_MS = 60_000;
/** A body is untrusted text; below this length a credential would match words. */
const CREDENTIAL_LENGTH_MIN = 6;
const KEY_PATTERN = /\b(?:sk|pk|rk|xai|gsk)-[A-Za-z0-9_-]{8,}|\bBearer\s+\S+/gi;

/** What HTTP itself refuses. */
export class HttpRefusal extends Error {
  readonly status: RefusalStatus;
  readonly param: string | undefined;

  constructor(status: RefusalStatus, message: string, param?: string) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** Understands anything thrown. Never throws. */
export function toFailure(error: unknown, scrub: Scrub): HttpFailure {
  if (error instanceof SwitchgearError) return fromSwitchgear(error, scrub);
  const refusal = error instanceof HttpRefusal ? error : toRefusal(error);
  return refusal === undefined ? defect() : fromRefusal(refusal, scrub);
}

/** Removes this configuration's credentials and everything that looks like a key, and bounds the length. */
export function createScrub(config: ResolvedConfig): Scrub {
  const secrets = config.providers
    .flatMap((provider) => provider.credentials.map((credential) => credential.apiKey))
    .filter((apiKey) => apiKey !== undefined && apiKey.length >= CREDENTIAL_LENGTH_MIN);
  return (message) => {
    let clean = message;
    for (const secret of secrets) clean = clean.replaceAll(secret ?? '', '[removed]');
    return clean.replaceAll(KEY_PATTERN, '[removed]').slice(0, MESSAGE_LENGTH_MAX);
  };
}

function fromSwitchgear(error: SwitchgearError, scrub: Scrub): HttpFailure {
  const meaning = ERROR_POLICY[error.code];
  const isSoon = error.retryAfterMs === undefined || error.retryAfterMs <= CLIENT_RETRY_AFTER_MAX_MS;
  return {
    status: meaning.httpStatus,
    code: error.code,
    message: scrub(error.message),
    param: error.param,
    requestId: error.requestId,
    provider: error.provider,
    attempts: error.requestId === undefined ? undefined : error.attempts.length,
    openaiType: meaning.openaiType,
    openaiCode: meaning.openaiCode,
    anthropicType: meaning.anthropicType,
    retryAfterMs: error.retryAfterMs,
    isRetryable: meaning.clientRetry && isSoon,
    isDefect: false,
  };
}

function fromRefusal(refusal: HttpRefusal, scrub: Scrub): HttpFailure {
  return {
    status: refusal.status,
    code: 'invalid-request',
    ...REFUSALS[refusal.status],
    message: scrub(refusal.message),
    param: refusal.param,
    requestId: undefined,
    openaiType: 'invalid_request_error',
    retryAfterMs: undefined,
    isRetryable: refusal.status === SLOW_STATUS,
    isDefect: false,
  };
}

/** What Fastify and Node throw while they read a request. Their texts may quote the body, so ours replace them. */
function toRefusal(error: unknown): HttpRefusal | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  switch (error.statusCode) {
    case 400:
      return new HttpRefusal(400, 'expected the request to be well-formed with a JSON body, got: something else');
    case 413:
      return new HttpRefusal(413, 'expected the body to be at most http.bodyLimitBytes long, got: more');
    case 415:
      return new HttpRefusal(415, 'expected content-type to be application/json, got: another or none');
    default:
      return undefined;
  }
}

function defect(): HttpFailure {
  return {
    status: 500,
    code: 'internal-error',
    message: 'expected this server to answer, got: an internal error; its log has the details',
    param: undefined,
    requestId: undefined,
    openaiType: 'server_error',
    openaiCode: 'internal_error',
    anthropicType: 'api_error',
    retryAfterMs: undefined,
    isRetryable: true,
    isDefect: true,
  };
}
