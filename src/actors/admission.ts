/**
 * What a provider would answer to a request at this moment, read off what its actor knows: ready, wait and for how long, or
 * not before an operator acts. It decides nothing that the actor has not decided; it puts breaker, gate, keys and
 * quarantine into one word, and says why.
 */
import type { Admission } from '../policy/rank.ts';
import { isBlocked, nextCredential } from './credentials.ts';
import type { ProviderMemory } from './provider-memory.ts';

type Wait = Extract<Admission, { kind: 'wait' }>;

/** What a provider with this memory says to a request for `model` now. */
export function admissionOf(memory: ProviderMemory, model: string, nowMs: number): Admission {
  const next = nextCredential(memory.credentials, nowMs);
  if (next === undefined) return { kind: 'never', reason: describeBlocked(memory) };
  const quarantinedMs = (memory.quarantine[model] ?? 0) - nowMs;
  if (quarantinedMs > 0) {
    return {
      kind: 'never',
      reason: `the provider does not know model ${model}; asked again in ${Math.ceil(quarantinedMs / 1000)} s`,
    };
  }
  const keyWaitMs = next.waitMs;
  if (memory.breaker === 'open') {
    return {
      ...createWait('open', Math.max(memory.openUntilMs - nowMs, keyWaitMs)),
      canForceProbe: !memory.isForcedProbeUsed && keyWaitMs === 0,
      background: describeOpening(memory),
    };
  }
  if (memory.probe !== undefined) {
    const leaseMs = Math.max(0, memory.probe.leaseUntilMs - nowMs);
    return { ...createWait('probing', leaseMs), background: describeOpening(memory) };
  }
  if (keyWaitMs > 0) return createWait(isBlocked(next.credential, nowMs) ? 'exhausted' : 'held', keyWaitMs);
  if (memory.breaker === 'halfOpen') return { kind: 'ready', isRamping: false, isForProbe: true };
  const { limit } = memory.limit;
  // Hung calls, and those of another generation, take no slot.
  const holdsSlot = ({ generation, overdue }: (typeof permits)[number]) =>
    generation === memory.generation && overdue === undefined;
  const permits = [...memory.permits.values()];
  return { kind: 'ready', isRamping: limit < memory.config.concurrency && permits.filter(holdsSlot).length >= limit };
}

/** Says to wait, for everything but a breaker that could be probed by force. */
export function createWait(reason: Wait['reason'], retryAfterMs: number): Wait {
  return { kind: 'wait', reason, retryAfterMs, canForceProbe: false };
}

function describeOpening({ openedBecause = 'calls failed', lastError }: ProviderMemory): string {
  return `opened because ${openedBecause}${lastError === undefined ? '' : `, the last one with: ${lastError}`}`;
}

function describeBlocked(memory: ProviderMemory): string {
  const reasons = memory.credentials.map((credential) => `${credential.id} ${credential.blocked}`);
  return `no usable credential (${reasons.join(', ')}); set a working key and reload, or restart the provider`;
}
