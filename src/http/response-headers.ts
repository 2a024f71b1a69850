/** The `x-switchgear-*` response headers. Values are made safe for a header line; what is unknown is left out. */
import type { AnyResponse, RequestId } from '../contract/response.ts';
import type { HttpFailure } from './failure.ts';
import type { Wire } from './wire.ts';

export type Headers = Readonly<Record<string, string>>;

/** Of an answer that is complete before its first byte is sent. */
export function answerHeaders(response: AnyResponse, wire: Wire): Headers {
  return {
    ...liveHeaders(response.requestId, response.provider, wire),
    'x-switchgear-attempts': String(response.attempts.length),
    ...(response.cost !== undefined && { 'x-switchgear-cost-usd': formatUsd(response.cost.usdNanos) }),
  };
}

/** Of a stream whose end is not known yet. */
export function liveHeaders(requestId: RequestId, provider: string | undefined, wire: Wire): Headers {
  return {
    'x-switchgear-request-id': toHeaderValue(requestId),
    [wire.requestIdHeader]: toHeaderValue(requestId),
    ...(provider !== undefined && { 'x-switchgear-provider': toHeaderValue(provider) }),
  };
}

export function failureHeaders(failure: HttpFailure, wire: Wire): Headers {
  return {
    'x-switchgear-error': failure.code,
    ...(failure.requestId !== undefined && liveHeaders(failure.requestId, failure.provider, wire)),
    ...(failure.attempts !== undefined && { 'x-switchgear-attempts': String(failure.attempts) }),
    ...retryAfterHeaders(failure.retryAfterMs),
    ...(!failure.isRetryable && { 'x-should-retry': 'false' }),
  };
}

/** Never earlier than the time is true: the whole seconds of the standard header are rounded up, as both SDKs' ms are. */
export function retryAfterHeaders(retryAfterMs: number | undefined): Headers {
  if (retryAfterMs === undefined || !Number.isFinite(retryAfterMs)) return {};
  const waitMs = Math.max(0, Math.ceil(retryAfterMs));
  return { 'retry-after': String(Math.ceil(waitMs / 1_000)), 'retry-after-ms': String(waitMs) };
}

/** Nano-dollars as an exact decimal number of dollars without an exponent. */
export function formatUsd(usdNanos: number): string {
  const nanos = BigInt(Math.round(usdNanos));
  const sign = nanos < 0n ? '-' : '';
  const digits = (nanos < 0n ? -nanos : nanos).toString().padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${sign}${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`;
}

function toHeaderValue(value: string): string {
  return value.replaceAll(/[^\x20-\x7e]/g, '?');
}
