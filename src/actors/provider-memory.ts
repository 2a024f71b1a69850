/**
 * What a provider actor knows, as plain immutable values, and the pure changes to it. It is the context of the machine in
 * `provider.ts`; the composition root keeps the latest one, so that an actor that crashes wakes up with its breaker still
 * open and its gate still held.
 */
import type { ProviderConfig } from '../contract/config.ts';
import type { BreakerName } from '../contract/events.ts';
import { openDurationMs } from '../policy/breaker.ts';
import { type ConcurrencyLimit, growLimit, interruptGrowth, shrinkLimit } from '../policy/limit.ts';
import {
  type CallWindow,
  type CountedFailure,
  createWindow,
  recordFailure,
  recordSuccess,
  retractFailure,
} from '../policy/window.ts';
import {
  createCredential,
  type CredentialMemory,
  type CredentialRef,
  type CredentialReport,
  keepCredentials,
} from './credentials.ts';

/** How long a model the provider does not know is left alone. */
export const QUARANTINE_MS = 600_000;
/** Models that are left alone at once: callers choose their names, so their number is bounded. */
export const QUARANTINED_MAX = 1_000;

/** One admission by the breaker. */
export interface Permit extends CredentialRef {
  readonly id: number;
  /** The generation it was given in: a report of another generation decides nothing (R4). */
  readonly generation: number;
  readonly isProbe: boolean;
  /** The attempt's own limit, after which it counts as a failure while still in flight. */
  readonly limitMs: number;
}

/** What became of an attempt, as its provider has to know it. */
export interface Report extends CredentialReport {
  readonly model: string;
  /** How long the gate has to hold from now on; left out: not at all. */
  readonly holdMs?: number;
  readonly message?: string;
}

interface PermitRecord extends Permit {
  /** Where it was counted as a failure for being overdue. */
  readonly overdue: CountedFailure | undefined;
}

export interface ProviderMemory {
  readonly config: ProviderConfig;
  readonly breaker: BreakerName;
  readonly generation: number;
  readonly window: CallWindow;
  readonly openingsInRow: number;
  readonly openUntilMs: number;
  /** Epoch ms. */
  readonly openedAt: number | undefined;
  /** Why it opened last; undefined while it is closed. */
  readonly openedBecause: string | undefined;
  readonly lastFailureAt: number | undefined;
  readonly lastError: string | undefined;
  readonly halfOpenSuccesses: number;
  readonly probe: { readonly permitId: number; readonly leaseUntilMs: number } | undefined;
  /** One forced probe per run of openings. */
  readonly isForcedProbeUsed: boolean;
  readonly limit: ConcurrencyLimit;
  readonly permits: ReadonlyMap<number, PermitRecord>;
  readonly credentials: readonly CredentialMemory[];
  /** Model id to the monotonic moment until which it is left alone. */
  readonly quarantine: Readonly<Record<string, number>>;
}

export function createProviderMemory(config: ProviderConfig, nowMs: number): ProviderMemory {
  return {
    config,
    breaker: 'closed',
    generation: 1,
    window: createWindow(config.breaker.windowMs, nowMs),
    openingsInRow: 0,
    openUntilMs: 0,
    openedAt: undefined,
    openedBecause: undefined,
    lastFailureAt: undefined,
    lastError: undefined,
    halfOpenSuccesses: 0,
    probe: undefined,
    isForcedProbeUsed: false,
    limit: { limit: config.concurrency, successesInRow: 0 },
    permits: new Map(),
    credentials: config.credentials.map((credential) => createCredential(credential.id, 1)),
    quarantine: {},
  };
}

/** Breaker, window and counters stay; what the new config changes follows it. */
export function applyConfig(memory: ProviderMemory, config: ProviderConfig, nowMs: number): ProviderMemory {
  const isSameWindow = config.breaker.windowMs === memory.config.breaker.windowMs;
  const isFullLimit = memory.limit.limit === memory.config.concurrency;
  return {
    ...memory,
    config,
    window: isSameWindow ? memory.window : createWindow(config.breaker.windowMs, nowMs),
    permits: isSameWindow
      ? memory.permits
      : new Map([...memory.permits].map(([id, record]) => [id, { ...record, overdue: undefined }])),
    credentials: keepCredentials(memory.credentials, memory.config.credentials, config.credentials),
    limit:
      isFullLimit || memory.limit.limit > config.concurrency
        ? { limit: config.concurrency, successesInRow: 0 }
        : memory.limit,
  };
}

export function addPermit(memory: ProviderMemory, permit: Permit): ProviderMemory {
  return { ...memory, permits: new Map(memory.permits).set(permit.id, { ...permit, overdue: undefined }) };
}

export function removePermit(memory: ProviderMemory, permitId: number): ProviderMemory {
  const permits = new Map(memory.permits);
  permits.delete(permitId);
  return { ...memory, permits };
}

/** One moment on both clocks. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Counts a report into the window of a closed breaker. A counted overdue is replaced, never added to. */
export function countReport(memory: ProviderMemory, permit: Permit, report: Report, at: Moment): ProviderMemory {
  const { nowMs, wallMs } = at;
  const record = findCurrent(memory, permit);
  if (record === undefined) return memory;
  const { overdue } = record;
  if (overdue !== undefined && report.verdict === 'failure') return noteFailure(memory, report, wallMs);
  const window = overdue === undefined ? memory.window : retractFailure(memory.window, overdue, nowMs);
  switch (report.verdict) {
    case 'success':
      return { ...memory, window: recordSuccess(window, nowMs) };
    case 'failure':
      return noteFailure({ ...memory, window: recordFailure(window, nowMs) }, report, wallMs);
    case 'neutral':
      return { ...memory, window };
  }
}

/** An attempt in flight that has outlived its own limit counts as one failure. */
export function countOverdue(memory: ProviderMemory, permit: Permit, nowMs: number, wallMs: number): ProviderMemory {
  const record = findCurrent(memory, permit);
  if (record === undefined || record.overdue !== undefined) return memory;
  const window = recordFailure(memory.window, nowMs);
  const permits = new Map(memory.permits).set(permit.id, {
    ...record,
    overdue: { bucket: window.newest, run: window.run },
  });
  return noteFailure({ ...memory, window, permits }, { message: `no answer within ${permit.limitMs} ms` }, wallMs);
}

/** A permit that still decides something: of this generation (R4), and not reported yet. */
function findCurrent(memory: ProviderMemory, permit: Permit): PermitRecord | undefined {
  return permit.generation === memory.generation ? memory.permits.get(permit.id) : undefined;
}

export function countCheckFailure(
  memory: ProviderMemory,
  message: string,
  nowMs: number,
  wallMs: number,
): ProviderMemory {
  return noteFailure({ ...memory, window: recordFailure(memory.window, nowMs) }, { message }, wallMs);
}

function noteFailure(memory: ProviderMemory, report: Pick<Report, 'message'>, wallMs: number): ProviderMemory {
  return { ...memory, lastFailureAt: wallMs, lastError: report.message ?? memory.lastError };
}

/** AIMD: successes in a row grow the limit, complaints of the provider shrink it; those of another generation do neither (R4). */
export function adjustLimit(memory: ProviderMemory, permit: Permit, report: Report): ProviderMemory {
  if (findCurrent(memory, permit) === undefined) return memory;
  if (report.effect === 'hold-gate' || report.effect === 'shrink-limit')
    return { ...memory, limit: shrinkLimit(memory.limit) };
  switch (report.verdict) {
    case 'success':
      return { ...memory, limit: growLimit(memory.limit, memory.config.concurrency) };
    case 'failure':
      return { ...memory, limit: interruptGrowth(memory.limit) };
    case 'neutral':
      return memory;
  }
}

export function beginOpen(
  memory: ProviderMemory,
  { nowMs, wallMs }: Moment,
  random: number,
  reason: string,
): ProviderMemory {
  const openingsInRow = memory.openingsInRow + 1;
  return {
    ...memory,
    breaker: 'open',
    generation: memory.generation + 1,
    openingsInRow,
    openUntilMs: nowMs + openDurationMs(openingsInRow, memory.config.breaker, random),
    openedAt: wallMs,
    openedBecause: reason,
    probe: undefined,
    halfOpenSuccesses: 0,
  };
}

export function beginHalfOpen(memory: ProviderMemory, isForced: boolean): ProviderMemory {
  return {
    ...memory,
    breaker: 'halfOpen',
    generation: memory.generation + 1,
    probe: undefined,
    halfOpenSuccesses: 0,
    isForcedProbeUsed: memory.isForcedProbeUsed || isForced,
  };
}

/** Closes with an empty window and one slot, from which concurrency ramps up again. */
export function beginClosed(memory: ProviderMemory, nowMs: number): ProviderMemory {
  return {
    ...memory,
    breaker: 'closed',
    generation: memory.generation + 1,
    window: createWindow(memory.config.breaker.windowMs, nowMs),
    openingsInRow: 0,
    openUntilMs: 0,
    openedAt: undefined,
    openedBecause: undefined,
    probe: undefined,
    halfOpenSuccesses: 0,
    isForcedProbeUsed: false,
    limit: { limit: 1, successesInRow: 0 },
  };
}

export function quarantineModel(memory: ProviderMemory, model: string, nowMs: number): ProviderMemory {
  // The oldest come first.
  const live = Object.entries(memory.quarantine)
    .filter(([known, untilMs]) => untilMs > nowMs && known !== model)
    .slice(-QUARANTINED_MAX + 1);
  return { ...memory, quarantine: { ...Object.fromEntries(live), [model]: nowMs + QUARANTINE_MS } };
}
