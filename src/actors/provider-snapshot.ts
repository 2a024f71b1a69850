/**
 * What of a provider outlives its process, as plain JSON: how long its breaker stays open, its gates hold, its keys and models
 * are left alone, how far it has ramped up, and what is owed to its rate limits. Deadlines are moments on the steady wall
 * clock, since a monotonic one means nothing to another process, and the moment of saving goes with them: a clock that was
 * turned back makes no wait longer than it was. Counts, permits and generations end with the process. A key is recognised by
 * a fingerprint, and only the same key is still held or blocked.
 */
import type { Credential } from '../contract/config.ts';
import { type CredentialMemory, isBlocked } from './credentials.ts';
import type { PaceDebt, PacingBuckets } from './pacing-buckets.ts';
import type { ProviderMemory } from './provider-memory.ts';

export const SNAPSHOT_VERSION = 1;
/** Callers choose the names of models; nobody calls one by a longer name and means it. */
export const MODEL_LENGTH_MAX = 256;

/** What sums of moments may be off by. Without it a moment that was restored would be another one when it is saved again. */
const ROUNDING_MS = 0.01;

/** All moments are epoch ms on the steady wall clock, but those that only people read. What is left out is as in a new provider. */
export interface ProviderSnapshot {
  readonly version: typeof SNAPSHOT_VERSION;
  readonly savedAt: number;
  /** Left out: closed. */
  readonly breaker?: BreakerSnapshot;
  /** How many slots it had ramped up to. */
  readonly limit?: number;
  readonly credentials?: readonly CredentialSnapshot[];
  readonly quarantine?: readonly { readonly model: string; readonly until: number }[];
  readonly debts?: { readonly requests?: DebtSnapshot; readonly tokens?: DebtSnapshot };
}

interface BreakerSnapshot {
  readonly state: 'open' | 'halfOpen';
  readonly openUntil: number;
  readonly openingsInRow: number;
  readonly isForcedProbeUsed: boolean;
  /** For people, as the three below. */
  readonly openedAt?: number;
  readonly openedBecause?: string;
  readonly lastFailureAt?: number;
  readonly lastError?: string;
}

interface CredentialSnapshot {
  readonly key: string;
  readonly heldUntil?: number;
  readonly blocked?: NonNullable<CredentialMemory['blocked']>;
  /** Left out: until an operator acts. */
  readonly blockedUntil?: number;
}

interface DebtSnapshot {
  readonly until: number;
  readonly perMinute: number;
}

/** One moment on the clock of this process and on the one that processes share. */
export interface SharedMoment {
  readonly nowMs: number;
  /** Epoch ms, steady wall clock. */
  readonly steadyMs: number;
}

/** What one provider knows. */
export interface Known {
  readonly memory: ProviderMemory;
  readonly pacing: PacingBuckets;
}

/** Tells keys apart without showing them. */
export type Fingerprint = (apiKey: Credential['apiKey']) => string;

/** What is worth keeping of `known` at this moment. Moments are rounded up: nothing ends early. */
export function snapshotOf({ memory, pacing }: Known, fingerprint: Fingerprint, at: SharedMoment): ProviderSnapshot {
  const share = (ms: number) => Math.max(0, Math.ceil(ms - at.nowMs + at.steadyMs - ROUNDING_MS));
  const { limit, config } = memory;
  const credentials = memory.credentials.flatMap((credential) => {
    const apiKey = config.credentials.find(({ id }) => id === credential.id)?.apiKey;
    const kept = keepCredential(credential, at.nowMs, share);
    return kept === undefined ? [] : [{ key: fingerprint(apiKey), ...kept }];
  });
  const quarantine = Object.entries(memory.quarantine)
    .filter(([model, untilMs]) => untilMs > at.nowMs && model.length <= MODEL_LENGTH_MAX)
    .map(([model, untilMs]) => ({ model, until: share(untilMs) }));
  const { requests, tokens } = pacing.debts(at.nowMs);
  const keepDebt = ({ fullAtMs, perMinute }: PaceDebt) => ({ until: share(fullAtMs), perMinute });
  const debts = { ...(requests && { requests: keepDebt(requests) }), ...(tokens && { tokens: keepDebt(tokens) }) };
  return {
    version: SNAPSHOT_VERSION,
    savedAt: Math.floor(at.steadyMs),
    ...(memory.breaker !== 'closed' && { breaker: keepBreaker(memory, memory.breaker, share) }),
    ...(limit.limit < config.concurrency && { limit: limit.limit }),
    ...(credentials.length > 0 && { credentials }),
    ...(quarantine.length > 0 && { quarantine }),
    ...((requests ?? tokens) !== undefined && { debts }),
  };
}

function keepBreaker(
  memory: ProviderMemory,
  state: BreakerSnapshot['state'],
  share: (ms: number) => number,
): BreakerSnapshot {
  const { openUntilMs, openingsInRow, isForcedProbeUsed, openedAt, openedBecause, lastFailureAt, lastError } = memory;
  return {
    state,
    openUntil: share(openUntilMs),
    openingsInRow,
    isForcedProbeUsed,
    ...(openedAt !== undefined && { openedAt }),
    ...(openedBecause !== undefined && { openedBecause }),
    ...(lastFailureAt !== undefined && { lastFailureAt }),
    ...(lastError !== undefined && { lastError }),
  };
}

/** Undefined when nothing is against the use of the key. */
function keepCredential(
  credential: CredentialMemory,
  nowMs: number,
  share: (ms: number) => number,
): Omit<CredentialSnapshot, 'key'> | undefined {
  const { blocked, blockedUntilMs, heldUntilMs } = credential;
  const isHeld = heldUntilMs > nowMs;
  const isOut = isBlocked(credential, nowMs);
  if (!isHeld && !isOut) return undefined;
  return {
    ...(isHeld && { heldUntil: share(heldUntilMs) }),
    ...(isOut && blocked !== undefined && { blocked }),
    ...(isOut && blockedUntilMs !== undefined && { blockedUntil: share(blockedUntilMs) }),
  };
}

/** How soon a change has to be on disk: `now` what keeps callers away from a provider, `soon` what slows them down. */
export type Urgency = 'now' | 'soon';

/** Undefined when nothing that is kept has changed. Cheap: it is asked after every event of the actor. */
export function urgencyOf(before: ProviderMemory, after: ProviderMemory): Urgency | undefined {
  if (
    before.breaker !== after.breaker ||
    before.openUntilMs !== after.openUntilMs ||
    before.credentials.length !== after.credentials.length ||
    after.credentials.some((credential, index) => isOther(before.credentials[index], credential))
  )
    return 'now';
  return before.quarantine === after.quarantine && before.limit.limit === after.limit.limit ? undefined : 'soon';
}

function isOther(before: CredentialMemory | undefined, after: CredentialMemory): boolean {
  return (
    before?.version !== after.version ||
    before.heldUntilMs !== after.heldUntilMs ||
    before.blocked !== after.blocked ||
    before.blockedUntilMs !== after.blockedUntilMs
  );
}
