/**
 * What observers are told. No decision depends on an event (R11): listeners run after the fact, and one that throws is
 * caught and counted.
 */
import type { ErrorCode } from './errors.ts';
import type { AttemptReport, RequestId, Usage } from './response.ts';

export type BreakerName = 'closed' | 'open' | 'halfOpen';

export interface Events {
  'request.admitted': { requestId: RequestId; model: string; priority: string; mode: 'sync' | 'async' | 'stream' };
  'request.settled': {
    requestId: RequestId;
    outcome: 'succeeded' | 'failed' | 'cancelled';
    code?: ErrorCode;
    /** Why it failed. */
    message?: string;
    provider?: string;
    model?: string;
    totalMs: number;
    attempts: readonly AttemptReport[];
    usage?: Usage;
    costUsd?: number;
  };
  'attempt.started': { requestId: RequestId; provider: string; model: string; attempt: number; isProbe: boolean };
  'attempt.failed': AttemptReport & {
    requestId: RequestId;
    attempt: number;
    credential: string;
    kind: string;
    status?: number;
    retryAfterMs?: number;
  };
  'breaker.opened': { provider: string; reason: string; openMs: number };
  'breaker.halfOpened': { provider: string };
  'breaker.closed': { provider: string };
  'gate.held': { provider: string; credential: string; forMs: number };
  'credential.disabled': { provider: string; credential: string; reason: 'unauthorized' | 'quota-exhausted' };
  'health.changed': { provider: string; from: string; to: string; reason?: string };
  'check.failed': { provider: string; message: string; kind: string };
  'actor.crashed': { actor: string; incarnation: number; message: string };
  'actor.restarted': { actor: string; incarnation: number; restarts: number };
  'provider.gaveUp': { provider: string; restarts: number };
  'provider.revived': { provider: string };
  'config.reloaded': { added: readonly string[]; removed: readonly string[]; changed: readonly string[] };
  'store.failed': { requestId: RequestId; operation: string; message: string };
  'service.draining': { graceMs: number; open: number };
  'service.failed': { reason: string };
  'listener.failed': { event: string; message: string };
}

export type EventName = keyof Events;
export type Unsubscribe = () => void;
