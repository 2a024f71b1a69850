/**
 * Turns whatever one attempt threw into a `Failure`. Both wires share the work: an SDK error is first read into an
 * `UpstreamError` by the adapter, and judged here by status, code, type and wording. Nothing outside the adapters compares
 * status numbers.
 */
import type { Failure } from '../contract/adapter.ts';
import type { Clock } from '../contract/clock.ts';
import { findInChain } from '../network/error-chain.ts';
import { type HeaderReader, parseRetryAfter } from '../network/retry-after.ts';
import { AttemptError, isAttemptError } from './attempt-error.ts';
import { describeBodyError, isMarkup, stripMarkup } from './body.ts';
import { classifyConnectionError } from './connection.ts';
import { judgeUpstream } from './judge.ts';
import type { Scrub } from './scrub.ts';
import { parseRegainedAt } from './spend-limit.ts';
import { asCount, asList, asObject, asText, type WireObject } from './wire.ts';

/** An error answer, or an error event inside a stream, as the SDK gave it. */
export interface UpstreamError {
  /** Undefined: it arrived inside a stream that had begun with 200. */
  readonly status: number | undefined;
  readonly body: unknown;
  /** What the SDK made of it; used when the body says nothing. */
  readonly message: string;
  readonly headers: HeaderReader | undefined;
}

/** Reads the error class that both SDKs share in shape. */
export function readSdkError(
  error: Error & { readonly status?: unknown; readonly error?: unknown; readonly headers?: unknown },
): UpstreamError {
  return {
    status: asCount(error.status),
    body: error.error,
    message: error.message,
    headers: isHeaderReader(error.headers) ? error.headers : undefined,
  };
}

const isHeaderReader = (value: unknown): value is HeaderReader =>
  typeof value === 'object' && value !== null && 'get' in value && typeof value.get === 'function';

/** What the SDK of a wire calls its errors. */
export interface SdkErrors {
  isAbort(error: unknown): boolean;
  isConnectTimeout(error: unknown): boolean;
  isConnection(error: unknown): boolean;
  readUpstream(error: unknown): UpstreamError | undefined;
}

export interface Classifier {
  /** The provider's name, which begins every message. */
  readonly provider: string;
  readonly sdk: SdkErrors;
  readonly clock: Clock;
  readonly scrub: Scrub;
}

/** Classifies anything. Pure; never throws. */
export function classifyError(classifier: Classifier, error: unknown): Failure {
  try {
    const { message, providerCode, ...failure } = describeError(classifier, error);
    return {
      ...failure,
      message: classifier.scrub(`${classifier.provider}: ${message}`),
      ...(providerCode !== undefined && { providerCode: classifier.scrub(providerCode) }),
      cause: scrubCause(error, classifier.scrub),
    };
  } catch {
    return { kind: 'adapter-error', message: `${classifier.provider}: failed with something that cannot be read` };
  }
}

function describeError({ sdk, clock }: Classifier, error: unknown): Omit<Failure, 'cause'> {
  const own = findInChain(error, isAttemptError);
  if (own !== undefined) return own.failure;
  if (sdk.isAbort(error) || isAbortError(error)) return { kind: 'abandoned', message: 'the attempt was abandoned' };
  if (sdk.isConnectTimeout(error)) return { kind: 'connect-timeout', message: 'no connection was made in time' };
  if (sdk.isConnection(error)) return classifyConnectionError(error, 'the provider', 0).failure;
  const upstream = sdk.readUpstream(error);
  if (upstream !== undefined) return describeUpstream(upstream, clock);
  if (error instanceof SyntaxError)
    return { kind: 'broken', message: 'the answer is not valid JSON', isMaybeBilled: true };
  if (isBodyError(error))
    return { kind: 'broken', message: `the answer was cut: ${describeBodyError(error)}`, isMaybeBilled: true };
  return { kind: 'adapter-error', message: error instanceof Error ? error.message : `failed with ${typeof error}` };
}

const isAbortError = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** Errors of a body that had begun to arrive: undici wraps them as "terminated", zlib names its own. */
function isBodyError(error: unknown): boolean {
  if (error instanceof TypeError && /terminated|body|decode/i.test(error.message)) return true;
  const coded = findInChain(
    error,
    (candidate): candidate is Error & { code: string } =>
      candidate instanceof Error && 'code' in candidate && typeof candidate.code === 'string',
  );
  return coded !== undefined && /^(UND_ERR_|HPE_|Z_|ERR_STREAM|ECONNRESET|EPIPE)/.test(coded.code);
}

/** A 400 that speaks of streams: the model, the account or the server has none, or knows no `stream_options`. */
const STREAM_WORDS = /\bstream/i;

function describeUpstream(upstream: UpstreamError, clock: Clock): Omit<Failure, 'cause'> {
  const report = readErrorReport(upstream.body);
  const advisedMs = parseRetryAfter(upstream.headers, clock.wallMs());
  // The SDKs put the status before what they found.
  const found = upstream.message.replace(/^\d{3} /, '');
  const words = report.message === '' ? stripMarkup(found) : report.message;
  const { kind, status } = judgeUpstream({
    ...report,
    status: upstream.status ?? report.status,
    isInStream: upstream.status === undefined,
    hasRetryAfter: advisedMs !== undefined,
    isPage: isMarkup(typeof upstream.body === 'string' ? upstream.body : found),
  });
  const retryAfterMs = advisedMs ?? (kind === 'quota-exhausted' ? parseRegainedAt(words, clock.wallMs()) : undefined);
  const providerCode = report.code ?? report.type;
  const answered = upstream.status === undefined ? 'sent an error inside the stream' : `answered ${upstream.status}`;
  return {
    kind,
    message: `${answered}${providerCode === undefined ? '' : ` (${providerCode})`}: ${words === '' ? 'no reason given' : words}`,
    ...(status !== undefined && { status }),
    ...(providerCode !== undefined && { providerCode }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(upstream.status === undefined && { isMaybeBilled: true }),
    ...(kind === 'invalid-request' && STREAM_WORDS.test(words) && { isStreamRefused: true }),
  };
}

export interface ErrorReport {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly message: string;
}

const REPORT_DEPTH_MAX = 4;

/** Reads the many shapes of an error body: `{error:{…}}`, `{error:"…"}`, `[{…}]`, `{detail:…}`, `{message:{detail:…}}`. */
export function readErrorReport(body: unknown, depth = 0): ErrorReport {
  const empty: ErrorReport = { status: undefined, type: undefined, code: undefined, message: '' };
  if (typeof body === 'string') return { ...empty, message: stripMarkup(body).slice(0, REASON_LENGTH_MAX) };
  const inner = Array.isArray(body) ? asList(body)[0] : asObject(body)?.['error'];
  if (inner !== undefined && inner !== null && depth < REPORT_DEPTH_MAX) return readErrorReport(inner, depth + 1);
  const fields = asObject(body);
  if (fields === undefined) return empty;
  const numeric = asCount(fields['code']) ?? asCount(fields['status_code']);
  const detailCode = asText(asObject(fields['details'])?.['error_code']);
  return {
    status: numeric !== undefined && numeric >= 400 && numeric <= 599 ? numeric : undefined,
    type: asText(fields['type']),
    code: detailCode ?? asText(fields['code']) ?? asText(asObject(fields['innererror'])?.['code']),
    message: readReason(fields),
  };
}

/** A reason longer than this is a body, not a reason; the wordings are searched for in this much. */
const REASON_LENGTH_MAX = 4_096;

/** The words of an error; a gateway that passes another's error on keeps it in `metadata.raw`. */
function readReason(fields: WireObject): string {
  const reason = fields['message'] ?? fields['detail'] ?? fields['msg'];
  const words =
    reason === undefined || reason === null ? '' : typeof reason === 'string' ? reason : JSON.stringify(reason);
  const raw = asText(asObject(fields['metadata'])?.['raw']);
  return (raw === undefined ? words : `${words.slice(0, REASON_LENGTH_MAX)} (${raw})`).slice(0, REASON_LENGTH_MAX * 2);
}

/** The same error without what an inspector would print of the original: request, headers, echoed keys. */
function scrubCause(error: unknown, scrub: Scrub): Error {
  const origin = error instanceof AttemptError && error.origin instanceof Error ? error.origin : error;
  const copy = new Error(scrub(origin instanceof Error ? origin.message : String(origin)));
  copy.name = origin instanceof Error ? origin.name : 'Error';
  if (origin instanceof Error && origin.stack !== undefined) copy.stack = scrub(origin.stack);
  return copy;
}
