/** Parses the arguments of the calls that are no requests: ids, waits, filters, patches and subscriptions. */
import { z } from 'zod';
import type { EventName } from '../contract/events.ts';
import type { LedgerQuery } from '../contract/records.ts';
import type { RequestId } from '../contract/response.ts';
import type { ProviderPatch } from '../contract/service.ts';
import { check, compact } from './parse-request.ts';

/** Every event there is; the type keeps it complete. */
export const EVENT_NAMES: Readonly<Record<EventName, true>> = {
  'request.admitted': true,
  'request.settled': true,
  'request.parked': true,
  'attempt.started': true,
  'attempt.failed': true,
  'breaker.opened': true,
  'breaker.halfOpened': true,
  'breaker.closed': true,
  'gate.held': true,
  'credential.disabled': true,
  'health.changed': true,
  'check.failed': true,
  'actor.crashed': true,
  'actor.restarted': true,
  'provider.gaveUp': true,
  'provider.revived': true,
  'provider.restored': true,
  'state.ignored': true,
  'config.reloaded': true,
  'store.failed': true,
  'webhook.delivered': true,
  'webhook.postponed': true,
  'webhook.failed': true,
  'service.recovered': true,
  'batch.created': true,
  'batch.finished': true,
  'service.draining': true,
  'service.failed': true,
  'listener.failed': true,
};

const idSchema = z.object({ requestId: z.string().min(1) });
const waitSchema = z.strictObject({
  waitMs: z.number().min(0).optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'an AbortSignal').optional(),
});
const readingSchema = waitSchema.pick({ signal: true });
const filterSchema = z.strictObject({ provider: z.string().optional(), feature: z.string().optional() });
const time = z.union([z.number(), z.date(), z.string()]).optional();
const querySchema = z.strictObject({
  since: time,
  until: time,
  provider: z.string().optional(),
  model: z.string().optional(),
  tenant: z.string().optional(),
  tag: z.string().optional(),
});
const patchSchema = z.object({ name: z.string().min(1), patch: z.record(z.string(), z.unknown()) });
const stopSchema = z.strictObject({ graceMs: z.number().min(0).optional() });
const subscriptionSchema = z.object({
  event: z
    .string()
    .refine((name) => Object.hasOwn(EVENT_NAMES, name), { error: `one of ${Object.keys(EVENT_NAMES).join(', ')}` }),
  listener: z.custom((value) => typeof value === 'function', 'a function'),
});

/** @throws {SwitchgearError} `invalid-request` */
export function checkRequestId(requestId: RequestId): void {
  check(idSchema, { requestId }, 'requestId');
}

/** @throws {SwitchgearError} `invalid-request` */
export function parseWait(options: { waitMs?: number; signal?: AbortSignal }): {
  waitMs?: number;
  signal?: AbortSignal;
} {
  // `compact` makes undefined fields absent, which is all that the schema allows beyond the type; so below.
  return compact(check(waitSchema, options, 'options')) as { waitMs?: number; signal?: AbortSignal };
}

/** @throws {SwitchgearError} `invalid-request` */
export function parseReading(options: { signal?: AbortSignal }): { signal?: AbortSignal } {
  return compact(check(readingSchema, options, 'options')) as { signal?: AbortSignal };
}

/** @throws {SwitchgearError} `invalid-request` */
export function parseModelFilter(filter: { provider?: string; feature?: string }): {
  provider?: string;
  feature?: string;
} {
  return compact(check(filterSchema, filter, 'filter')) as { provider?: string; feature?: string };
}

/** The times themselves are the ledger's to understand. @throws {SwitchgearError} `invalid-request` */
export function checkLedgerQuery(query: LedgerQuery): void {
  check(querySchema, query, 'query');
}

/** What is in a patch is the config's to understand. @throws {SwitchgearError} `invalid-request` */
export function checkPatch(name: string, patch: ProviderPatch): void {
  check(patchSchema, { name, patch }, 'patch');
}

/** @throws {SwitchgearError} `invalid-request` */
export function checkStop(options: { graceMs?: number }): void {
  check(stopSchema, options, 'options');
}

/** @throws {SwitchgearError} `invalid-request` */
export function checkSubscription(event: EventName, listener: unknown): void {
  check(subscriptionSchema, { event, listener }, 'subscription');
}
