/** The stored form of a request that was admitted, and the hash by which an idempotency key knows it again. */
import { createHash } from 'node:crypto';
import type { RequestRecord } from '../contract/records.ts';
import type { ParsedRequest, RequestOptions } from '../contract/request.ts';
import type { OpenRequestInit } from './open-request.ts';

export function recordOf(
  init: Omit<OpenRequestInit, 'sink'>,
  options: RequestOptions,
  { enqueuedAt, recovery }: Pick<RequestRecord, 'enqueuedAt' | 'recovery'>,
): RequestRecord {
  return {
    requestId: init.requestId,
    tenant: init.tenant,
    idempotencyKey: options.idempotencyKey,
    requestHash: options.idempotencyKey === undefined ? '' : hashRequest(init.request, options.fallbacks),
    request: init.request,
    fallbacks: options.fallbacks,
    priority: init.priority,
    tags: init.tags,
    createdAt: init.createdAt,
    enqueuedAt,
    timeoutMs: init.timeoutMs,
    recovery,
    recoveries: 0,
    ...(init.batch !== undefined && { batch: init.batch }),
    status: 'queued',
    attempts: [],
  };
}

/** SHA-256 over the request with its keys in order, so that equal requests hash alike. */
export function hashRequest(request: ParsedRequest, fallbacks: RequestOptions['fallbacks']): string {
  return createHash('sha256')
    .update(canonical({ request, fallbacks: fallbacks ?? null }))
    .digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}
