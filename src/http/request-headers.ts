/** Reads the `x-switchgear-*` request headers into options. A header that says something we do not know is refused. */
import type { IncomingHttpHeaders } from 'node:http';
import type { RequestOptions } from '../contract/request.ts';
import { HttpRefusal } from './failure.ts';

const TIMEOUT_MAX_MS = 7 * 86_400_000;
const FALLBACKS_MAX = 16;
const NAME_PATTERN = /^[\w.:@/+-]{1,256}$/;
const TENANT_PATTERN = /^[\w.:@-]{1,128}$/;
const IDEMPOTENCY_KEY_PATTERN = /^[\x21-\x7e]{1,255}$/;

/** @throws {HttpRefusal} 400 naming the header */
export function parseRequestOptions(headers: IncomingHttpHeaders): RequestOptions {
  return {
    ...parsePriority(headers),
    ...parseTimeout(headers),
    ...parseDelivery(headers),
    ...parseRecovery(headers),
    ...parseTenant(headers),
    ...parseFallbacks(headers),
  };
}

/** @throws {HttpRefusal} 400 naming the header */
export function parseIdempotencyKey(headers: IncomingHttpHeaders): Pick<RequestOptions, 'idempotencyKey'> {
  const idempotencyKey = read(headers, 'idempotency-key');
  if (idempotencyKey === undefined) return {};
  if (!IDEMPOTENCY_KEY_PATTERN.test(idempotencyKey)) {
    throw refuseHeader('idempotency-key', '1 to 255 visible ASCII characters without spaces', idempotencyKey);
  }
  return { idempotencyKey };
}

function parsePriority(headers: IncomingHttpHeaders): Pick<RequestOptions, 'priority'> {
  const priority = read(headers, 'x-switchgear-priority');
  if (priority === undefined) return {};
  if (priority !== 'high' && priority !== 'normal' && priority !== 'low') {
    throw refuseHeader('x-switchgear-priority', 'high, normal or low', priority);
  }
  return { priority };
}

function parseTimeout(headers: IncomingHttpHeaders): Pick<RequestOptions, 'timeoutMs'> {
  const value = read(headers, 'x-switchgear-timeout-ms');
  if (value === undefined) return {};
  const timeoutMs = /^\d{1,10}$/.test(value) ? Number(value) : 0;
  if (timeoutMs < 1 || timeoutMs > TIMEOUT_MAX_MS) {
    throw refuseHeader('x-switchgear-timeout-ms', `an integer from 1 to ${TIMEOUT_MAX_MS}`, value);
  }
  return { timeoutMs };
}

function parseDelivery(headers: IncomingHttpHeaders): Pick<RequestOptions, 'delivery'> {
  const delivery = read(headers, 'x-switchgear-delivery');
  if (delivery === undefined) return {};
  // A wire has no word for "discard what you have", so `restart` is for the library only.
  if (delivery !== 'live' && delivery !== 'whole')
    throw refuseHeader('x-switchgear-delivery', 'live or whole', delivery);
  return { delivery };
}

function parseRecovery(headers: IncomingHttpHeaders): Pick<RequestOptions, 'recovery'> {
  const recovery = read(headers, 'x-switchgear-recovery');
  if (recovery === undefined) return {};
  if (recovery !== 'atLeastOnce' && recovery !== 'atMostOnce')
    throw refuseHeader('x-switchgear-recovery', 'atLeastOnce or atMostOnce', recovery);
  return { recovery };
}

function parseTenant(headers: IncomingHttpHeaders): Pick<RequestOptions, 'tenant'> {
  const tenant = read(headers, 'x-switchgear-tenant');
  if (tenant === undefined) return {};
  if (!TENANT_PATTERN.test(tenant))
    throw refuseHeader('x-switchgear-tenant', 'a name of at most 128 characters', tenant);
  return { tenant };
}

function parseFallbacks(headers: IncomingHttpHeaders): Pick<RequestOptions, 'fallbacks'> {
  const value = read(headers, 'x-switchgear-fallbacks');
  if (value === undefined) return {};
  if (value.trim() === 'none') return { fallbacks: 'none' };
  const fallbacks = value.split(',').map((name) => name.trim());
  const isValid =
    fallbacks.length <= FALLBACKS_MAX && fallbacks.every((name) => name !== 'none' && NAME_PATTERN.test(name));
  if (!isValid) {
    throw refuseHeader('x-switchgear-fallbacks', `none, or up to ${FALLBACKS_MAX} comma-separated model names`, value);
  }
  return { fallbacks };
}

function read(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

function refuseHeader(name: string, what: string, value: string): HttpRefusal {
  const shown = /^[\w.,: -]{0,40}$/.test(value) ? value : `${value.length} characters`;
  return new HttpRefusal(400, `expected ${name} to be ${what}, got: ${shown}`, name);
}
